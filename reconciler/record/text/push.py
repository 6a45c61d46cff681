"""A rollout as lines for pushers: the plan, the steps as they begin, the verdict last.

The document comes from a file that others may have written: each function takes a document of any shape, and raises
LookupError, TypeError or ValueError if it is not one of ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from reconciler.record.text.layout import (
    ELLIPSIS,
    NARROWEST,
    Style,
    exactly,
    folded,
    middle,
    paragraph,
    plural,
    share,
    short,
)
from reconciler.record.text.words import failure, place
from reconciler.values import dataclass

Json = Mapping[str, Any]

STYLE = Style(width=72)
"""Git puts `remote: ` before each line: that makes 80 columns."""

QUOTED = 500
"""Characters that are shown of one line of a program."""

NAMED = 60
"""Longest name of a service in the last lines, in characters."""

SILENT = 5.0
"""Seconds without a line after which a line names the present wait; then with twice the pause, at most LONGEST."""
LONGEST = 60.0

WORDS = {
    "Pull": "pull the image",
    "Build": "build the image",
    "CreateNetwork": "create a network",
    "ReplaceNetwork": "replace a network",
    "CreateVolume": "create a volume",
    "CreateContainer": "create",
    "StopContainer": "stop",
    "StartContainer": "start",
    "RunOnce": "run once",
    "WaitHealthy": "wait until healthy",
    "JoinAlias": "take over the name",
    "UpdateContainer": "update",
    "RemoveContainer": "remove the old one",
    "RemoveNetwork": "remove a network",
}

_FINAL = {"Succeeded", "Rejected", "RolledBack", "RollbackFailed", "Superseded", "Unchanged"}


@dataclass(frozen=True, slots=True)
class Pushed:
    """The pushed commit. `revert`: makes the git command that returns to a given commit (the one that runs again), or
    with None to the one before the push; '' if there is none. `at`: Unix seconds of the push."""

    revision: str
    revert: Callable[[str | None], str]
    at: float


class PushView:
    """The shown part of one host's rollout. `ended`: nothing will follow."""

    def __init__(self, host: str, pushed: Pushed, now: float) -> None:
        self._host, self._pushed, self._begun, self._said_at = host, pushed, now, now
        self._shown: list[object] = []
        self._pause = SILENT
        self._doing = "the agent looks at the commit"
        self.ended = False

    def lines(self, document: Json, now: float) -> list[str]:
        """Lines for the changes since the last document. `now`: Unix seconds."""
        lines = self._verdict(document)
        if not self.ended:
            lines += [*self._plan(document["plan"], now), *self._step(document["rollout"], now)]
            lines += self._trouble(document, now)
        if not lines and now - self._said_at >= self._pause:
            self._pause = min(self._pause * 2, LONGEST)
            lines = [self._stamped(f"still: {self._doing}", now)]
        elif lines:
            self._pause = SILENT
        self._said_at = now if lines else self._said_at
        return lines

    def tells(self, document: Json) -> bool:
        """Whether the document says how the commit ended."""
        return bool(self._rows(document))

    def dead(self, document: Json) -> list[str]:
        """The lines for an agent that has ended."""
        self.ended = True
        told = f"{self._host}: the agent (process {document['pid']}) has ended. Nothing changes until it runs again"
        return paragraph(f"{told}; then it goes on with the branch's head", STYLE)

    def _new(self, *what: object) -> bool:
        """Whether this is shown for the first time."""
        known = what in self._shown
        self._shown += [] if known else [what]
        return not known

    def _stamped(self, text: str, now: float) -> str:
        return middle(f"{now - self._begun:7.1f} s  {text}", STYLE.width)

    def _plan(self, plan: Json | None, now: float) -> list[str]:
        if plan is None or plan["revision"] != self._pushed.revision or plan["intent"] == "Repair":
            return []
        if not self._new("plan", plan["attempt"], plan["intent"], plan["steps"]):
            return []
        memory = share(plan["peakBytes"], plan["boundBytes"], "of")
        if plan["intent"] == "Revert":
            return [self._stamped(f"going back: {plural(plan['steps'], 'step')}", now)]
        head = f"{self._host}: {short(plan['revision'])}: {plural(plan['steps'], 'step')}, memory at most {memory}"
        return [middle(head, STYLE.width), *map(_planned, plan["services"])]

    def _step(self, rollout: Json | None, now: float) -> list[str]:
        if rollout is None or rollout["action"] is None:
            return []
        where = place(rollout["stack"], rollout["service"])
        mine = rollout["revision"] == self._pushed.revision
        words = WORDS.get(rollout["action"], str(rollout["action"]))
        if rollout["action"] == "WaitHealthy" and not where:
            words = "check that all services stay healthy"
        if not mine:
            words, where = f"still at {short(rollout['revision'])}", ""
        back = "back: " if rollout["intent"] == "Revert" else ""
        if not self._new(rollout["attempt"], rollout["intent"], words, where, rollout["step"] if mine else 0):
            return []
        self._doing = f"{back}{words} {where}".rstrip()
        return [self._stamped(f"{back + words:<22} {where}".rstrip(), now)]

    def _trouble(self, document: Json, now: float) -> list[str]:
        """The hold or fault that stops the agent, once each; the push may end here."""
        if now - self._begun < SILENT or document["rollout"] is not None:
            return []
        told = [text for text in (document["error"], document["silence"]) if text and self._new(text)]
        return [part for text in told for part in paragraph(str(text), STYLE, "  ")]

    def _rows(self, document: Json) -> list[Json]:
        rows = [row for row in document["turns"] if row["revision"] == self._pushed.revision]
        return [row for row in rows if row["at"] >= self._pushed.at]

    def _verdict(self, document: Json) -> list[str]:
        """How the turns about this commit ended, up to the first that decides it."""
        lines: list[str] = []
        for row in self._rows(document):
            if not self._new("turn", row["at"]):
                continue
            if row["outcome"] in _FINAL or (row["outcome"] == "Held" and row["again"] is None):
                self.ended = True
                return [*lines, *verdict(self._host, row, self._pushed)]
            self._doing = f"{row['reason']}; it is tried again"
            lines += _because(row)
        return lines


