"""The life of one machine: a branch, a journal, a fake machine, and processes that come and go.

life = Life()
sha = life.push(web=service("web:1"))
assert life.turn().outcome == "Succeeded"
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, ClassVar

from reconciler.decide.mounts.sources import Places
from reconciler.errors import Usage
from reconciler.loop.cycle import Cycle
from reconciler.loop.ledger import Ledger
from reconciler.loop.options import Options, Ports
from reconciler.loop.ports import Rendered
from reconciler.loop.prepare import Prepared, Preparer, Rules
from reconciler.loop.rehearsal import NO_HANDS, NO_VOICE
from reconciler.loop.stall_watchdog import StallWatchdog
from reconciler.loop.turn import Turn
from reconciler.model.desired import DesiredState
from reconciler.model.documents import Grant, HostDocument, Permissions, StackDocument
from reconciler.model.engine import Engine, joined
from reconciler.model.files import Files
from reconciler.model.history import Attempt, History
from reconciler.model.images import Image
from reconciler.model.outcome import RETRIED
from reconciler.model.plan import Plan, Step
from reconciler.model.requests import Answered, Request, RequestVerb
from reconciler.model.uses import Uses
from reconciler.record.journal import REMARKS
from reconciler.verbs import Answer
from reconciler.verbs.plan import plan
from tests.fakes.machine import Died, FakeMachine
from tests.fakes.source import FakeSource

ROOT = "/render"
RULES = Rules("mini", Places("/state/trees", "/state/data"))
GATE = {"min_healthy_time": "2s", "healthy_deadline": "20s", "progress_deadline": "60s", "unhealthy_grace": "5s"}


def service(image: str, *, health: bool = True, after: Mapping[str, str] | None = None, **more: Any) -> dict[str, Any]:
    """One service of Compose's canonical model. `after`: dependency → condition."""
    model: dict[str, Any] = {"image": image, "networks": {"default": None}, "mem_limit": str(64 << 20)}
    if health:
        model["healthcheck"] = {"test": ["CMD", "true"], "interval": "1s"}
    if after:
        model["depends_on"] = {name: {"condition": word, "required": True} for name, word in after.items()}
    return model | {"restart": "unless-stopped"} | more


def document(
    gate: Mapping[str, str] = GATE, stacks: Iterable[str] = ("shop",), budget: str = "4GiB", **more: Any
) -> str:
    """A Host document named mini."""
    return json.dumps(
        {
            "apiVersion": "reconciler/v1",
            "kind": "Host",
            "metadata": {"name": "mini"},
            "spec": {
                "memory": {"budget": budget, "steady": "80%", "reserve": "128MiB"},
                "defaults": {"memory": "64MiB", "gate": dict(gate)},
                "stacks": [{"name": name, "files": [f"{name}.yaml"]} | more for name in stacks],
            },
        }
    )


class CanonicalRenderer:
    """The commits of these tests contain canonical models, so no Compose has to run."""

    at_once = 1

    def __init__(self, trouble: Callable[[], Usage | None] = lambda: None) -> None:
        self.trouble = trouble

    def close(self) -> None: ...

    def begin(self, files: Files, stack: StackDocument, named: Iterable[str]) -> Callable[[], Rendered]:
        return partial(self._render, files, stack)

    def _render(self, files: Files, stack: StackDocument) -> Rendered:
        model = json.loads(files.read(stack.files[0]))
        names = {key for item in model["services"].values() for key in item.get("networks") or {}}
        networks = {key: {"name": f"{stack.name}_{key}"} | (model.get("networks", {}).get(key) or {}) for key in names}
        volumes = {
            key: {"name": f"{stack.name}_{key}"} | (found or {}) for key, found in (model.get("volumes") or {}).items()
        }
        return Rendered(
            model | {"name": stack.name, "networks": networks, "volumes": volumes},
            ROOT,
        )

    def given(self, stack: str) -> Mapping[str, str]:
        return {}

    def fingerprint(self) -> str:
        return ""


class RememberingPreparer(Preparer):
    """Judging a commit is pure, so the same files are judged once for all lives."""

    _known: ClassVar[dict[tuple[object, ...], Prepared]] = {}

    def prepare(self, files: Files, document: HostDocument | None = None) -> Prepared:
        key = (repr(self._rules), *sorted((path, files.read(path).decode()) for path in files.entries))
        if key not in self._known:
            self._known[key] = super().prepare(files, document)
        return replace(self._known[key], files=files)


