"""Writes the files of the service and calls the machine's service manager."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from reconciler.errors import Transient, Usage
from reconciler.model.outcome import Reason
from reconciler.model.service import ServiceCommand, ServiceFile
from reconciler.process import ProcessTimeout, run

PATIENCE = 150.0
"""Seconds that one call may take: systemd itself waits 90 s for the service to start."""


class ServiceHands:
    """`environ`: of the service manager's program. With XDG_RUNTIME_DIR missing, the account's own one is named."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        own = f"/run/user/{os.geteuid()}"
        self._environ = {**({"XDG_RUNTIME_DIR": own} if os.path.isdir(own) else {}), **environ}

    def read(self, path: str) -> bytes | None:
        """The file's text; None if there is no such file. Usage if it cannot be read."""
        try:
            return Path(path).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            hint = "run it as root" if isinstance(error, PermissionError) else "move it away, if nobody needs it"
            raise Usage(Reason.USAGE_INVALID, f"{path} cannot be read: {error.strerror}", hint) from error

    def write(self, file: ServiceFile) -> None:
        """Write the file in one atomic step. Transient if that fails."""
        target = Path(file.path)
        draft = target.with_name(f".{target.name}.new")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            draft.write_bytes(file.data)
            draft.chmod(file.mode)
            draft.replace(target)
        except OSError as error:
            with suppress(OSError):
                draft.unlink(missing_ok=True)
            raise _unwritable(error, file.path) from error

    def remove(self, path: str) -> None:
        try:
            Path(path).unlink(missing_ok=True)
        except OSError as error:
            raise _unwritable(error, path) from error

    def call(self, commands: Iterable[ServiceCommand], patience: float = PATIENCE) -> None:
        """Make the calls one after the other. Transient, with the service manager's message, if a needed call fails or
        takes more than `patience` seconds."""
        for command in commands:
            try:
                done = run(command.argv, env=self._environ, timeout=patience, reason=Reason.SERVICE_FAILED)
            except ProcessTimeout as error:
                told = f"`{shlex.join(command.argv)}` was not done within {patience:g} s"
                raise Transient(Reason.SERVICE_FAILED, told, command.hint) from error
            if done.returncode != 0 and command.needed:
                said = (done.stderr or done.stdout).decode(errors="replace").strip()
                raise Transient(
                    Reason.SERVICE_FAILED,
                    f"`{shlex.join(command.argv)}` failed: {said.splitlines()[0] if said else 'it said nothing'}",
                    command.hint,
                    said.splitlines()[1:6],
                )


def make_state(folder: str, uid: int, gid: int) -> None:
    """Make the state folder for its owner, if it is missing. Usage if it belongs to another account."""
    path = Path(folder)
    try:
        if not path.exists():
            path.mkdir(mode=0o700, parents=True)
            os.chown(path, uid, gid)
        owner = path.stat().st_uid
    except OSError as error:
        raise _unwritable(error, folder) from error
    if owner != uid:
        told = f"the state folder {folder} belongs to another account (uid {owner})"
        raise Usage(
            Reason.USAGE_INVALID,
            told,
            f"name that account with --user, or give the folder away: chown -R {uid} {shlex.quote(folder)}",
        )


def _unwritable(error: OSError, path: str) -> Transient:
    return Transient(
        Reason.DISK_FAILED,
        f"{path} cannot be written: {error.strerror}",
        "run it as root (`sudo reconciler …`), or see the owner of the folder",
    )
