"""The table has every key of the Compose specification, and every key that it denies is denied."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from reconciler.decide.admit.policies.manual import manual
from reconciler.decide.admit.policies.values import FORMS
from reconciler.formats.rules import keys, rules
from reconciler.model.outcome import Level
from tests.decide.judging import ROOT, Commit, denied, judge, warned

REPOSITORY = Path(__file__).parents[2]
KINDS = {"allow", "deny", "warn", "grant"}
OUT = "https://example.org/code.git"


def schema_keys() -> set[str]:
    schema = json.loads(files("reconciler").joinpath("data/compose-spec.schema.json").read_text())
    return set(_paths(schema, schema["definitions"], "", frozenset()))


def _paths(part: Any, definitions: Any, path: str, above: frozenset[str]) -> Iterator[str]:
    if "$ref" in part:
        name = part["$ref"].rpartition("/")[2]
        if name not in above:
            yield from _paths(definitions[name], definitions, path, above | {name})
        return
    for key, value in (part.get("properties") or {}).items():
        below = f"{path}.{key}" if path else key
        yield below
        yield from _paths(value, definitions, below, above)
    named = [value for pattern, value in (part.get("patternProperties") or {}).items() if pattern != "^x-"]
    if isinstance(part.get("additionalProperties"), dict):
        named.append(part["additionalProperties"])
    for value in named:
        yield from _paths(value, definitions, f"{path}.*", above)
    if isinstance(part.get("items"), dict):
        yield from _paths(part["items"], definitions, f"{path}[]", above)
    for word in ("oneOf", "anyOf", "allOf"):
        for value in part.get(word, ()):
            yield from _paths(value, definitions, path, above)


def model_with(path: str, value: Any) -> dict[str, Any]:
    """The smallest model that Compose could print in which the key at `path` has this value."""
    names = path.replace("[]", ".[]").split(".")
    for position, name in reversed(list(enumerate(names))):
        value = [value] if name == "[]" else {("web" if position == 1 else "other") if name == "*" else name: value}
    web = (value.get("services") or {}).get("web") or {}
    if web.get("build"):
        web["build"].setdefault("context", ROOT)
    for mount in web.get("volumes") or ():
        mount.setdefault("type", "tmpfs")
    return dict(value)


def service(**keys: Any) -> dict[str, Any]:
    return {"services": {"web": keys}}


def shared(**keys: Any) -> dict[str, Any]:
    """A service whose processes another service sees."""
    return {"services": {"web": {"mem_limit": str(1 << 30), **keys}, "side": {"pid": "service:web"}}}


def bind(source: str, **options: Any) -> dict[str, Any]:
    return service(volumes=[{"type": "bind", "source": source, "target": "/x", **options}])


BY_VALUE: dict[str, tuple[dict[str, Any], str]] = {
    "services.*.network_mode": (service(network_mode="host"), "host-namespace"),
    "services.*.pid": (service(pid="host"), "host-namespace"),
    "services.*.ipc": (service(ipc="container:db"), "foreign-container"),
    "services.*.uts": (service(uts="host"), "host-namespace"),
    "services.*.cgroup": (service(cgroup="host"), "host-namespace"),
    "services.*.userns_mode": (service(userns_mode="host"), "host-namespace"),
    "services.*.volumes[].source": (bind("/etc"), "absolute-bind"),
    "services.*.volumes[].type": (service(volumes=[{"type": "npipe", "target": "/x"}]), "mount-type"),
    "services.*.volumes[].bind.propagation": (bind(f"{ROOT}/a", bind={"propagation": "shared"}), "bind-propagation"),
    "services.*.cap_add": (service(cap_add=["SYS_ADMIN"]), "capability"),
    "services.*.security_opt": (service(security_opt=["seccomp:unconfined"]), "security-opt"),
    "services.*.sysctls": (service(sysctls={"kernel.shmmax": "1"}), "sysctl"),
    "services.*.runtime": (service(runtime="/tmp/evil"), "runtime"),
    "services.*.oom_score_adj": (service(oom_score_adj=-1), "oom-score"),
    "services.*.group_add": (service(group_add=["docker"]), "group-add"),
    "services.*.shm_size": (shared(shm_size="134217728"), "tmpfs-size"),
    "services.*.tmpfs": (shared(tmpfs=["/t:size=1m"]), "tmpfs-size"),
    "services.*.volumes[].tmpfs": (shared(volumes=[{"type": "tmpfs", "target": "/t"}]), "tmpfs-size"),
    "services.*.annotations": (service(annotations={"run.oci.handler": "x"}), "runtime-annotation"),
    "services.*.volumes_from": (service(volumes_from=["container:db"]), "foreign-container"),
    "services.*.labels": (service(labels={"com.docker.compose.project": "x"}), "reserved-label"),
    "services.*.build.labels": (
        service(build={"context": ROOT, "labels": {"dev.reconciler.spec": "x"}}),
        "reserved-label",
    ),
    "services.*.build.context": (service(build={"context": OUT}), "build-remote"),
    "services.*.build.dockerfile": (
        service(build={"context": ROOT, "dockerfile": "../../etc/passwd"}),
        "build-outside",
    ),
    "services.*.build.dockerfile_inline": (
        service(build={"context": ROOT, "dockerfile_inline": "# syntax=evil/front\nFROM x"}),
        "build-frontend",
    ),
    "services.*.build.args": (
        service(build={"context": ROOT, "args": {"BUILDKIT_SYNTAX": "evil/front"}}),
        "build-frontend",
    ),
    "services.*.build.secrets[].source": (
        service(build={"context": ROOT, "secrets": [{"source": "t"}]}),
        "build-secrets",
    ),
    "services.*.build.additional_contexts": (
        service(build={"context": ROOT, "additional_contexts": {"a": "/etc"}}),
        "build-outside",
    ),
    "services.*.build.network": (service(build={"context": ROOT, "network": "host"}), "build-network"),
    "services.*.build.cache_from": (
        service(build={"context": ROOT, "cache_from": ["type=local,src=/etc"]}),
        "build-cache",
    ),
    "services.*.depends_on": (
        {"services": {"a": {"depends_on": {"b": {}}}, "b": {"depends_on": {"a": {}}}}},
        "dependency-cycle",
    ),
    "services.*.container_name": (
        {"services": {"a": {"container_name": "xy"}, "b": {"container_name": "xy"}}},
        "name-conflict",
    ),
    "services.*.mac_address": (
        {"services": {name: {"mac_address": "02:42:0a:00:00:01", "networks": {"n": None}} for name in "ab"}},
        "address-conflict",
    ),
    **{
        f"services.*.networks.*.{key}": (
            {"services": {name: {"networks": {"n": {key: address}}} for name in "ab"}},
            "address-conflict",
        )
        for key, address in {
            "ipv4_address": "10.1.2.3",
            "ipv6_address": "fd00::1",
            "mac_address": "02:42:0a:00:00:01",
        }.items()
    },
    "services.*.stop_grace_period": (service(stop_grace_period="1000h0m0s"), "stop-grace-period"),
    "services.*.scale": (service(container_name="xy", scale=2), "replicas-with-name"),
    "services.*.deploy.replicas": (service(container_name="xy", deploy={"replicas": 2}), "replicas-with-name"),
    "services.*.ports": (service(ports=[{"target": 1, "published": "80"}] * 2), "port-conflict"),
    "services.*.ports[].published": (service(scale=2, ports=[{"target": 1, "published": "80"}]), "port-conflict"),
    "services.*.logging.driver": (service(logging={"driver": "syslog"}), "logging-driver"),
    "networks.*.ipam.config[].subnet": (
        {"networks": {"n": {"ipam": {"config": [{"subnet": "8.8.8.0/24"}]}}}},
        "network-subnet",
    ),
    **{
        f"networks.*.ipam.config[].{key}": (
            {"networks": {"n": {"ipam": {"config": [{key: value}]}}}},
            "network-subnet",
        )
        for key, value in (
            ("gateway", "192.168.1.1"),
            ("ip_range", "192.168.1.0/25"),
            ("aux_addresses", {"nas": "192.168.1.2"}),
        )
    },
    "networks.*.name": ({"networks": {"n": {"name": "host"}}}, "reserved-name"),
    "volumes.*.name": ({"volumes": {"v": {"name": "/etc"}}}, "reserved-name"),
    "networks.*.driver": ({"networks": {"n": {"driver": "macvlan"}}}, "network-driver"),
    "networks.*.driver_opts": (
        {"networks": {"n": {"driver_opts": {"com.docker.network.bridge.name": "docker0"}}}},
        "network-driver",
    ),
    "networks.*.ipam.driver": ({"networks": {"n": {"ipam": {"driver": "dhcp"}}}}, "network-driver"),
    "networks.*.labels": ({"networks": {"n": {"labels": {"dev.reconciler.host": "x"}}}}, "reserved-label"),
    "volumes.*.driver": ({"volumes": {"v": {"driver": "sshfs"}}}, "volume-driver"),
    "services.*.memswap_limit": (service(mem_limit="1", memswap_limit="2"), "swap"),
    "services.*.pids_limit": (service(pids_limit=-1), "pids-limit"),
    "services.*.deploy.resources.limits.pids": (
        service(deploy={"resources": {"limits": {"pids": 100_000}}}),
        "pids-limit",
    ),
    "services.*.cpu_rt_period": (service(cpu_rt_period="1ms"), "realtime"),
    "services.*.cpu_rt_runtime": (service(cpu_rt_runtime="400ms"), "realtime"),
    "services.*.ulimits": (service(ulimits={"rtprio": {"soft": 0, "hard": 99}}), "realtime"),
    "services.*.healthcheck.interval": (service(healthcheck={"interval": "1ms"}), "probe-interval"),
    "services.*.healthcheck.start_interval": (service(healthcheck={"start_interval": "1ms"}), "probe-interval"),
    "services.*.logging.options": (service(logging={"options": {"max-size": "-1"}}), "log-size"),
    "volumes.*.driver_opts": ({"volumes": {"v": {"driver_opts": {"o": "bind", "device": "/"}}}}, "volume-driver"),
    "volumes.*.labels": ({"volumes": {"v": {"labels": {"dev.reconciler.host": "x"}}}}, "reserved-label"),
    "configs.*.file": ({"configs": {"c": {"file": "/etc/passwd"}}}, "outside-file"),
    "secrets.*.file": ({"secrets": {"s": {"file": "/etc/shadow"}}}, "outside-file"),
}
"""Key → a model that uses it in a denied way, and the rule."""

WARNED: dict[str, tuple[dict[str, Any], str]] = {
    "services.*.depends_on.*.condition": (
        {
            "services": {
                "a": {"depends_on": {"b": {"condition": "service_healthy"}}},
                "b": {"healthcheck": {"disable": True}},
            }
        },
        "disabled-healthcheck",
    ),
    "services.*.ports[].host_ip": (service(ports=[{"target": 1, "host_ip": "0.0.0.0"}]), "public-port"),
    "services.*.image": (service(image="nginx"), "mutable-tag"),
    "services.*.mem_limit": (service(mem_limit="0"), "memory-limit"),
    "services.*.deploy.resources.limits.memory": (service(deploy={"resources": {"limits": {}}}), "memory-limit"),
    "services.*.healthcheck": (service(), "healthcheck"),
    "services.*.healthcheck.disable": (service(healthcheck={"disable": True}), "healthcheck"),
    "services.*.environment": (service(environment={"DB_PASSWORD": "hunter2"}), "plain-secret"),
    "services.*.restart": (service(), "restart-policy"),
    **{
        f"services.*.{kind}[].{key}": (service(**{kind: [{"source": "x", key: value}]}), "file-owner")
        for kind in ("configs", "secrets")
        for key, value in (("uid", "1000"), ("gid", "1000"), ("mode", "0400"))
    },
    "services.*.healthcheck.test": (service(healthcheck={"test": ["CMD", "pg_isready"]}), "socket-check"),
    "services.*.volumes[].target": (
        service(volumes=[{"type": "volume", "source": "v", "target": "/docker-entrypoint-initdb.d"}]),
        "empty-volume-only",
    ),
    "services.*.configs[].target": (
        service(configs=[{"source": "c", "target": "/docker-entrypoint-initdb.d/1.sql"}]),
        "empty-volume-only",
    ),
    "services.*.configs[].source": (
        {
            "services": {
                "proxy": {"configs": [{"source": "c", "target": "/etc/nginx/nginx.conf"}]},
                "web": {"deploy": {"update_config": {"order": "start-first"}}},
            },
            "configs": {"c": {"name": "c", "content": "upstream shop { server web; }"}},
        },
        "fixed-address",
    ),
    "networks.*.enable_ipv4": ({"networks": {"n": {"enable_ipv4": False}}}, "ipv4-stays"),
    "services.*.deploy.restart_policy": (service(deploy={}), "restart-policy"),
    **{
        f"services.*.deploy.update_config.{key}": (service(deploy={"update_config": {key: value}}), "gate-decides")
        for key, value in (("monitor", "5s"), ("failure_action", "pause"), ("max_failure_ratio", 0.5))
    },
}


TOGETHER = {"services.*.networks.*.ipv4_address", "services.*.networks.*.ipv6_address", "services.*.ulimits.*.hard",
            "services.*.ulimits.*.soft"}  # fmt: skip
"""Keys whose values count together with others (tests/decide/test_values.py)."""

FITTING = (
    "9s", "16", "2048", "16777216", "1.1.1.1", "::1", "169.254.1.1", "02:42:ac:11:00:02", "x=1.1.1.1", "CHOWN",
    "linux/amd64", "tcp", "ingress", "default", "any", "10.0.0.0/8", "/x", "x", "/dev/x",
)  # fmt: skip


def test_every_key_of_the_schema_is_in_the_table_and_none_beside() -> None:
    assert set(keys()) == schema_keys()


def test_every_rule_is_defined_used_and_explained() -> None:
    used = {rule for key in keys().values() for rule in key.rules}
    assert used | {"unknown-key", "invalid-value", "dropped-value", "endpoint"} == set(rules())
    assert all(rule.why and rule.hint.endswith(".") for rule in rules().values())


@pytest.mark.parametrize("key", keys().values(), ids=lambda key: key.path)
def test_a_class_fits_its_rules(key: Any) -> None:
    found = [rules()[name] for name in key.rules]
    assert key.kind in KINDS
    assert bool(found) == (key.kind != "allow")
    if key.kind == "warn":
        assert {rule.level for rule in found} == {Level.WARN}
    if key.kind in ("grant", "deny"):
        assert any(rule.level is Level.DENY for rule in found)
        assert any(rule.granted for rule in found) == (key.kind == "grant")


@pytest.mark.parametrize("path", [path for path, key in keys().items() if key.always])
def test_a_key_that_is_always_refused_is_refused(path: str) -> None:
    assert denied(judge(model_with(path, "set"), Commit({"Dockerfile": ""}))) == list(keys()[path].rules)


@pytest.mark.parametrize("path", BY_VALUE)
def test_a_key_is_refused_by_its_value(path: str) -> None:
    model, rule = BY_VALUE[path]
    assert rule in keys()[path].rules
    assert [item for item in denied(judge(model, Commit({"Dockerfile": ""}))) if item != "invalid-value"] == [rule]


@pytest.mark.parametrize("path", WARNED)
def test_a_key_is_warned_about(path: str) -> None:
    model, rule = WARNED[path]
    assert rule in keys()[path].rules
    violations = judge(model, Commit({"Dockerfile": ""}))
    assert rule in warned(violations)
    assert denied(violations) == []


def test_no_key_that_can_be_refused_or_warned_about_lacks_a_case() -> None:
    refused = {path for path, key in keys().items() if key.kind in ("deny", "grant") and not key.always}
    assert set(BY_VALUE) == refused
    assert set(WARNED) == {path for path, key in keys().items() if key.kind == "warn"}


@pytest.mark.parametrize("path", [path for path, key in keys().items() if key.kind == "allow" and path not in TOGETHER])
def test_an_allowed_key_is_not_refused(path: str) -> None:
    assert denied(judge(model_with(path, _harmless(path)), Commit({"Dockerfile": ""}))) == []


def _harmless(path: str) -> Any:
    """Nothing if the table has keys below it, else a text, one that the engine accepts."""
    if any(other.startswith((f"{path}.", f"{path}[")) for other in keys()):
        return None
    fits = next((fits for name, (_, fits) in FORMS.items() if name.removesuffix("[]") == path), lambda value: True)
    return next(value for value in ("9", *FITTING) if fits(value))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"surprise": 1}, "surprise is not known"),
        ({"services": {"web": {"surprise": 1}}}, "service web: surprise is not known"),
        ({"services": {"web": {"build": {"surprise": 1}}}}, "service web: build.surprise is not known"),
        (
            {"services": {"web": {"volumes": [{"type": "tmpfs", "surprise": 1}]}}},
            "service web: volumes.0.surprise is not known",
        ),
        ({"networks": {"n": {"surprise": 1}}}, "networks.n.surprise is not known"),
        (
            {"services": {"web": {"deploy": {"resources": {"limits": {"surprise": None}}}}}},
            "service web: deploy.resources.limits.surprise is not known",
        ),
    ],
)
def test_a_key_that_nobody_knows_is_refused_at_every_level(model: dict[str, Any], message: str) -> None:
    found = [item for item in judge(model) if item.rule == "unknown-key"]
    assert [item.message.partition(": a key")[0] for item in found] == [message]


def test_extensions_are_no_unknown_keys() -> None:
    model = {"x-a": 1, "services": {"web": {"x-b": {"privileged": True}}, "x-c": {}}, "volumes": {"v": {"x-d": 1}}}
    assert denied(judge(model)) == []


def test_the_manual_is_current() -> None:
    text = (REPOSITORY / "docs/policies.md").read_text(encoding="utf-8")
    assert text == manual(), "run: python -m reconciler.reference"
