"""`key`: makes the deploy key if there is none, shows its public half, and registers it with the forge."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from reconciler import process
from reconciler.errors import Transient, Usage
from reconciler.model.outcome import Reason
from reconciler.ownership import PRIVATE_KEY, require
from reconciler.record.summary_key import key as document
from reconciler.verbs import Answer

KEPT = "deploy_key"
"""The key's file in the state folder, if the agent config has no `key_file`."""

Register = Callable[[str], tuple[bool, str]]
"""Takes the public half; returns whether the forge has it now as one that may only read, else why not."""


def key(path: Path, host: str, environ: Mapping[str, str], next_steps: list[str], register: Register | None) -> Answer:
    """Make or show the key. `path`: its private half. `next_steps`: for a person. `register` None: do not register it.

    An existing key is never replaced. Usage if others could change or read it.
    """
    require(str(path), PRIVATE_KEY)
    made = not path.exists()
    if made:
        _make(path, host, environ)
    public = _public(path, environ)
    registered, message = register(public) if register else (None, "")
    shown = document(public, str(path), made, registered, message, () if registered else next_steps)
    return (1 if registered is False else 0), shown


def _make(path: Path, host: str, environ: Mapping[str, str]) -> None:
    """Make the key, whole or not at all. If two processes do so at the same time, the first key stays."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".key-", dir=path.parent) as folder:
            draft = Path(folder) / "key"
            _ssh_keygen(environ, "-q", "-t", "ed25519", "-N", "", "-C", f"reconciler@{host}", "-f", str(draft))
            with suppress(FileExistsError):
                os.link(draft, path)
    except OSError as error:
        hint = "choose another place for it: `key_file` below source in the agent config"
        raise Usage(Reason.USAGE_INVALID, f"{path} cannot be made: {error.strerror}", hint) from error


def _public(path: Path, environ: Mapping[str, str]) -> str:
    return _ssh_keygen(environ, "-y", "-P", "", "-f", str(path)).strip()


def _ssh_keygen(environ: Mapping[str, str], *arguments: str) -> str:
    passed = {name: environ[name] for name in ("PATH", "HOME") if name in environ}
    done = process.run(["ssh-keygen", *arguments], env={**passed, "LC_ALL": "C"}, timeout=60.0)
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        message = f"ssh-keygen cannot use {arguments[-1]}: {said[-1] if said else 'it gave no reason'}"
        raise Transient(Reason.USAGE_INVALID, message, "it must be a private key without a passphrase")
    return done.stdout.decode("ascii", errors="replace")
