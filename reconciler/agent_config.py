"""The agent config as it is written: where it is found, what the environment says instead, what is wrong with it."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reconciler.errors import Usage
from reconciler.formats import schemas
from reconciler.formats.fits import fits
from reconciler.formats.quantities import QuantityError, seconds, size
from reconciler.formats.urls import login_problems, url_problem
from reconciler.formats.yamls import Document, Pointer, document, json_pointer
from reconciler.model.outcome import Reason, Violation
from reconciler.ownership import CONFIG, require

FILE = "reconciler.yaml"
MACHINES = "/etc/reconciler"
"""The folder of the machine's agent config."""
SMALLEST_BUILD = 64 << 20
"""Bytes with which a build can still do something."""

_EXAMPLE = "host: mini, source: {url: /srv/git/home.git}, state: /var/lib/reconciler"
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
    *(("monitor", "webhooks", forge, "secret_file") for forge in ("github", "gitlab", "gitea")),
)


@dataclass(frozen=True, slots=True)
class AgentConfig:
    """`values` fit the schema. `path` is the file, None where the environment says everything."""

    values: Mapping[str, Any]
    path: str | None


def read_config(config: str | None, environ: Mapping[str, str], state: str | None, cwd: str) -> AgentConfig:
    """Find, read and check the config; arguments as for `load_settings`. Usage names every mistake."""
    path = _find(config, environ, cwd)
    if path is not None:
        require(path, CONFIG)
    read = _read(path)
    values, told = _overlay(read.value, environ)
    if state is not None:
        values["state"], told[("state",)] = os.path.join(cwd, os.path.expanduser(state)), "--state"
    if path is None and not told:
        raise _usage(path, [], told, environ)
    read = Document(read.path, values, read.violations, read.keys, read.values, read.texts)
    found = [*read.violations, *_schema(read), *_meaning(read, environ)]
    if found:
        raise _usage(path, found, told, environ)
    return AgentConfig(values, path)


def absolute(text: str, environ: Mapping[str, str]) -> str | None:
    """The path with ~/ replaced; None where it is relative."""
    home = environ.get("HOME")
    if text.startswith("~/") and home:
        text = os.path.join(home, text[2:])
    return os.path.normpath(text) if text.startswith("/") else None


