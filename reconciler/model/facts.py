"""Words for facts about a container that are the same whether a file asks for them or the engine tells them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

PERIODS = ("Interval", "Timeout", "StartPeriod", "StartInterval")
"""Of a health check, in nanoseconds."""

OWN_LABELS = ("com.docker.compose.", "dev.reconciler.")

IGNORED_OPTIONS = ("label=disable", "label:disable", "systempaths=unconfined")
"""The engine adds the first where it has to; of the last it keeps only what follows from it."""


def capabilities(names: Iterable[str] | None) -> frozenset[str]:
    """Without the prefix that some write and others leave out."""
    return frozenset(name.upper().removeprefix("CAP_") for name in names or ())


def security_options(options: Iterable[str] | None) -> frozenset[str]:
    """Without seccomp profiles, which the engine keeps by content, and what the engine adds by itself."""
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
    """Those that mean something to others: neither Compose's nor ours."""
    return {key: str(value or "") for key, value in found.items() if not key.startswith(OWN_LABELS)}


def healthcheck(check: Mapping[str, Any]) -> dict[str, Any]:
    """The engine's words without what is not set; empty where nothing is checked."""
    test = list(check.get("Test") or ())
    if not test or test[0] == "NONE":
        return {}
    return {"Test": test, **{key: check[key] for key in ("Retries", *PERIODS) if check.get(key)}}


def port(address: str, published: str, target: str) -> str:
    """`address:published->target/protocol`; published 0 where the engine chooses."""
    return f"{address or '0.0.0.0'}:{published or '0'}->{target}"  # noqa: S104 - the engine's default address
