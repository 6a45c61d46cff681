"""Values that the engine refuses, or that Compose or the engine understands as something else: each with its place.

Docker Engine 26.1 under Compose 2.26 or 2.40 refused every value that is refused here, unless its comment says more.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from reconciler.decide.admit.policies.values import FORMS
from reconciler.decide.read.scan import scan
from reconciler.formats.rules import keys
from reconciler.model.documents import StackDocument
from reconciler.model.outcome import Level, Reason, Violation
from tests.decide.judging import ROOT, candidate, judge, judge_stacks
from tests.fakes.source import TextFiles

SHA = "0123456789abcdef" * 4
SUBNET = {"ipam": {"config": [{"subnet": "10.99.0.0/24"}]}}
VOLUME = {"type": "volume", "source": "v", "target": "/x"}


def found(model: dict[str, Any]) -> list[Violation]:
    return [item for item in judge(model) if item.rule == "invalid-value"]


def of(**service: Any) -> dict[str, Any]:
    networks = {"default": {"name": "shop_default"}, "fixed": {"name": "shop_fixed", **SUBNET}}
    networks["other"] = {"name": "other", "external": True}
    return {"services": {"web": {"image": "web:1", **service}}, "networks": networks}


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"deploy": {"replicas": -1}}, "deploy/replicas"),  # 2.26 ends in a panic
    ({"scale": -1}, "scale"),
    *(({"image": name}, "image") for name in (
        "UPPER:bad tag", "UPPER:1", "x:bad tag", "a/b@sha256:123", "https://x/y", "-x", "x:", "a//b", "x/UPPER",
        f"x@sha256:{SHA}0", "x" * 256,
    )),
    *(({"volumes": [{**VOLUME, "target": path}]}, "volumes/0/target") for path in ("conf", "d:/d", ".", "/", "/.")),
    ({"volumes": [{**VOLUME, "volume": {"subpath": "../y"}}]}, "volumes/0/volume/subpath"),
    ({"volumes": [{**VOLUME, "volume": {"subpath": "/y"}}]}, "volumes/0/volume/subpath"),
    ({"volumes": [{"type": "tmpfs", "target": "/t", "tmpfs": {"mode": 99999}}]}, "volumes/0/tmpfs/mode"),
    *(({"tmpfs": [text]}, "tmpfs/0") for text in (
        "rel", "/", "/t:size=-1", "/t:size=foo", "/t:nosuch", "/t:mode=9999", "/t:uid=nobody", "/t:size",
    )),
    ({"tmpfs": ["/x"], "volumes": [VOLUME]}, "tmpfs/0"),
    ({"volumes": [VOLUME, {**VOLUME, "source": "b", "target": "/x/"}]}, "volumes/1"),
    ({"volumes": [VOLUME], "configs": [{"source": "x"}]}, "configs/0"),
    ({"secrets": [{"source": "s"}, {"source": "t", "target": "s"}]}, "secrets/1"),
    *(({"mem_limit": size}, "mem_limit") for size in ("-1", "1024", "5242880")),
    *(({"mem_reservation": size}, "mem_reservation") for size in ("-5", "1048576")),
    ({"mem_reservation": "268435456", "mem_limit": "134217728"}, "mem_reservation"),
    ({"deploy": {"resources": {"reservations": {"memory": "1048576"}}}}, "deploy/resources/reservations/memory"),
    ({"mem_swappiness": "101"}, "mem_swappiness"),
    ({"mem_swappiness": "-2"}, "mem_swappiness"),
    ({"shm_size": "-1"}, "shm_size"),
    *(({"cpus": number}, "cpus") for number in (-1, 1e-9, 0.005, float("inf"))),
    ({"deploy": {"resources": {"limits": {"cpus": -1}}}}, "deploy/resources/limits/cpus"),
    *(({"cpu_shares": number}, "cpu_shares") for number in (-1, 1, 300_000)),
    *(({"cpu_quota": number}, "cpu_quota") for number in (10, -5)),
    *(({"cpu_period": text}, "cpu_period") for text in ("-5", "10", "2000000")),
    ({"cpus": 0.5, "cpu_quota": 50_000}, "cpu_quota"),
    ({"deploy": {"resources": {"limits": {"cpus": 0.5}}}, "cpu_period": "50000"}, "cpu_period"),
    *(({"cpuset": text}, "cpuset") for text in ("abc", "-1", "3-1", "0,", "0-")),
    ({"blkio_config": {"weight": 5}}, "blkio_config/weight"),  # if the kernel has weights
    ({"blkio_config": {"device_read_bps": [{"Path": "/dev/x", "Rate": "-5"}]}}, "blkio_config/device_read_bps/0/Rate"),
    ({"blkio_config": {"device_write_iops": [{"Path": "/dev/../root/.ssh", "Rate": "5"}]}},
     "blkio_config/device_write_iops/0/Path"),
    ({"blkio_config": {"weight_device": [{"Path": "/etc/shadow", "Weight": 100}]}},
     "blkio_config/weight_device/0/Path"),
    *(({"ports": [{"target": 80, "published": text}]}, "ports/0/published") for text in (
        "70000", "abc", "90-80", "-1", "1-70000",
    )),
    ({"ports": [{"target": 70000}]}, "ports/0/target"),
    ({"ports": [{"target": 80, "protocol": "foo"}]}, "ports/0/protocol"),
    ({"ports": [{"target": 80, "mode": "foo"}]}, "ports/0/mode"),
    ({"ports": [{"target": 80, "host_ip": "foo"}]}, "ports/0/host_ip"),  # 2.26 opens it on every address
    *(({"expose": [text]}, "expose/0") for text in ("abc", "70000", "90-80")),  # certainly a mistake
    ({"hostname": "a" * 65}, "hostname"),
    *(({"mac_address": text}, "mac_address") for text in ("foo", "02:42:ac:11:00:zz", "02:42:ac:11:00:02:03",
                                                          "ff:ff:ff:ff:ff:ff")),
    ({"networks": {"default": {"mac_address": "foo"}}}, "networks/default/mac_address"),
    *(({"networks": {"default": {"ipv4_address": text}}}, "networks/default/ipv4_address") for text in (
        "foo", "10.99.0.300", "10.99.0.3", "::1",
    )),
    *(({"networks": {"fixed": {"ipv4_address": text}}}, "networks/fixed/ipv4_address") for text in (
        "192.168.250.3", "10.99.0.0", "10.99.0.255",
    )),
    ({"networks": {"fixed": {"ipv6_address": "fd00::5"}}}, "networks/fixed/ipv6_address"),
    ({"networks": {"fixed": {"ipv6_address": "10.99.0.3"}}}, "networks/fixed/ipv6_address"),
    *(({"networks": {"default": {"link_local_ips": [text]}}}, "networks/default/link_local_ips/0") for text in (
        "foo", "10.0.0.1",
    )),
    *(({"user": text}, "user") for text in ("-1", "99999999999", "2147483648", "1000:99999999999", "root:-5")),
    *(({"group_add": [text]}, "group_add/0") for text in ("-1", "99999999999")),
    *(({"stop_signal": text}, "stop_signal") for text in ("SIGFOO", "0", "foo", "SIGRTMIN+16", "99", "-1", "65")),
    *(({"restart": text}, "restart") for text in ("on-failure:-1", "sometimes", "always:3", "no:3", "on-failure:x",
                                                  "on-failure:3:4", "on-failure:99999999999")),
    ({"deploy": {"restart_policy": {"condition": "foo"}}}, "deploy/restart_policy/condition"),
    *(({"healthcheck": {"test": test}}, "healthcheck/test") for test in (
        ["CMD"], ["CMD-SHELL"], ["CMD", ""],  # never healthy
    )),
    *(({"healthcheck": {"test": ["CMD", "x"], key: value}}, f"healthcheck/{key}")
      for key in ("interval", "timeout", "start_period", "start_interval") for value in ("-1s", "1µs")),
    *(({"ulimits": {name: value}}, f"ulimits/{name}") for name, value in (
        ("nosuch", 5), ("nofile", -1), ("nofile", {"soft": 200, "hard": 100}), ("nofile", {"soft": 200}),
        ("nproc", {"soft": -1, "hard": 100}), ("nofile", {"soft": 5, "hard": -1}),
    )),
    ({"ulimits": {"core": -5}}, "ulimits/core"),
    ({"ulimits": {"nproc": {"soft": -2, "hard": 5}}}, "ulimits/nproc/soft"),
    *(({"extra_hosts": [text]}, "extra_hosts/0") for text in ("foo=", "foo=bar", "foo=999.1.1.1", "foo", "=1.1.1.1")),
    *(({"dns": [text]}, "dns/0") for text in ("foo", "999.1.1.1", "1.1.1.1:53")),
    *(({"platform": text}, "platform") for text in ("foo", "a/b/c/d", "linux/", "linux/a b")),
    ({"isolation": "foo"}, "isolation"),
    ({"working_dir": "rel"}, "working_dir"),
    ({"environment": {"": "x"}}, "environment"),
    ({"labels": {"": "x"}}, "labels"),
    ({"entrypoint": [""]}, "entrypoint"),
    ({"pid": "foo"}, "pid"),
    ({"ipc": "foo"}, "ipc"),
    ({"uts": "foo"}, "uts"),
    ({"cap_add": ["FOO"]}, "cap_add/0"),
    ({"cap_drop": ["CAP_FOO"]}, "cap_drop/0"),
    ({"cap_drop": ["CAP_ALL"]}, "cap_drop/0"),
    ({"logging": {"driver": "json-file", "options": {"nosuch": "x"}}}, "logging/options/nosuch"),
    ({"logging": {"driver": "local", "options": {"tag": "x"}}}, "logging/options/tag"),
    ({"logging": {"driver": "journald", "options": {"max-size": "1m"}}}, "logging/options/max-size"),
    ({"logging": {"options": {"max-size": "10q"}}}, "logging/options/max-size"),
    ({"logging": {"driver": "local", "options": {"max-file": "0"}}}, "logging/options/max-file"),
    ({"logging": {"driver": "json-file", "options": {"labels-regex": "("}}}, "logging/options/labels-regex"),
    ({"logging": {"driver": "journald", "options": {"env-regex": "*"}}}, "logging/options/env-regex"),
    ({"logging": {"driver": "json-file", "options": {"tag": "{{.Name"}}}, "logging/options/tag"),
    ({"logging": {"options": {"mode": "foo"}}}, "logging/options/mode"),
    ({"logging": {"options": {"compress": "foo"}}}, "logging/options/compress"),
    ({"secrets": [{"source": "s", "target": "/"}]}, "secrets/0/target"),
    ({"configs": [{"source": "s", "target": "/"}]}, "configs/0/target"),
    ({"configs": [{"source": "s", "mode": 99999}]}, "configs/0/mode"),
    *(({"network_mode": "service:db", key: value}, key) for key, value in (
        ("ports", [{"target": 80}]), ("hostname", "x"), ("dns", ["1.1.1.1"]), ("extra_hosts", ["x=1.1.1.1"]),
        ("expose", ["80"]),
    )),
    ({"build": {"context": ROOT, "tags": ["A b"]}}, "build/tags/0"),
]  # fmt: skip

TAKEN: list[dict[str, Any]] = [
    *({"image": name} for name in (
        "web", "web:1", "library/web", "ghcr.io/a/b-c_d.e/f:v1.2_3-x", "localhost:5000/x", "localhost/x:latest",
        "registry.example:443/team", f"x@sha256:{SHA}", f"x:1@sha256:{SHA}", "[::1]:5000/x", "UPPER/x:1", "a__b",
        "a--b", f"sha256:{SHA}",
    )),
    {"volumes": [VOLUME, {"type": "tmpfs", "target": "/t", "tmpfs": {"size": "1024", "mode": 511}}]},
    {"volumes": [{**VOLUME, "volume": {"subpath": "a/b..c"}}]},
    *({"tmpfs": [text]} for text in ("/t", "/t:", "/t:size=10%", "/t:size=1G,mode=1777,uid=1000,exec", "/t:ro")),
    *({"mem_limit": size} for size in ("0", "6291456", 67108864)),
    {"mem_reservation": "67108864", "mem_limit": "67108864"},
    {"mem_swappiness": "-1"},
    *({"cpus": number} for number in (0, 0.01, 1.5, 64)),
    {"volumes": [VOLUME, {**VOLUME, "source": "b", "target": "/x/y"}]},
    *({"cpu_quota": number} for number in (0, -1, 1000)),
    {"cpu_shares": 0},
    *({"cpuset": text} for text in ("0", "0-3", "0,2-3,7")),
    *({"ports": [{"target": 80, "published": text, "protocol": "udp"}]} for text in ("0", "80", "80-90")),
    *({"ports": [{"target": 80, "host_ip": text}]} for text in ("", "127.0.0.1", "::1", "[::1]")),
    *({"expose": [text]} for text in ("80", "80-90", "53/udp", 80)),
    *({"hostname": text} for text in ("a_b", "-x", "a" * 64)),
    *({"mac_address": text} for text in ("02:42:ac:11:00:02", "02-42-AC-11-00-02", "0242.ac11.0002")),
    {"ports": [{"target": 80, "protocol": "UDP"}]},
    {"logging": {"options": {"compress": "T"}}},
    *({"logging": {"options": {"labels-regex": text}}} for text in (r"\p{Greek}", "[[a]", "a{9999999999}", "(" * 600)),
    *({"logging": {"options": {"env-regex": text}}} for text in ("^*", r"x\b+", "(?i)" + "[ -\uffff]" * 150)),
    {"networks": {"fixed": {"ipv4_address": "10.99.0.7"}, "default": {"link_local_ips": ["169.254.8.8"]}}},
    {"networks": {"other": {"ipv4_address": "10.1.0.7"}}},
    *({"user": text} for text in ("", "0", "nobody", "1000:1000", "0:wheel", "2147483647", ":")),
    *({"stop_signal": text} for text in ("SIGTERM", "TERM", "sigint", "9", "SIGRTMIN+3", "RTMAX-14", "SIGWINCH")),
    *({"restart": text} for text in ("no", "always", "unless-stopped", "on-failure", "on-failure:0", "on-failure:5")),
    *({"healthcheck": {"test": test}} for test in (["NONE"], ["CMD", "x"], ["CMD-SHELL", "x", "y"], ["CMD-SHELL", ""])),
    {"healthcheck": {"test": ["CMD", "x"], "interval": "0s", "timeout": "1ms", "start_period": "1m30s", "retries": 0}},
    {"healthcheck": {"disable": True}},
    *({"ulimits": {name: value}} for name, value in (
        ("nofile", 1024), ("core", {}), ("core", 0), ("memlock", -1), ("memlock", {"soft": -1, "hard": -1}),
        ("rttime", {"soft": 5, "hard": -1}), ("NPROC", 5), ("nofile", {"soft": 100, "hard": 200}),
    )),
    *({"extra_hosts": [text]} for text in ("x=1.1.1.1", "x=::1", "x=[::1]", "x=host-gateway", "x:1.1.1.1", "x:::1")),
    *({"dns": [text]} for text in ("1.1.1.1", "fe80::1%eth0", "::1")),
    *({"platform": text} for text in ("linux", "amd64", "linux/amd64", "linux/arm64/v8", "Linux/AMD64")),
    {"entrypoint": [""], "command": ["sleep", "5"]},
    {"entrypoint": []},
    *({"ipc": text} for text in ("none", "private", "shareable", "service:db")),
    {"pid": "service:db"},
    *({"cap_drop": [text]} for text in ("ALL", "all", "CAP_NET_RAW", "net_raw")),
    {"logging": {"driver": "json-file", "options": {"max-size": "1m", "tag": "x", "mode": "non-blocking"}}},
    {"logging": {"options": {"nosuch": "x"}}},  # for any default driver of the engine
    {"logging": {"driver": "none", "options": {"max-size": "1m"}}},
    {"logging": {"options": {"max-size": "1.5 GiB", "env-regex": "(?i)^\\pL[[:alpha:]]+\\z", "tag": "{{.Name}}x"}}},
    {"secrets": [{"source": "s", "mode": "0400"}, {"source": "s", "target": "../x", "mode": 256}]},
    {"network_mode": "service:db", "command": ["x"]},
    {"network_mode": "host", "hostname": "x"},
]  # fmt: skip


@pytest.mark.parametrize(("service", "place"), REFUSED, ids=[f"{place} {service}"[:80] for service, place in REFUSED])
def test_it_is_refused_with_its_place(service: dict[str, Any], place: str) -> None:
    violations = found(of(**service))
    assert [item.pointer for item in violations][:1] == [f"/services/web/{place}"]
    assert violations[0].reason is Reason.SCHEMA_INVALID
    assert violations[0].line
    assert violations[0].message.startswith("service web: ")


@pytest.mark.parametrize("service", TAKEN, ids=str)
def test_it_is_taken(service: dict[str, Any]) -> None:
    assert found(of(**service)) == []


@pytest.mark.parametrize(
    ("network", "place"),
    [
        ({"ipam": {"config": [{"subnet": "foo"}]}}, "subnet"),
        ({"ipam": {"config": [{"subnet": "10.99.0.5/24"}]}}, "subnet"),
        ({"ipam": {"config": [{"subnet": "10.99.0.0/33"}]}}, "subnet"),
        ({"ipam": {"config": [{"subnet": "10.99.0.0/24", "gateway": "10.98.0.1"}]}}, "gateway"),
        ({"ipam": {"config": [{"subnet": "10.99.0.0/24", "gateway": "foo"}]}}, "gateway"),
        ({"ipam": {"config": [{"subnet": "10.99.0.0/24", "gateway": "10.99.0.255"}]}}, "gateway"),
        ({"ipam": {"config": [{"subnet": "10.99.0.0/24", "ip_range": "10.98.0.0/25"}]}}, "ip_range"),
        ({"ipam": {"config": [{"subnet": "10.99.0.0/24", "ip_range": "10.99.0.5/25"}]}}, "ip_range"),
        ({"ipam": {"config": [{"subnet": "10.99.0.0/24", "aux_addresses": {"h": "foo"}}]}}, "aux_addresses/h"),
        ({"ipam": {"config": [{"subnet": "10.99.0.0/24", "aux_addresses": {"h": "10.93.0.1"}}]}}, "aux_addresses/h"),
    ],
)
def test_addresses_of_a_network(network: dict[str, Any], place: str) -> None:
    assert [item.pointer for item in found({"networks": {"n": network}})] == [f"/networks/n/ipam/config/0/{place}"]


def test_further_values_of_networks() -> None:
    assert [item.pointer for item in found({"networks": {"n": {"ipam": {"config": [{"gateway": "10.99.0.1"}]}}}})] == [
        "/networks/n/ipam/config/0"
    ]
    for mtu, number in (("1450", 0), ("abc", 1), ("-5", 1)):
        model = {"networks": {"n": {"driver_opts": {"com.docker.network.driver.mtu": mtu}}}}
        assert len(found(model)) == number


def test_a_reservation_counts_against_the_hosts_default() -> None:
    assert found(of(mem_reservation="2147483648"))


def test_every_path_is_one_of_the_tables() -> None:
    for path in FORMS:
        left = path.replace("!", ".").removesuffix("[]")
        while left not in keys():
            left = left.rpartition(".")[0]
            assert left.count(".") >= 1, path


@pytest.mark.parametrize("value", [True, None, "x", [1], {}, 10**30, "９", "\n1", float("nan")])
def test_no_value_of_another_kind_is_a_defect(value: object) -> None:
    for _, fits in FORMS.values():
        assert fits(value) in (True, False)


@pytest.mark.parametrize(
    ("written", "warned"),
    [("1e9", True), ("64000000.5", True), (".5", True), ("0", False), ("0.0", False), ("${MEM}", False), ("", False)],
)
def test_a_size_that_compose_leaves_out_is_told(written: str, warned: bool) -> None:
    files = TextFiles({"compose.yaml": f"services:\n  web:\n    image: web:1\n    mem_limit: {written}\n"}, "c0ffee")
    looked = scan(files, StackDocument("shop", ("compose.yaml",)), {"MEM": "1e9"})
    asked = replace(candidate({"services": {"web": {"image": "web:1"}}}), scan=looked)
    told = [item for item in judge_stacks([asked]) if item.rule == "dropped-value"]
    assert [(item.line, item.level, written in item.message) for item in told] == [(4, Level.WARN, True)] * warned