def verdict(host: str, row: Json, pushed: Pushed) -> list[str]:
    """The outcome; the last line says whether it is good."""
    took = f" in {exactly(row['seconds'])}" if row["seconds"] is not None else ""
    told = f"{short(row['revision'])} {row['outcome']}"
    if row["outcome"] == "Succeeded" or (row["outcome"] == "Unchanged" and row["applied"]):
        word = "runs already" if row["outcome"] == "Unchanged" else "Succeeded"
        lines = paragraph(_done(row), STYLE, "  ") if row["outcome"] == "Succeeded" else []
        return [*lines, _last(host, f"{short(row['revision'])} {word}{took}")]
    lines = _because(row)
    if row["failure"] is not None:
        lines += [part for line in failure(row["failure"], STYLE) for part in _broken(line)]
    if row["outcome"] == "Superseded":
        return [*lines, _last(host, f"{told}: a newer commit is on its way")]
    if row["outcome"] == "Held":
        return [*lines, _last(host, f"HELD: {short(row['revision'])} ({row['reason']}) waits for a person")]
    back = row["revertedTo"]
    lines += [f"{short(back)} runs again"] if back else ["nothing was touched"] if row["outcome"] == "Rejected" else []
    command = pushed.revert(back)
    if command:
        line = f"to revert it in git: {command}"
        lines += [line] if len(line) <= STYLE.width else ["to revert it in git:", f"  {command}"]
    return [*lines, _last(host, f"FAILED: {told} ({row['reason']}){took}")]


def _last(host: str, text: str) -> str:
    """The verdict on one line; only the host's name is cut."""
    return f"{middle(host, max(NARROWEST, STYLE.width - len(text) - 2))}: {text}"


def _broken(line: str) -> list[str]:
    """Output of a program, on lines that fit; of a very long one its beginning and its end."""
    return folded(middle(line, QUOTED), STYLE.width, "    ")


def _because(row: Json) -> list[str]:
    texts: Sequence[str] = row["lines"] or [row["message"]]
    lines = [part for text in texts for part in paragraph(str(text), STYLE, "  ", "    ")]
    return lines + (paragraph(f"hint: {row['hint']}", STYLE, "  ", "    ") if row["hint"] else [])


def _done(row: Json) -> str:
    """The changed services, and their downtimes."""
    done = [item for item in row["services"] if item["action"] != "Unchanged"]
    told = [
        f"{item['action']} {middle(place(item['stack'], item['service']), NAMED)}"
        + (f", down for {exactly(item['downtime'])}" if item["downtime"] else "")
        for item in done
    ]
    return "; ".join(told) or str(row["message"])


def _planned(item: Json) -> str:
    line = f"  {item['what']:<8} {place(item['stack'], item['service'])}: {item['cause']}"
    down = f"; down for at most {exactly(item['downSeconds'])}" if item["downSeconds"] else ""
    room = STYLE.width - len(down)
    return (line if len(line) <= room else line[: room - 1] + ELLIPSIS) + down
