"""Lets pyinfra use our own connection to the machine, which is the user's OpenSSH.

pyinfra's own ssh connector is a library that reads the user's config, agent and known hosts differently from OpenSSH.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pyinfra.api import Host, Inventory
from pyinfra.api.util import get_file_io
from pyinfra.connectors.base import BaseConnector
from pyinfra.connectors.util import CommandOutput, OutputLine, make_unix_command_for_host

from reconciler.bootstrap.machine import Machine
from reconciler.bootstrap.model import ROOT
from reconciler.process import Completed

_PUT = 'umask 077 && cat > "$1.new" && mv "$1.new" "$1"'
"""Writes a file whole or not at all."""


class Way:
    """Runs scripts on one machine. `account`, `timeout` (seconds): of the present change."""

    def __init__(self, machine: Machine) -> None:
        self._machine, self.account, self.timeout = machine, ROOT, 600.0

    def run(self, script: str, stdin: bytes | None = None) -> Completed:
        return self._machine.run(script, self.account, timeout=self.timeout, stdin=stdin)


class OneMachine(Inventory):
    """An inventory of one machine. pyinfra must not resolve its name."""

    def __init__(self, name: str, way: Way) -> None:
        self._way = way
        super().__init__(([name], {}))

    def make_hosts_and_groups(self, names: Any, groups: Any) -> None:
        way = self._way

        class Connector(_Connector):
            way_there = way

        (name,) = names
        self.hosts = {name: Host(name, inventory=self, groups=[], connector_cls=Connector)}


class _Connector(BaseConnector):
    handles_execution = True
    way_there: Way

    @staticmethod
    def make_names_data(name: str) -> Iterator[tuple[str, dict[str, Any], list[str]]]:
        yield name, {}, []

    def run_shell_command(
        self, command: Any, print_output: bool = False, print_input: bool = False, **arguments: Any
    ) -> tuple[bool, CommandOutput]:
        for name in ("_timeout", "_stdin", "_get_pty"):
            arguments.pop(name, None)
        good = arguments.pop("_success_exit_codes", None) or [0]
        script = make_unix_command_for_host(self.state, self.host, command, **arguments).get_raw_value()
        done = self.way_there.run(script)
        return done.returncode in good, CommandOutput(
            [
                OutputLine(name, line)
                for name, stream in (("stdout", done.stdout), ("stderr", done.stderr))
                for line in stream.decode(errors="replace").splitlines()
            ]
        )

    def put_file(
        self, filename_or_io: Any, remote_filename: str, remote_temp_filename: str | None = None, **arguments: Any
    ) -> bool:
        """Write the file as the change's account. OSError with the machine's message."""
        import shlex

        with get_file_io(filename_or_io) as source:
            data = source.read()
        done = self.way_there.run(f"set -- {shlex.quote(remote_filename)}; {_PUT}", stdin=data)
        if done.returncode != 0:
            raise OSError(done.stderr.decode(errors="replace").strip())
        return True

    def get_file(self, *names: Any, **arguments: Any) -> bool:
        raise NotImplementedError("nothing is fetched as a file")