class MemoryJournal:
    """Keeps the records of a killed process."""

    def __init__(self, machine: FakeMachine) -> None:
        self._machine = machine
        self.lines: list[Mapping[str, Any]] = []
        self.longest = sys.maxsize

    def append(self, kind: str, *, at: float, **fields: Any) -> None:
        if kind not in REMARKS:
            self._machine.effects.point(f"journal {kind}")
            self._machine.trace.append(f"journal {kind}")
        record = {"kind": kind, "at": datetime.fromtimestamp(at, UTC).isoformat(), **fields}
        self.lines.append(json.loads(json.dumps(record)))

    def records(self) -> list[Mapping[str, Any]]:
        return self.lines

    @property
    def is_long(self) -> bool:
        """Whether there are more records than `longest`."""
        return len(self.lines) > self.longest

    def shorten(self, shorter: Callable[[Sequence[Mapping[str, Any]]], Sequence[Mapping[str, Any]]]) -> bool:
        left = list(shorter(self.lines)) if self.is_long else self.lines
        if len(left) == len(self.lines):
            return False
        self._machine.effects.point("journal shorten")
        self.lines = left
        return True


class MemoryStore:
    """`stale`: states that were rendered with secrets that have changed since."""

    def __init__(self, machine: FakeMachine) -> None:
        self._machine = machine
        self.states: dict[str, DesiredState] = {}
        self.stale: set[str] = set()

    def save(self, desired: DesiredState, models: Mapping[str, Mapping[str, Any]]) -> None:
        known = self.states.get(desired.content)
        if known is None or known.revision != desired.revision or desired.content in self.stale:
            self._machine.effects.point("rendered")
            self.states[desired.content] = desired
            self.stale.discard(desired.content)

    def load(self, content: str) -> DesiredState | None:
        return self.states.get(content)

    def current(self, content: str) -> bool:
        return content not in self.stale

    def keep(self, contents: Iterable[str]) -> None:
        for content in self.states.keys() - set(contents):
            self._machine.effects.point("forget")
            del self.states[content]


class MemoryReporter:
    """The notes on the commits. A commit must always get the same report, unless the report says why not."""

    def __init__(self, machine: FakeMachine) -> None:
        self._machine = machine
        self.away = self.journal_lost = False
        self.told: dict[str, tuple[str, str]] = {}

    def tell(self, attempt: Attempt) -> bool:
        if self.away:
            return False
        self._machine.effects.point("note")
        fact = (str(attempt.state), str(attempt.reason))
        retried = any(line.startswith(RETRIED) for line in attempt.lines)
        if self.journal_lost and attempt.revision in self.told and not retried:
            return True  # as the real one: a note on a commit stays
        if self.told.get(attempt.revision, fact) != fact and not retried:
            raise AssertionError(f"{attempt.revision} was told {self.told[attempt.revision]}, now {fact}")
        self.told[attempt.revision] = fact
        return True

    def keep(self, history: History) -> None:
        """Nobody else writes here."""


class MemoryUses:
    """Counts how often it was read and written."""

    def __init__(self) -> None:
        self.kept = Uses()
        self.read = self.written = 0

    def load(self) -> Uses:
        self.read += 1
        return self.kept

    def save(self, uses: Uses) -> None:
        self.written += 1
        self.kept = uses


class MemoryRequests:
    """Requests that operators have left and nobody has removed yet."""

    def __init__(self, machine: FakeMachine) -> None:
        self._machine = machine
        self.left: list[Request] = []
        self.made = 0

    def leave(self, verb: str, revision: str = "", why: str = "", until: float | None = None) -> Request:
        self.made += 1
        self.left.append(Request(f"{self.made:06}-{verb}", RequestVerb(verb), revision, why, until))
        return self.left[-1]

    def waiting(self) -> list[Request]:
        return list(self.left)

    def remove(self, request: Request) -> None:
        self._machine.effects.point(f"answered {request.id}")
        self.left.remove(request)


