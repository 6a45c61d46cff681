"""The whole stack with the stub of the model's API, brought up by the product itself, and removed afterwards."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.stack import page
from reconciler.observe.binary import find_compose
from tests.stack.blackbox import Blackbox, blackbox
from tests.stack.stubbed import SERVICE, Stub

SETTINGS = {
    # Two agents fit when each gets a little less.
    "RALPH_REPLICAS": "2",
    "RALPH_MEMORY": "1536m",
    # What the stub costs nobody pays.
    "RALPH_CALLS_PER_HOUR": "100000",
    "RALPH_USD_PER_DAY": "100000",
}
"""What differs from `.env`."""


@contextmanager
def running() -> Iterator[Blackbox]:
    """From nothing to Healthy by one `once`; AssertionError where it does not get there."""
    compose = Path(find_compose(None, os.environ))
    with tempfile.TemporaryDirectory(prefix="blackbox-") as folder, blackbox(Path(folder), compose) as stack:
        begun = time.monotonic()
        stack.push({**Stub(stack).files(**SETTINGS), **page.files()}, services={**SERVICE, **page.SERVICE})
        turn = stack.once()
        assert turn["outcome"] == "Succeeded", turn.stdout
        say(f"the stack is healthy after {time.monotonic() - begun:.0f} s")
        yield stack


def say(what: str) -> None:
    """Progress, for people."""
    print(what, file=sys.stderr, flush=True)
