"""Rehearses the first turn of a folder that is no commit yet. For `init`, which has no state folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from reconciler.decide.lower.wanted_images import wants
from reconciler.loop.options import Options, Ports
from reconciler.loop.ports import HostFiles, Images, Observer, Source, Store
from reconciler.loop.prepare import Prepared, Preparer
from reconciler.loop.rehearsal import NO_HANDS, NO_VOICE, Rehearsal, rehearse
from reconciler.model.desired import ServiceKey
from reconciler.model.files import Commit, Files
from reconciler.model.images import ImageWant
from reconciler.model.outcome import Outcome
from reconciler.model.plan import Action
from reconciler.model.uses import Uses
from reconciler.verbs.clock import SystemClock
from reconciler.verbs.init_place import Judged

if TYPE_CHECKING:
    from reconciler.model.requests import Request

FIRST = Commit("first commit")
"""The name of the commit that does not exist yet, in messages."""


def judged(
    known: Judged,
    preparer: Preparer,
    prepared: Prepared,
    images: Images,
    observer: Observer,
    host_files: HostFiles,
    host: str,
) -> Judged:
    """The outcome of the first turn, if the operator allows it to adopt every stack. `prepared`: the folder as
    `preparer` has judged it, without a denial."""
    if prepared.document is None:
        raise AssertionError("what cannot be read is denied")
    try:
        wanted = wants(prepared.sources, prepared.files)
    except KeyError as missing:
        return replace(known, skipped=[f"what would be replaced: there is no {missing.args[0]} to build from"])
    folder = replace(prepared, wants=wanted)
    ports = Ports(
        source=cast("Source", _Folder(prepared.files)),
        preparer=cast("Preparer", _Known(preparer, folder)),
        store=cast("Store", _Nothing()),
        images=images,
        observer=observer,
        applier=NO_HANDS,
        reporter=NO_VOICE,
        requests=_Nothing(),
        clock=SystemClock(),
        host_files=host_files,
        uses=_Nothing(),
    )
    options = Options(host, require_fast_forward=False, adopt=tuple(stack.name for stack in prepared.document.stacks))
    found = rehearse(ports, options, (), FIRST, tuple)
    hidden, restarts = _hidden(found), _restarts(found)
    more = [item for item in found.plan.violations if item not in prepared.violations]
    return replace(
        known,
        violations=[*known.violations, *more],
        restarts=[*hidden, *restarts],
        skipped=_open_yet(found, wanted),
        notes=[] if hidden or more else _kept_from(found),
    )


def _hidden(found: Rehearsal) -> list[tuple[str, str, list[str]]]:
    places = found.foreseen.verdict.hidden if found.foreseen else ()
    return [(*key, [f"its data in {there} would have to be at {to}"]) for key, there, to in places]


def _restarts(found: Rehearsal) -> Iterator[tuple[str, str, Sequence[str]]]:
    """Services that get another container, each with all its causes."""
    if found.foreseen is None:
        return
    verdict = found.foreseen.verdict
    hidden = {key for key, _, _ in verdict.hidden}
    made: dict[ServiceKey, str] = {
        (step.stack or "", step.service or ""): step.cause
        for step in found.plan.steps
        if step.action is Action.CREATE_CONTAINER
    }
    for key in dict.fromkeys((*verdict.causes, *found.plan.restarts)):
        if key not in hidden:
            yield (*key, verdict.causes.get(key) or (made.get(key, "it is replaced"),))


def _open_yet(found: Rehearsal, wanted: Sequence[ImageWant]) -> list[str]:
    names = {f"{want.stack}/{want.service}" for want in wanted if want.build and want.key not in found.images}
    return [f"{name}: whether its build gives the image that runs is known once it was built" for name in sorted(names)]


def _kept_from(found: Rehearsal) -> list[str]:
    if found.outlook.reason is None or found.outlook.outcome is Outcome.UNCHANGED:
        return []
    verb = "hold it" if found.outlook.outcome is Outcome.HELD else "not try it now"
    return [f"the first turn would {verb}: {found.outlook.message}"]


class _Folder:
    """A branch whose only commit is the folder."""

    def __init__(self, files: Files) -> None:
        self._files = files

    def files(self, sha: str) -> Files:
        return self._files

    def is_ancestor(self, old: str, new: str) -> bool:
        return False

    def pins(self, prefix: str) -> Mapping[str, str]:
        return {}


class _Known:
    """The real preparer, which has judged the folder already."""

    def __init__(self, real: Preparer, prepared: Prepared) -> None:
        self._real, self._prepared = real, prepared

    def prepare(self, files: Files) -> Prepared:
        return self._prepared

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


class _Nothing:
    """An agent without history: no stored state, no recorded use, no request."""

    def load(self, content: str = "") -> Any:
        return None if content else Uses()

    def current(self, content: str) -> bool:
        return True

    def save(self, uses: Uses) -> None: ...

    def waiting(self) -> Sequence[Request]:
        return ()

    def remove(self, request: Request) -> None: ...
