"""Finds mistakes in the values of the agent config, each with its place and a remedy."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from reconciler.formats import schemas
from reconciler.formats.fits import fits
from reconciler.formats.quantities import QuantityError, seconds, size
from reconciler.formats.urls import login_problems, url_problem
from reconciler.formats.yamls import Document, Pointer, json_pointer
from reconciler.model.outcome import Reason, Violation

SMALLEST_BUILD = 64 << 20
"""Bytes; with less, a build can do nothing."""

_PATHS: tuple[Pointer, ...] = (
    ("state",),
    ("secrets_dir",),
    ("compose",),
    ("source", "allowed_signers"),
    ("source", "gpg_home"),
    *(("source", key) for key in ("token_file", "ca_file", "key_file", "known_hosts_file")),
    ("report", "forge", "token_file"),
    ("report", "forge", "ca_file"),
    ("monitor", "token_file"),
    ("monitor", "textfile"),
    *(("monitor", "webhooks", forge, "secret_file") for forge in ("github", "gitlab", "gitea")),
)


def mistakes(read: Document, environ: Mapping[str, str]) -> Iterator[Violation]:
    """All mistakes in the values of a config: those that its schema finds, and those that no schema can express."""
    yield from _schema(read)
    for pointer in _PATHS:
        text = _at(read.value, pointer)
        if isinstance(text, str) and text and not absolute(text, environ):
            yield _wrong(read, pointer, "path-relative", "must be an absolute path", "Begin it with / or ~/.")
    yield from _source(read)
    yield from _branch(read)
    path = _at(read.value, ("source", "path"))
    if isinstance(path, str) and (path.startswith("/") or ".." in path.split("/")):
        yield _wrong(read, ("source", "path"), "path-outside", "must lie in the repository", "Write it without '..'.")
    if isinstance(state := _at(read.value, ("state",)), str) and posixpath.normpath(state) == "/":
        yield _wrong(read, ("state",), "state-root", "must be a folder of its own", "Write /var/lib/reconciler.")
    interval = _at(read.value, ("source", "interval"))
    if isinstance(interval, str) and _seconds(interval) is not None and (_seconds(interval) or 0) < 1:
        yield _wrong(read, ("source", "interval"), "out-of-range", "must be at least 1s", "Write a duration like 30s.")
    yield from _permissions(read, environ)
    yield from _address_pool(read)
    yield from _build(read)
    yield from _forge(read, environ)
    yield from _monitor(read)
    yield from _notify(read)
    yield from _self_update(read)


def absolute(text: str, environ: Mapping[str, str]) -> str | None:
    """The path with ~/ replaced; None if it is relative."""
    home = environ.get("HOME")
    if text.startswith("~/") and home:
        text = os.path.join(home, text[2:])
    return os.path.normpath(text) if text.startswith("/") else None


def _schema(read: Document) -> Iterable[Violation]:
    unreadable = read.violations and not read.value
    if unreadable:
        return ()
    return schemas.check(read, "agent", lambda pointer: pointer[-1:] == ("url",))


def _monitor(read: Document) -> Iterator[Violation]:
    listen = _at(read.value, ("monitor", "listen"))
    if not isinstance(listen, str):
        return
    import ipaddress

    host, _, port = listen.rpartition(":")
    try:
        loopback = ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        yield _wrong(read, ("monitor", "listen"), "monitor-listen", "is no address", "Write it like 127.0.0.1:9464.")
        return
    if not (port.isdecimal() and 0 < int(port) < 65536):
        yield _wrong(
            read, ("monitor", "listen"), "monitor-listen", "has no port from 1 to 65535", "Write one like 9464."
        )
    elif not loopback and not _at(read.value, ("monitor", "token_file")):
        hint = "Set monitor.token_file, or listen on 127.0.0.1 and reach it by `ssh -L 9464:127.0.0.1:9464`."
        yield _wrong(read, ("monitor", "listen"), "monitor-open", "would show the machine to the network", hint)


def _notify(read: Document) -> Iterator[Violation]:
    if not isinstance(read.value, dict) or not read.value.keys() & {"notify", "heartbeat"}:
        return
    from reconciler.formats.targets import problems

    for pointer, rule, what, hint in problems(read.value):
        yield _wrong(read, pointer, rule, what, hint)


def _self_update(read: Document) -> Iterator[Violation]:
    """Without signatures, everybody who can push would choose the version."""
    where = ("upgrade", "self_update")
    signers = [_at(read.value, ("source", key)) for key in ("allowed_signers", "gpg_home")]
    if _at(read.value, where) is True and not any(signers):
        hint = "Write source.allowed_signers, the file of the keys that may sign (docs/operating.md)."
        yield _wrong(read, where, "self-update-unsigned", "needs commits that are signed", hint)


def _source(read: Document) -> Iterator[Violation]:
    source = _at(read.value, ("source",))
    if not isinstance(source, dict):
        return
    url, signed = source.get("url"), bool(source.get("allowed_signers") or source.get("gpg_home"))
    if isinstance(url, str) and (problem := url_problem(url, signed)):
        yield _wrong(read, ("source", "url"), "source-url", *problem)
        return
    for key, what, hint in login_problems(source):
        yield _wrong(read, ("source", key), "source-login", what, hint)


def _forge(read: Document, environ: Mapping[str, str]) -> Iterator[Violation]:
    given = _at(read.value, ("report", "forge"))
    if not isinstance(given, dict):
        where = ("report", "preview", "pull_requests")
        if _at(read.value, where) == "same-repository":
            hint = "Write report.forge, whose pull requests they are."
            yield _wrong(read, where, "preview-forge", "needs a forge", hint)
        return
    from reconciler.formats.forges import TOKEN, problems

    url = str(_at(read.value, ("source", "url")) or "")
    for key, rule, what, hint in problems(given, url, bool(environ.get(TOKEN))):
        yield _wrong(read, ("report", "forge", *key), rule, what, hint)


def _address_pool(read: Document) -> Iterator[Violation]:
    ranges = _at(read.value, ("address_pool",))
    if not isinstance(ranges, list) or not ranges:
        return
    from reconciler.formats.cidr import range_of

    for number, text in enumerate(ranges):
        if isinstance(text, str) and range_of(text) is None:
            hint = "Write it in CIDR form, like 10.77.0.0/16."
            yield _wrong(read, ("address_pool", number), "address-pool", "is no range of addresses", hint)


def _permissions(read: Document, environ: Mapping[str, str]) -> Iterator[Violation]:
    """Grants and binds that are too wide, or without effect."""
    entries = [(kind, n, item) for kind in ("grants", "binds") for n, item in _entries(read.value, kind)]
    if not entries:
        return
    from reconciler import permissions

    signers = (_at(read.value, ("source", key)) for key in ("allowed_signers", "gpg_home"))
    signed = any(signers) or _at(read.value, ("trust",)) == "owner"
    named = (_at(read.value, (key,)) for key in ("state", "secrets_dir"))
    folders = (absolute(text, environ) for text in named if isinstance(text, str))
    own = tuple(path for path in (*folders, os.path.abspath(read.path) if read.path else None) if path)
    for kind, number, item in entries:
        found = permissions.wrong_grant(item, signed) if kind == "grants" else permissions.wrong_bind(item, signed, own)
        for what, hint in found:
            yield _wrong(read, (kind, number), "permission", what, hint)


def _entries(value: object, key: str) -> list[tuple[int, Mapping[str, Any]]]:
    """The entries that fit the schema; mistakes of the others are reported already."""
    items = _at(value, (key,))
    schema = schemas.load("agent")["properties"][key]["items"]
    return [(n, item) for n, item in enumerate(items) if fits(item, schema)] if isinstance(items, list) else []


def _build(read: Document) -> Iterator[Violation]:
    time, memory = (_at(read.value, ("build", name)) for name in ("time", "memory"))
    if isinstance(time, str) and _seconds(time) is not None and (_seconds(time) or 0) < 1:
        yield _wrong(read, ("build", "time"), "out-of-range", "must be at least 1s", "Write a duration like 30m.")
    bound = _size(memory) if isinstance(memory, str) and memory else None
    if bound is not None and bound < SMALLEST_BUILD:
        yield _wrong(read, ("build", "memory"), "out-of-range", "must be at least 64MiB", "Write a size like 2GiB.")


def is_branch(text: str) -> bool:
    """Whether git accepts `text` as the name of a branch. The schema has judged its characters."""
    return not any(part in text for part in ("..", "//", "/.", ".lock/")) and not text.endswith(("/", ".", ".lock"))


def _branch(read: Document) -> Iterator[Violation]:
    branch = _at(read.value, ("source", "branch"))
    if isinstance(branch, str) and not is_branch(branch):
        yield _wrong(read, ("source", "branch"), "source-branch", "is no branch's name", "Write it like main.")


def _wrong(read: Document, pointer: Pointer, rule: str, what: str, hint: str) -> Violation:
    line, column = read.place(pointer)
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in pointer).removeprefix(".")
    message = f"{where} {what}"
    return Violation(Reason.SCHEMA_INVALID, rule, message, hint, read.path, line, column, pointer=json_pointer(pointer))


def _at(value: object, pointer: Pointer) -> object:
    for part in pointer:
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _seconds(text: str) -> float | None:
    try:
        return seconds(text)
    except QuantityError:
        return None


def _size(text: str) -> int | None:
    try:
        return size(text)
    except QuantityError:
        return None
