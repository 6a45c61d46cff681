"""The whole stack, brought up by the product itself, in a folder that is removed afterwards."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reconciler.observe.binary import find_compose
from tests.stack.blackbox import Blackbox, blackbox


@contextmanager
def running() -> Iterator[Blackbox]:
    """From nothing to Healthy by one `once`; AssertionError where it does not get there."""
    compose = Path(find_compose(None, os.environ))
    with tempfile.TemporaryDirectory(prefix="blackbox-") as folder, blackbox(Path(folder), compose) as stack:
        begun = time.monotonic()
        stack.push()
        turn = stack.once()
        assert turn["outcome"] == "Succeeded", turn.stdout
        say(f"the stack is healthy after {time.monotonic() - begun:.0f} s")
        yield stack


def say(what: str) -> None:
    """Progress, for people."""
    print(what, file=sys.stderr, flush=True)
