"""Packs the program that runs here, and its libraries, as wheels for the machine.

The wheels are made from the installed files, so the machine gets the same versions without a network. A library whose
machine code does not fit the machine is taken from `--channel`, else downloaded by pip for that machine, else left to
the machine's own pip.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import re
import sys
import tarfile
import zipfile
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path

import reconciler
from reconciler.act.wheel import WHEEL
from reconciler.bootstrap.model import Bundle, Target
from reconciler.errors import ReconcilerError, Usage
from reconciler.model.outcome import Reason
from reconciler.process import run
from reconciler.values import dataclass

NAME = "reconciler"
EXTRAS = ("monitor", "notify")
"""Extras for the machine; each is packed if all its libraries are installed here."""

CACHE = ".cache/reconciler/wheels"
_PATIENCE = 300.0
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""Fixed time of all files in a wheel, so that equal content gives equal bytes and an equal version."""
_NOT_PACKED = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json")


@dataclass(frozen=True, slots=True)
class Library:
    """A library of the program, as installed here. `wheel`: name and bytes, None if it does not fit the machine."""

    name: str
    version: str
    wheel: tuple[str, bytes] | None


def bundle(target: Target, channel: str | None, there: Container[str], environ: Mapping[str, str]) -> Bundle:
    """`channel`: a wheel of the program, a folder with wheels, or the version that runs here; else Usage. `there`:
    names of the version folders that the machine has; nothing is packed for a version that is among them."""
    given = _given(channel)
    own = _chosen(given, channel) or _own()
    version = WHEEL.fullmatch(own[0])
    assert version is not None
    folder = f"{version['version']}-{hashlib.sha256(own[1]).hexdigest()[:8]}"
    if folder in there:
        return Bundle(own[0], folder)
    found = {own[0]: own[1]}
    kept = {_project(name): (name, data) for name, data in given.items() if _fits(_tags(name), target)}
    lacking = []
    for library in _libraries(target):
        wheel = kept.get(_normal(library.name)) or library.wheel
        if wheel is None:
            lacking.append(library)
        else:
            found[wheel[0]] = wheel[1]
    fetched = _fetched(lacking, target, environ) if lacking else {}
    found |= fetched
    pip = _pip(target)
    found |= pip
    return Bundle(own[0], folder, _packed(found), len(fetched) == len(lacking), len(found), next(iter(pip), ""))


def _given(channel: str | None) -> dict[str, bytes]:
    """Name → bytes of all wheels in the channel's folder."""
    if channel is None:
        return {}
    path = Path(channel)
    folder = path if path.is_dir() else path.parent if path.suffix == ".whl" and path.is_file() else None
    if folder is not None:
        return {item.name: item.read_bytes() for item in sorted(folder.glob("*.whl"))}
    if channel == reconciler.__version__:
        return {}
    told = f"--channel {channel} is neither a wheel nor a folder, and version {reconciler.__version__} runs here"
    raise Usage(
        Reason.USAGE_INVALID, told, "name the wheel: --channel PATH/reconciler-….whl; no registry is asked for it"
    )


def _chosen(given: Mapping[str, bytes], channel: str | None) -> tuple[str, bytes] | None:
    """The program's wheel in a channel: the named one, else the newest; None if the channel has none."""
    own = {name: data for name, data in given.items() if WHEEL.fullmatch(name)}
    named = os.path.basename(channel or "")
    if named in own:
        return named, own[named]
    if not own and channel not in (None, reconciler.__version__):
        raise Usage(Reason.USAGE_INVALID, f"there is no wheel of reconciler in {channel}", "pip wheel makes one")
    newest = max(own, key=lambda name: (Path(str(channel), name).stat().st_mtime, name), default=None)
    return None if newest is None else (newest, own[newest])