class Life:
    """`turn` takes one turn in the living process; a process that dies is replaced by the next one."""

    def __init__(
        self, machine: FakeMachine | None = None, interval: float = 5.0, adopt: tuple[str, ...] = (),
        grants: Sequence[Grant] = (),
    ) -> None:  # fmt: skip
        self._rules = replace(RULES, permissions=Permissions(grants=tuple(grants)))
        self.machine = machine or FakeMachine()
        self.source = FakeSource()
        self.journal = MemoryJournal(self.machine)
        self.store = MemoryStore(self.machine)
        self.reporter = MemoryReporter(self.machine)
        self.requests = MemoryRequests(self.machine)
        self.interval, self.adopt = interval, adopt
        self.stopping = self.pushed = self.defective = False
        self.steps: list[Step] = []
        self.walked: list[tuple[Attempt, Step]] = []
        self.during: dict[str, Any] = {}
        self.at_step: Callable[[], None] = lambda: None
        self.planned: Callable[[Plan], None] = lambda plan: None
        self.document = document()
        self.uses = MemoryUses()
        self.trouble: Usage | None = None
        self.asked_engine = 0
        self.advisory = False
        self.start()

    def start(self, crash_at: int | None = None) -> None:
        """A new process, which dies at effect `crash_at`."""
        self.machine.crash_at(crash_at)
        ledger = Ledger(self.journal, self.machine.clock)
        ledger.refresh()
        self.watchdog = StallWatchdog(self.machine.clock, ledger.silent)
        options = Options(
            "mini",
            self.interval,
            progress=self._progress,
            planned=lambda plan, _: self.planned(plan),
            stopping=lambda: self.stopping,
            pushed=lambda: self.pushed,
            watchdog=self.watchdog,
            adopt=self.adopt,
            advisory=self.advisory,
        )
        self.cycle = Cycle(self.ports(), options, ledger)

    def ports(self) -> Ports:
        """The world of one process."""
        return Ports(
            source=self.source,
            preparer=RememberingPreparer(CanonicalRenderer(lambda: self.trouble), self._rules),
            store=self.store,
            images=self.machine.image_list,
            observer=self.machine.observer,
            applier=self.machine.applier,
            reporter=self.reporter,
            requests=self.requests,
            clock=self.machine.clock,
            host_files=self.machine.host_files,
            uses=self.uses,
            abilities=self.abilities,
        )

    def abilities(self, known: Engine | None, worked: bool) -> Engine:
        """What the agent records of the engine."""
        self.machine.answer()
        self.asked_engine += 1
        return joined(self.machine.engine, known)

    def plan(self, revision: str | None = None) -> Answer:
        """The answer of `plan`, in a process that only reads."""
        ports = replace(self.ports(), applier=NO_HANDS, reporter=NO_VOICE, abilities=None)
        options = Options("mini", self.interval, adopt=self.adopt, advisory=self.advisory)
        return plan(ports, options, self.journal.lines, self.machine.applier.stored_trees, revision, fetch=True)

    def push(self, **services: Mapping[str, Any]) -> str:
        """A commit in which stack shop has these services; the machine gets the images that they name."""
        return self.push_model({"services": dict(services)})

    def push_model(self, model: Mapping[str, Any], **texts: str) -> str:
        for item in model["services"].values():
            self.image(item["image"])
        return self.push_files(model, **texts)

    def push_files(self, model: Mapping[str, Any], **texts: str) -> str:
        """A commit with images that the machine need not have."""
        files = {"desired-state/mini.yaml": self.document, "shop.yaml": json.dumps(model)} | texts
        return self.source.push(files | {"serial": str(len(self.source.commits))})

    def image(self, ref: str) -> str:
        """The machine has this image; returns its id."""
        return self.machine.images.setdefault(ref, Image(f"sha256:{ref}")).id

    def behave(self, ref: str, behaviour: Any) -> None:
        self.machine.behave(self.image(ref), behaviour)

    def ask(self, verb: str, revision: str = "", why: str = "", seconds: float | None = None) -> Request:
        """Leave a request; it is answered by the next turn, or in the middle of the present one."""
        until = None if seconds is None else self.machine.clock.now() + seconds
        return self.requests.leave(verb, revision, why, until)

    def answer(self) -> Answered:
        """The newest answer."""
        return self.cycle.history.requests[-1]

    def turn(self, patient: bool = False) -> Turn:
        """One turn. `effects` of the machine counts from here."""
        self.effects_before, known = self.machine.effects.count, len(self.defects())
        turn = self.cycle.turn(patient=patient)
        if not self.defective:
            assert self.defects()[known:] == []
        return turn

    def defects(self) -> list[str]:
        """Unexpected errors; a test that wants some sets `defective`."""
        return [item["message"] for item in self.journal.lines if item["kind"] == "defect"]

    @property
    def effects(self) -> int:
        """Effects of the last turn."""
        return self.machine.effects.count - self.effects_before

    def turn_or_die(self) -> Turn | None:
        """None: the process died, and the next one is ready."""
        try:
            return self.turn()
        except Died:
            self.start()
            return None

    def settle(self) -> Turn:
        """Turns until one has no effects: at most three are needed after any crash."""
        for _ in range(3):
            turn = self.turn()
            if self.effects == 0:
                return turn
        raise AssertionError(f"no quiet after three turns: {turn}, {self.machine.trace[-20:]}")

    def running(self) -> dict[str, str]:
        """name → image ref of every running container."""
        refs = {image.id: ref for ref, image in self.machine.images.items()}
        return {c.name: refs[c.image] for c in self.machine.containers.values() if c.state == "running"}

    def ids(self) -> dict[str, str]:
        return {c.name: c.id for c in self.machine.containers.values()}

    def _progress(self, step: Step, steps: int, attempt: Attempt) -> None:
        self.steps.append(step)
        self.walked.append((attempt, step))
        self.at_step()
        action = self.during.pop(str(step.action), None)
        if action is not None:
            action()
