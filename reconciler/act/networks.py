"""Turns Compose's canonical definitions of networks and volumes into the engine's requests. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from docker.types import IPAMConfig, IPAMPool

from reconciler.model.desired import Endpoint, Network, Volume
from reconciler.model.observed import COMPOSE_PROJECT, LABEL_HOST, LABEL_SPEC, LABEL_STACK

COMPOSE_NETWORK = "com.docker.compose.network"
COMPOSE_VOLUME = "com.docker.compose.volume"


def network_request(network: Network, host: str) -> dict[str, Any]:
    """Arguments of the client's `create_network`, with Compose's labels and ours."""
    definition = network.definition
    labels = _labels(network, host) | {COMPOSE_NETWORK: network.key, LABEL_SPEC: network.digest}
    return {
        "name": network.name,
        "driver": definition.get("driver"),
        "options": _words(definition.get("driver_opts")),
        "ipam": _ipam(definition.get("ipam") or {}),
        "internal": bool(definition.get("internal")),
        "attachable": bool(definition.get("attachable")),
        "enable_ipv6": bool(definition.get("enable_ipv6")),
        "labels": labels,
    }


def volume_request(volume: Volume, host: str) -> dict[str, Any]:
    """Arguments of the client's `create_volume`, with Compose's labels and ours."""
    return {
        "name": volume.name,
        "driver": volume.definition.get("driver"),
        "driver_opts": _words(volume.definition.get("driver_opts")),
        "labels": _labels(volume, host) | {COMPOSE_VOLUME: volume.key},
    }


def endpoint_request(endpoint: Endpoint) -> dict[str, Any]:
    """Arguments of the client's `connect_container_to_network` for the whole endpoint."""
    return {
        "ipv4_address": endpoint.ipv4,
        "ipv6_address": endpoint.ipv6,
        "aliases": list(endpoint.aliases),
        "link_local_ips": list(endpoint.link_local) or None,
        "driver_opt": dict(endpoint.driver_opts) or None,
        "mac_address": endpoint.mac,
    }


def is_endpoint(present: Mapping[str, Any], endpoint: Endpoint) -> bool:
    """Whether a container's endpoint in a network (by inspect) has everything that is desired."""
    addresses = present.get("IPAMConfig") or {}
    wanted = (endpoint.ipv4 or "", endpoint.ipv6 or "")
    there = (addresses.get("IPv4Address") or "", addresses.get("IPv6Address") or "")
    fixed = all(not asked or asked == found for asked, found in zip(wanted, there, strict=True))
    return fixed and set(endpoint.aliases) <= set(present.get("Aliases") or ())


def limits_request(limits: Mapping[str, Any]) -> dict[str, Any]:
    """Body of an update. A limit of 0 or '' cannot be requested and is left out; the limit of processes is removed."""
    words = {
        "memory": "Memory",
        "memory with swap": "MemorySwap",
        "memory reservation": "MemoryReservation",
        "cpus": "NanoCpus",
        "cpu shares": "CpuShares",
        "cpu set": "CpusetCpus",
        "cpu quota": "CpuQuota",
    }
    return {words[name]: value for name, value in limits.items() if name in words and value} | {
        "PidsLimit": limits.get("pids") or -1
    }


def _labels(owned: Network | Volume, host: str) -> dict[str, str]:
    own = _words(owned.definition.get("labels")) or {}
    return own | {COMPOSE_PROJECT: owned.stack, LABEL_HOST: host, LABEL_STACK: owned.stack}


def _ipam(definition: Mapping[str, Any]) -> IPAMConfig | None:
    if not definition:
        return None
    pools = [
        IPAMPool(
            subnet=pool.get("subnet"),
            iprange=pool.get("ip_range"),
            gateway=pool.get("gateway"),
            aux_addresses=_words(pool.get("aux_addresses")),
        )
        for pool in definition.get("config") or ()
    ]
    return IPAMConfig(definition.get("driver") or "default", pools, _words(definition.get("options")))


def _words(mapping: Mapping[str, Any] | None) -> dict[str, str] | None:
    """The engine accepts only text; Compose's JSON can contain numbers and booleans."""
    if not mapping:
        return None
    return {key: _word(value) for key, value in mapping.items()}


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else "" if value is None else str(value)
