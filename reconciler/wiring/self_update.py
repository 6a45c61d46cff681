"""The version of this program that the watched branch asks for, and whether `upgrade --self-update` may take it.

It is read as the agent's account, which owns the mirror. Root only chooses a wheel of that version, from a folder that
nobody else can change.
"""

from __future__ import annotations

import re

from reconciler import __version__
from reconciler.errors import Usage
from reconciler.model.outcome import Reason
from reconciler.record import summary_service
from reconciler.values import dataclass
from reconciler.verbs import Answer
from reconciler.wiring.reading import Reading
from reconciler.wiring.showing import document_at, facts

VERSION = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6}){1,3}")
"""The form of spec.agent.version. Nothing else is ever taken as one: no path, no address, no option."""


@dataclass(frozen=True, slots=True)
class Wish:
    """`version`: the asked one, '' if none. `outcome`: Shown if it may be taken, else Unchanged or Refused. `message`:
    why."""

    version: str
    outcome: str
    message: str


def wish(parts: Reading) -> Wish:
    """The wish of last good: a commit counts once it has become good, so no rollout is under way."""
    shown = facts(parts)
    good, last = shown.history.last_good, shown.history.last
    if good is None or not good.revision:
        return Wish("", "Unchanged", "no commit is good yet")
    try:
        found = document_at(parts, good.revision)
    except KeyError:
        return Wish("", "Unchanged", f"the mirror lacks {good.revision[:12]}; the agent fetches it again")
    version, short = found.agent_version if found else "", good.revision[:12]
    if not version:
        return Wish("", "Unchanged", f"commit {short} asks for no version")
    if version == __version__:
        return Wish(version, "Unchanged", "this version runs already")
    if is_older(version):
        told = f"commit {short} asks for {version}, which is older than {__version__}"
        return Wish(version, "Refused", f"{told}; only a person returns to it: `reconciler upgrade {version}`")
    if shown.rollout is not None or (last is not None and last.open):
        return Wish(version, "Unchanged", "a rollout is under way; the next call looks again")
    if shown.suspension is not None:
        return Wish(version, "Unchanged", "the host is suspended; the version is taken after `reconciler resume`")
    if not parts.signers.fingerprint():
        return Wish(version, "Refused", "the agent config has no keys of signers")
    refused = parts.signers.refusals(parts.source.git, good.revision)
    if refused:
        return Wish(version, "Refused", f"{refused[0].message}, so it cannot choose the version")
    return Wish(version, "Shown", f"commit {short} asks for it")


def wanted(parts: Reading) -> Answer:
    """The wish as a document of `upgrade`. Usage if the agent config does not let commits choose it."""
    if not parts.settings.self_update:
        hint = "write `upgrade: {self_update: true}` into it, or name the version: `reconciler upgrade VERSION`"
        raise Usage(Reason.USAGE_INVALID, "the agent config does not allow --self-update", hint)
    found = wish(parts)
    document = summary_service.upgrade(__version__, found.version or __version__, found.outcome, found.message, ())
    return (1 if found.outcome == "Refused" else 0), document


def is_older(version: str) -> bool:
    """Whether it is older than this program."""
    return _numbers(version) < _numbers(__version__)


def _numbers(version: str) -> tuple[int, ...]:
    numbers = [int(part) for part in re.split(r"[^0-9.]", version)[0].split(".") if part]
    return tuple(numbers + [0] * (4 - len(numbers)))
