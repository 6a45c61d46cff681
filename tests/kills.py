"""Kills a process of its own at a chosen change of the disk."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

_HOOK = """
import os, sys
left, below, events = int(sys.argv[2]), sys.argv[3], sys.argv[4:]
def die(event, arguments):
    global left
    if event in events and below in str(arguments):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), 9)
sys.addaudithook(die)
act(Path(sys.argv[1]))
"""


def killed_at(step: int, events: Sequence[str], script: str, path: Path, below: str = "") -> int:
    """Run `act(path)`, which a Python script defines, and kill it at the `step`-th event (from 1).

    `events`: names of Python's audit events; `below`: a text that their arguments must contain. Returns the exit code:
    negative if it was killed, 0 if there were fewer events.
    """
    arguments = [sys.executable, "-c", f"{script}{_HOOK}", str(path), str(step), below, *events]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(arguments, env=environment, check=False).returncode
