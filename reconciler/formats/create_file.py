"""The create-file, from which Compose creates containers, and the differences in what Compose reads from it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from reconciler.formats.compose_names import NAMESPACES
from reconciler.formats.readable import readable
from reconciler.model.creation import Creation

_PAIR = re.compile(r"\\\\|\\u(d[89ab][0-9a-f]{2})\\u(d[c-f][0-9a-f]{2})")
"""A pair of surrogates in JSON; or a backslash in a text, so that what follows it is not taken for one."""

UNREAD = "this is a defect of reconciler: report it; until then write the value in another form; nothing is quarantined"


def create_file(creations: Sequence[Creation], keys: Mapping[str, str]) -> dict[str, Any]:
    """The project for one call: these services, and their existing networks and volumes.

    `keys`: networks that have Compose's key, as in their labels. The others are external.
    """
    services = {item.service.name: _in_networks(_service(item), keys) for item in creations}
    networks = {name for item in creations for name in item.service.config.get("networks") or ()}
    volumes = {
        mount["source"]
        for config in services.values()
        for mount in config.get("volumes") or ()
        if mount["type"] == "volume" and mount.get("source")
    }
    owned = {keys[name]: {"name": name} for name in sorted(networks & keys.keys())}
    return {
        "services": services,
        "networks": owned | _external(networks - keys.keys()),
        "volumes": _external(volumes),
    }


def written(project: Mapping[str, Any]) -> bytes:
    """The bytes that Compose reads as this project. It reads JSON as YAML, which has no pairs of surrogates: characters
    beyond 16 bits (emoji) are written in YAML's own form."""
    return _PAIR.sub(_in_yaml, json.dumps(escaped(project))).encode()


def _in_yaml(found: re.Match[str]) -> str:
    if found[1] is None:
        return found[0]
    return f"\\U{0x10000 + ((int(found[1], 16) - 0xD800) << 10) + (int(found[2], 16) - 0xDC00):08x}"


def escaped(value: Any) -> Any:
    """`value` with each `$` doubled, which keeps Compose from replacing variables; keys are unchanged."""
    if isinstance(value, str):
        return value.replace("$", "$$")
    if isinstance(value, Mapping):
        return {key: escaped(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [escaped(item) for item in value]
    return value


def _external(names: Iterable[str]) -> dict[str, Any]:
    return {name: {"name": name, "external": True} for name in sorted(names)}


def _in_networks(config: dict[str, Any], keys: Mapping[str, str]) -> dict[str, Any]:
    attached = config.get("networks")
    if not attached:
        return config
    return config | {"networks": {keys.get(name, name): options for name, options in attached.items()}}


def _service(creation: Creation) -> dict[str, Any]:
    config = dict(creation.service.config)
    if creation.name:
        config["container_name"] = creation.name
    mounts = [*_taken_over(config.get("volumes") or (), creation.anonymous)]
    if mounts:
        config["volumes"] = mounts
    for key in NAMESPACES:
        shared = str(config.get(key) or "").removeprefix("service:")
        if shared in creation.sharing and config[key] != shared:
            config[key] = f"container:{creation.sharing[shared]}"
    if config.get("volumes_from"):
        config["volumes_from"] = [_volumes_from(item, creation.sharing) for item in config["volumes_from"]]
    return config


def _taken_over(mounts: Sequence[Mapping[str, Any]], anonymous: Mapping[str, str]) -> Iterable[dict[str, Any]]:
    """Anonymous mounts get the predecessor's volume; targets that only the image declares are added."""
    left = dict(anonymous)
    for mount in mounts:
        unnamed = mount["type"] == "volume" and not mount.get("source")
        source = left.pop(mount["target"], None)
        yield {**mount, "source": source} if unnamed and source else dict(mount)
    for target, source in sorted(left.items()):
        yield {"type": "volume", "source": source, "target": target}


def _volumes_from(item: str, sharing: Mapping[str, str]) -> str:
    service, _, mode = item.partition(":")
    if service not in sharing:
        return item
    return f"container:{sharing[service]}" + (f":{mode}" if mode else "")


def differences(written: Mapping[str, Any], read: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Service and key of each value that Compose reads differently from what is written. `written`: a create-file
    before it is escaped; `read`: Compose's canonical model of it."""
    for name, body in written["services"].items():
        found = readable((read.get("services") or {}).get(name) or {})
        for key in sorted({*body, *found} - {"depends_on"}):  # which it adds for shared namespaces
            if _plain(body.get(key)) != _plain(found.get(key)):
                yield name, key


def _plain(value: Any) -> Any:
    """The value without what Compose leaves out or adds for unset keys."""
    if isinstance(value, Mapping):
        plain = {key: _plain(item) for key, item in value.items()}
        said = {key: item for key, item in plain.items() if (key, item) != ("create_host_path", False)}
        return {key: item for key, item in said.items() if item is not None} or None
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
