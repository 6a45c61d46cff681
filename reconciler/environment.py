"""Makes the process's environment safe: no program and no file is taken from the working folder by mistake.

A person checks a clone by standing in it, and whoever pushes to it decides on its content.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping

from reconciler.errors import Usage
from reconciler.model.outcome import Reason

PRIVATE = 0o077
"""The umask: what we write is only for us, unless its mode is set explicitly."""

_PATHS = ("HOME", "DOCKER_CONFIG", "DOCKER_CERT_PATH", "GIT_SSL_CAINFO", "SSL_CERT_FILE", "SSL_CERT_DIR", "TMPDIR")


def leave_working_folder(environ: MutableMapping[str, str]) -> None:
    """Drop the relative entries of PATH. Usage if another path of ours is relative."""
    for name in _PATHS:
        value = environ.get(name)
        if value and not os.path.isabs(value):
            raise Usage(
                Reason.USAGE_INVALID,
                f"${name} is {value!r}, which is relative to the working folder",
                f"Set {name} to an absolute path.",
            )
    entries = environ.get("PATH", os.defpath).split(os.pathsep)
    environ["PATH"] = os.pathsep.join(filter(os.path.isabs, entries)) or os.defpath
