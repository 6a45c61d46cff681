"""`status --all`: a row for each machine, asked over ssh or read from the git notes of the machines."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from reconciler.errors import ReconcilerError
from reconciler.record import summary_remote
from reconciler.verbs import Answer

Json = Mapping[str, Any]
Row = dict[str, Any]

AT_ONCE = 8
"""Number of machines that are asked at the same time."""

WELL = ("Synced Healthy", "success")
UNKNOWN = "Unknown"


class Notes(Protocol):
    """The clone with the notes of machines (`observe.clone.Clone`)."""

    def fetched(self, remote: str, branch: str) -> str | None: ...

    def notes(self, remote: str) -> Iterable[tuple[str, str]]: ...

    def newest_note(self, ref: str, head: str) -> tuple[str, str] | None: ...

    def written_at(self, ref: str) -> str: ...


def by_ssh(names: Sequence[str], status: Callable[[str], Json]) -> Answer:
    """Ask all machines. `status`: returns a machine's Status document; its error is shown in the machine's row."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return _answer([*pool.map(lambda name: _asked(name, status), names)])


def from_notes(places: Mapping[str, tuple[str, str]], clone: Notes) -> Answer:
    """Read the notes. `places`: machine → remote and branch. A machine without a note on the branch is Unknown."""
    rows = []
    for name, (remote, branch) in places.items():
        try:
            rows.append(_noted(name, remote, branch, clone))
        except ReconcilerError as error:
            rows.append(_row(name, reason=error.reason.value, message=error.message))
    return _answer(rows)


def _answer(rows: Sequence[Row]) -> Answer:
    well = bool(rows) and all(row["state"] in WELL for row in rows)
    return (0 if well else 1), summary_remote.fleet(rows)


def _asked(name: str, status: Callable[[str], Json]) -> Row:
    try:
        told = status(name)
    except ReconcilerError as error:
        return _row(name, reason=error.reason.value, message=error.message)
    state = f"{told['sync']} {told['health']}"
    reason, message = (None, "") if state in WELL else (told["reason"], told["message"])
    if not told["agent"]["running"]:
        state, reason, message = UNKNOWN, None, "no agent runs there"
    return _row(name, told["source"]["head"], state, reason, message, told["since"], "ssh")


def _noted(name: str, remote: str, branch: str, clone: Notes) -> Row:
    head, refs = clone.fetched(remote, branch), dict(clone.notes(remote))
    found = clone.newest_note(refs[name], head) if head is not None and name in refs else None
    if found is None:
        return _row(name, message=f"it has written no note on {branch} of {remote}", source="notes")
    sha, note = found
    told = trailers(note)
    first = note.partition("\n")[0]
    return _row(name, sha, told.get("State", UNKNOWN), told.get("Reason"), first, clone.written_at(refs[name]), "notes")


def trailers(note: str) -> dict[str, str]:
    """Name → value of the trailers in the note's last paragraph; the common prefix of the names is removed."""
    pairs = (line.partition(": ") for line in note.strip().rpartition("\n\n")[2].splitlines())
    return {name.removeprefix("Reconciler-"): value for name, _, value in pairs if name.startswith("Reconciler-")}


def _row(
    name: str,
    revision: str | None = None,
    state: str = UNKNOWN,
    reason: str | None = None,
    message: str = "",
    at: str | None = None,
    source: str | None = None,
) -> Row:
    return {
        "name": name, "revision": revision, "state": state, "reason": reason, "message": message, "at": at,
        "source": source,
    }  # fmt: skip
