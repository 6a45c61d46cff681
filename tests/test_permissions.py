"""Grants and binds from outside: what is rejected at the start, and that the printed line is the needed one."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from reconciler.decide.redact import Redactor
from reconciler.effects import Effects
from reconciler.errors import Usage
from reconciler.observe.folder import FolderFiles
from reconciler.settings import load_settings
from reconciler.verbs.validate import validate_files
from reconciler.wiring.reading import Reading
from tests.corpus.public import newest_compose

LEAST = "host: mini\nsource: {url: /srv/x.git}\nstate: /var/lib/reconciler\n"
SIGNED = LEAST.replace("x.git", "x.git, allowed_signers: /etc/reconciler/signers")


def refusal(tmp_path: Path, text: str) -> str:
    """What the start says, with its place; '' where it takes the config."""
    config = tmp_path / "reconciler.yaml"
    config.write_text(text)
    config.chmod(0o600)
    try:
        load_settings(str(config), {"HOME": "/home/op"})
    except Usage as error:
        return "\n".join([error.message, *error.details]).replace(f"{config}:", "")
    return ""


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ("{policy: capability, reason: x}", "{policy: capability, values: [NET_ADMIN], reason: x}"),
        ("{policy: cap_add, stack: s, reason: x}", "{policy: cap_add, values: [NET_ADMIN], stack: s, reason: x}"),
        ("{policy: devices, service: w, reason: x}", "values: [/dev/net/tun], service: w, reason: x}"),
        ("{policy: sysctls, reason: x}", "{policy: sysctls, values: [net.core.rmem_max], reason: x}"),
        ("{policy: host-namespace, reason: x}", "{policy: host-namespace, values: [pid], reason: x}"),
        ("{policy: network_mode, reason: x}", "without values"),
        ("{policy: volumes_from, reason: x}", "without values"),
        ("{policy: volume-driver, reason: x}", "values: [nfs://nas.lan]"),
        ("{policy: capability, values: [], reason: x}", "without values"),
        ("{policy: capability, values: ['*'], reason: x}", "matches nothing"),
        ("{policy: absolute-bind, stack: s, reason: x}", "binds: {path: /PATH, stack: s, read_only: true, reason: x}"),
        ("{policy: develop, values: [x], reason: x}", "knows none"),
        ("{policy: privleged, reason: x}", "Did you mean 'privileged'?"),
        ("{policy: provider, reason: x}", "cannot be granted"),
        ("{policy: '*', reason: x}", "does not exist"),
        ("{reason: x}", "either policy or bundle"),
        ("{policy: privileged, bundle: vpn, reason: x}", "either policy or bundle"),
        ("{bundle: vpm, stack: s, service: w, reason: x}", "Did you mean 'vpn'?"),
        ("{bundle: vpn, reason: x}", "{bundle: vpn, stack: STACK, service: SERVICE, reason: x}"),
        ("{bundle: vpn, stack: s, service: '*', reason: x}", "{bundle: vpn, stack: s, service: SERVICE, reason: x}"),
        ("{bundle: vpn, stack: s, service: w, values: [x], reason: x}", "has its own"),
        ("{policy: group-add, values: [docker], command: [x], reason: x}", "without image"),
    ],
)
def test_a_grant_that_says_too_little_is_refused_with_the_line_to_write(tmp_path: Path, entry: str, told: str) -> None:
    found = refusal(tmp_path, f"{LEAST}grants:\n  - {entry}\n")
    assert "4:" not in found.splitlines()[0]
    assert found.startswith("5:5: grants[0] ")
    assert told in found


ROOT = (
    "grants: [{policy: privileged, reason: x}]",
    "grants: [{policy: docker-socket, stack: s, service: w, reason: x}]",
    "grants: [{policy: capability, values: [NET_ADMIN, cap_sys_admin], reason: x}]",
    "grants: [{policy: pid, values: [host], reason: x}]",
    "grants: [{policy: devices, values: ['/dev/sda:/dev/net/tun'], reason: x}]",
    "grants: [{policy: devices, values: [/dev], reason: x}]",
    "grants: [{policy: security-opt, values: ['systempaths:unconfined'], reason: x}]",
    "grants: [{policy: volume-driver, values: [/etc], reason: x}]",
    "grants: [{policy: runtime, values: [/usr/local/bin/x], reason: x}]",
    "grants: [{policy: build-privileged, reason: x}]",
    "grants: [{policy: build, values: [host], reason: x}]",
    "binds: [{path: /, reason: x}]",
    "binds: [{path: /var, reason: x}]",
    "binds: [{path: //etc/, reason: x}]",
    "binds: [{path: /data, host: /root, reason: x}]",
    "binds: [{path: /proc, reason: x}]",
    "binds: [{path: /sys, read_only: false, reason: x}]",
    "binds: [{path: /var/lib, reason: x}]",
    "binds: [{path: /var/lib/reconciler/data, reason: x}]",
)


@pytest.mark.parametrize("entry", ROOT)
def test_what_is_equal_to_root_is_called_so_and_pinned(tmp_path: Path, entry: str) -> None:
    found = refusal(tmp_path, f"{LEAST}{entry}\n")
    assert "is equal to root (" in found
    assert "image: IMAGE, entrypoint: …, command: […]" in found
    assert "source.allowed_signers" in found
    assert refusal(tmp_path, f"{LEAST}{entry.replace('reason: x', 'image: web:1, reason: x')}\n") == ""
    assert refusal(tmp_path, f"{SIGNED}{entry}\n") == ""
    assert refusal(tmp_path, f"{LEAST}trust: owner\n{entry}\n") == ""


@pytest.mark.parametrize("entry", ["{path: /sys, reason: x}", "{path: /srv, read_only: false, reason: x}"])
def test_other_paths_need_no_pin(tmp_path: Path, entry: str) -> None:
    assert refusal(tmp_path, f"{LEAST}binds: [{entry}]\n") == ""


def test_whom_to_trust_is_one_of_two_words(tmp_path: Path) -> None:
    assert 'trust must be "strangers" or "owner"' in refusal(tmp_path, f"{LEAST}trust: everybody\n")


# ------------------------------------------------------------------------------------------------ with `validate`

Judge = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def judge(tmp_path: Path) -> Judge:
    """services, and what the agent config says → the denials of `validate`."""
    repository, config = tmp_path / "repository", tmp_path / "agent" / "reconciler.yaml"
    repository.mkdir()
    config.parent.mkdir()
    compose = newest_compose()

    def run(services: dict[str, Any], objects: dict[str, Any] | None = None, **settings: Any) -> list[dict[str, Any]]:
        (repository / "compose.yaml").write_text(json.dumps({"name": "home", "services": services, **(objects or {})}))
        usual = {"host": "mini", "source": {"url": str(repository)}, "state": str(tmp_path / "state")}
        config.write_text(json.dumps({**usual, "compose": str(compose), **settings}))
        config.chmod(0o600)
        given = load_settings(str(config), os.environ)
        preparer = Reading(given, Redactor(), os.environ, Effects()).preparer(tmp_path / "render", "mini", True)
        code, document = validate_files(FolderFiles(repository), "", "mini", True, lambda *_: preparer)
        denied = [item for item in document["violations"] if item["level"] == "deny"]
        assert (code, document["valid"]) == (1 if denied else 0, not denied)
        return denied

    return run


def proposed(denied: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """The entries that the remedies name, with a reason filled in."""
    found: dict[str, list[Any]] = {"grants": [], "binds": []}
    for item in denied:
        kind, line = re.findall(r"(grants|binds): \[(\{.*\})\]\.$", item["hint"])[0]
        found[kind].append(yaml.safe_load(line.replace("reason: …", "reason: tested")))
    return found


HOME: dict[str, dict[str, Any]] = {
    "tunnel": {
        "image": "wireguard:1",
        "cap_add": ["NET_ADMIN", "SYS_MODULE"],
        "devices": ["/dev/net/tun:/dev/net/tun"],
        "sysctls": {"net.ipv4.ip_forward": 1, "net.ipv4.conf.all.src_valid_mark": 1, "net.ipv6.conf.all.forwarding": 1},
        "volumes": ["/lib/modules:/lib/modules:ro", "/etc/localtime:/etc/localtime:ro"],
        "environment": {"PEERS": "2"},
    },
    "exporter": {
        "image": "exporter:1",
        "command": ["--path.rootfs=/host"],
        "pid": "host",
        "network_mode": "host",
        "volumes": ["/:/host:ro,rslave", "/proc:/host/proc:ro"],
    },
    "proxy": {
        "image": "proxy:1",
        "command": "--providers.docker",
        "volumes": ["/var/run/docker.sock:/var/run/docker.sock:ro", "./proxy.toml:/etc/proxy.toml:ro", "acme:/acme"],
    },
    "films": {"image": "films:1", "volumes": ["/srv/films:/films", "nas:/nas"]},
}
OBJECTS = {
    "volumes": {
        "acme": {},
        "nas": {"driver_opts": {"type": "nfs", "o": "addr=nas.lan,ro", "device": ":/films"}},
    }
}
ATTACKS: dict[str, dict[str, dict[str, Any]]] = {
    "a stronger capability": {"tunnel": {"cap_add": ["NET_ADMIN", "SYS_MODULE", "SYS_ADMIN"]}},
    "a disk for a tunnel": {"tunnel": {"devices": ["/dev/sda:/dev/net/tun"]}},
    "a program for a module": {"tunnel": {"command": ["sh", "-c", "evil"]}},
    "an environment": {"tunnel": {"environment": {"PEERS": "2", "LD_PRELOAD": "/x"}}},
    "the machine to be written": {"films": {"volumes": ["/:/host"]}},
    "etc for films": {"films": {"volumes": ["/etc:/films"]}},
    "beyond the path": {"films": {"volumes": ["/srv:/films"]}},
    "the exporter's path elsewhere": {"films": {"volumes": ["/proc:/proc2:ro"]}},
    "an exporter of their own": {"exporter": {"image": "evil:1"}},
    "a health check": {"exporter": {"healthcheck": {"test": ["CMD", "evil"]}}},
    "a proxy of their own": {"proxy": {"image": "evil:1"}},
    "an entrypoint": {"proxy": {"entrypoint": ["sh"]}},
    "a program over the proxy": {
        "proxy": {"volumes": ["/var/run/docker.sock:/var/run/docker.sock:ro", "./evil:/usr/bin/proxy"]}
    },
    "whoever asks the proxy": {"evil": {"image": "evil:1", "volumes_from": ["proxy"]}},
    "whoever sees its processes": {"evil": {"image": "evil:1", "pid": "service:proxy"}},
    "whoever writes what it reads": {"evil": {"image": "evil:1", "volumes": ["acme:/acme"]}},
    "the host's network": {"evil": {"image": "evil:1", "network_mode": "service:exporter"}},
}


def test_the_printed_lines_admit_what_they_were_printed_for_and_nothing_else(judge: Judge, tmp_path: Path) -> None:
    (tmp_path / "repository/proxy.toml").write_text("x")
    (tmp_path / "repository/evil").write_text("x")
    denied = judge(HOME, OBJECTS)
    assert {item["service"] for item in denied} == {"tunnel", "exporter", "proxy", "films", None}
    leave = proposed(denied)
    assert judge(HOME, OBJECTS, **leave) == []
    for name, attack in ATTACKS.items():
        services = {**HOME, **{service: {**HOME.get(service, {}), **keys} for service, keys in attack.items()}}
        assert judge(services, OBJECTS, **leave) != [], name
    evil = {"volumes": {**OBJECTS["volumes"], "nas": {"driver_opts": {"type": "none", "o": "bind", "device": "/"}}}}
    # Films could write the modules that the tunnel reads, too.
    assert [item["rule"] for item in judge(HOME, evil, **leave)] == ["capability", "volume-driver"]
    (tmp_path / "repository/proxy.toml").write_text("plugins = 'evil'")
    assert [item["service"] for item in judge(HOME, OBJECTS, **leave)] == ["proxy"]


def test_the_owner_is_warned_and_a_bundle_covers_its_kind(judge: Judge, tmp_path: Path) -> None:
    (tmp_path / "repository/proxy.toml").write_text("x")
    assert judge(HOME, OBJECTS, trust="owner") == []
    tunnel = {"tunnel": {**HOME["tunnel"], "cap_add": ["NET_ADMIN"]}}
    assert judge(tunnel, grants=[{"bundle": "vpn", "stack": "home", "service": "tunnel", "reason": "x"}]) == []
    assert judge(tunnel, grants=[{"bundle": "vpn", "stack": "home", "service": "other", "reason": "x"}]) != []
    bundle = {"bundle": "monitoring", "stack": "home", "service": "exporter", "reason": "x"}
    assert judge({"exporter": HOME["exporter"]}, grants=[bundle]) != []
    pinned = {**bundle, "image": "exporter:1", "command": ["--path.rootfs=/host"]}
    assert judge({"exporter": HOME["exporter"]}, grants=[pinned]) == []
    assert judge({"exporter": {**HOME["exporter"], "command": ["sh"]}}, grants=[pinned]) != []
