"""Proposals of `init` for running projects: limits from the measured use, and the texts of the files. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence

from reconciler.model.documents import GIB, MIB, HostDocument, Memory
from reconciler.model.proposal import Limit, Origin, Project

LEAST = 64 * MIB
"""Bytes. A smaller limit is hardly enough for a shell and a program, and fails only under load."""

HEADROOM = 2
"""Factor between measured use and limit, because one measurement may miss the peak."""

BUDGET_STEP = 256 * MIB


def limit(used: int) -> int:
    """The limit in bytes for a present use of `used`: twice as much, rounded up to 64, 96, 128, 192, 256 … MiB."""
    step = LEAST
    while step < used * HEADROOM:
        step = step * 3 // 2 if step & (step - 1) == 0 else step * 4 // 3
    return step


def proposed(stack: str, service: str, own: int | None, used: int | None, default: int) -> Limit:
    """`own`: the limit in the Compose file, which stays; `used`: what the service's largest container uses now."""
    if own is not None:
        return Limit(stack, service, own, Origin.KEPT, used)
    if used is None:
        return Limit(stack, service, default, Origin.DEFAULT)
    return Limit(stack, service, limit(used), Origin.MEASURED, used)


def budget(engine: int | None) -> Memory:
    """All of the engine's memory (bytes) in whole steps; the default budget if it is not known."""
    plain = Memory()
    if engine is None:
        return plain
    whole = max(engine // BUDGET_STEP, 2) * BUDGET_STEP
    return Memory(whole, plain.steady, min(plain.reserve, whole // 8))


def project_name(folder: str) -> str:
    """The project name that Compose takes from a folder's name."""
    return re.sub(r"[^a-z0-9_-]", "", folder.lower()).lstrip("_-")[:63] or "stack"


def host_name(machine: str) -> str:
    """The machine's name as a host's name: its first part, of small letters, digits and dashes."""
    return re.sub(r"[^a-z0-9_-]", "-", machine.partition(".")[0].lower()).strip("-_")[:63] or "host"


# -- the texts ---------------------------------------------------------------------------------------------------


def limits_path(host: str, stack: str) -> str:
    return f"desired-state/{host}/{stack}.limits.yaml"


def host_text(host: str, projects: Sequence[Project], memory: Memory, with_limits: Iterable[str]) -> str:
    """`with_limits`: stacks with a limits file."""
    limited = set(with_limits)
    lines = [
        "apiVersion: reconciler/v1",
        "kind: Host",
        f"metadata: {{name: {host}}}",
        "spec:",
        f"  memory: {{budget: {size(memory.budget)}, steady: {memory.steady:.0%}, reserve: {size(memory.reserve)}}}",
        f"  defaults: {{memory: {size(HostDocument('', ()).default_memory)}}}",
        "  stacks:",
    ]
    for project in projects:
        files = [*project.files, *([limits_path(host, project.name)] if project.name in limited else [])]
        lines += [f"    - name: {_text(project.name)}", "      files:"]
        lines += [f"        - {_text(path)}" for path in files]
        if project.profiles:
            lines.append(f"      profiles: [{', '.join(map(_text, project.profiles))}]")
        if project.env:
            lines += ["      env:"]
            lines += [f"        {name}: {json.dumps(value)}" for name, value in sorted(project.env.items())]
    return "\n".join(lines) + "\n"


def limits_text(limits: Sequence[Limit]) -> str:
    """An override file: a limit for each service that has none in its Compose file; '' if none needs one."""
    needed = [item for item in limits if item.origin is not Origin.KEPT]
    if not any(item.origin is Origin.MEASURED for item in needed):
        return ""
    lines = ["# Limits beside the Compose file, which stays as it is. Raise or lower them here.", "services:"]
    for item in needed:
        if item.origin is Origin.MEASURED:
            lines.append(f"  {_text(item.service)}: {{mem_limit: {size(item.bytes)}}}  # used {size(item.used or 0)}")
        else:
            lines.append(
                f"  # {item.service} was not measured, so its use is unknown: spec.defaults.memory holds for it"
            )
    return "\n".join(lines) + "\n"


_TRUST = {
    "owner": "# Who can push has the operator's rights: denials with a possible grant are warnings. Else: strangers.",
    "strangers": "# A commit needs a grant for each denied setting. If only you can push: owner.",
}


def agent_text(
    host: str,
    source: Mapping[str, str],
    state: str,
    adopt: Sequence[str] = (),
    trust: str = "strangers",
    secrets: str | None = None,
) -> str:
    """`source`: url, and branch and path if they are not the defaults. `adopt`: running projects. `trust`: its value.
    `secrets`: the folder for values that must not be in git."""
    written = ", ".join(f"{key}: {_text(value)}" for key, value in source.items())
    consent = (
        "# Projects of this machine that commits may take over, with their data.\n"
        f"adopt: [{', '.join(map(_text, adopt))}]\n"
    )
    return (
        "# The agent's config. It belongs to this machine, not into the repository.\n"
        f"host: {host}\nsource: {{{written}}}\nstate: {_text(state)}\n"
        f"{f'secrets_dir: {_text(secrets)}' + chr(10) if secrets else ''}{_TRUST[trust]}\ntrust: {trust}\n"
        f"{consent if adopt else ''}"
    )


def size(count: int) -> str:
    """In the form of Compose and our documents, rounded up to MiB: 96MiB, 14GiB."""
    mib = -(-count // MIB)
    return f"{mib // 1024}GiB" if mib * MIB % GIB == 0 and mib else f"{mib}MiB"


def _text(value: str) -> str:
    """Plain if YAML reads it as the same text, quoted otherwise."""
    plain = re.fullmatch(r"[A-Za-z/.][A-Za-z0-9/._-]*", value) and value.lower() not in _WORDS
    return value if plain else json.dumps(value, ensure_ascii=False)


_WORDS = ("true", "false", "yes", "no", "on", "off", "null", "y", "n", ".inf", ".nan")
