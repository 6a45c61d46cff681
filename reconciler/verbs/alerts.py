"""`alerts`: the last alerts that the monitor has published, and test alerts."""

from __future__ import annotations

import difflib
import time
from pathlib import Path

from reconciler.errors import Transient, Usage
from reconciler.model.alerts import FILE, RULES, STALE, Finding
from reconciler.model.alerts import TEST as SUBJECT
from reconciler.model.outcome import Reason
from reconciler.model.times import instant
from reconciler.record.summary_alerts import alerts
from reconciler.verbs import Answer, files

TEST = "alerts-test.json"

TESTED = 120.0
"""Seconds for which a test alert is active."""


def show(state: Path, now: float) -> Answer:
    """The published alerts. `now`: seconds of the Unix epoch. Transient if no monitor has looked lately."""
    document = files.read(state / FILE)
    try:
        age = now - instant(document["evaluatedAt"])
    except (LookupError, TypeError, ValueError):
        document, age = alerts((), None), None
    if age is None or age > STALE:
        raise Transient(
            Reason.INTERNAL_ERROR,
            "no monitor runs" if age is None else f"no monitor has looked for alerts for {age:.0f} s",
            "`reconciler monitor` does; see docs/monitoring.md",
        )
    return (1 if document["alerts"] else 0), document


def fire(state: Path, name: str) -> Answer:
    """Ask the monitor to fire a test of the named alert, and return once it has. Transient if it does not."""
    if name not in RULES:
        close = difflib.get_close_matches(name, RULES, 1)
        hint = f"did you mean {close[0]}?" if close else f"one of {', '.join(RULES)}"
        raise Usage(Reason.USAGE_INVALID, f"there is no alert {name!r}", hint)
    begun = time.time()
    show(state, begun)
    files.publish(state / TEST, {"name": name, "at": begun})
    while time.time() - begun < STALE:
        code, document = show(state, time.time())
        if any(item["name"] == name and item["message"].startswith("test") for item in document["alerts"]):
            return code, document
        time.sleep(0.5)
    raise Transient(Reason.INTERNAL_ERROR, "the monitor has not taken up the test", "see its log")


def tested(state: Path, now: float) -> Finding | None:
    """The test alert that somebody has asked for within TESTED seconds; None if nobody has."""
    found = files.read(state / TEST)
    name, at = files.text(found, "name"), files.moment(found, "at")
    if name is None or name not in RULES or at is None or not 0 <= now - at < TESTED:
        return None
    return Finding(name, "test: somebody wants to see this alert; it ends by itself", about=SUBJECT)
