"""Removes records that are no longer needed from the journal. Pure: the folded history stays the same.

Kept for ever: last good, what is quarantined and why, every commit's one final state and that it was reported,
one-shots that have run, and kinds of records that this version does not know. Removed from old attempts: steps, logs
and details, and the attempts that decided nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

RECENT = 200
"""Attempts that are kept in full."""

Record = Mapping[str, Any]

_OF_ATTEMPTS = ("started", "warned", "prepared", "condemned", "ended")
_PASSING = ("closed", "fetched", "silent", "defect", "stopped", "held", "released", "planned", "engine")
"""Kinds that matter only until a newer record of the kind, or for a short time to people."""


def compacted(records: Sequence[Record], recent: int = RECENT) -> list[Record]:
    """The kept records; old ones are shortened. Every attempt in them must be closed."""
    first, newest = _first_recent(records, recent), _newest(records)
    whole = _kept_whole(records)
    decided = {record["revision"] for record in records if record.get("final")}
    told = {record["revision"] for record in records if record["kind"] == "told"}
    accepted = {record.get("revision") for record in records if record["kind"] == "requested"}

    contents = {record["attempt"]: record["content"] for record in records if record["kind"] == "prepared"}

    def is_kept(n: int, record: Record) -> bool:
        kind = record["kind"]
        if n >= first or n in newest:
            return True
        if kind in _OF_ATTEMPTS:
            return record["attempt"] in whole or (kind == "ended" and _decides(record))
        if kind == "seen":
            return record["revision"] not in decided
        if kind == "asked":
            return record["revision"] in accepted
        return kind not in _PASSING

    return [
        record if n >= first else _shortened(record, contents, record.get("revision") in told)
        for n, record in enumerate(records)
        if is_kept(n, record)
    ]


def _first_recent(records: Sequence[Record], recent: int) -> int:
    """The number of the first record of the newest attempts."""
    begins: dict[str, int] = {}
    for n, record in enumerate(records):
        if record["kind"] in _OF_ATTEMPTS:
            begins.setdefault(record["attempt"], n)
    newest = list(begins.values())[-recent:]
    return newest[0] if len(begins) > recent else 0


def _newest(records: Sequence[Record]) -> set[int]:
    """Positions of records of which only the newest counts: the seen head, the closing, the engine, and each fetched
    image.

    The head that was seen before a request stays, too: the request was about this head.
    """
    found: dict[tuple[str, str], int] = {}
    heads: set[int] = set()
    for n, record in enumerate(records):
        if record["kind"] in ("seen", "closed", "fetched", "engine"):
            found[record["kind"], record.get("image", "")] = n
        elif record["kind"] == "requested" and ("seen", "") in found:
            heads.add(found["seen", ""])
    return heads | set(found.values())


def _kept_whole(records: Sequence[Record]) -> set[str]:
    """Quarantined attempts, and for each stack the last one that named it (it may still have containers) and the last
    good one, which shows that its adopted containers were good."""
    quarantined = {record["attempt"] for record in records if record["kind"] == "condemned"}
    good = {record["attempt"] for record in records if record.get("good")}
    last: dict[tuple[str, bool], str] = {}
    for record in records:
        if record["kind"] == "prepared":
            attempt = record["attempt"]
            last |= {
                (stack, is_good): attempt for stack in record.get("stacks", ()) for is_good in {False, attempt in good}
            }
    return quarantined | set(last.values())


def _decides(record: Record) -> bool:
    return any(record.get(key) for key in ("final", "bad", "good"))


def _shortened(record: Record, contents: Mapping[str, str], told: bool) -> Record:
    """The record without details, after its report. It gets the content from an earlier record of the attempt."""
    changes: dict[str, Any] = {}
    if record["kind"] == "ended" and record["attempt"] in contents:
        changes["content"] = record.get("content") or contents[record["attempt"]]
    if told:
        changes |= {key: [] for key in ("services", "lines", "warnings") if key in record}
    if told and record.get("failure"):
        changes["failure"] = {**record["failure"], "log": [], "healthOutput": None}
    return {**record, **changes}
