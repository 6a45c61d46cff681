"""`status`: one line for the host, one for each service, one for memory, and further notes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reconciler.record.text.layout import Style, paragraph, share, short, since, size, table, visible
from reconciler.record.text.words import LOST, grouped, place, word

Json = Mapping[str, Any]

SHOWN_QUARANTINED = 3


def status(document: Json, style: Style, now: float) -> list[str]:
    lines = heading(document, style, now)
    lines += _services(document, style, now)
    lines += _memory(document["budget"], style)
    return lines + _remarks(document, style, now)


def heading(document: Json, style: Style, now: float) -> list[str]:
    """The host, why it is not well, and the rollout under way."""
    return [*_host(document, style, now), *_reason(document, style), *_rollout(document, style, now)]


def _host(document: Json, style: Style, now: float) -> list[str]:
    source = document["source"]
    words = f"{word(document['sync'], style)}  {word(document['health'], style)}"
    line = f"{style.paint(document['host'], 'bold')}  {source['branch']} {short(source['head'])}  {words}"
    good = _good(document, now)
    fits = visible(line) + len(good) + 3 <= style.width
    return [f"{line}   {good}"] if fits else [line, good]


def _good(document: Json, now: float) -> str:
    good = document["lastGoodRevision"]
    if good is None:
        return "no last good yet"
    proven = document["since"] if document["reason"] == "ReconciliationSucceeded" else None
    return f"last good {short(good)}" + (f", {since(proven, now)} ago" if proven else "")


def _reason(document: Json, style: Style) -> list[str]:
    told = ": ".join(part for part in (document["reason"], document["message"]) if part)
    if document["suspended"] is not None and document["suspended"]["until"]:
        told += f" before {document['suspended']['until']}"
    if document["nextTryAt"]:
        told += f"; next try at {document['nextTryAt'][11:19]} UTC"
    lines = [style.paint("stalled: a person is needed", "bad")] if document["stalled"] else []
    if document["rollout"] is None and told and document["reason"] != "ReconciliationSucceeded":
        lines += paragraph(told, style)
    if document["source"]["error"] and document["reason"] != "FetchFailed":
        lines += paragraph(f"fetch: {document['source']['error']}", style)
    return lines


def _rollout(document: Json, style: Style, now: float) -> list[str]:
    rollout = document["rollout"]
    if rollout is None:
        return []
    doing = f"{rollout['action'] or ''} {place(rollout['stack'], rollout['service'])}".strip()
    step = f"step {rollout['step']} of {rollout['steps']}" + (f", {doing}" if doing else "")
    text = f"{rollout['intent']} to {short(rollout['revision'])}: {step}, since {since(rollout['since'], now)}"
    return paragraph(text, style)


def _services(document: Json, style: Style, now: float) -> list[str]:
    services = [item for stack in document["stacks"] for item in stack["services"]]
    if not services:
        return []
    counts = any(item["desired"] != 1 for item in services)
    head = ["STACK", "SERVICE", "STATE", *(["UP"] if counts else []), "MEMORY", "SINCE"]
    rows = [head] + [_service(item, counts, style, now) for item in services]
    return table(rows, style, cut=(0, 1))


def _service(item: Json, counts: bool, style: Style, now: float) -> list[str]:
    count = f"{'-' if item['running'] is None else item['running']}/{item['desired']}"
    return [
        item["stack"],
        item["service"],
        state(item, style),
        *([count] if counts else []),
        memory(item),
        since(item["since"], now),
    ]


def memory(item: Json) -> str:
    """Of a service: what it uses of its limit."""
    used, limit = item["memory"]["usageBytes"], item["memory"]["limitBytes"]
    return share(used, limit, "/") if used is not None or limit is None else f"- / {size(limit)}"


def state(item: Json, style: Style) -> str:
    """Of a service: its health, and whether its containers are the wanted ones."""
    if item["desired"] == 0:
        return style.paint("not wanted", "warn")
    done = item["health"] == "Healthy" and item["running"] == 0
    health = style.paint("Done", "good") if done else word(item["health"], style)
    reason = f" {item['reason']}" if item["reason"] and item["health"] == "Degraded" else ""
    return health + reason + (f", {word('OutOfSync', style)}" if item["sync"] == "OutOfSync" else "")


def _memory(budget: Json, style: Style) -> list[str]:
    if budget["budgetBytes"] is None:
        return []
    ours, others = budget["committedBytes"], budget["foreignBytes"]
    now = None if ours is None else ours + (others or 0)
    counted = "budget " + (
        share(now, budget["budgetBytes"], "of") if now is not None else "- of " + size(budget["budgetBytes"])
    )
    steady = f"steady {share(budget['steadyBytes'], budget['steadyLimitBytes'], 'of')}"
    foreign = f", others {size(others)}" if others else ""
    lines = paragraph(f"{counted} now, {steady}{foreign}", style)
    if budget["measured"] is False:
        lines += paragraph("memory is not measured: the engine gives no statistics of its containers", style)
    return lines


def _engine(engine: Json | None, style: Style) -> list[str]:
    """Only what a person should know; `doctor` shows all of it, with remedies."""
    if engine is None:
        return []
    lines = []
    if not engine["memoryLimits"]:
        lines += paragraph("memory limits are not enforced by the engine: see `reconciler doctor`", style)
    unseen = [item["path"] for item in engine["folders"] if item["visible"] is False]
    if unseen:
        lines += paragraph(f"containers do not see {', '.join(unseen)}", style)
    return lines


def _pressing(document: Json) -> list[Json]:
    """The warnings of a running commit are in `history` and its note."""
    runs = document["sync"] == "Synced"
    return [item for item in document["warnings"] if not runs or item["rule"] == LOST]


def _remarks(document: Json, style: Style, now: float) -> list[str]:
    lines = grouped(_pressing(document), style)
    bad = document["quarantinedRevisions"]
    if bad:
        named = [f"{short(item['revision'])} ({item['reason']})" for item in bad[-SHOWN_QUARANTINED:]]
        more = f" and {len(bad) - len(named)} more" if len(bad) > len(named) else ""
        lines += paragraph(f"never tried again: {', '.join(reversed(named))}{more}", style)
    if document["leftovers"]["volumes"]:
        lines += paragraph(f"kept volumes that nothing uses: {', '.join(document['leftovers']['volumes'])}", style)
    if document["leftovers"].get("networks"):
        names = ", ".join(document["leftovers"]["networks"])
        lines += paragraph(f"kept networks that other containers are in: {names}", style)
    if document["trust"] == "owner":
        lines += paragraph("trust: owner: denials that a grant could lift are only warnings", style)
    lines += _engine(document.get("engine"), style)
    for channel in document.get("report") or ():
        if channel["error"]:
            lines += paragraph(channel["error"], style)
    if not document["agent"]["running"]:
        lines += paragraph("the agent is not running: `reconciler run` starts it", style)
    return lines
