"""`install` and `uninstall`: make the agent and the verbs beside it services of this machine, and remove them in three
levels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import field, replace
from enum import StrEnum
from typing import Protocol

from reconciler.decide.service.files import (
    MARKS,
    forget_commands,
    service_files,
    start_commands,
    stop_commands,
    verbs_of,
)
from reconciler.model.observed import Container
from reconciler.model.service import AGENT, BESIDE, Platform, Service, ServiceCommand, ServiceFile
from reconciler.record import summary_service
from reconciler.values import dataclass
from reconciler.verbs import Answer

FOREIGN = "is somebody else's file: move it away, or run the agent by that service"
UNASKED = "nobody could be asked: add --yes"


class Level(StrEnum):
    """How much `uninstall` removes; each level includes the ones before it."""

    AGENT = "agent"
    CONTAINERS = "containers"
    STATE = "state"


class Hands(Protocol):
    """Changes the machine (`act.service.ServiceHands`)."""

    def read(self, path: str) -> bytes | None: ...

    def write(self, file: ServiceFile) -> None: ...

    def remove(self, path: str) -> None: ...

    def call(self, commands: Iterable[ServiceCommand]) -> None: ...


@dataclass(frozen=True, slots=True)
class Machine:
    """The parts of the machine that `uninstall` removes. `locked`: within this context no agent works; `containers`:
    the managed ones; `remove_containers`: also removes their networks and returns them; `remove_state`: returns the
    names of what stays in it."""

    state: str
    locked: Callable[[], AbstractContextManager[object]]
    containers: Callable[[], Sequence[Container]]
    remove_containers: Callable[[Sequence[Container]], Sequence[str]]
    remove_state: Callable[[], Sequence[str]]


@dataclass(slots=True)
class Done:
    """The content of the document. `made`: the machine was changed. `files`: each with its state."""

    made: bool = False
    files: list[tuple[ServiceFile, str]] = field(default_factory=list)
    commands: list[ServiceCommand] = field(default_factory=list)
    containers: list[str] = field(default_factory=list)
    networks: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)


class Installer:
    """The services of one agent. `notes`: services that the agent config asks for and that cannot run here, with
    reasons."""

    def __init__(self, platform: Platform, service: Service, hands: Hands, notes: Sequence[str] = ()) -> None:
        self._platform, self._service, self._hands, self._notes = platform, service, hands, notes
        self._files = service_files(platform, service)
        self._every = service_files(platform, replace(service, beside=BESIDE, self_update=True))

    def shown(self) -> Answer:
        """What `install` would write and call; reads and changes nothing."""
        verbs = verbs_of(self._files)
        commands = [*start_commands(self._platform, self._service, verbs)]
        return 0, self._document("install", Done(files=[(item, "shown") for item in self._files], commands=commands))

    def install(self, start: bool, own: Callable[[], None]) -> Answer:
        """Write the files that differ, and restart the services. `own` makes the state folder.

        A service whose files are the same is restarted, too, because the agent reads its config only at its start.
        Containers are not touched. Services beside the agent that the config no longer asks for are removed. A foreign
        file with the name of one of them stays, and that service is not started.
        """
        states = [(item, self._state(item)) for item in self._files]
        foreign = [item for item, state in states if state == "foreign"]
        if any(item.verb == AGENT for item in foreign):
            return 1, self._document("install", Done(files=states, messages=self._told(foreign)))
        own()
        done = Done(made=True, messages=self._told(foreign))
        wanted = [item.path for item in self._files]
        old = [item for item, _ in self._ours() if item.path not in wanted]
        self._take_away(old, done)
        for item, state in states:
            if state in ("missing", "outdated"):
                self._hands.write(item)
            done.files.append((item, "written" if state in ("missing", "outdated") else state))
        verbs = [verb for verb in verbs_of(self._files) if verb not in {item.verb for item in foreign}]
        commands = start_commands(self._platform, self._service, verbs, start)
        self._hands.call(commands)
        done.commands += commands
        return 0, self._document("install", done)

    def uninstall(
        self, level: Level, machine: Machine, ask: Callable[[str], bool] | None, *, show: bool = False
    ) -> Answer:
        """Remove the services, and more with a higher `level`. `ask`: asks a person; None: nobody can be asked, so
        nothing is removed (exit code 1). `show`: only list it (exit code 0)."""
        ours = self._ours()
        foreign = [item for item in self._every if self._state(item) == "foreign"]
        none = [] if ours or foreign else ["no service of reconciler is installed here"]
        verbs = verbs_of(item for item, _ in ours)
        called = [*stop_commands(self._platform, verbs), *forget_commands(self._platform, verbs)]
        doing = Done(files=[(item, "shown") for item, _ in ours], commands=called)
        containers = machine.containers() if level is not Level.AGENT else ()
        doing.containers = [item.name for item in containers]
        state = [f"the agent's files in {machine.state}, but not data/"] if level is Level.STATE else []
        if show or ask is None or not ask(self._question(doing, state)):
            refused = [] if show else [UNASKED if ask is None else "nothing was removed"]
            doing.messages = [*none, *(f"would remove {item}" for item in state), *refused]
            return (0 if show else 1), self._document("uninstall", doing)
        doing.made, doing.files, doing.commands = True, [], []
        self._take_away([item for item, _ in ours], doing)
        doing.messages = [*none, *self._told(foreign)]
        if level is not Level.AGENT:
            with machine.locked():
                self._remove(level, machine, doing)
        return 0, self._document("uninstall", doing)

    def _ours(self) -> list[tuple[ServiceFile, str]]:
        """Existing files that `install` has written, each with its state."""
        states = [(item, self._state(item)) for item in self._every]
        return [(item, state) for item, state in states if state in ("unchanged", "outdated")]

    def _take_away(self, files: Sequence[ServiceFile], done: Done) -> None:
        verbs = verbs_of(files)
        stop, forget = stop_commands(self._platform, verbs), forget_commands(self._platform, verbs)
        self._hands.call(stop)
        for item in files:
            self._hands.remove(item.path)
        self._hands.call(forget)
        done.files += [(item, "removed") for item in files]
        done.commands += [*stop, *forget]

    def _told(self, foreign: Sequence[ServiceFile]) -> list[str]:
        return [f"{item.path} {FOREIGN}" for item in foreign]

    def _remove(self, level: Level, machine: Machine, doing: Done) -> None:
        containers = machine.containers()
        doing.networks = [*machine.remove_containers(containers)]
        doing.containers = [item.name for item in containers]
        doing.messages.append("all volumes stay: `docker volume ls` lists them")
        if level is Level.STATE:
            kept = machine.remove_state()
            others = [name for name in kept if name != "data"]
            if "data" in kept:
                doing.messages.append(f"{machine.state}/data stays: it is your data")
            if others:
                doing.messages.append(f"{machine.state} stays, with what is not the agent's: {', '.join(others[:9])}")
            if not kept:
                doing.messages.append(f"removed {machine.state}")

    def _state(self, file: ServiceFile) -> str:
        there = self._hands.read(file.path)
        if there is None:
            return "missing"
        if there == file.data:
            return "unchanged"
        return "outdated" if any(mark in there for mark in MARKS) else "foreign"

    def _question(self, doing: Done, state: Sequence[str]) -> str:
        lines = [f"stop the service and remove {item.path}" for item, _ in doing.files]
        lines += [f"stop and remove the container {name}" for name in doing.containers]
        lines += [f"remove {item}" for item in state]
        return "\n".join([*lines, "Volumes and data/ stay. Go on? [y/N] "])

    def _document(self, action: str, done: Done) -> dict[str, object]:
        return summary_service.install(
            action,
            done.made,
            self._platform,
            [(item.path, item.mode, state, item.data.decode()) for item, state in done.files],
            [item.argv for item in done.commands],
            done.containers,
            done.networks,
            [*done.messages, *(self._notes if action == "install" else ())],
        )
