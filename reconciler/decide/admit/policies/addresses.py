"""Addresses that a commit chooses. They are allowed if the commit may choose the subnet that contains them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from reconciler.decide.admit.policies.subject import Finding, Json, ServiceSubject, Subject
from reconciler.formats import forms
from reconciler.formats.cidr import lies_in, range_of
from reconciler.formats.yamls import Pointer

RULE = "invalid-value"


def of_service(service: ServiceSubject) -> Iterator[Finding]:
    networks: Json = service.of.model.get("networks") or {}
    for key, options in (service.model.get("networks") or {}).items():
        definition: Json = networks.get(key) or {}
        pools = [str(pool.get("subnet") or "") for pool in _pools_of(definition)]
        for version, name in ((4, "ipv4_address"), (6, "ipv6_address")):
            chosen = str((options or {}).get(name) or "")
            if definition.get("external") or not forms.address(version)(chosen):
                continue
            if not lies_in(chosen, pools):
                what = f"{name} {chosen} is in no subnet that the network {key} names under ipam"
                yield service.finding(RULE, ("networks", key, name), what)
            elif any(forms.is_edge(chosen, pool) for pool in pools):
                yield service.finding(RULE, ("networks", key, name), f"{name} {chosen} is not a host's address")


def of_networks(subject: Subject) -> Iterator[Finding]:
    for key, definition in (subject.model.get("networks") or {}).items():
        for index, pool in enumerate(_pools_of(definition or {})):
            place: Pointer = ("networks", key, "ipam", "config", index)
            subnet = str(pool.get("subnet") or "")
            inner: dict[Pointer, Any] = {("gateway",): pool.get("gateway"), ("ip_range",): pool.get("ip_range")}
            inner |= {("aux_addresses", name): item for name, item in (pool.get("aux_addresses") or {}).items()}
            for where, text in inner.items():
                if text and not subnet:
                    yield subject.finding(RULE, place, f"network {key} has {where[0]} without a subnet")
                elif text and forms.subnet(subnet) and range_of(str(text)) and not lies_in(str(text), [subnet]):
                    what = f"network {key}: {where[0]} {text} is not in the subnet {subnet}"
                    yield subject.finding(RULE, (*place, *where), what)
                elif where == ("gateway",) and forms.is_edge(str(text), subnet):
                    yield subject.finding(RULE, (*place, *where), f"network {key}: {text} is not a host's address")


def _pools_of(definition: Json) -> list[Json]:
    return [pool or {} for pool in (definition.get("ipam") or {}).get("config") or ()]
