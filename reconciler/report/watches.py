"""Decides which messages one target gets, from what it got before. No I/O.

A fact of a condition becomes a notice when it has lasted for `hold_off` seconds, and is forgotten when it has been over
for as long. So a fact that comes and goes is reported once, and its end once.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import field

from reconciler.model.history import History
from reconciler.report.notice_text import Text, begun, ended, of_commit
from reconciler.report.notices import Condition, Event, Standing, Verdict, conditions, verdicts
from reconciler.settings import NotifySettings
from reconciler.values import dataclass

MOST = 100
"""Most notices that wait. If there are more, the oldest are dropped; `Target.lost` says so."""

KEPT = 400
"""Commits whose notices are remembered: twice the number that is looked at (`notices.MOST`)."""


@dataclass(slots=True)
class Fact:
    """`since`: when it became true. `gone`: when it ended; 0: it lasts. `said`: when it was reported last; 0: never."""

    since: float
    gone: float = 0.0
    said: float = 0.0


@dataclass(slots=True)
class Item:
    """A notice that waits for its delivery. `at`: when it became true; `queued`: since when it waits."""

    event: str
    at: float
    queued: float
    title: str
    body: str


@dataclass(slots=True)
class Target:
    """The stored state of one target. All times are Unix seconds.

    `floor`: commits that were decided before this time are not reported. `commits`: sha → what was reported. `facts`:
    condition → its facts. `open`: conditions with a reported beginning and no reported end. `sending`: how many of
    the oldest items were sent last, without an answer yet. `tries`: how many failed in a row. `next_at`: the time of
    the next try. `error`: why the last one failed. `lost`: what was given up since the last delivery.
    """

    floor: float
    commits: dict[str, str] = field(default_factory=dict)
    facts: dict[str, dict[str, Fact]] = field(default_factory=dict)
    open: list[str] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)
    sending: int = 0
    tries: int = 0
    next_at: float = 0.0
    error: str = ""
    lost: str = ""
    delivered_at: float | None = None


@dataclass(frozen=True, slots=True)
class Teller:
    """The host's settings for all targets. `steady`: seconds for which a fault of the environment must last, if that is
    longer than `hold_off`. `log_lines`: number of lines of a failed service's log; `output`: whether notices contain
    output of the commit's programs."""

    host: str
    steady: float = 0.0
    log_lines: int = 20
    output: bool = True


def look(target: Target, wanted: NotifySettings, teller: Teller, history: History, now: Standing, at: float) -> None:
    """Compare the target with the host's state at `at` (Unix seconds), and add new notices to `target.items`."""
    events = {Event(name) for name in wanted.on}
    for verdict in verdicts(history, target.floor):
        _decided(target, verdict, events, teller, at)
    for revision in list(target.commits)[: max(0, len(target.commits) - KEPT)]:
        del target.commits[revision]
    for condition in conditions(history, now):
        if condition.facts is not None:
            _stands(target, condition, events, wanted, teller, at)
    if len(target.items) > MOST:
        # Items that are being sent must stay.
        dropped = len(target.items) - MOST
        del target.items[target.sending : target.sending + dropped]
        target.lost = f"{dropped} notices were dropped, as more than {MOST} wait"


def next_look(target: Target, wanted: NotifySettings, teller: Teller) -> float:
    """Time (Unix seconds) at which a look may find a new notice even if nothing changes until then; infinity: never."""
    found = [float("inf")]
    for name, facts in target.facts.items():
        hold = _hold(wanted, teller, name)
        found += [fact.gone + hold for fact in facts.values() if fact.gone]
        found += [fact.since + hold for fact in facts.values() if not fact.gone and not fact.said]
        if wanted.reminder and name in target.open:
            found += [fact.said + wanted.reminder for fact in facts.values() if fact.said and not fact.gone]
    return min(found)


