"""What the operator allows of that which the rules refuse, and the line that would allow it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reconciler.decide.policies.pins import pin_of
from reconciler.decide.policies.subject import Finding, Subject
from reconciler.formats import grants as forms
from reconciler.formats.rules import Rule, Values, rules, rules_of_keys
from reconciler.model.documents import Grant, Pin
from reconciler.model.outcome import Level

BY_OWNER = "allowed by trust: owner"


@dataclass(frozen=True, slots=True)
class Ruling:
    """What becomes of a finding. `why` and `hint` stand behind the rule's own words."""

    level: Level
    why: str = ""
    hint: str = ""


def rule_on(finding: Finding, subject: Subject) -> Ruling | None:
    """None where the operator's grants lift it."""
    rule, permissions = rules()[finding.rule], subject.permissions
    level = finding.level or rule.level
    if level is Level.WARN or not rule.granted:
        return Ruling(level)
    root = finding.root or forms.root(rule.id, finding.value, permissions.own)
    fitting = [grant for grant in permissions.grants if fits(grant, finding, rule)]
    if any(holds(grant.pin, root, subject, finding.service) for grant in fitting):
        return None
    if permissions.owner and not rule.stays and not finding.stays:
        return Ruling(Level.WARN, BY_OWNER)
    return Ruling(level, f"this is equal to root ({root})" if root else "", _line(finding, subject, rule, root))


def holds(pin: Pin | None, root: str, subject: Subject, service: str | None) -> bool:
    """Whether an entry counts for what `service` is now: what is equal to root needs a pin or a signature.

    `root`: why it is equal to root, '' where it is not.
    """
    if pin is not None:
        return service is not None and pin_of(subject, service) == pin
    return not root or subject.permissions.signed


def fits(grant: Grant, finding: Finding, rule: Rule) -> bool:
    """Whether the grant is about this, whatever it needs beside."""
    by_key = grant.policy in finding.names and rule.id in rules_of_keys().get(grant.policy, ())
    where = grant.stack in ("*", finding.stack) and grant.service in ("*", finding.service)
    by_name = by_key or grant.policy == rule.id
    return by_name and where and rule.id != "absolute-bind" and _names(grant, finding, rule)


def _names(grant: Grant, finding: Finding, rule: Rule) -> bool:
    """Whether the grant names what is asked for."""
    if rule.values is Values.NONE or (rule.values is Values.OPTIONAL and not grant.values):
        return True
    asked = finding.value
    own_key = grant.policy == asked and "host" in grant.values  # {policy: pid, values: [host]}
    return asked is not None and (own_key or any(forms.covers(rule.id, value, asked) for value in grant.values))


def _line(finding: Finding, subject: Subject, rule: Rule, root: str) -> str:
    entry: dict[str, Any] = {"policy": rule.id}
    if finding.bind:
        entry = {key: value for key, value in finding.bind.items() if key != "read_only"}
    elif rule.values is not Values.NONE and finding.value is not None:
        entry["values"] = [finding.value]
    entry |= {"stack": finding.stack, "service": finding.service or "*"}
    if finding.bind:
        entry["read_only"] = finding.bind["read_only"]
    needs_pin = root and not subject.permissions.signed
    if needs_pin:
        pin = pin_of(subject, finding.service) if finding.service else None
        if pin is None:
            what = "an image that the commit builds" if finding.service else "what belongs to no service"
            return (
                f" Only source.allowed_signers (or trust: owner) in the agent's config can allow it: {what} cannot be "
                "pinned."
            )
        entry |= pin_entry(pin)
    line = forms.line({**entry, "reason": "…"})
    return f" Or the operator allows it in the agent's config: {'binds' if finding.bind else 'grants'}: [{line}]."


def pin_entry(pin: Pin) -> Mapping[str, Any]:
    """A pin as an entry of the config has it."""
    words = {key: list(value) for key in ("entrypoint", "command") if (value := getattr(pin, key)) is not None}
    return {"image": pin.image, **words, **({"rest": pin.rest} if pin.rest else {})}
