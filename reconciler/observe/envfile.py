"""Writes variables so that every version of Compose reads back the same bytes."""

from __future__ import annotations

from collections.abc import Mapping


def env_file(variables: Mapping[str, str]) -> bytes:
    """An env file for `--env-file`. Values may contain anything but NUL; names are letters, digits and `_.-`.

    Compose reads a double-quoted value in three passes: `\"` becomes `"`, then escapes like `\n` and `\\` are expanded,
    then `$` introduces a variable unless it is doubled. Newlines stand for themselves.
    """
    return "".join(f"{name}={_quoted(variables[name])}\n" for name in sorted(variables)).encode()


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$")
    return f'"{escaped}"'