def _decided(target: Target, verdict: Verdict, events: set[Event], teller: Teller, at: float) -> None:
    attempt = verdict.attempt
    if target.commits.get(attempt.revision) == verdict.fact:
        return
    target.commits.pop(attempt.revision, None)
    target.commits[attempt.revision] = verdict.fact
    if verdict.events & events:
        event = Event.RECOVERED if Event.RECOVERED in verdict.events & events else _first(verdict.events)
        ended_at = attempt.ended_at or attempt.started_at
        _add(target, event, ended_at, of_commit(verdict, teller.host, teller.log_lines, teller.output), at)


def _stands(
    target: Target, condition: Condition, events: set[Event], wanted: NotifySettings, teller: Teller, at: float
) -> None:
    name, true = str(condition.event), set(condition.facts or ())
    facts, hold = target.facts.setdefault(name, {}), _hold(wanted, teller, str(condition.event))
    for fact in true:
        known = facts.setdefault(fact, Fact(at))
        known.gone = 0.0
        known.since = min(known.since, at)  # the clock was set back
    for fact in facts.keys() - true:
        facts[fact].gone = min(facts[fact].gone or at, at)
    due = sorted(fact for fact in true if not facts[fact].said and at - facts[fact].since >= hold)
    said = [facts[fact].said for fact in true if facts[fact].said]
    again = bool(said and wanted.reminder and at - max(said) >= wanted.reminder)
    if condition.events & events and (due or again):
        told = [condition.only(fact) for fact in due] if condition.each and due else [condition]
        for part in told:
            since = min(facts[fact].since for fact in part.facts or ())
            _add(target, condition.event, since, begun(part, teller.host, since, still=not due), at)
        if name not in target.open:
            target.open.append(name)
    if due or again:
        for fact in due if condition.each and due else true:
            facts[fact].said = at
    for fact in sorted(fact for fact in facts if facts[fact].gone and at - facts[fact].gone >= hold):
        over = facts.pop(fact)
        if name not in target.open or (not over.said if condition.each else facts):
            continue
        text = ended(condition.event, teller.host, fact, over.gone)
        if text is not None and Event.RECOVERED in events:
            _add(target, Event.RECOVERED, over.gone, text, at)
    if not facts:
        del target.facts[name]
        if name in target.open:
            target.open.remove(name)


def _hold(wanted: NotifySettings, teller: Teller, name: str) -> float:
    return max(wanted.hold_off, teller.steady) if name == Event.ENVIRONMENT else wanted.hold_off


def _first(events: Iterable[Event]) -> Event:
    return min(events, key=list(Event).index)


def _add(target: Target, event: Event, since: float, text: Text, at: float) -> None:
    target.items.append(Item(str(event), since, at, text.title, text.body))


# -- times -----------------------------------------------------------------------------------------------------


def quiet_for(hours: str, at: float) -> float:
    """Seconds until these quiet hours (23:00-07:00, local time) are over; 0 outside of them."""
    if not hours:
        return 0.0
    begin, end = (int(text[:2]) * 60 + int(text[3:]) for text in hours.split("-"))
    local = time.localtime(at)
    minute = local.tm_hour * 60 + local.tm_min
    inside = begin <= minute < end if begin < end else minute >= begin or minute < end
    return ((end - minute) % 1440) * 60.0 - local.tm_sec if inside else 0.0


WAITED = 60.0
"""Notices that wait for longer than these seconds (quiet hours, a target that does not answer) go in one message."""

FEW = 3
"""Up to this number of notices go one by one; more at one moment go in one message."""


def due(target: Target, at: float) -> int:
    """Number of the oldest items that go in the next message."""
    if target.sending:
        return target.sending
    items = target.items
    together = len(items) > FEW or any(at - item.queued > WAITED for item in items)
    return len(items) if together else min(1, len(items))


def worst(items: Sequence[Item]) -> str:
    """The most serious event of the notices, with which their message is marked."""
    return min((item.event for item in items), key=[str(event) for event in Event].index)
