"""Repositories with our hooks: real git, and the program as its users start it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.repository import ENVIRONMENT

ROOT = Path(__file__).parent.parent.parent


@dataclass(frozen=True)
class Ran:
    """The end of a command."""

    code: int
    stdout: str
    stderr: str

    @property
    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.stdout)
        return found


def command(folder: Path, *argv: str, stdin: str = "", **environment: str) -> Ran:
    """In `folder`, with only its own git configuration and `environment`."""
    done = subprocess.run(
        argv, cwd=folder, env={**ENVIRONMENT, **environment}, capture_output=True, text=True, input=stdin, timeout=120
    )
    assert "Traceback" not in done.stderr, done.stderr
    return Ran(done.returncode, done.stdout, done.stderr)


def reconciler(folder: Path, *arguments: str, **environment: str) -> Ran:
    return command(folder, sys.executable, "-m", "reconciler", *arguments, PYTHONPATH=str(ROOT), **environment)


def git(folder: Path, *arguments: str, **environment: str) -> str:
    done = command(folder, "git", *arguments, **environment)
    assert done.code == 0, done.stderr
    return done.stdout.strip()


def clone(folder: Path, name: str = "clone") -> Path:
    """A repository with one commit."""
    made = folder / name
    git(folder, "init", "-q", "-b", "main", name)
    git(made, "commit", "-q", "--allow-empty", "-m", "first")
    return made


def write(folder: Path, files: Mapping[str, str]) -> None:
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)


def script(path: Path, text: str) -> None:
    """A foreign hook."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    os.chmod(path, 0o755)
