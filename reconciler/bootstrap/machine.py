"""Runs scripts on the machine as any of its accounts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from reconciler.bootstrap.model import LOGIN, ROOT
from reconciler.errors import Usage
from reconciler.model.outcome import Reason
from reconciler.process import Completed

PATIENCE = 60.0
"""Seconds of a short command."""


class Shell(Protocol):
    """The connection (`ssh.Ssh`): runs a program as the account of ssh."""

    def run(self, argv: Sequence[str], *, timeout: float, stdin: bytes | None = None) -> Completed: ...


class Machine:
    """`login`, `uid`: the account that ssh logs in as. `password`: for sudo, '' if sudo asks for none."""

    def __init__(self, shell: Shell, login: str, uid: int, password: str = "") -> None:
        self._shell, self.login, self._uid, self._password = shell, login, uid, password

    def run(
        self, script: str, account: str = ROOT, *, timeout: float = PATIENCE, stdin: bytes | None = None
    ) -> Completed:
        """Run a script of sh as `account`, for at most `timeout` seconds. Transient if the connection breaks or time is
        over."""
        argv = ["sh", "-c", script]
        if account in (LOGIN, self.login) or (account == ROOT and self._uid == 0):
            return self._shell.run(argv, timeout=timeout, stdin=stdin)
        as_account = () if account == ROOT else ("-u", account)
        if self._uid == 0 or not self._password:
            return self._shell.run(["sudo", "-n", "-H", *as_account, "--", *argv], timeout=timeout, stdin=stdin)
        # -k: sudo always reads the password, so the script can never get it as its input.
        word = f"{self._password}\n".encode()
        argv = ["sudo", "-S", "-k", "-H", "-p", "", *as_account, "--", *argv]
        return self._shell.run(argv, timeout=timeout, stdin=word + (stdin or b""))


def become_root(shell: Shell, login: str, uid: int, host: str, ask: Callable[[str], str] | None) -> Machine:
    """The machine with root's rights. `ask`: asks a person for the password; None: nobody can be asked. Usage if the
    account cannot become root."""
    if uid == 0 or shell.run(["sudo", "-n", "true"], timeout=PATIENCE).returncode == 0:
        return Machine(shell, login, uid)
    if shell.run(["sh", "-c", "command -v sudo"], timeout=PATIENCE).returncode != 0:
        hint = f"as root, on the machine: apt install sudo && usermod -aG sudo {login}; or name root: root@{host}"
        raise Usage(Reason.USAGE_INVALID, f"{login} is not root on {host}, and there is no sudo", hint)
    if ask is None:
        rule = f"echo '{login} ALL=(ALL) NOPASSWD: ALL' | sudo tee /etc/sudoers.d/{login}"
        hint = f"run it at a terminal; or let sudo work without a password there: {rule}"
        raise Usage(
            Reason.USAGE_INVALID, f"sudo on {host} asks for the password of {login}, and nobody can be asked", hint
        )
    machine = Machine(shell, login, uid, ask(f"password of {login} for sudo: "))
    done = machine.run("true")
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        hint = f"a wrong password, or {login} may not use sudo; as root, on the machine: usermod -aG sudo {login}"
        raise Usage(
            Reason.USAGE_INVALID, f"{login} cannot become root on {host}: {said[-1] if said else 'sudo refused'}", hint
        )
    return machine