def searched(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Where the config is looked for when no option or variable names it, in order.

    Never in the working folder: that may be a clone, and whoever pushes to it is not the operator.
    """
    folders = [*_home(environ, ".config/reconciler"), MACHINES]
    return tuple(os.path.join(folder, FILE) for folder in folders)


def usual_place(environ: Mapping[str, str], uid: int) -> str:
    """Where this user's agent config is written: root's is the machine's."""
    own = _home(environ, ".config/reconciler") if uid != 0 else []
    return os.path.join((own or [MACHINES])[0], FILE)


def passed_over(config: str | None, environ: Mapping[str, str], cwd: str) -> str | None:
    """A config in the working folder that is not read, where the operator has not said which one is."""
    path = os.path.join(cwd, FILE)
    named = config or environ.get("RECONCILER_CONFIG")
    return path if not named and path not in searched(environ) and os.path.lexists(path) else None


def _home(environ: Mapping[str, str], below: str) -> list[str]:
    home = environ.get("HOME") or ""
    return [os.path.join(home, below)] if os.path.isabs(home) else []


def _find(config: str | None, environ: Mapping[str, str], cwd: str) -> str | None:
    named = config or environ.get("RECONCILER_CONFIG")
    if not named:
        return next((path for path in searched(environ) if os.path.isfile(path)), None)
    path = os.path.join(cwd, os.path.expanduser(named))
    if not os.path.isfile(path):
        origin = "--config" if config else "$RECONCILER_CONFIG"
        raise Usage(
            Reason.USAGE_INVALID, f"there is no config file {path}", f"Correct {origin}, or create it: {_EXAMPLE}"
        )
    return path


def _read(path: str | None) -> Document:
    if path is None:
        return Document("", {}, (), {}, {}, {})
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        hint = "Make it readable for the user that runs the agent."
        raise Usage(Reason.USAGE_INVALID, f"the config file {path} cannot be read: {error.strerror}", hint) from error
    return document(data, path)


# ------------------------------------------------------------------------------------------- environment twins


def twins() -> dict[str, Pointer]:
    """Environment variable → the scalar that it sets: RECONCILER_SOURCE_URL → source.url."""
    found: dict[str, Pointer] = {}
    for pointer in _scalars(schemas.load("agent"), ()):
        found["RECONCILER_" + "_".join(str(part).upper() for part in pointer)] = pointer
    return found


def _scalars(schema: Mapping[str, Any], pointer: Pointer) -> Iterator[Pointer]:
    for name, child in schema.get("properties", {}).items():
        if child.get("type") == "object":
            yield from _scalars(child, (*pointer, name))
        elif child.get("type") != "array":
            yield (*pointer, name)


def _overlay(value: object, environ: Mapping[str, str]) -> tuple[dict[str, Any], dict[Pointer, str]]:
    """The file's values with those of the environment over them, and which variable set what."""
    values: dict[str, Any] = dict(value) if isinstance(value, dict) else {}
    told: dict[Pointer, str] = {}
    for name, pointer in twins().items():
        if name not in environ:
            continue
        told[pointer] = f"${name}"
        target = values
        for part in pointer[:-1]:
            child = target.get(str(part))
            target[str(part)] = target = dict(child) if isinstance(child, dict) else {}
        target[str(pointer[-1])] = _typed(environ[name], pointer)
    return values, told


def _typed(text: str, pointer: Pointer) -> object:
    """The text as the type that the schema asks for; left as it is where it is none."""
    schema: Mapping[str, Any] = schemas.load("agent")
    for part in pointer:
        schema = schema["properties"][part]
    kinds = schema.get("type", "string")
    if "boolean" in kinds and text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if "integer" in kinds and text.isascii() and text.isdigit() and len(text) < 10:
        return int(text)
    return text


_WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


# ------------------------------------------------------------------------------------------------------- checks


def _schema(read: Document) -> Iterable[Violation]:
    unreadable = read.violations and not read.value
    if unreadable or fits(read.value, schemas.load("agent")):
        return ()
    return schemas.check(read, "agent", lambda pointer: pointer[-1:] == ("url",))


def _meaning(read: Document, environ: Mapping[str, str]) -> Iterator[Violation]:
    """What no schema can express."""
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
    """Grants and binds that are too coarse, or that nothing is meant by."""
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
    """Those that have the form of the schema: what is wrong with others has been said."""
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


def _branch(read: Document) -> Iterator[Violation]:
    branch = _at(read.value, ("source", "branch"))
    bad = ("..", "//", "/.", "@{")
    if isinstance(branch, str) and (any(part in branch for part in bad) or branch.endswith(("/", ".", ".lock"))):
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


def _usage(
    path: str | None,
    found: list[Violation],
    told: Mapping[Pointer, str],
    environ: Mapping[str, str],
) -> Usage:
    names = {json_pointer(pointer): name for pointer, name in told.items()}
    details = [f"{_where(item, path, names)}{item.message}. {item.hint}" for item in found]
    if path is None and not told:
        places = ", ".join(searched(environ))
        hint = f"Create one of {places} (least: {_EXAMPLE}), or set the RECONCILER_… variables."
        return Usage(Reason.USAGE_INVALID, "there is no agent config", hint, details)
    first = details[0] if len(details) == 1 else f"the agent config has {len(details)} mistakes"
    return Usage(Reason.USAGE_INVALID, first, "" if len(details) == 1 else "Correct each of them.", details)


def _where(found: Violation, path: str | None, names: Mapping[str, str]) -> str:
    name = names.get(found.pointer or "")
    if name:
        return f"{name}: "
    return f"{path}:{found.line}:{found.column}: " if path else ""
