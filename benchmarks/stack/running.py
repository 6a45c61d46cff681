"""The whole stack with the stub of the model's API. The product itself starts it; it is removed afterwards."""

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
    # A second agent fits if each gets a little less.
    "RALPH_REPLICAS": "2",
    "RALPH_MEMORY": "1536m",
    # The stub costs nothing, so the budget must not stop the agents.
    "RALPH_CALLS_PER_HOUR": "100000",
    "RALPH_USD_PER_DAY": "100000",
}
"""Values that differ from `.env`."""


@contextmanager
def running() -> Iterator[Blackbox]:
    """The stack, started from nothing until Healthy by one `once`. AssertionError if that fails."""
    compose = Path(find_compose(None, os.environ))
    with tempfile.TemporaryDirectory(prefix="blackbox-") as folder, blackbox(Path(folder), compose) as stack:
        begun = time.monotonic()
        stack.push({**Stub(stack).files(**SETTINGS), **page.files()}, services={**SERVICE, **page.SERVICE})
        turn = stack.once()
        assert turn["outcome"] == "Succeeded", turn.stdout
        say(f"the stack is healthy after {time.monotonic() - begun:.0f} s")
        yield stack


def say(what: str) -> None:
    """Print progress for people."""
    print(what, file=sys.stderr, flush=True)
