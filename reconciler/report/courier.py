"""Sends one notification, or fetches the heartbeat's address, in a separate process.

The libraries for it take some 40 MB, are needed for seconds a day, and Python gives no memory back. The process gets
its errand, which contains the address, through a pipe, so no other user sees it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from reconciler import process
from reconciler.errors import ReconcilerError
from reconciler.model.outcome import Reason

TIMEOUT = 45.0
"""Seconds after which the process of an errand is killed. apprise waits 4 s for an answer."""

LARGEST = 1 << 16
"""Bytes of an answer."""

_ROOT = str(Path(__file__).resolve().parents[2])
_PROGRAM = "import sys; sys.path.append(sys.argv[1]); from reconciler.report import errand; errand.main()"


class Sent(NamedTuple):
    """The outcome of an errand. `message`: the answer, for people, without any part of the address."""

    ok: bool
    message: str


class Courier:
    """`environ`: the agent's. Its proxies, authorities and language are needed; RECONCILER_* is not passed on."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        kept = {name: value for name, value in environ.items() if not name.startswith("RECONCILER_")}
        # ~/.netrc must not decide who gets which credentials.
        self._environ = {**kept, "NETRC": "/dev/null"}

    def send(self, url: str, title: str, body: str, event: str) -> Sent:
        return self._run({"url": url, "title": title, "body": body, "event": event})

    def check(self, url: str) -> Sent:
        """Whether apprise understands the address. Nothing is sent."""
        return self._run({"url": url})

    def fetch(self, url: str) -> Sent:
        """Fetch an address with one GET."""
        return self._run({"fetch": url})

    def _run(self, errand: Mapping[str, Any]) -> Sent:
        argv = [sys.executable, "-P", "-c", _PROGRAM, _ROOT]
        given = json.dumps(errand).encode()
        try:
            done = process.run(
                argv,
                env=self._environ,
                timeout=TIMEOUT,
                stdin=given,
                limit=LARGEST,
                cwd="/",
                reason=Reason.FETCH_FAILED,
            )
        except ReconcilerError as error:
            return Sent(False, f"no answer within {TIMEOUT:g} s" if "did not end" in error.message else error.message)
        try:
            found = json.loads(done.stdout)
            return Sent(bool(found["ok"]), str(found["message"]))
        except (ValueError, TypeError, LookupError):
            return Sent(False, f"the process that sends it ended with {done.returncode}")
