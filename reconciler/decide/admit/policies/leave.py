"""Applies the operator's grants and binds to findings, and makes the line that would lift a denial."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reconciler.decide.admit.policies.pins import may_be_offered, pin_of
from reconciler.decide.admit.policies.subject import Finding, Subject
from reconciler.formats import grants as forms
from reconciler.formats.rules import Rule, Values, rules, rules_of_keys
from reconciler.model.documents import BindGrant, Grant, Pin
from reconciler.model.outcome import Level
from reconciler.values import dataclass

BY_OWNER = "allowed by trust: owner"


@dataclass(frozen=True, slots=True)
class Ruling:
    """The result for a finding. `why` and `hint` follow the rule's own words.

    `need`: the entry that would allow it, with an empty reason. `by`: the entries that allow it; then nothing is left
    to report.
    """

    level: Level
    why: str = ""
    hint: str = ""
    need: Grant | BindGrant | None = None
    by: tuple[Grant | BindGrant, ...] = ()


def rule_on(finding: Finding, subject: Subject) -> Ruling:
    """Whether the operator's entries lift the finding, and the result if none does."""
    rule, permissions = rules()[finding.rule], subject.permissions
    level = finding.level or rule.level
    if finding.by is not None:
        return Ruling(level, by=(finding.by,))
    if level is Level.WARN or not rule.granted:
        return Ruling(level)
    root = finding.root or forms.root(rule.id, finding.value, permissions.own)
    fitting = (grant for grant in permissions.grants if fits(grant, finding, rule))
    lifting = tuple(grant for grant in fitting if holds(grant.pin, root, subject, finding.service))
    if lifting:
        return Ruling(level, by=lifting)
    if permissions.owner and not rule.stays and not finding.stays:
        return Ruling(Level.WARN, BY_OWNER)
    if finding.corrected:
        return Ruling(level)
    return _refused(level, finding, subject, rule, root)


def holds(pin: Pin | None, root: str, subject: Subject, service: str | None) -> bool:
    """Whether an entry applies to the present `service`: what is equal to root needs a pin or a signature.

    `root`: why it is equal to root, '' if it is not.
    """
    if pin is not None:
        return service is not None and pin_of(subject, service) == pin
    return not root or subject.permissions.signed


def fits(grant: Grant, finding: Finding, rule: Rule) -> bool:
    """Whether the grant matches the finding, apart from pins and signatures."""
    by_key = grant.policy in finding.names and rule.id in rules_of_keys().get(grant.policy, ())
    where = grant.stack in ("*", finding.stack) and grant.service in ("*", finding.service)
    by_name = by_key or grant.policy == rule.id
    return by_name and where and rule.id != "absolute-bind" and _names(grant, finding, rule)


def _names(grant: Grant, finding: Finding, rule: Rule) -> bool:
    """Whether the grant names the value."""
    if rule.values is Values.NONE or (rule.values is Values.OPTIONAL and not grant.values):
        return True
    asked = finding.value
    own_key = grant.policy == asked and "host" in grant.values  # {policy: pid, values: [host]}
    return asked is not None and (own_key or any(forms.covers(rule.id, value, asked) for value in grant.values))


def _refused(level: Level, finding: Finding, subject: Subject, rule: Rule, root: str) -> Ruling:
    why = f"this is equal to root ({root})" if root else ""
    pin = None
    if root and not subject.permissions.signed:
        pin, what = _offered(subject, finding.service)
        if pin is None:
            hint = (
                f" Only source.allowed_signers (or trust: owner) in the agent's config can allow it: {what} cannot be "
                "pinned."
            )
            return Ruling(level, why, hint)
    need = _need(finding, rule, pin)
    line = forms.line({**entry(need), "reason": "…"})
    kind = "binds" if isinstance(need, BindGrant) else "grants"
    return Ruling(level, why, f" Or the operator allows it in the agent's config: {kind}: [{line}].", need)


def _offered(subject: Subject, service: str | None) -> tuple[Pin | None, str]:
    """The pin of a service, or None; and the words for what cannot be pinned."""
    if service is None:
        return None, "what belongs to no service"
    pin = pin_of(subject, service) if may_be_offered(subject, service) else None
    if may_be_offered(subject, service):
        return pin, "an image that the commit builds"
    return pin, "a service among so many"


def _need(finding: Finding, rule: Rule, pin: Pin | None) -> Grant | BindGrant:
    service, bind = finding.service or "*", finding.bind
    if bind:
        path = str(bind["path"])
        host = str(bind.get("host") or path)
        return BindGrant(path, host, "", finding.stack, service, bool(bind["read_only"]), pin)
    named = rule.values is not Values.NONE and finding.value is not None
    return Grant(rule.id, finding.stack, service, "", (finding.value or "",) if named else (), pin)


def entry(need: Grant | BindGrant) -> Mapping[str, Any]:
    """The entry that the operator would write, without the reason."""
    where = {"stack": need.stack, "service": need.service}
    pin = pin_entry(need.pin) if need.pin else {}
    if isinstance(need, BindGrant):
        host = {"host": need.host} if need.host != need.path else {}
        return {"path": need.path, **host, **where, "read_only": need.read_only, **pin}
    values = {"values": list(need.values)} if need.values else {}
    return {"policy": need.policy, **values, **where, **pin}


def pin_entry(pin: Pin) -> Mapping[str, Any]:
    """A pin, in the form of the config."""
    words = {key: list(value) for key in ("entrypoint", "command") if (value := getattr(pin, key)) is not None}
    return {"image": pin.image, **words, **({"rest": pin.rest} if pin.rest else {})}
