"""The agent's own git repository: turns work in it, and their work is committed there."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

CLONING = 3600.0
"""Most seconds of a clone."""
PROMPT, PLAN = "PROMPT.md", "fix_plan.md"
_BOX = re.compile(r"^\s*[-*] \[([ xX])\]", re.MULTILINE)
_SETTINGS = ("-c", "core.hooksPath=/dev/null", "-c", "commit.gpgSign=false", "-c", "gc.autoDetach=false")


class GitFailed(Exception):
    """A git command failed or took too long. The text has git's own message."""


class Workspace:
    def __init__(
        self, folder: Path, name: str, environment: Mapping[str, str], beat: Callable[[], None] = lambda: None
    ) -> None:
        """`name` is the author of commits. `beat` is called at least once a minute while git works."""
        self.folder, self.name, self._beat = folder, name, beat
        who = {"NAME": name, "EMAIL": f"{name}@localhost"}
        self.environment = {
            **environment,
            **{f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in who.items()},
            "GIT_TERMINAL_PROMPT": "0",
        }

    def prepare(self, repository: str) -> None:
        """Make the repository if it is missing: a clone, or an empty one."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if (self.folder / ".git/HEAD").exists():
            return
        if not repository:
            self.git("init", "--quiet", "--initial-branch=main", ".")
            return
        # Clone into a folder beside it, so that an interrupted clone is not taken for a whole one.
        new = self.folder.with_name(f"{self.folder.name}.new")
        shutil.rmtree(new, ignore_errors=True)
        self.git("clone", "--quiet", "--", repository, str(new), seconds=CLONING)
        self.folder.rmdir()
        new.rename(self.folder)

    @property
    def prompt(self) -> str:
        path = self.folder / PROMPT
        return path.read_text(errors="replace").strip() if path.is_file() else ""

    @property
    def plan_is_done(self) -> bool:
        """Whether the plan has boxes, and each is ticked."""
        path = self.folder / PLAN
        boxes = _BOX.findall(path.read_text(errors="replace")) if path.is_file() else []
        return bool(boxes) and " " not in boxes

    def content(self) -> str:
        """The id of the committed tree; '' without a commit."""
        return self.git("rev-parse", "--quiet", "--verify", "HEAD^{tree}", fails=True)

    def commit(self, message: str) -> bool:
        """Commit everything. Returns whether there was anything to commit. Call it only while no turn runs."""
        self.unlock()
        self.git("add", "--all", ".")
        if not self.git("status", "--porcelain"):
            return False
        self.git("commit", "--quiet", "--message", message)
        return True

    def unlock(self) -> None:
        """Remove locks of index, HEAD and branches that a killed git has left. No other process works here."""
        for path in (self.folder / ".git").rglob("*.lock"):
            if not path.is_dir():
                path.unlink(missing_ok=True)

    def git(self, *arguments: str, seconds: float = 60, fails: bool = False) -> str:
        """The output of git. GitFailed if it fails, unless `fails`, or after `seconds`."""
        process = subprocess.Popen(
            ["git", *_SETTINGS, *arguments], cwd=self.folder, env=self.environment, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        until = time.monotonic() + seconds
        while True:
            self._beat()
            try:
                printed, errors = process.communicate(timeout=min(10.0, seconds))
                break
            except subprocess.TimeoutExpired as error:
                if time.monotonic() >= until:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.communicate()
                    raise GitFailed(f"git {arguments[0]}: no end within {seconds:g} s") from error
        if process.returncode and not fails:
            raise GitFailed(f"git {arguments[0]}: {errors.strip()[:300]}")
        return printed.strip()


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
