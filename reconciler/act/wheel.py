"""Reads a wheel of this program, and refuses every other file."""

from __future__ import annotations

import lzma
import re
import zipfile
import zlib
from email.parser import BytesParser
from io import BytesIO
from pathlib import Path, PurePosixPath

from reconciler.errors import Usage
from reconciler.model.outcome import Reason

WHEEL = re.compile(r"reconciler-(?P<version>[0-9][A-Za-z0-9.+!]*)-[^/]*\.whl")
"""The name of a wheel's file."""
LARGEST = 256 << 20
"""Bytes of a wheel's files together. Ours has 2 MiB; more is a mistake or an attack."""


def read_wheel(path: Path) -> bytes:
    """The wheel's bytes. Usage if it cannot be read, is damaged, is of another program or version than its name says,
    or has files that would be written outside of the environment."""
    named = WHEEL.fullmatch(path.name)
    assert named is not None
    try:
        data = path.read_bytes()
        with zipfile.ZipFile(BytesIO(data)) as packed:
            if sum(item.file_size for item in packed.infolist()) > LARGEST:
                raise _refused(path, f"has more than {LARGEST >> 20} MiB")
            leads_out = next(filter(_leads_out, packed.namelist()), None)
            if leads_out is not None:
                raise _refused(path, f"has the file {leads_out!r}, which leads out of the environment")
            broken = packed.testzip()
            if broken is not None:
                raise zipfile.BadZipFile(f"the file {broken} in it is broken")
            about = [name for name in packed.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", name)]
            told = BytesParser().parsebytes(packed.read(about[0]) if len(about) == 1 else b"")
    except OSError as error:
        raise _refused(path, f"cannot be read: {error.strerror}") from error
    except (
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,
        EOFError,
        NotImplementedError,
        RuntimeError,
        ValueError,
    ) as error:
        raise _refused(path, f"is damaged or was sent only in part: {error}") from error
    program, version = told.get("Name"), told.get("Version")
    if (program, version) != ("reconciler", named["version"]):
        raise _refused(path, f"is a wheel of {program} {version}, whatever its name says")
    return data


def _leads_out(name: str) -> bool:
    path = PurePosixPath(name.replace("\\", "/"))
    return path.is_absolute() or ".." in path.parts


def _refused(path: Path, why: str) -> Usage:
    hint = "copy the wheel again, and compare its checksum with the one where it was published; nothing was changed"
    return Usage(Reason.USAGE_INVALID, f"{path} {why}", hint)
