"""A life in which something happens at a chosen step of a turn."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from reconciler.effects import Effects
from reconciler.loop.options import Ports
from reconciler.loop.prepare import Prepared
from reconciler.model.documents import HostDocument
from reconciler.model.files import Commit, Files
from reconciler.model.images import Image
from reconciler.model.observed import ObservedState
from tests.fakes.life import RULES, CanonicalRenderer, Life, RememberingPreparer, service
from tests.fakes.machine import FakeMachine, die
from tests.fakes.observer import FakeObserver, FakeWatch
from tests.fakes.source import FakeSource, TextFiles

Happens = Callable[[], object]

EFFECTS = {
    "P": "pull ", "K": "create shop", "S": "start ", "X": "remove ", "L": "journal ended", "N": "note",
}  # fmt: skip
"""Steps that begin with an effect, and the beginning of its name."""


class Moments:
    """Events that happen once, when a step of the turn begins."""

    def __init__(self) -> None:
        self.planned: dict[str, Happens] = {}
        self.always: dict[str, Happens] = {}

    def reached(self, step: str) -> None:
        happens = self.planned.pop(step, None) or self.always.get(step)
        if happens is not None:
            happens()


class MomentEffects(Effects):
    """Counts effects as usual, and knows which effect begins which step. `always` may refuse each effect."""

    def __init__(self, moments: Moments, before: Callable[[str], None], crash_at: int | None = None) -> None:
        super().__init__(crash_at, die)
        self._moments, self._before = moments, before

    def point(self, name: str) -> None:
        super().point(name)
        step = next((step for step, beginning in EFFECTS.items() if name.startswith(beginning)), None)
        if step is not None:
            self._moments.reached(step)
        self._before(name)


class MomentSource(FakeSource):
    moments: Moments

    def fetch(self) -> Commit:
        self.moments.reached("F")
        return super().fetch()

    def files(self, sha: str) -> TextFiles:
        self.moments.reached("C")
        return super().files(sha)


class MomentPreparer(RememberingPreparer):
    moments: Moments

    def prepare(self, files: Files, document: HostDocument | None = None) -> Prepared:
        self.moments.reached("R")
        return super().prepare(files, document)


class MomentObserver(FakeObserver):
    moments: Moments

    def inspect(self, stacks: Iterable[str]) -> ObservedState:
        self.moments.reached("V")
        return super().inspect(stacks)

    def watch(self) -> FakeWatch:
        return MomentWatch(self._machine, self.moments)


class MomentWatch(FakeWatch):
    def __init__(self, machine: FakeMachine, moments: Moments) -> None:
        super().__init__(machine)
        self._moments = moments

    def wait(self, timeout: float) -> bool:
        self._moments.reached("W")
        return super().wait(timeout)


class MomentLife(Life):
    """Two services: a database that stays, and one that is replaced, whose image must be pulled first."""

    def __init__(self) -> None:
        self.moments = Moments()
        self.refusals: list[Callable[[str], None]] = []
        super().__init__()
        self.source = MomentSource()
        self.source.moments = self.moments
        self.start()

    def start(self, crash_at: int | None = None) -> None:
        super().start(crash_at)
        self.machine.effects = MomentEffects(self.moments, self._refuse)

    def ports(self) -> Ports:
        preparer = MomentPreparer(CanonicalRenderer(), RULES)
        observer = MomentObserver(self.machine)
        preparer.moments = observer.moments = self.moments
        return replace(super().ports(), preparer=preparer, observer=observer)

    def at(self, step: str, happens: Happens) -> None:
        """Once, when this step begins next."""
        self.moments.planned[step] = happens

    def commit(self, version: str, **more: Any) -> str:
        """`app` in this version, whose image is in the registry, and an unchanged database. No turn has seen it yet."""
        registry = self.machine.registry.setdefault(f"app:{version}", Image(f"sha256:app:{version}"))
        self.machine.registry[f"app:{version}"] = registry
        self.image("db:1")
        data: dict[str, Any] = {"volumes": [{"type": "volume", "source": "data", "target": "/data"}]}
        after = {"db": "service_healthy"}
        services = {"db": service("db:1", **data), "app": service(f"app:{version}", after=after, **more)}
        return self.push_files({"services": services, "volumes": {"data": {}}})

    def _refuse(self, effect: str) -> None:
        for refuse in self.refusals:
            refuse(effect)
