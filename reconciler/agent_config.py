"""Finds and reads the agent config, with values from the environment."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from reconciler.config_checks import mistakes
from reconciler.errors import Usage
from reconciler.formats import schemas
from reconciler.formats.yamls import Document, Pointer, document, json_pointer
from reconciler.model.outcome import Reason, Violation
from reconciler.ownership import CONFIG, require
from reconciler.values import dataclass

FILE = "reconciler.yaml"
MACHINES = "/etc/reconciler"
"""The folder of the machine's agent config."""
_EXAMPLE = "host: mini, source: {url: /srv/git/home.git}, state: /var/lib/reconciler"


@dataclass(frozen=True, slots=True)
class AgentConfig:
    """`values` fit the schema. `path` is the file, None if all values are from the environment."""

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
    if path is None and told.keys() <= {("state",)}:  # $RECONCILER_STATE alone is no config
        raise _usage(path, [], {}, environ)
    read = Document(read.path, values, read.violations, read.keys, read.values, read.texts)
    found = [*read.violations, *mistakes(read, environ)]
    if found:
        raise _usage(path, found, told, environ)
    return AgentConfig(values, path)


def searched(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Places that are searched for the config if no option or variable names it, in order.

    Never in the working folder: that may be a clone, and whoever pushes to it is not the operator.
    """
    folders = [*_home(environ, ".config/reconciler"), MACHINES]
    return tuple(os.path.join(folder, FILE) for folder in folders)


def usual_place(environ: Mapping[str, str], uid: int) -> str:
    """The usual path of this user's agent config; for root, the machine's."""
    own = _home(environ, ".config/reconciler") if uid != 0 else []
    return os.path.join((own or [MACHINES])[0], FILE)


def passed_over(config: str | None, environ: Mapping[str, str], cwd: str) -> str | None:
    """The path of a config in the working folder, which is not read; None if the operator has named one or none is
    there."""
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
    """Environment variable → pointer to the scalar that it sets: RECONCILER_SOURCE_URL → source.url."""
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
    """The file's values, replaced by those of the environment, and the variable of each."""
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
    """The text in the schema's type; unchanged if it does not fit."""
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