def _own() -> tuple[str, bytes]:
    """A wheel of the program that runs here. Usage if it was never installed."""
    version = reconciler.__version__
    try:
        known = metadata.distribution(NAME)
    except metadata.PackageNotFoundError:
        told = "this program runs from a folder and was never installed"
        raise Usage(Reason.USAGE_INVALID, told, "pip install '.[bootstrap]', or --channel WHEEL") from None
    root = Path(reconciler.__file__).parent
    files = {
        f"{NAME}/{path.relative_to(root).as_posix()}": (path.read_bytes(), path.stat().st_mode & 0o111 != 0)
        for path in root.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    told = re.sub(r"(?m)^Version: .*$", f"Version: {version}", _metadata(known), count=1)
    info = f"{NAME}-{version}.dist-info"
    files[f"{info}/METADATA"] = (told.encode(), False)
    files[f"{info}/entry_points.txt"] = ((known.read_text("entry_points.txt") or "").encode(), False)
    files[f"{info}/WHEEL"] = (
        b"Wheel-Version: 1.0\nGenerator: reconciler\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        False,
    )
    return f"{NAME}-{version}-py3-none-any.whl", _zipped(files, info)


def _metadata(known: metadata.Distribution) -> str:
    """The METADATA text of an installed program; for an editable install, that of its PKG-INFO."""
    return known.read_text("METADATA") or known.read_text("PKG-INFO") or ""


def _libraries(target: Target) -> Iterator[Library]:
    """Every library that the program needs on the machine."""
    from packaging.requirements import Requirement

    python = ".".join(map(str, target.python))
    there = {
        "python_version": python, "python_full_version": f"{python}.0", "platform_machine": target.arch,
        "sys_platform": target.system.lower(), "platform_system": target.system, "os_name": "posix",
        "implementation_name": "cpython", "platform_python_implementation": "CPython",
    }  # fmt: skip
    done, waiting = set[tuple[str, str]](), [(NAME, ""), *((NAME, extra) for extra in EXTRAS if _is_here(extra, there))]
    while waiting:
        name, extra = waiting.pop(0)
        if (name, extra) in done:
            continue
        done.add((name, extra))
        try:
            known = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            yield Library(name, "", None)
            continue
        if name != NAME and not extra:
            yield Library(name, known.version, _repacked(known, target))
        for line in known.requires or ():
            need = Requirement(line)
            if need.marker is None and extra:
                continue
            if need.marker is None or need.marker.evaluate({**there, "extra": extra}):
                waiting += [(_normal(need.name), ""), *((_normal(need.name), item) for item in sorted(need.extras))]


def _pip(target: Target) -> dict[str, bytes]:
    """pip's wheel, if pip is installed here. Unpacking it takes half a minute less than ensurepip on the machine."""
    try:
        wheel = _repacked(metadata.distribution("pip"), target)
    except metadata.PackageNotFoundError:
        return {}
    return {} if wheel is None else {wheel[0]: wheel[1]}


def _is_here(extra: str, there: Mapping[str, str]) -> bool:
    from packaging.requirements import Requirement

    needs = [Requirement(line) for line in metadata.distribution(NAME).requires or ()]
    names = [
        item.name
        for item in needs
        if item.marker
        and item.marker.evaluate({**there, "extra": extra})
        and not item.marker.evaluate({**there, "extra": ""})
    ]
    try:
        return bool(names) and all(metadata.version(name) for name in names)
    except metadata.PackageNotFoundError:
        return False


def _repacked(known: metadata.Distribution, target: Target) -> tuple[str, bytes] | None:
    """A wheel from the files of an installed library; None if it does not fit the machine or cannot be packed."""
    tags = re.findall(r"(?m)^Tag: (\S+)", known.read_text("WHEEL") or "")
    paths = [item for item in known.files or () if ".." not in item.parts and "__pycache__" not in item.parts]
    info = next((item.parts[0] for item in paths if item.parts[0].endswith(".dist-info")), "")
    editable = '"editable": true' in (known.read_text("direct_url.json") or "")
    if not info or editable or not _fits(tags, target):
        return None
    files = {}
    for item in paths:
        where = Path(str(item.locate()))
        if item.parts[0] == info and item.name in _NOT_PACKED:
            continue
        if not where.is_file():
            return None
        files[item.as_posix()] = (where.read_bytes(), os.access(where, os.X_OK))
    parts = zip(*(tag.split("-") for tag in tags), strict=True)
    tag = "-".join(".".join(dict.fromkeys(part)) for part in parts)
    return f"{info.removesuffix('.dist-info')}-{tag}.whl", _zipped(files, info)


def _fits(tags: Iterable[str], target: Target) -> bool:
    return any(_one_fits(tag, target) for tag in tags)


def _one_fits(tag: str, target: Target) -> bool:
    python, abi, platform = tag.split("-")
    own = re.fullmatch(r"cp(\d)(\d+)", python)
    runs = python == "py3" or (own is not None and (int(own[1]), int(own[2])) == target.python)
    runs = runs or (own is not None and abi == "abi3" and (int(own[1]), int(own[2])) <= target.python)
    system = "manylinux" if target.system == "Linux" else "macosx"
    archs = (target.arch, "universal2") if target.system == "Darwin" else (target.arch,)
    return runs and (platform == "any" or (platform.startswith(system) and platform.endswith(archs)))


def _tags(wheel: str) -> list[str]:
    """All tags of a wheel's file name."""
    python, abi, platform = wheel.removesuffix(".whl").rsplit("-", 3)[1:]
    return [f"{a}-{b}-{c}" for a in python.split(".") for b in abi.split(".") for c in platform.split(".")]


def _fetched(lacking: Sequence[Library], target: Target, environ: Mapping[str, str]) -> dict[str, bytes]:
    """Name → bytes of the wheels that pip could download for the machine. They are cached."""
    folder = Path(environ.get("HOME") or "/nonexistent", CACHE)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return {}
    found = {}
    for library in lacking:
        there = _kept(folder, library, target)
        if there is None and library.version:
            there = _kept(folder, library, target) if _download(folder, library, target, environ) else None
        if there is not None:
            found[there.name] = there.read_bytes()
    return found


def _kept(folder: Path, library: Library, target: Target) -> Path | None:
    there = sorted(folder.glob("*.whl"))
    wanted = (_normal(library.name), library.version)
    return next(
        (
            item
            for item in there
            if (_project(item.name), item.name.split("-")[1]) == wanted and _fits(_tags(item.name), target)
        ),
        None,
    )


def _download(folder: Path, library: Library, target: Target, environ: Mapping[str, str]) -> bool:
    linux = [
        f"{kind}_{target.arch}" for kind in ("manylinux_2_17", "manylinux2014", "manylinux_2_28", "manylinux_2_34")
    ]
    platforms = linux if target.system == "Linux" else [f"macosx_13_0_{target.arch}"]
    argv = [
        sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps",
        "--dest", str(folder),
        "--only-binary=:all:", "--implementation", "cp", "--python-version", ".".join(map(str, target.python)),
    ]  # fmt: skip
    argv += [word for platform in platforms for word in ("--platform", platform)]
    try:
        done = run(
            [*argv, f"{library.name}=={library.version}"], env=environ, timeout=_PATIENCE, reason=Reason.DISK_FAILED
        )
    except ReconcilerError:
        return False
    return done.returncode == 0


def _zipped(files: Mapping[str, tuple[bytes, bool]], info: str) -> bytes:
    """The bytes of a wheel. `files`: path → (bytes, whether executable). RECORD is added."""
    record = "".join(f"{path},sha256={_digest(data)},{len(data)}\n" for path, (data, _) in sorted(files.items()))
    listed = {**files, f"{info}/RECORD": (f"{record}{info}/RECORD,,\n".encode(), False)}
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, (data, executable) in sorted(listed.items()):
            entry = zipfile.ZipInfo(path, _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = (0o100755 if executable else 0o100644) << 16
            archive.writestr(entry, data)
    return packed.getvalue()


def _packed(wheels: Mapping[str, bytes]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name, data in sorted(wheels.items()):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o644
            archive.addfile(entry, io.BytesIO(data))
    return made.getvalue()


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def _project(wheel: str) -> str:
    return _normal(wheel.partition("-")[0])


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
