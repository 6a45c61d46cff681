"""Grants and binds in the agent config: their values, and their mistakes with the line to write instead."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from reconciler.formats import grants as forms
from reconciler.formats.bundles import bundles
from reconciler.formats.rules import Values, rules, rules_of_keys
from reconciler.formats.schemas import suggestion
from reconciler.model.documents import BindGrant, Grant, Pin

Json = Mapping[str, Any]
Wrong = tuple[str, str]
"""The mistake, and what to write."""

PINNED = "image: IMAGE, entrypoint: …, command: […], rest: …"
_FIND_OUT = "Remove the entry and run `reconciler validate`: it prints the whole line for the commit."


def grants(values: Json) -> tuple[Grant, ...]:
    """The grants of a config without mistakes, those of bundles included."""
    found = []
    for item in values.get("grants", ()):
        if not item.get("bundle"):
            found.append(_grant(item, item["policy"], tuple(item.get("values", ()))))
        else:
            bundle = bundles()[item["bundle"]]
            found += [_grant(item, policy, given) for policy, given in bundle.grants]
    return tuple(found)


def binds(values: Json) -> tuple[BindGrant, ...]:
    """The binds of a config without mistakes, those of bundles included."""
    found = [
        _bind(item, item["path"], item.get("host") or "", item.get("read_only", True))
        for item in values.get("binds", ())
    ]
    for item in values.get("grants", ()):
        if item.get("bundle"):
            found += [_bind(item, path, "", read_only) for path, read_only in bundles()[item["bundle"]].binds]
    return tuple(found)


def wrong_grant(item: Json, signed: bool) -> Iterator[Wrong]:
    """Mistakes of a grant. `signed`: every commit needs the operator's signature, or comes from the operator."""
    policy, bundle = item.get("policy"), item.get("bundle")
    if bool(policy) == bool(bundle):
        yield "must have either policy or bundle", f"Write {_line(item, {'policy': policy or 'RULE'})}"
    elif bundle:
        yield from _wrong_bundle(item, bundle)
    else:
        yield from _wrong_policy(item, str(policy), signed)
    yield from _wrong_pin(item)


def wrong_bind(item: Json, signed: bool, own: tuple[str, ...]) -> Iterator[Wrong]:
    """Mistakes of a bind. `signed`: as for `wrong_grant`. `own`: the agent's own files and folders."""
    read_only = item.get("read_only", True)
    why = forms.root_path(str(item.get("host") or item["path"]), read_only=read_only, own=own)
    if why and not item.get("image") and not signed:
        yield f"is equal to root ({why})", _pin_it(_line({**item, "read_only": read_only}, {"path": item["path"]}))
    yield from _wrong_pin(item)


def _wrong_bundle(item: Json, bundle: str) -> Iterator[Wrong]:
    if bundle not in bundles():
        told = suggestion(bundle, bundles()) or f"There are: {', '.join(bundles())}."
        yield f"names the bundle {bundle}, which does not exist", told
    if "values" in item:
        yield "must not have values: a bundle has its own", "Remove values."
    if "*" in (item.get("stack", "*"), item.get("service", "*")):
        line = _line({"stack": "STACK", "service": "SERVICE", **_named(item)}, {"bundle": bundle})
        yield "must name one stack and one service", f"Write {line}"


def _wrong_policy(item: Json, policy: str, signed: bool) -> Iterator[Wrong]:
    known = {name for name, rule in rules().items() if rule.granted} | set(rules_of_keys())
    if policy == "absolute-bind":
        line = _line({**item, "read_only": True}, {"path": "/PATH"})
        yield "is no grant: paths are allowed one by one", f"Write it under binds: {line}"
        return
    if policy not in known:
        fixed = policy in rules()
        told = "No grant lifts it; fix the commit instead." if fixed else suggestion(policy, known)
        yield (
            f"names the policy {policy}, which {'cannot be granted' if fixed else 'does not exist'}",
            (told or "docs/policies.md has them all."),
        )
        return
    lifted = [rules()[name] for name in rules_of_keys().get(policy, {policy})]
    given = [str(value) for value in item.get("values", ())]
    if "*" in given:
        yield "has the value '*', which matches nothing", "Name each value."
    if given and all(rule.values is Values.NONE for rule in lifted):
        yield f"has values, and {policy} knows none", "Remove values."
    needed = next((rule for rule in lifted if rule.values is Values.REQUIRED), None)
    if needed and not given:
        line = _line({"values": [needed.example], **item}, {"policy": policy})
        yield f"allows {policy} without values", f"Write {line} with the values to allow. {_FIND_OUT}"
    asked = [policy if value == "host" else value for value in given] or [""]  # {policy: pid, values: [host]}
    why = {forms.root(rule.id, forms.normal(rule.id, value)) for rule in lifted for value in asked} - {""}
    if why and not item.get("image") and not signed:
        yield f"is equal to root ({min(why)})", _pin_it(_line(item, {"policy": policy}))


def _wrong_pin(item: Json) -> Iterator[Wrong]:
    extra = [key for key in ("entrypoint", "command", "rest") if item.get(key)]
    if extra and not item.get("image"):
        yield f"has {' and '.join(extra)} without image", "Write image, too."


def _pin_it(line: str) -> str:
    return (
        f"Write the image, entrypoint and command that alone may have it: {line[:-1]}, {PINNED}}}. {_FIND_OUT} "
        "Or let source.allowed_signers say who may change what runs."
    )


def _named(item: Json) -> Json:
    return {key: value for key, value in item.items() if value != "*"}


def _line(item: Json, first: Json) -> str:
    """The entry as one line of YAML."""
    order = ("values", "host", "stack", "service", "read_only", "image", "entrypoint", "command", "rest", "reason")
    shown = {**first, **{key: item[key] for key in order if key in item}}
    return forms.line(shown)


def _grant(item: Json, policy: str, values: tuple[str, ...]) -> Grant:
    where = item.get("stack", "*"), item.get("service", "*")
    return Grant(policy, *where, item["reason"], values, _pin(item), item.get("bundle", ""))


def _bind(item: Json, path: str, host: str, read_only: bool) -> BindGrant:
    where = item.get("stack", "*"), item.get("service", "*")
    return BindGrant(path, host or path, item["reason"], *where, read_only, _pin(item), item.get("bundle", ""))


def _pin(item: Json) -> Pin | None:
    if not item.get("image"):
        return None
    entrypoint, command = item.get("entrypoint"), item.get("command")
    return Pin(
        item["image"],
        None if entrypoint is None else tuple(entrypoint),
        None if command is None else tuple(command),
        item.get("rest", ""),
    )
