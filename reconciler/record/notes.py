"""What became of a commit, as a git note on it: in the mirror, and pushed to where the commit came from."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Protocol

from loguru import logger

from reconciler.effects import Effects
from reconciler.errors import Transient
from reconciler.model.outcome import RETRIED, FinalReport
from reconciler.process import Completed

_PUSH_TIMEOUT = 60.0
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*")
_INDENT = " " * 4
_FETCH = (
    "--quiet", "--no-tags", "--no-auto-maintenance", "--no-write-fetch-head", "--no-recurse-submodules",
    "--end-of-options",
)  # fmt: skip


class Git(Protocol):
    """Git on the mirror, allowed to speak with the remote (see `observe.git`)."""

    def run(
        self, *arguments: str, timeout: float = ..., stdin: bytes | None = None, extra: Mapping[str, str] | None = None
    ) -> Completed: ...


class Redacts(Protocol):
    def clean(self, text: str, multiline: bool = False) -> str: ...


def note_text(final: FinalReport, redactor: Redacts) -> str:
    """The note: one line for lists, text for people, git trailers for scripts.

    All of the text is indented, so that no log line and no subject can pose as a trailer or as the end of the text.
    """
    text = "\n".join([final.message, *(["", *final.lines] if final.lines else [])])
    body = "\n".join((_INDENT + line).rstrip() for line in redactor.clean(text, multiline=True).split("\n"))
    head = f"{final.host} {final.state} {final.reason}"
    return "\n\n".join(part for part in (head, body.strip("\n"), _trailers(final)) if part.strip()) + "\n"


def _trailers(final: FinalReport) -> str:
    values = {
        "State": final.state,
        "Reason": final.reason,
        "Revision": final.revision,
        "Attempt": final.attempt,
        "Content-Key": final.content,
        "Reverted-To": final.reverted_to,
        "Duration": f"{final.duration:.1f}s",
        "Host": final.host,
    }
    return "\n".join(f"Reconciler-{key}: {value}" for key, value in values.items() if value is not None)


class NoteWriter:
    """Tells on the commit. `address`: the remote, for git. `push` False: the note stays in the mirror."""

    def __init__(self, git: Git, address: str, host: str, *, push: bool, effects: Effects, redactor: Redacts) -> None:
        if not _HOST.fullmatch(host) or host.endswith(".lock"):
            raise ValueError(f"{host!r} cannot stand in the name of a ref")
        self._git, self._address, self._push = git, address, push
        self._effects, self._redactor = effects, redactor
        self._ref = f"refs/notes/reconciler/{host}"
        self._identity = _identity(host)

    def tell(self, report: FinalReport) -> bool:
        """Write the note, unless it already stands there, and push it. False: not yet, try again later."""
        text = note_text(report, self._redactor).encode()
        try:
            if not self._known(report.revision):
                logger.warning("commit {} is not in the mirror any more: no note", report.revision)
                return True
            return self._write(report, text) and (not self._push or self._publish(report, text))
        except Transient as fault:
            logger.warning("the note on {} waits: {}", report.revision, fault.message)
            return False

    def _known(self, revision: str) -> bool:
        return self._git.run("cat-file", "-e", f"{revision}^{{commit}}").returncode == 0

    def _write(self, report: FinalReport, text: bytes) -> bool:
        revision = report.revision
        blob = hashlib.sha1(b"blob %d\0" % len(text) + text, usedforsecurity=False).hexdigest()
        present = self._git.run("notes", "--ref", self._ref, "list", revision).stdout.decode().strip()
        if present == blob or (present and self._stands(present, report)):
            return True
        self._effects.point(f"note {revision}")
        stored = self._git.run("hash-object", "-w", "--stdin", stdin=text)
        done = self._git.run("notes", "--ref", self._ref, "add", "-f", "-C", blob, revision, extra=self._identity)
        return self._well(stored, "written") and self._well(done, "written")

    def _stands(self, present: str, report: FinalReport) -> bool:
        """Whether the commit has been told its end already. A journal that was lost or cut off may tell it in other
        words; only an operator's `retry` changes it."""
        retried = any(line.startswith(RETRIED) for line in report.lines)
        known = self._git.run("cat-file", "blob", present).stdout
        return not retried and known.startswith(f"{report.host} ".encode())

    def _publish(self, report: FinalReport, text: bytes) -> bool:
        if self._published():
            return True
        self._effects.point(f"push note {report.revision}")
        sent = self._send()
        if b"[rejected]" in sent.stdout:
            # Somebody else has written there, or our mirror is new: theirs first, ours on top, once.
            taken = self._git.run("fetch", *_FETCH, self._address, f"+{self._ref}:{self._ref}", timeout=_PUSH_TIMEOUT)
            sent = self._send() if self._well(taken, "fetched") and self._write(report, text) else taken
        return self._well(sent, "pushed")

    def _published(self) -> bool:
        ours = self._git.run("rev-parse", "--verify", "--quiet", self._ref).stdout.strip()
        theirs = self._git.run("ls-remote", "--end-of-options", self._address, self._ref, timeout=_PUSH_TIMEOUT)
        return bool(ours) and theirs.stdout.partition(b"\t")[0] == ours

    def _send(self) -> Completed:
        return self._git.run(
            "push", "--porcelain", "--no-verify", "--end-of-options", self._address, f"{self._ref}:{self._ref}",
            timeout=_PUSH_TIMEOUT,
        )  # fmt: skip

    def _well(self, done: Completed, what: str) -> bool:
        if done.returncode != 0:
            refusals = [line for line in done.stdout.splitlines() if line.startswith(b"!")]
            said = b" ".join([*refusals, *done.stderr.splitlines()]).decode(errors="replace")
            logger.warning("the note cannot be {}, it is tried again later: {}", what, self._redactor.clean(said)[:400])
        return done.returncode == 0


def _identity(host: str) -> dict[str, str]:
    name, address = "reconciler", f"reconciler@{host}"
    return {
        f"GIT_{role}_{part}": value
        for role in ("AUTHOR", "COMMITTER")
        for part, value in (("NAME", name), ("EMAIL", address))
    }
