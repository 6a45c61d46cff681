"""Forms for facts about a container that are the same in a file and in the engine's answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

PERIODS = ("Interval", "Timeout", "StartPeriod", "StartInterval")
"""Durations of a health check, in nanoseconds."""

OWN_LABELS = ("com.docker.compose.", "dev.reconciler.")

IGNORED_OPTIONS = ("label=disable", "label:disable", "systempaths=unconfined")
"""The engine adds the first if it must; it does not keep the last itself, only its effects."""


def capabilities(names: Iterable[str] | None) -> frozenset[str]:
    """Without the prefix, which is optional."""
    return frozenset(name.upper().removeprefix("CAP_") for name in names or ())


def security_options(options: Iterable[str] | None) -> frozenset[str]:
    """Without seccomp profiles, of which the engine keeps the content, and without options that the engine adds by
    itself."""
    found = set()
    for option in options or ():
        written = option if "=" in option else option.replace(":", "=", 1)
        name, _, value = written.partition("=")
        if name == "no-new-privileges":
            found.add(f"{name}={value or 'true'}")
        elif option not in IGNORED_OPTIONS and (name != "seccomp" or value == "unconfined"):
            found.add(written)
    return frozenset(found)


def labels(found: Mapping[str, Any]) -> dict[str, str]:
    """Labels of others, without Compose's and ours."""
    return {key: str(value or "") for key, value in found.items() if not key.startswith(OWN_LABELS)}


def healthcheck(check: Mapping[str, Any]) -> dict[str, Any]:
    """In the engine's words, without unset fields; empty if nothing is checked."""
    test = list(check.get("Test") or ())
    if not test or test[0] == "NONE":
        return {}
    return {"Test": test, **{key: check[key] for key in ("Retries", *PERIODS) if check.get(key)}}


def port(address: str, published: str, target: str) -> str:
    """`address:published->target/protocol`; published 0 if the engine chooses."""
    return f"{address or '0.0.0.0'}:{published or '0'}->{target}"  # noqa: S104 - the engine's default address
