"""One multiplexed connection to a machine, by the user's own OpenSSH: its config, agent, jump hosts, known hosts.

The first call opens it in the foreground, where ssh may ask for a host key or a passphrase. It then stays open for ten
minutes, and every further call goes through it without a new login.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import stat
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import IO

from reconciler import process
from reconciler.errors import Transient, Usage
from reconciler.model.fleet import RemoteHost
from reconciler.model.outcome import Reason
from reconciler.signals import TETHER, Signals

LOST = 255
"""ssh's own exit code: it could not connect, or the connection broke."""

MISSING = 127
"""A shell's exit code where there is no such program."""

CONNECT = 30
"""Seconds until a machine that does not answer counts as unreachable."""

PLAIN = ("ClearAllForwardings=yes", "ForwardX11=no", "RemoteCommand=none")
"""Options that scp sets, too: forwards and commands that the user's config asks for would make our calls fail, or add
lines to the output."""

LOGIN = 40.0
"""Seconds that a new login may take."""

PATIENCE = 15.0
"""Seconds from a signal until the other side must have ended; a verb ends within ten."""

LONGEST_SOCKET = 86
"""Characters of a control socket's folder and name: a socket's path has at most 104 (macOS), and ssh appends 17."""

_PROGRAM = """\
for p in /opt/reconciler/current/bin/reconciler "$HOME/.local/bin/reconciler"; do [ -x "$p" ] && exec "$p" "$@"; done
exec reconciler "$@"
"""


_AS_ROOT = """\
whole() {
    [ ! -e /etc/systemd/system/reconciler.service ] || return 0
    [ ! -e /Library/LaunchDaemons/dev.reconciler.plist ] || return 0
    [ -n "$agent" ] && [ -d /run/systemd/system ] && [ ! -d "/run/user/$(id -u "$agent")" ]
}
if whole; then
    [ "$(id -u)" != 0 ] || exec "$@"
    if command -v sudo >/dev/null && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then exec sudo -H -- "$@"; fi
fi
"""
"""Runs a program as root if the agent is a service of the whole machine, and root's rights can be had. Without a
service (after `uninstall`): if the agent's account has no systemd of its own."""


