"""Makes the changes of a plan with pyinfra's operations, or only lists the commands that they would run."""

from __future__ import annotations

import importlib
import io
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pyinfra.api import Config, FileUploadCommand, State, StringCommand
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.state import StateStage
from pyinfra.context import ctx_config, ctx_host, ctx_inventory, ctx_state

from reconciler.bootstrap.connector import OneMachine, Way
from reconciler.bootstrap.machine import Machine
from reconciler.bootstrap.model import Change
from reconciler.values import dataclass

SHOWN = 30
"""Last lines of a failed command that are kept."""


class ChangeFailed(Exception):
    """`said`: the last lines of the command that failed."""

    def __init__(self, said: Sequence[str]) -> None:
        super().__init__(said[-1] if said else "it said nothing")
        self.said = tuple(said)


@dataclass(frozen=True, slots=True)
class Made:
    """A change, and its commands: those that ran, or would run. Empty: there was nothing to do."""

    change: Change
    commands: tuple[str, ...]


class Driver:
    """Makes changes on one machine. `name`: the machine's, for pyinfra's own messages."""

    def __init__(self, machine: Machine, name: str) -> None:
        self._way = Way(machine)
        inventory = OneMachine(name, self._way)
        self._state = State(inventory, Config(TEMP_DIR="/tmp"))  # noqa: S108  # unused: `put_file` writes in one go
        (self._host,) = inventory.hosts.values()
        self._host.connected = True
        self._state.activate_host(self._host)
        self._state.set_stage(StateStage.Prepare)
        logging.getLogger("pyinfra").setLevel(logging.CRITICAL)

    def would(self, change: Change) -> Made:
        """The commands that the change would run now. Nothing is changed. ChangeFailed if they cannot be found out."""
        with self._on(change) as commands:
            return Made(change, tuple(map(_shown, commands)))

    def make(self, change: Change) -> Made:
        """Run the commands of the change. ChangeFailed if one fails; later ones are not run."""
        ran = []
        with self._on(change) as commands:
            for command in commands:
                self._execute(command)
                ran.append(_shown(command))
        return Made(change, tuple(ran))

    @contextmanager
    def _on(self, change: Change) -> Iterator[Iterator[Any]]:
        if not change.needed:
            yield iter(())
            return
        self._way.account, self._way.timeout = change.account, change.timeout
        with (
            ctx_state.use(self._state), ctx_inventory.use(self._state.inventory),
            ctx_config.use(self._state.config), ctx_host.use(self._host),
        ):  # fmt: skip
            try:
                yield _commands(change)
            except (PyinfraError, OSError) as error:
                raise ChangeFailed(str(error).strip().splitlines()[-SHOWN:]) from error

    def _execute(self, command: Any) -> None:
        answer = command.execute(self._state, self._host, {})
        done, said = answer if isinstance(answer, tuple) else (answer, None)
        if not done:
            lines = [line for line in (said.output_lines if said else ()) if line.strip()]
            raise ChangeFailed(lines[-SHOWN:])


def _commands(change: Change) -> Iterator[Any]:
    module, _, function = change.operation.rpartition(".")
    operation: Callable[..., Iterator[Any]] = getattr(
        importlib.import_module(f"pyinfra.operations.{module}"), function
    )._inner
    given = dict(change.arguments)
    if "data" in given:
        given["src"] = io.BytesIO(given.pop("data"))
    for command in operation(**given):
        yield StringCommand(command.strip()) if isinstance(command, str) else command


def _shown(command: Any) -> str:
    if isinstance(command, FileUploadCommand):
        size = command.src.seek(0, io.SEEK_END) if hasattr(command.src, "seek") else 0
        return f"# write {command.dest} ({size} bytes)"
    return str(command)
