"""What the operator's grants allow, and what none of them allows: rule by rule, value by value."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.formats import grants as forms
from reconciler.formats.rules import Values, rules
from reconciler.model.documents import Grant
from reconciler.model.outcome import Level
from tests.decide.judging import ROOT, Commit, denied, judge, warned

Model = dict[str, Any]
DATA = {"type": "bind", "source": f"{ROOT}/d", "target": "/d"}
SOCKET = {"type": "bind", "source": "/var/run/docker.sock", "target": "/var/run/docker.sock", "read_only": True}


def service(**keys: Any) -> Model:
    return {"services": {"web": {"image": "web:1", **keys}}}


def volume(**options: str) -> Model:
    return {"volumes": {"v": {"name": "shop_v", "driver_opts": options}}}


def reserved(**device: Any) -> Model:
    return service(deploy={"resources": {"reservations": {"devices": [device]}}})


ASKED: Mapping[str, Mapping[str, Model]] = {
    "capability": {
        "NET_ADMIN": service(cap_add=["NET_ADMIN"]),
        "SYS_ADMIN": service(cap_add=["CAP_SYS_ADMIN"]),
        "ALL": service(cap_add=["all"]),
    },
    "devices": {
        "/dev/net/tun": service(devices=[{"source": "/dev/net/tun", "target": "/dev/net/tun", "permissions": "rwm"}]),
        "/dev/sda": service(devices=[{"source": "/dev/sda", "target": "/dev/net/tun", "permissions": "r"}]),
        "/dev": service(devices=[{"source": "/dev", "target": "/dev", "permissions": "rwm"}]),
        "c 189:* mrw": service(device_cgroup_rules=["c 189:* rmw"]),
        "b 8:* mrw": service(device_cgroup_rules=["b  8:* rwm"]),
        "gpu": service(gpus=[{"count": -1, "driver": "nvidia"}]),
        "nvidia.com/gpu=0": reserved(driver="cdi", device_ids=["nvidia.com/gpu=0"]),
        "strange:gpu": reserved(driver="strange", capabilities=["gpu"]),
        "any:tpu": reserved(capabilities=["tpu"]),
    },
    "sysctl": {
        "kernel.shmmax": service(sysctls={"kernel/shmmax": "1"}),
        "kernel.msgmax": service(sysctls={"kernel.msgmax": "1"}),
    },
    "host-namespace": {
        "network_mode": service(network_mode="host"),
        "pid": service(pid="host"),
        "ipc": service(ipc="host"),
        "uts": service(uts="host"),
        "userns_mode": service(userns_mode="host"),
        "cgroup": service(cgroup="host"),
    },
    "foreign-container": {
        "other": service(network_mode="container:other"),
        "more": service(volumes_from=["container:more:ro"]),
        "db:sql": service(external_links=["db:sql"]),
    },
    "external-network": {
        "proxy": {"networks": {"p": {"name": "proxy", "external": True}}},
        "office": {"networks": {"proxy": {"name": "office", "external": True}}},
        "bound": service(network_mode="bound"),
    },
    "external-volume": {
        "photos": {"volumes": {"p": {"name": "photos", "external": True}}},
        "vault": {"volumes": {"photos": {"name": "vault", "external": True}}},
    },
    "security-opt": {
        "apparmor=unconfined": service(security_opt=["apparmor:unconfined"]),
        "seccomp=unconfined": service(security_opt=["seccomp=unconfined"]),
        "systempaths=unconfined": service(security_opt=["systempaths=unconfined"]),
    },
    "group-add": {"docker": service(group_add=["docker"]), "root": service(group_add=["root"])},
    "runtime": {"nvidia": service(runtime="nvidia"), "/tmp/x": service(runtime="/tmp/x")},
    "runtime-annotation": {
        "run.oci.a": service(annotations={"run.oci.a": ""}),
        "run.oci.b": service(annotations={"run.oci.b": ""}),
    },
    "cgroup-parent": {"a.slice": service(cgroup_parent="a.slice"), "b.slice": service(cgroup_parent="b.slice")},
    "volume-driver": {
        "nfs://nas.lan/films": volume(type="nfs", o="addr=nas.lan,rw,nfsvers=4", device=":/films"),
        "nfs://evil.lan/films": volume(type="nfs4", o="addr=evil.lan", device="evil.lan:/films"),
        "cifs://nas.lan/films": volume(type="cifs", o="username=a,password=b", device="//nas.lan/films"),
        "/srv/films": volume(type="none", o="bind", device="/srv/films"),
        "device=:/ o=addr=nas.lan,bind type=nfs": volume(type="nfs", o="addr=nas.lan,bind", device=":/"),
        "device=:/films o=addr=nas.lan,addr=evil.lan type=nfs": volume(
            type="nfs", o="addr=nas.lan,addr=evil.lan", device=":/films"
        ),
        "device=//nas.lan/films o=addr=evil.lan type=cifs": volume(
            type="cifs", o="addr=evil.lan", device="//nas.lan/films"
        ),
        "sshfs": {"volumes": {"v": {"name": "shop_v", "driver": "sshfs"}}},
    },
    "network-driver": {
        "macvlan": {"networks": {"n": {"name": "shop_n", "driver": "macvlan"}}},
        "parent=eth0": {"networks": {"n": {"name": "shop_n", "driver_opts": {"parent": "eth0"}}}},
    },
    "logging-driver": {
        "gelf": service(logging={"driver": "gelf"}),
        "syslog": service(logging={"driver": "syslog"}),
    },
    "bind-propagation": {
        name: service(volumes=[{**DATA, "bind": {"propagation": name}}]) for name in ("rslave", "rshared")
    },
    "build-network": {
        "host": service(build={"context": ROOT, "network": "host"}),
        "other": service(build={"context": ROOT, "network": "other"}),
    },
    "build-frontend": {
        "evil/front:1 --x": service(build={"context": ROOT, "dockerfile_inline": "# syntax=evil/front:1 --x\nFROM x"}),
        "BUILDKIT_NEW": service(build={"context": ROOT, "args": {"BUILDKIT_NEW": "1"}}),
    },
    "build-remote-add": {
        address: service(build={"context": ROOT, "dockerfile_inline": f"FROM x\nADD {address} /x"})
        for address in ("https://example.org/x", "https://example.org/y", "git@example.org:x.git")
    },
    "build-cache": {
        "type=local,src=/srv/a": service(build={"context": ROOT, "cache_from": ["type=local,src=/srv/a"]}),
        "type=local,dest=/srv/b": service(build={"context": ROOT, "cache_to": ["type=local,dest=/srv/b"]}),
    },
    "endpoint": {
        origin: service(**{"x-reconciler": {"endpoint": f"{origin}/health?deep=1"}})
        for origin in ("https://shop.example.org", "http://localhost:9000", "http://[::1]:9000", "https://10.0.0.7:8443")
    },
    "stored-form": {
        "big.bin": service(volumes=[{"type": "bind", "source": f"{ROOT}/big.bin", "target": "/big.bin"}]),
        "model": service(volumes=[{"type": "bind", "source": f"{ROOT}/model", "target": "/model"}]),
    },
}  # fmt: skip
"""rule → value, in its normal form → a model that asks only for it."""

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 1\n"
FILES = Commit({"Dockerfile": "", "big.bin": POINTER, "model/m.bin": POINTER})
CASES = [(rule, value) for rule, values in ASKED.items() for value in values]


def leave(rule: str, *values: str) -> Grant:
    return Grant(rule, "shop", "*", "tested", values)


def test_every_rule_with_values_is_tried() -> None:
    elsewhere = {"network-subnet", "nested-mount"}
    assert set(ASKED) == {rule.id for rule in rules().values() if rule.values is not Values.NONE} - elsewhere


@pytest.mark.parametrize(("rule", "value"), CASES)
def test_a_grant_for_a_value_lets_it_pass_and_is_proposed(rule: str, value: str) -> None:
    (found,) = (item for item in judge(ASKED[rule][value], FILES, signed=True) if item.level is Level.DENY)
    assert found.rule == rule
    assert forms.line({"policy": rule, "values": [value]})[:-1] in found.hint
    assert denied(judge(ASKED[rule][value], FILES, grants=[leave(rule, value)], signed=True)) == []


@pytest.mark.parametrize(
    ("rule", "granted", "asked"),
    [(rule, *pair) for rule, values in ASKED.items() for pair in permutations(values, 2)],
)
def test_a_grant_for_one_value_lets_no_other_pass(rule: str, granted: str, asked: str) -> None:
    assert denied(judge(ASKED[rule][asked], FILES, grants=[leave(rule, granted)], signed=True)) == [rule]


@pytest.mark.parametrize(("rule", "value"), [case for case in CASES if rules()[case[0]].values is Values.REQUIRED])
def test_a_grant_without_the_values_it_needs_lets_nothing_pass(rule: str, value: str) -> None:
    everything = [leave(rule), leave(rule, "*"), leave(rule, "."), leave(rule, "")]
    assert denied(judge(ASKED[rule][value], FILES, grants=everything, signed=True)) == [rule]


values = st.sampled_from([value for values in ASKED.values() for value in values])


@given(st.sampled_from(sorted(ASKED)), values, st.sampled_from(CASES))
def test_no_grant_widens(rule: str, value: str, case: tuple[str, str]) -> None:
    """A grant for any rule and value allows only that value of that rule."""
    asked, wanted = case
    passed = not denied(judge(ASKED[asked][wanted], FILES, grants=[leave(rule, value)], signed=True))
    assert not passed or (rule == asked and forms.covers(rule, value, wanted))


@pytest.mark.parametrize(
    ("rule", "written", "model"),
    [
        ("capability", "cap_net_admin", ASKED["capability"]["NET_ADMIN"]),
        ("cap_add", "net_admin", ASKED["capability"]["NET_ADMIN"]),
        ("devices", "/dev/net/tun:/dev/net/tun:rwm", ASKED["devices"]["/dev/net/tun"]),
        ("devices", "/dev/./net//tun", ASKED["devices"]["/dev/net/tun"]),
        ("devices", "c  189:* rwm", ASKED["devices"]["c 189:* mrw"]),
        ("sysctls", "kernel/shmmax = 1", ASKED["sysctl"]["kernel.shmmax"]),
        ("network_mode", "host", ASKED["host-namespace"]["network_mode"]),
        ("host-namespace", "network", ASKED["host-namespace"]["network_mode"]),
        ("host-namespace", "network_mode: host", ASKED["host-namespace"]["network_mode"]),
        ("security_opt", "seccomp:unconfined", ASKED["security-opt"]["seccomp=unconfined"]),
        ("volume-driver", "nfs://nas.lan", ASKED["volume-driver"]["nfs://nas.lan/films"]),
        ("foreign-container", "container:other", ASKED["foreign-container"]["other"]),
    ],
)
def test_values_are_compared_in_one_form(rule: str, written: str, model: Model) -> None:
    assert denied(judge(model, grants=[leave(rule, written)], signed=True)) == []


@pytest.mark.parametrize("written", ["nfs://nas", "nfs://nas.lan/film", "nfs://", "cifs://nas.lan"])
def test_a_share_is_below_what_was_granted(written: str) -> None:
    model = ASKED["volume-driver"]["nfs://nas.lan/films"]
    assert denied(judge(model, grants=[leave("volume-driver", written)])) == ["volume-driver"]


def test_a_folder_of_devices_holds_those_below_as_for_the_engine() -> None:
    model = service(devices=[{"source": "/dev/dri/renderD128", "target": "/dev/x", "permissions": "rw"}])
    assert denied(judge(model, grants=[leave("devices", "/dev/dri")])) == []
    assert denied(judge(model, grants=[leave("devices", "/dev/dr")])) == ["devices"]
    climbing = service(devices=[{"source": "/dev/dri/../sda", "target": "/dev/x", "permissions": "rw"}])
    assert denied(judge(climbing, grants=[leave("devices", "/dev/dri")], signed=True)) == ["devices"]


def test_privileged_is_its_own() -> None:
    others = [leave(rule, *ASKED[rule]) for rule in ASKED]
    assert denied(judge(service(privileged=True), grants=others, signed=True)) == ["privileged"]
    model = service(privileged=True, cap_add=["SYS_ADMIN"])
    assert denied(judge(model, grants=[leave("privileged")], signed=True)) == ["capability"]


# --------------------------------------------------------------------------------------------------------- trust


@pytest.mark.parametrize(("rule", "value"), CASES)
def test_where_the_owner_pushes_what_could_be_granted_is_a_warning(rule: str, value: str) -> None:
    found = [item for item in judge(ASKED[rule][value], FILES, owner=True) if item.rule == rule]
    assert [item.level for item in found] == [Level.DENY if rules()[rule].stays else Level.WARN]
    assert found[0].message.endswith("allowed by trust: owner") is not rules()[rule].stays


@pytest.mark.parametrize(
    ("keys", "rule"),
    [
        ({"oom_kill_disable": True}, "oom-kill-disable"),
        ({"oom_score_adj": -1000}, "oom-score"),
        ({"volumes": [{"type": "bind", "source": "/", "target": "/host"}]}, "absolute-bind"),
        ({"volumes": [{"type": "bind", "source": "/state/data/x", "target": "/x"}]}, "absolute-bind"),
        ({"build": {"context": "/etc"}}, "build-outside"),
        ({"provider": {"type": "x"}}, "provider"),
        ({"labels": {"dev.reconciler.host": "x"}}, "reserved-label"),
        ({"image": "x", "new_key": 1}, "unknown-key"),
    ],
)
def test_mistakes_and_the_end_of_the_agent_are_denied_to_the_owner(keys: Model, rule: str) -> None:
    assert rule in denied(judge(service(**keys), owner=True, own=("/state", "/etc/reconciler")))


def test_the_owner_reads_the_machine() -> None:
    mount = {"type": "bind", "source": "/", "target": "/host", "read_only": True}
    model = service(volumes=[mount, SOCKET], privileged=True, pid="host")
    found = judge(model, owner=True, own=("/state",))
    assert denied(found) == []
    assert {"absolute-bind", "docker-socket", "privileged", "host-namespace"} <= set(warned(found))
