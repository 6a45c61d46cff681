"""What a commit may not ask of the machine, the place in the report, and what the operator can allow."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.decide.admit.admit import Candidate, admit
from reconciler.decide.read.scan import scan
from reconciler.model.documents import BindGrant, Grant, HostDocument, Permissions, StackDocument
from reconciler.model.outcome import Level, Reason
from tests.decide.judging import ROOT, Commit, candidate, denied, judge, judge_service, judge_stacks, warned

LINK = "120000"
MODULE = "160000"


def bind(source: str, **more: Any) -> dict[str, Any]:
    return {"volumes": [{"type": "bind", "source": source, "target": "/x", **more}]}


def grant(policy: str, stack: str = "*", service: str = "*", values: tuple[str, ...] = ()) -> Grant:
    return Grant(policy, stack, service, "tested", values)


# ------------------------------------------------------------------------------------------- places and messages


def test_every_violation_is_told_at_once_with_its_place() -> None:
    text = "services:\n  web:\n    image: nginx:1.27\n    cap_add:\n      - SYS_ADMIN\n    privileged: true\n"
    files = Commit({"shop/compose.yaml": text})
    stack = StackDocument("shop", ("shop/compose.yaml",))
    service = {"image": "nginx:1.27", "privileged": True, "cap_add": ["SYS_ADMIN"]}
    asking = Candidate(stack, {"services": {"web": service}}, ROOT, scan(files, stack, {}))
    refused = [
        item for item in admit(HostDocument("mini", (stack,)), [asking], files).violations if item.level is Level.DENY
    ]
    assert [(item.rule, item.path, item.line) for item in refused] == [
        ("capability", "shop/compose.yaml", 5),
        ("privileged", "shop/compose.yaml", 6),
    ]
    assert {(item.stack, item.service, item.reason) for item in refused} == {("shop", "web", Reason.POLICY_VIOLATION)}
    assert [item.pointer for item in refused] == ["/services/web/cap_add/0", "/services/web/privileged"]


def test_a_refusal_says_what_is_wrong_what_to_do_and_what_the_operator_could_grant() -> None:
    model = {"image": "radio:1", "cap_add": ["cap_net_admin"]}
    (violation,) = (item for item in judge_service(model) if item.level is Level.DENY)
    assert violation.message.startswith("service web: capability cap_net_admin: ")
    assert violation.hint.startswith("Drop it")
    assert "grants: [{policy: capability, values: [NET_ADMIN], stack: shop, service: web, reason: …}]" in violation.hint


def test_the_order_is_that_of_the_stacks_and_their_files() -> None:
    model = {"services": {"b": {"privileged": True}, "a": {"pid": "host", "privileged": True}}}
    violations = judge_stacks([candidate(model, "z"), candidate(model, "a")])
    assert violations == judge_stacks([candidate(model, "z"), candidate(model, "a")])
    stacks = [item.stack or "" for item in violations]
    assert stacks == sorted(stacks, reverse=True)


# ------------------------------------------------------------------------------------------------------- grants


@pytest.mark.parametrize("policy", ["capability", "cap_add"])
@pytest.mark.parametrize(("stack", "service"), [("*", "*"), ("shop", "*"), ("*", "web"), ("shop", "web")])
def test_a_grant_by_rule_or_key_lifts_a_denial(policy: str, stack: str, service: str) -> None:
    model = {"cap_add": ["NET_ADMIN"]}
    assert denied(judge_service(model, grants=[grant(policy, stack, service, ("NET_ADMIN",))])) == []


@pytest.mark.parametrize(
    "other",
    [
        grant("privileged"),
        grant("capability", "blog", values=("NET_ADMIN",)),
        grant("capability", "shop", "db", ("NET_ADMIN",)),
        grant("*", values=("NET_ADMIN",)),
        grant("capability"),
        grant("capability", values=("SYS_ADMIN", "ALL", "*")),
    ],
)
def test_a_grant_lifts_nothing_else(other: Grant) -> None:
    assert denied(judge_service({"cap_add": ["NET_ADMIN"]}, grants=[other])) == ["capability"]


def test_a_commit_cannot_name_a_setting_so_that_a_grant_fits_it() -> None:
    model = {"sysctls": {"privileged": "1"}, "annotations": {"run.oci.x": ""}}
    assert denied(judge_service(model, grants=[grant("privileged"), grant("run.oci.x")])) == [
        "runtime-annotation",
        "sysctl",
    ]


@pytest.mark.parametrize("policy", ["build-network", "build", "network"])
def test_a_grant_may_name_build_or_what_lies_directly_below(policy: str) -> None:
    model = {"build": {"context": ROOT, "network": "host"}}
    assert denied(judge_service(model, Commit({"Dockerfile": ""}), grants=[grant(policy)])) == []
    assert denied(judge_service({"network_mode": "host"}, grants=[grant(policy)])) == ["host-namespace"]


@pytest.mark.parametrize(
    ("model", "rule"),
    [
        ({"provider": {"type": "./x.sh"}}, "provider"),
        ({"post_start": [{"command": ["x"]}]}, "lifecycle-hook"),
        ({"labels": {"dev.reconciler.spec": "x"}}, "reserved-label"),
        ({"new_key": 1}, "unknown-key"),
    ],
)
def test_what_could_not_be_carried_out_is_not_granted(model: dict[str, Any], rule: str) -> None:
    violations = judge_service(model, grants=[grant(rule), grant(next(iter(model)))])
    assert denied(violations) == [rule]
    assert all("grants:" not in item.hint for item in violations if item.rule == rule)


def test_an_external_network_belongs_to_no_service() -> None:
    model = {"networks": {"proxy": {"name": "proxy_default", "external": True}}}
    assert denied(judge(model)) == ["external-network"]
    assert denied(judge(model, grants=[grant("external-network", "shop", "web")])) == ["external-network"]
    assert denied(judge(model, grants=[grant("external-network", "shop")])) == []


# ------------------------------------------------------------------------------------------------------- mounts


@pytest.mark.parametrize(
    "source", ["/etc", "/", "/render", "/render/commit2", f"{ROOT}/../x", f"{ROOT}/a/../b", "//etc", "/a/./b"]
)
def test_a_path_outside_the_commit_is_refused(source: str) -> None:
    assert denied(judge_service(bind(source))) == ["absolute-bind"]


@pytest.mark.parametrize("source", [ROOT, f"{ROOT}/", f"{ROOT}/data", f"{ROOT}//data/./other"])
def test_committed_files_and_data_beside_them_are_mounted(source: str) -> None:
    assert denied(judge_service(bind(source))) == []


@pytest.mark.parametrize(
    ("source", "allowed"),
    [
        ("/srv/media", True),
        ("/srv/media/films", True),
        ("/srv/./media//films", True),
        ("/srv/mediathek", False),
        ("/srv", False),
        ("/srv/media/../secret", False),
        ("/srv/media/films/../../..", False),
    ],
)
def test_the_operators_binds_cover_a_path_and_what_lies_below(source: str, allowed: bool) -> None:
    binds = [BindGrant("/srv/media/", "/srv/media", "films", read_only=False)]
    assert denied(judge_service(bind(source), binds=binds)) == ([] if allowed else ["absolute-bind"])


@pytest.mark.parametrize(
    "source", ["/var/run/docker.sock", "/run/Docker.sock/", "/x/../run/containerd/containerd.sock"]
)
def test_an_engines_socket_is_refused_wherever_it_lies(source: str) -> None:
    everything = BindGrant("/", "/", "all", read_only=False)
    assert denied(judge_service(bind(source), binds=[everything], signed=True)) == ["docker-socket"]
    assert denied(judge_service(bind(source), grants=[grant("docker-socket")], signed=True)) == []


@pytest.mark.parametrize("rule", ["engine-read", "engine-logs"])
def test_the_engine_is_read_by_whom_the_operator_allows(rule: str) -> None:
    folder = {"engine-read": "/run/reconciler/engine", "engine-logs": "/var/run/reconciler/engine-logs"}[rule]
    mounted = bind(folder, read_only=True)
    everything = BindGrant("/run", "/run", "all", read_only=False)
    other = {"engine-read": "engine-logs", "engine-logs": "engine-read"}[rule]
    assert denied(judge_service(mounted, binds=[everything], grants=[grant(other)], signed=True)) == [rule]
    assert denied(judge_service(mounted, grants=[grant(rule)])) == []
    assert denied(judge_service(bind(folder), grants=[grant(rule)])) == ["engine-read-write"]


@pytest.mark.parametrize(
    ("link", "mounted", "refused"),
    [
        ("conf/a", "conf", True),
        ("conf/deep/a", "conf", True),
        ("conf", "conf", True),
        ("conf", "conf/below", True),
        ("anywhere", ".", True),
        ("conf2/a", "conf", False),
        ("con", "conf", False),
    ],
)
@pytest.mark.parametrize(("mode", "rule"), [(LINK, "symlink"), (MODULE, "submodule")])
def test_links_and_submodules_are_refused_where_they_are_mounted(
    link: str, mounted: str, refused: bool, mode: str, rule: str
) -> None:
    files = Commit({"conf/x": ""}, {link: mode})
    assert denied(judge_service(bind(f"{ROOT}/{mounted}", read_only=True), files)) == ([rule] if refused else [])


def test_the_first_of_many_links_is_named() -> None:
    files = Commit({}, {"conf/b": LINK, "conf/a": LINK, "conf/c": MODULE})
    messages = [item.message.partition(":")[0] for item in judge_service(bind(f"{ROOT}/conf", read_only=True), files)]
    assert "conf is used, and conf/a and 1 more is a symlink" in messages
    assert "conf is used, and conf/c is a submodule" in messages


@pytest.mark.parametrize("kind", ["configs", "secrets"])
def test_files_behind_configs_and_secrets_are_of_the_commit(kind: str) -> None:
    files = Commit({"db/password.txt": "x"}, {"db/link": LINK})
    expected = {
        f"{ROOT}/db/password.txt": [],
        f"{ROOT}/db/link": ["symlink"],
        f"{ROOT}/db/other.txt": ["file-missing"],
        f"{ROOT}/db": ["file-missing"],
        "/etc/shadow": ["outside-file"],
        f"{ROOT}/../shadow": ["outside-file"],
    }
    found = {path: denied(judge({kind: {"a": {"name": "a", "file": path}}}, files)) for path in expected}
    assert found == expected
    assert denied(judge({kind: {"a": {"name": "a", "environment": "A"}}})) == []
    missing = judge({kind: {"a": {"name": "a", "file": f"{ROOT}/db/other.txt"}}}, files)
    assert [item.hint.startswith("Commit it") for item in missing if item.rule == "file-missing"] == [kind == "configs"]


# ------------------------------------------------------------------------------------------------------- builds


@pytest.mark.parametrize(
    "context",
    ["https://example.org/a.git#main:x", "git@example.org:a/b.git", "github.com/a/b", "docker-image://x", "ssh://a/b"],
)
def test_nothing_is_built_that_is_not_of_the_commit(context: str) -> None:
    assert denied(judge_service({"build": {"context": context}})) == ["build-remote"]
    additional = {"context": ROOT, "additional_contexts": {"x": context}}
    assert denied(judge_service({"build": additional}, Commit({"Dockerfile": ""}))) == ["build-remote"]


@pytest.mark.parametrize(
    ("build", "rules"),
    [
        ({"context": f"{ROOT}/app"}, []),
        ({"context": f"{ROOT}/app", "dockerfile": "sub/Other"}, []),
        ({"context": f"{ROOT}/app", "dockerfile": "../Dockerfile.base"}, []),
        ({"context": f"{ROOT}/app", "dockerfile_inline": "FROM debian\n"}, []),
        ({"context": f"{ROOT}/app", "dockerfile": "Missing"}, ["file-missing"]),
        ({"context": f"{ROOT}/App"}, ["file-missing"]),
        ({"context": "/srv/app"}, ["build-outside"]),
        ({"context": f"{ROOT}/linked"}, []),
        ({"context": f"{ROOT}/linked/a"}, ["file-missing", "symlink"]),
        ({"context": f"{ROOT}/left"}, ["symlink"]),
        ({"context": f"{ROOT}/app", "dockerfile": "Own"}, ["symlink"]),
        ({"context": f"{ROOT}/module"}, ["submodule"]),
        ({"context": f"{ROOT}/app", "additional_contexts": {"b": "service:db"}}, ["build-service"]),
        ({"context": f"{ROOT}/app", "additional_contexts": {"b": f"{ROOT}/linked"}}, []),
        ({"context": f"{ROOT}/app", "additional_contexts": {"b": f"{ROOT}/linked/a"}}, ["symlink"]),
        ({"context": f"{ROOT}/app", "cache_from": ["app:latest", "type=registry,ref=x"]}, []),
        ({"context": f"{ROOT}/app", "network": "none"}, []),
    ],
)
def test_a_build_is_made_of_committed_files(build: dict[str, Any], rules: list[str]) -> None:
    folders = ("app", "linked", "left", "module")
    others = ("app/sub/Other", "Dockerfile.base", "app/Own")
    contents = dict.fromkeys([*others, *(f"{name}/Dockerfile" for name in folders)], "")
    modes = {"linked/a": LINK, "left/.dockerignore": LINK, "app/Own.dockerignore": LINK, "module/sub": MODULE}
    assert sorted(set(denied(judge_service({"build": build}, Commit(contents, modes))))) == sorted(rules)


def test_what_is_missing_in_a_working_folder_is_a_warning_since_empty_folders_are_not_seen() -> None:
    violations = judge_service({"build": {"context": f"{ROOT}/app"}}, Commit(revision=None))
    assert denied(violations) == []
    (missing,) = (item for item in violations if item.rule == "file-missing")
    assert (missing.reason, missing.level) == (Reason.FILE_MISSING, Level.WARN)


# ------------------------------------------------------------------------------------------- values that are fine


@pytest.mark.parametrize(
    "model",
    [
        {"cap_add": ["NET_BIND_SERVICE", "CAP_CHOWN", "setuid"]},
        {"security_opt": ["no-new-privileges", "no-new-privileges:true", "no-new-privileges=false"]},
        {"security_opt": ["apparmor:docker-default", "seccomp=builtin"]},
        {"sysctls": {"net.core.somaxconn": "1024", "net.ipv4.conf.all.src_valid_mark": "1"}},
        {"sysctls": {"net.ipv4.ip_forward": "1", "net/ipv6/conf/all/forwarding": "1"}},
        {"runtime": "runc"},
        {"volumes_from": ["db:ro"]},
        {"runtime": "io.containerd.wasmedge.v1"},
        {"network_mode": "none"},
        {"stop_grace_period": "10m0s"},
        {"stop_grace_period": "1µs"},
        {"stop_grace_period": "0s"},
        {"network_mode": "bridge"},
        {"ipc": "shareable", "cgroup": "private", "userns_mode": ""},
        {"oom_score_adj": 500, "oom_kill_disable": False, "privileged": False},
        {"group_add": ["1000", "video"]},
        {"annotations": {"org.opencontainers.image.title": "x"}},
        {"blkio_config": {"weight": 50, "device_read_bps": [{"Path": "/dev/sda", "Rate": "1"}]}},
        {"volumes": [{"type": "tmpfs", "target": "/x", "tmpfs": {"size": "1"}}]},
    ],
)
def test_harmless_values_are_admitted(model: dict[str, Any]) -> None:
    assert denied(judge_service(model)) == []


@pytest.mark.parametrize(
    ("model", "rules"),
    [
        ({"cap_add": ["ALL"]}, ["capability"]),
        ({"cap_add": ["cap_sys_admin"]}, ["capability"]),
        ({"security_opt": ["label=disable"]}, ["security-opt"]),
        ({"security_opt": ["seccomp:./profile.json"]}, ["security-opt"]),
        ({"security_opt": ["apparmor:unconfined"]}, ["security-opt"]),
        ({"sysctls": {"net/ipv4/conf/../x": "1"}}, ["sysctl"]),
        ({"sysctls": {"net.ipv4.conf/../../../kernel/core_pattern": "|/x"}}, ["sysctl"]),
        ({"sysctls": {"net.ipv4.ip_forward": "1"}, "network_mode": "host"}, ["host-namespace", "sysctl"]),
        ({"network_mode": "other_default"}, ["external-network"]),
        ({"network_mode": "container:abc"}, ["foreign-container"]),
        ({"external_links": ["db_1:db"]}, ["foreign-container"]),
        ({"runtime": "io.containerd.x.v1/../../x"}, ["runtime"]),
        ({"logging": {"driver": "gelf", "options": {"gelf-address": "udp://192.0.2.1:12201"}}}, ["logging-driver"]),
        ({"logging": {"driver": "a-plugin:latest"}}, ["logging-driver"]),
        ({"scale": 2_000_000_000}, ["too-many-replicas"]),
        ({"deploy": {"replicas": 100_000}}, ["too-many-replicas"]),
        ({"stop_grace_period": "10m0.001s"}, ["stop-grace-period"]),
        ({"stop_grace_period": "1000h0m0s"}, ["stop-grace-period"]),
        ({"stop_grace_period": "-1s"}, ["stop-grace-period"]),
        ({"build": {"context": ROOT, "additional_contexts": {"a": "service:db"}}}, ["file-missing", "build-service"]),
        ({"build": {"context": ROOT, "secrets": [{"source": "token"}]}}, ["file-missing", "build-secrets"]),
    ],
)
def test_harmful_values_are_refused(model: dict[str, Any], rules: list[str]) -> None:
    assert denied(judge_service(model)) == rules


@pytest.mark.parametrize("name", ["host", "none", "bridge", "default", "ingress", "/etc", "a/b", "..", "-v", "a b", ""])
def test_a_network_is_called_what_the_engine_takes_for_a_new_name(name: str) -> None:
    wanted = [] if not name else ["reserved-name"]
    assert denied(judge({"networks": {"n": {"name": name}}})) == wanted
    volume = judge({"volumes": {"n": {"name": name}}})
    assert denied(volume) == (wanted if not name.isalpha() else [])


@pytest.mark.parametrize(
    ("subnet", "refused"),
    [
        ("10.9.0.0/16", False),
        ("192.168.7.0/24", False),
        ("172.31.0.0/16", False),
        ("100.64.3.0/24", False),
        ("fd00:1::/64", False),
        ("8.8.8.0/24", True),
        ("0.0.0.0/0", True),
        ("10.0.0.0/7", True),
        ("127.0.0.0/8", True),
        ("169.254.169.0/24", True),
        ("::/0", True),
        ("2606:4700::/32", True),
        ("nonsense", True),
    ],
)
def test_a_network_takes_addresses_of_the_operators_pool_only(subnet: str, refused: bool) -> None:
    pool = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fd00::/8")
    model = {"networks": {"n": {"ipam": {"config": [{}, {"subnet": subnet}]}}}}
    assert ("network-subnet" in denied(judge(model, address_pool=pool))) == refused
    assert "network-subnet" in denied(judge(model))


@pytest.mark.parametrize(
    ("pool", "refused"),
    [
        ({"subnet": "10.9.0.0/16", "gateway": "10.9.0.1", "ip_range": "10.9.1.0/24"}, False),
        ({"subnet": "10.9.0.0/16", "gateway": "10.10.0.1"}, True),
        ({"subnet": "10.9.0.0/16", "ip_range": "10.8.0.0/15"}, True),
        ({"subnet": "10.9.0.0/16", "aux_addresses": {"nas": "192.168.1.1"}}, True),
        ({"gateway": "192.168.1.1"}, True),
        ({"subnet": "::ffff:10.9.0.0/112"}, False),
        ({"subnet": "::ffff:192.168.1.0/120"}, True),
    ],
)
def test_other_addresses_of_a_network_are_held_to_the_pool_too(pool: dict[str, Any], refused: bool) -> None:
    found = denied(judge({"networks": {"n": {"ipam": {"config": [pool]}}}}, address_pool=("10.9.0.0/16",)))
    assert ("network-subnet" in found) == bool(found) == refused


def test_a_grant_for_a_range_is_one_for_what_lies_in_it() -> None:
    grant = Grant("network-subnet", "shop", "*", "the VPN needs it", ("10.8.0.0/16",))
    for subnet, found in (("10.8.3.0/24", []), ("10.9.3.0/24", ["network-subnet"])):
        assert denied(judge({"networks": {"n": {"ipam": {"config": [{"subnet": subnet}]}}}}, grants=[grant])) == found


@pytest.mark.parametrize(
    ("options", "refused"),
    [
        ({"type": "tmpfs", "device": "tmpfs", "o": "size=100m,uid=1000"}, []),
        ({"type": "tmpfs", "device": "tmpfs"}, ["tmpfs-size"]),
        ({"type": "tmpfs", "device": "tmpfs", "o": "size=100m,bind"}, ["volume-driver"]),
        ({"type": "tmpfs", "device": "/etc", "o": "size=1"}, ["volume-driver"]),
        ({"type": "none", "device": "/", "o": "bind"}, ["volume-driver"]),
        ({"type": "nfs", "device": ":/x", "o": "addr=10.0.0.1"}, ["volume-driver"]),
        ({"type": "tmpfs", "device": "tmpfs", "o": "size=1", "extra": "x"}, ["volume-driver"]),
    ],
)
def test_volume_options_may_describe_memory_and_nothing_else(options: dict[str, str], refused: list[str]) -> None:
    model = {"volumes": {"v": {"name": "shop_v", "driver": "local", "driver_opts": options}}}
    assert denied(judge(model)) == refused


def test_a_volume_that_is_a_folder_of_the_commit_is_answered_with_a_mount() -> None:
    """Compose makes `device: ./x` absolute, in a folder that no grant could name."""
    options = {"type": "none", "device": f"{ROOT}/x", "o": "bind"}
    model = {"volumes": {"v": {"name": "shop_v", "driver": "local", "driver_opts": options}}}
    (found,) = judge(model)
    assert found.message.startswith("volume v is ./x: ")
    assert found.hint.startswith("Mount the folder itself: `./x:TARGET`")
    assert found.need is None


# ------------------------------------------------------------------------------------------------------- silence


def test_an_ordinary_service_is_admitted_without_a_word() -> None:
    service = {
        "image": "nginx:1.27",
        "mem_limit": "67108864",
        "restart": "unless-stopped",
        "healthcheck": {"test": ["CMD", "true"]},
        "ports": [{"mode": "ingress", "target": 80, "published": "8080", "protocol": "tcp", "host_ip": "127.0.0.1"}],
        "volumes": [
            {"type": "volume", "source": "data", "target": "/data", "volume": {}},
            {"type": "bind", "source": f"{ROOT}/nginx.conf", "target": "/etc/nginx.conf", "read_only": True},
        ],
        "networks": {"default": None},
        "command": None,
        "entrypoint": None,
    }
    model = {
        "name": "shop",
        "services": {"web": service},
        "networks": {"default": {"name": "shop_default", "ipam": {}}},
        "volumes": {"data": {"name": "shop_data"}},
    }
    violations = judge(model, Commit({"nginx.conf": ""}))
    assert (denied(violations), warned(violations)) == ([], [])


def test_the_operator_says_how_long_a_container_may_take_to_stop() -> None:
    asking = candidate({"services": {"web": {"image": "x:1", "stop_grace_period": "30m0s"}}})
    document, commit = HostDocument("mini", (asking.stack,)), Commit()
    (found,) = (
        v
        for v in admit(document, [asking], commit, Permissions(longest_stop=1799.0)).violations
        if v.level is Level.DENY
    )
    assert (found.rule, found.pointer) == ("stop-grace-period", "/services/web/stop_grace_period")
    assert "max_stop_grace_period" in found.hint
    assert denied(admit(document, [asking], commit, Permissions(longest_stop=1800.0)).violations) == []


@pytest.mark.parametrize(
    ("asked", "written"),
    [
        ({"network_mode": "container:the-tunnel"}, "network_mode: service:tunnel"),
        ({"pid": "container:shop-tunnel-1"}, "pid: service:tunnel"),
        ({"volumes_from": ["container:the-tunnel:ro"]}, "volumes_from: tunnel"),
        ({"network_mode": "container:elsewhere"}, ""),
        ({"network_mode": "container:shop-web-1"}, ""),
    ],
)
def test_a_container_of_the_own_stack_is_named_by_its_service_and_no_grant_is_offered(
    asked: dict[str, Any], written: str
) -> None:
    model = {"services": {"web": {"image": "x:1", **asked}, "tunnel": {"image": "y:1", "container_name": "the-tunnel"}}}
    (found,) = (item for item in judge(model) if item.rule == "foreign-container")
    assert (f"Write `{written}`" in found.hint) is bool(written)
    assert (found.need is None) is bool(written)
    value = str(next(iter(asked.values()))).split(":")[1].strip("']")
    assert denied(judge(model, grants=[Grant("foreign-container", "*", "web", "x", (value,))])) == []