class Ssh:
    """The connection to one machine. `environ`: the user's own. `patience`: seconds that ssh may take where it connects
    to no machine: to read its config, or to see whether the connection is open. A `Match exec` may hang."""

    def __init__(self, host: RemoteHost, environ: Mapping[str, str], patience: float = 15.0) -> None:
        self.host, self.environ, self._patience = host, dict(environ), patience
        self._program = shutil.which("ssh", path=environ.get("PATH", os.defpath))
        if self._program is None:
            raise Usage(Reason.USAGE_INVALID, "the program ssh is not there", "install OpenSSH's client")

    def connect(self, *, ask: bool = True) -> None:
        """Open the connection, unless it is open. Transient if the machine cannot be reached; ssh has printed why.

        `ask`: ssh may ask the person for a host key or a passphrase.
        """
        if self._control("check"):
            return
        quiet = () if ask else ("-q", "-o", "BatchMode=yes")
        argv = [*self.command(*quiet, "-o", "ControlMaster=auto", "-o", "ControlPersist=10m"), "true"]
        stdin = None if ask else subprocess.DEVNULL
        code = subprocess.run(argv, env=self.environ, stdin=stdin, stdout=subprocess.DEVNULL, check=False).returncode
        if code != 0:
            raise self._unreachable()

    def logs_in_anew(self) -> bool:
        """Whether a new login by key works without a question. The shared connection is not used."""
        options = ("-T", "-q", "-o", "BatchMode=yes", "-o", "PreferredAuthentications=publickey")
        argv = [*self.command(*options, shared=False), "true"]
        try:
            return process.run(argv, env=self.environ, timeout=LOGIN, reason=Reason.HOST_UNREACHABLE).returncode == 0
        except process.ProcessTimeout:
            return False

    def close(self) -> None:
        """Close the connection, also for other processes that use it."""
        self._control("exit")

    def run(
        self, argv: Sequence[str], *, timeout: float, stdin: bytes | None = None, limit: int = process.OUTPUT_LIMIT
    ) -> process.Completed:
        """Run a program on the machine to its end. Transient if the connection breaks."""
        command = [*self.command("-T", "-o", "BatchMode=yes"), shlex.join(argv)]
        done = process.run(
            command, env=self.environ, timeout=timeout, stdin=stdin, limit=limit, reason=Reason.HOST_UNREACHABLE
        )
        if done.returncode == LOST:
            said = done.stderr.decode(errors="replace").strip().splitlines()
            raise self._unreachable(said[-1] if said else "")
        return done

    def reconciler(self, arguments: Sequence[str], *, root: bool = False, **variables: str) -> list[str]:
        """The command that runs a verb on the machine as the agent's account. `variables`: of its environment. `root`:
        the verb needs root's rights, unless the agent is a service of one account."""
        account = ("sudo", "-n", "-H", "-u", self.host.user, "--") if self.host.user else ()
        given = [f"{name}={value}" for name, value in variables.items()]
        start = (self.host.program,) if self.host.program else ("sh", "-c", _PROGRAM, "reconciler")
        command = [*(("env", *given) if given else ()), *start, *arguments]
        if root:
            script = f'agent={shlex.quote(self.host.user)}\n{_AS_ROOT}exec {shlex.join(account)} "$@"'
            return ["sh", "-c", script, "sh", *command]
        return [*account, *command]

    def attach(self, argv: Sequence[str], signals: Signals, output: IO[bytes] | None) -> int:
        """Run a program with this process's stdout and stderr (`output`: stdout goes there); returns its exit code.

        The first signal that this process gets is passed on. The program also ends if the connection breaks.
        """
        command = [*self.command("-T", "-o", "BatchMode=yes"), shlex.join(argv)]
        # A process group of its own: else the terminal's Ctrl-C would end ssh, but not the program on the machine.
        child = subprocess.Popen(
            command, env=self.environ, stdin=subprocess.PIPE, stdout=output, process_group=0, bufsize=0
        )
        try:
            while child.poll() is None and not signals.stop.wait(0.05):
                pass
            if child.poll() is None and child.stdin is not None:
                with suppress(OSError):
                    child.stdin.write(TETHER[signals.received or signal.SIGTERM])
            return self._end(child)
        finally:
            child.kill()
            child.wait()
            if child.stdin is not None:
                child.stdin.close()

    def on_terminal(self, argv: Sequence[str]) -> int:
        """Run a program on the machine with a terminal there, so that colours, width and Ctrl-C work as for a local
        program. Returns its exit code."""
        command = [*self.command("-tt", "-q"), shlex.join(argv)]
        return subprocess.run(command, env=self.environ, check=False).returncode

    def command(self, *options: str, shared: bool = True) -> list[str]:
        """The ssh command up to the destination. `shared` False: use a new connection."""
        path = str(self._socket) if shared else "none"
        own = [f"ControlPath={path}", f"ConnectTimeout={CONNECT}", "ServerAliveInterval=15", "ServerAliveCountMax=3"]
        own += PLAIN if "-L" not in options else PLAIN[1:]
        if self.host.address:
            own += [f"HostName={self.host.address}", f"HostKeyAlias={self._known_as}"]
        words = [word for option in own for word in ("-o", option)]
        return [str(self._program), *words, *options, "--", self.host.ssh]

    def lost(self, code: int) -> None:
        """Raise Transient if an exit code says that the connection broke, or that the program does not exist there."""
        if code == LOST:
            raise self._unreachable()
        if code == MISSING:
            raise Transient(
                Reason.HOST_UNREACHABLE,
                f"{self.host.name} has no reconciler: `{self.host.program or 'reconciler'}` was not found there",
                "install it there, or name the program in hosts.yaml (`program`)",
            )

    def _end(self, child: subprocess.Popen[bytes]) -> int:
        try:
            return child.wait(PATIENCE) if child.poll() is None else int(child.returncode)
        except subprocess.TimeoutExpired:
            return LOST

    def _control(self, what: str) -> bool:
        return self._local(self.command("-O", what)).returncode == 0

    def _local(self, argv: Sequence[str]) -> process.Completed:
        """Run ssh where it connects to no machine. Transient if it does not end."""
        return process.run(argv, env=self.environ, timeout=self._patience, reason=Reason.HOST_UNREACHABLE)

    @cached_property
    def _known_as(self) -> str:
        """The name under which known_hosts has the key of the machine, by the user's config of ssh."""
        done = self._local([str(self._program), "-G", "--", self.host.ssh])
        told = dict(re.findall(r"(?m)^(hostname|hostkeyalias|port) (.+)$", done.stdout.decode(errors="replace")))
        name, port = told.get("hostname", self.host.ssh.rpartition("@")[2]), told.get("port", "22")
        return told.get("hostkeyalias") or (name if port == "22" else f"[{name}]:{port}")

    @property
    def _socket(self) -> Path:
        return sockets(self.environ) / "%C"

    def _unreachable(self, said: str = "") -> Transient:
        return Transient(
            Reason.HOST_UNREACHABLE,
            f"{self.host.name} cannot be reached by `ssh {self.host.ssh}`" + (f": {said}" if said else ""),
            "see whether that command works by itself; hosts.yaml says where the machine is",
        )


def sockets(environ: Mapping[str, str]) -> Path:
    """The folder for control sockets: only this user can read it, and its path is short. Usage if somebody else made
    it."""
    runtime, home = environ.get("XDG_RUNTIME_DIR", ""), environ.get("HOME", "")
    places = [Path(runtime, "reconciler")] if os.path.isabs(runtime) and os.path.isdir(runtime) else []
    places += [Path(home, ".cache/reconciler/ssh")] if os.path.isabs(home) else []
    places += [Path(tempfile.gettempdir(), f"reconciler-{os.geteuid()}")]
    folder = next(item for item in places if len(str(item)) + 41 <= LONGEST_SOCKET or item == places[-1])
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
        told = f"{folder} is no folder of yours alone: somebody else could use your connections"
        raise Usage(Reason.USAGE_INVALID, told, f"remove it: rm -r {folder}")
    return folder
