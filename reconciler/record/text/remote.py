"""`status --all` and `nettest`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reconciler.record.text.layout import Style, exactly, paragraph, short, since, table

Json = Mapping[str, Any]

_GOOD = ("Synced Healthy", "success")


def fleet(document: Json, style: Style, now: float) -> list[str]:
    if not document["hosts"]:
        return ["no machine is known: see docs/remote.md"]
    rows = [["HOST", "COMMIT", "STATE", "SINCE", "BY", "WHAT"]]
    for item in document["hosts"]:
        state = style.paint(item["state"], "good" if item["state"] in _GOOD else "bad")
        what = ": ".join(part for part in (item["reason"], item["message"]) if part) if state else ""
        rows.append([item["name"], short(item["revision"]), state, since(item["at"], now), item["source"] or "-", what])
    return table(rows, style, cut=(0,), wrap=5)


def net_test(document: Json, style: Style, now: float) -> list[str]:
    rtt = document["rttMs"]
    lines = [
        f"round trip   {_number(rtt['p50'])} ms (p50), {_number(rtt['p95'])} ms (p95)",
        f"transfer     {_number(document['upMBps'])} MB/s up, {_number(document['downMBps'])} MB/s down",
    ]
    for item in document["services"]:
        answer = "no answer within 5 s" if item["ms"] is None else f"{_number(item['ms'])} ms"
        lines.append(f"{item['stack']}/{item['service']} port {item['port']}: {answer}")
    watched = exactly(document["seconds"]) or "0s"
    lost = f", {document['reconnects']} times lost, {exactly(document['lostSeconds']) or '0s'} in all"
    lines.append(f"watched for {watched}" + (lost if document["reconnects"] else ", never lost"))
    lines += [line for message in document["messages"] for line in paragraph(message, style)]
    verdict = document["verdict"]
    return [*lines, style.paint(f"{document['host']}: {verdict}", "good" if verdict == "good" else "bad")]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}" if value < 100 else f"{value:.0f}"
