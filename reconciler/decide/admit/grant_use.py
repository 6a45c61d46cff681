"""Which of the operator's entries last good needs, and which nothing has needed for a month. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from reconciler.decide.admit.policies.leave import entry, pin_entry
from reconciler.formats import grants as forms
from reconciler.model.documents import BindGrant, Grant, Permissions
from reconciler.model.uses import Use

DAYS = 30
"""Seconds without use after which an entry is reported. Longer than a holiday, or a service that is stopped for repair.
"""

Entry = Grant | BindGrant


def entries(permissions: Permissions) -> Mapping[str, Entry]:
    """The entries of the config, each as one line without its reason; a bundle is one entry."""
    found: dict[str, Entry] = {}
    allowed: Sequence[Entry] = (*permissions.grants, *permissions.binds)
    for item in allowed:
        found.setdefault(_name(item), item)
    return found


def noted(
    known: Mapping[str, Use], permissions: Permissions, used: Collection[Entry] | None, now: float
) -> Mapping[str, Use]:
    """The record of all entries that the config has now. `used`: the entries that last good uses; None if it could not
    be judged: then earlier uses are kept. No time in the record is later than now, even if the clock was set back."""
    needed = None if used is None else {_name(item) for item in used}
    found = {}
    for name in entries(permissions):
        old = known.get(name) or Use(now)
        use = old.now if needed is None else name in needed
        last = now if use or old.now else old.last
        found[name] = Use(min(old.since, now), None if last is None else min(last, now), use)
    return found


def unused(known: Mapping[str, Use], permissions: Permissions, now: float) -> Sequence[tuple[Entry, Use]]:
    """Entries that nothing has used for a month, in the config's order. An entry that the agent has not seen before
    counts as new."""
    found = [(item, known[name]) for name, item in entries(permissions).items() if name in known]
    return [(item, use) for item, use in found if not use.now and now - (use.last or use.since) >= DAYS * 86400]


def _name(item: Entry) -> str:
    if not item.bundle:
        return forms.line(entry(item))
    pin = pin_entry(item.pin) if item.pin else {}
    return forms.line({"bundle": item.bundle, "stack": item.stack, "service": item.service, **pin})
