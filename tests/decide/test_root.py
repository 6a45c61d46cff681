"""What is equal to root, and who gets it: only the service that the operator has read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from reconciler.decide.admit.policies.pins import pin_of
from reconciler.decide.admit.policies.subject import Subject
from reconciler.decide.mounts.mount_paths import CommitPaths
from reconciler.formats import grants as forms
from reconciler.formats.bundles import bundles
from reconciler.formats.rules import Values, rules
from reconciler.model.documents import BindGrant, Grant, Permissions, Pin
from reconciler.model.outcome import Level
from tests.decide.judging import ROOT, Commit, candidate, denied, judge, judge_service, judge_stacks

Model = dict[str, Any]
FILES = Commit({"Dockerfile": ""})
SOCKET = {"type": "bind", "source": "/var/run/docker.sock", "target": "/var/run/docker.sock", "read_only": True}


def service(**keys: Any) -> Model:
    return {"services": {"web": {"image": "web:1", **keys}}}


TRAEFIK = {"image": "traefik:v3.1", "command": ["--providers.docker"], "volumes": [SOCKET]}
PINNED = Grant("docker-socket", "shop", "proxy", "labels", (), Pin("traefik:v3.1", None, ("--providers.docker",)))


def proxy(more: Model | None = None, **services: Model) -> Model:
    return {"services": {"proxy": {**TRAEFIK, **(more or {})}, **services}}


def test_what_is_equal_to_root_is_given_to_the_service_that_was_read() -> None:
    assert denied(judge(proxy({"mem_limit": str(64 << 20), "ports": []}), grants=[PINNED])) == []


@pytest.mark.parametrize(
    "change",
    [
        {"image": "evil:1"},
        {"command": ["--providers.docker", "--experimental.plugins.x.modulename=y"]},
        {"command": None},
        {"command": []},
        {"entrypoint": ["sh"]},
        {"entrypoint": []},
        {"environment": {"LD_PRELOAD": "/x.so"}},
        {"healthcheck": {"test": ["CMD-SHELL", "evil"]}},
        {"labels": {"ofelia.job-exec.x.command": "evil"}},
        {"user": "1000"},
        {"working_dir": "/x"},
        {"build": {"context": ROOT}},
        {"extra_hosts": {"plugins.example.org": ["192.0.2.1"]}},
        {"volumes": [SOCKET, {"type": "bind", "source": f"{ROOT}/x", "target": "/usr/local/bin"}]},
        {"volumes": [SOCKET, {"type": "volume", "source": "v", "target": "/usr/local/bin"}]},
        {"volumes": [{**SOCKET, "source": "/srv/x/docker.sock", "target": "/usr/local/bin"}]},
        {"configs": [{"source": "c", "target": "/entrypoint.sh"}]},
        {"volumes_from": ["other"]},
        {"pid": "service:other"},
    ],
)
def test_no_change_of_what_it_does_is_covered(change: Model) -> None:
    objects = {"configs": {"c": {"content": "x"}}, "volumes": {"v": {"name": "v"}}}
    model = {**proxy(change, other={"image": "x:1"}), **objects}
    files = Commit({"Dockerfile": "", "x/traefik": ""})
    assert "docker-socket" in denied(judge(model, files, grants=[PINNED]))


@pytest.mark.parametrize(
    "other",
    [
        {"volumes_from": ["proxy"]},
        {"volumes_from": ["proxy:ro"]},
        {"volumes_from": ["between"]},
        {"pid": "service:proxy"},
        {"pid": "service:between"},
    ],
)
def test_nobody_gets_it_from_the_service_that_has_it(other: Model) -> None:
    between = {"image": "x:1", "volumes_from": ["proxy"], "pid": "service:proxy"}
    found = judge(proxy(between=between, evil={"image": "evil:1", **other}), grants=[PINNED])
    assert ("docker-socket", "evil") in {(item.rule, item.service) for item in found if item.level is Level.DENY}


def test_who_shares_its_processes_reaches_it_in_both_directions() -> None:
    found = judge(proxy({"pid": "service:evil"}, evil={"image": "evil:1"}), grants=[PINNED])
    assert [item.service for item in found if item.rule == "docker-socket"] == ["evil", "proxy"]


@pytest.mark.parametrize("key", ["pid", "ipc"])
@pytest.mark.parametrize("own", [{"security_opt": ["systempaths=unconfined"]}, {"devices": ["/dev/sda"]}])
def test_who_shares_the_memory_of_its_programs_is_part_of_it(own: Model, key: str) -> None:
    """They can trace it, and write the host's kernel settings below /proc/<pid>/root/proc/sys."""
    rule = "devices" if "devices" in own else "security-opt"
    value = own["devices"][0] if "devices" in own else own["security_opt"][0]
    granted = Grant(rule, "shop", "web", "r", (value,), Pin("web:1", None, None))
    alone = service(**own)["services"]
    joining, joined = {"image": "x:1", key: "service:web"}, {"web": {**alone["web"], key: "service:evil"}}
    assert denied(judge({"services": {**alone, "apart": {"image": "x:1"}}}, grants=[granted])) == []
    assert denied(judge({"services": {**alone, "evil": joining}}, grants=[granted])) == [rule]
    assert denied(judge({"services": {**joined, "evil": {"image": "x:1"}}}, grants=[granted])) == [rule]


@pytest.mark.parametrize("key", ["network_mode", "pid", "ipc"])
def test_the_hosts_namespaces_are_not_passed_on(key: str) -> None:
    granted = Grant("host-namespace", "shop", "a", "r", (key,))
    services = {"a": {"image": "a:1", key: "host"}, "b": {"image": "b:1", key: "service:a"}}
    found = judge({"services": services}, grants=[granted], signed=True)
    assert [(item.rule, item.service) for item in found if item.level is Level.DENY] == [("host-namespace", "b")]


def pin(model: Model, files: Commit = FILES, name: str = "proxy", **more: Any) -> Pin:
    found = pin_of(Subject("shop", model, ROOT, CommitPaths(files), Permissions(), **more), name)
    assert found is not None
    return found


CONFIG = {"type": "bind", "source": f"{ROOT}/conf", "target": "/etc/traefik", "read_only": True}
ACME = {"type": "volume", "source": "acme", "target": "/acme"}


def test_the_rest_holds_committed_files_and_whoever_writes_what_it_reads() -> None:
    one, other = Commit({"conf/a": "1"}), Commit({"conf/a": "1", "conf/b": "2"})
    mounted = proxy({"volumes": [SOCKET, CONFIG, ACME]})
    assert pin(mounted, one) == pin(mounted, one)
    assert pin(mounted, one) != pin(mounted, other)
    beside = {"image": "backup:1", "volumes": [{**ACME, "target": "/in", "read_only": True}]}
    third = {"image": "third:1", "volumes": [ACME]}
    assert pin(mounted, one) != pin(proxy({"volumes": [SOCKET, CONFIG, ACME]}, backup=beside), one)
    found = {pin(proxy({"volumes": [ACME]}, backup={**beside, "image": image}, third=third)).rest for image in "ab"}
    assert len(found) == 2
    assert pin(mounted, one) == pin(proxy({"volumes": [SOCKET, CONFIG, ACME]}, apart={"image": "x:1"}), one)


def test_a_volume_is_the_same_under_two_keys_and_through_another_service() -> None:
    objects = {"volumes": {"acme": {"name": "shop_acme"}, "other": {"name": "shop_acme"}}}
    alone = proxy({"volumes": [SOCKET, ACME]})
    for evil in ({"volumes": [{**ACME, "source": "other"}]}, {"volumes_from": ["between"]}):
        between = {"image": "between:1", "volumes": [{**ACME, "source": "other"}], "volumes_from": []}
        one = {**proxy({"volumes": [SOCKET, ACME]}, between=between), **objects}
        two = {**proxy({"volumes": [SOCKET, ACME]}, between=between, evil={"image": "evil:1", **evil}), **objects}
        assert len({pin({**alone, **objects}).rest, pin(one).rest, pin(two).rest}) == 3


def test_an_image_that_another_service_builds_under_the_pinned_name_is_not_it() -> None:
    evil = {"image": "traefik:v3.1", "build": {"context": ROOT}}
    assert denied(judge(proxy(evil=evil), FILES, grants=[PINNED])) == ["docker-socket"]
    tagged = {"image": "evil:1", "build": {"context": ROOT, "tags": ["traefik:v3.1"]}}
    assert "docker-socket" in denied(judge(proxy(evil=tagged), FILES, grants=[PINNED]))
    elsewhere = [candidate(proxy()), candidate({"services": {"evil": evil}}, "blog")]
    assert denied(judge_stacks(elsewhere, FILES, grants=[PINNED])) == ["docker-socket"]


@pytest.mark.parametrize("name", ["docker.io/traefik:v3.1", "docker.io/library/traefik:v3.1", "library/traefik:v3.1"])
def test_no_other_spelling_of_the_pinned_image_is_built_under_it(name: str) -> None:
    spellings: tuple[dict[str, Any], ...] = ({"image": name}, {"image": "evil:1", "build": {"tags": [name]}})
    for evil in spellings:
        built = {**evil, "build": {"context": ROOT, **evil.get("build", {})}}
        assert "docker-socket" in denied(judge(proxy(evil=built), FILES, grants=[PINNED]))
    latest = Grant("docker-socket", "shop", "proxy", "labels", (), Pin("shop-evil:latest"))
    model: dict[str, Any] = {"services": {"proxy": {"image": "shop-evil:latest", "volumes": [SOCKET]}}}
    assert denied(judge(model, FILES, grants=[latest])) == []
    model["services"]["evil"] = {"build": {"context": ROOT}}
    assert denied(judge(model, FILES, grants=[latest])) == ["docker-socket"]


def test_who_writes_what_it_reads_is_not_built_elsewhere_either() -> None:
    def model(**more: Model) -> Model:
        return proxy({"volumes": [SOCKET, ACME]}, beside={"image": "beside:1", "volumes": [ACME]}, **more)

    granted = Grant("docker-socket", "shop", "proxy", "r", (), pin(model()))
    assert "docker-socket" not in denied(judge(model(), FILES, grants=[granted]))
    evil = {"image": "docker.io/library/beside:1", "build": {"context": ROOT}}
    assert "docker-socket" in denied(judge(model(evil=evil), FILES, grants=[granted]))


def test_a_build_beside_it_counts_with_all_that_it_is_made_of() -> None:
    build = {"context": f"{ROOT}/in", "dockerfile": "../Dockerfile", "additional_contexts": {"x": f"{ROOT}/more"}}
    model = proxy({"volumes": [SOCKET, ACME]}, beside={"build": build, "volumes": [ACME]})
    files = {"in/a": "1", "Dockerfile": "FROM x:1", "more/b": "1"}
    before = pin(model, Commit(files))
    for path in (*files, "more/c"):
        assert pin(model, Commit(files, {path: "100755"})) != before, path
    upon = proxy({"volumes": [SOCKET, ACME]}, beside={"build": build, "volumes": [ACME]}, x={"image": "x:1"})
    upon["services"]["x"]["build"] = {"context": ROOT}
    subject = Subject("shop", upon, ROOT, CommitPaths(Commit(files)), built=frozenset({"x:1"}))
    assert pin_of(subject, "proxy") is None


def test_other_stacks_and_granted_paths_are_where_somebody_may_write_too() -> None:
    conf = {"type": "bind", "source": "/srv/conf", "target": "/etc/traefik", "read_only": True}
    volumes = {"volumes": {"acme": {"name": "shop_acme"}}}
    alone = {**proxy({"volumes": [SOCKET, ACME, conf]}), **volumes}
    granted = Grant("docker-socket", "shop", "proxy", "r", (), pin(alone))
    srv = bind("/srv", read_only=False)
    lent = {"volumes": {"v": {"name": "shop_acme", "external": True}}}
    writers: list[Model] = [
        {"services": {"evil": {"image": "evil:1", "volumes": [{**ACME, "source": "v"}]}}, **lent},
        {"services": {"evil": {"image": "evil:1", "volumes": [{**conf, "source": "/srv", "read_only": False}]}}},
        {"services": {"evil": {"image": "evil:1", "volumes": [{**conf, "source": "/srv/conf/a", "read_only": False}]}}},
    ]
    for other in writers:
        found = judge_stacks([candidate(alone), candidate(other, "blog")], FILES, grants=[granted], binds=[srv])
        assert ("docker-socket", "proxy") in {(item.rule, item.service) for item in found if item.level is Level.DENY}
    reader = {"services": {"films": {"image": "evil:1", "volumes": [{**conf, "source": "/srv"}]}}}
    assert denied(judge_stacks([candidate(alone), candidate(reader, "blog")], grants=[granted], binds=[srv])) == []


def test_the_rest_is_the_same_wherever_the_commit_lay_and_whatever_compose_writes_down() -> None:
    model = proxy({"volumes": [SOCKET, CONFIG], "environment": {"HERE": ROOT}})
    moved = json.loads(json.dumps(model).replace(ROOT, "/elsewhere"))
    moved["services"]["proxy"]["volumes"][1]["bind"] = {"create_host_path": True}
    found = pin_of(Subject("shop", moved, "/elsewhere", CommitPaths(FILES)), "proxy")
    assert found == pin(model)


def test_secrets_leave_no_trace_in_the_rest() -> None:
    one, other = (
        pin(proxy({"environment": {"TOKEN": text}}), concealed=frozenset({text})) for text in ("first", "other")
    )
    assert one == other
    told = pin(proxy({"command": ["--token=first"]}), concealed=frozenset({"first"}))
    assert told.command == ("--token=(secret)",)


def test_the_proposed_line_is_enough() -> None:
    model = proxy({"environment": {"A": "b"}, "healthcheck": {"test": ["CMD", "true"]}})
    (found,) = (item for item in judge(model) if item.level is Level.DENY)
    proposed = pin(model)
    assert f"image: {proposed.image}" in found.hint
    assert proposed.rest in found.hint
    granted = Grant("docker-socket", "shop", "proxy", "r", (), proposed)
    assert denied(judge(model, grants=[granted])) == []


def test_an_image_of_the_commit_is_pinned_by_nobody() -> None:
    found = judge(proxy({"build": {"context": ROOT}}), FILES, grants=[PINNED])
    (hint,) = (item.hint for item in found if item.rule == "docker-socket")
    assert "Only source.allowed_signers" in hint
    assert denied(judge(proxy({"build": {"context": ROOT}}), FILES, grants=[PINNED], signed=True)) == ["docker-socket"]
    plain = Grant("docker-socket", "shop", "proxy", "labels")
    assert denied(judge(proxy({"build": {"context": ROOT}}), FILES, grants=[plain], signed=True)) == []


# --------------------------------------------------------------------------------------------------------- binds


def mounted(source: str, read_only: bool = False, target: str = "/x") -> Model:
    return service(volumes=[{"type": "bind", "source": source, "target": target, "read_only": read_only}])


def bind(path: str, **more: Any) -> BindGrant:
    return BindGrant(path, more.pop("host", path), "tested", **more)


@pytest.mark.parametrize(
    ("entry", "read_only", "passes"),
    [
        (bind("/srv"), True, True),
        (bind("/srv"), False, False),
        (bind("/srv", read_only=False), False, True),
        (bind("/srv", stack="shop", service="web", read_only=False), False, True),
        (bind("/srv", stack="blog", read_only=False), True, False),
        (bind("/srv", service="db", read_only=False), True, False),
        (bind("/srv/films"), True, True),
        (bind("/srv/films/new"), True, False),
    ],
)
def test_a_bind_says_who_may_mount_it_and_how(entry: BindGrant, read_only: bool, passes: bool) -> None:
    found = denied(judge(mounted("/srv/films", read_only), binds=[entry]))
    assert found == ([] if passes else ["absolute-bind"])


def test_the_longest_path_decides() -> None:
    binds = [bind("/srv", read_only=False), bind("/srv/films"), bind("/srv/films/new", read_only=False)]
    found = [bool(denied(judge(mounted(path), binds=binds))) for path in ("/srv", "/srv/films/a", "/srv/films/new/b")]
    assert found == [False, True, False]


def test_the_remedy_of_a_path_is_a_bind_of_that_path_alone() -> None:
    (found,) = (item for item in judge(mounted("/srv/films", True)) if item.level is Level.DENY)
    line = "{path: /srv/films, stack: shop, service: web, read_only: true, reason: …}"
    assert found.hint.endswith(f"binds: [{line}].")
    coarse = [Grant("absolute-bind", "*", "*", "all"), Grant("volumes", "*", "*", "all")]
    assert denied(judge(mounted("/srv/films", True), grants=coarse, signed=True)) == ["absolute-bind"]


@pytest.mark.parametrize("options", [{"recursive": "writable"}, {"selinux": "Z"}, {"selinux": "z"}])
def test_what_is_only_read_is_not_written_below_and_not_relabelled(options: Model) -> None:
    model = service(volumes=[{"type": "bind", "source": "/srv", "target": "/x", "read_only": True, "bind": options}])
    assert denied(judge(model, binds=[bind("/srv")])) == ["absolute-bind"]
    assert denied(judge(model, binds=[bind("/srv", read_only=False)])) == []
    assert denied(judge(service(volumes=[{**model["services"]["web"]["volumes"][0], "source": "/etc/localtime"}])))


@pytest.mark.parametrize("source", ["/etc/localtime", "/etc/timezone", "/etc//localtime"])
def test_clocks_need_nothing_where_they_are_only_read(source: str) -> None:
    assert denied(judge(mounted(source, True))) == []
    assert denied(judge(mounted(source))) == ["absolute-bind"]
    assert denied(judge(mounted(f"{source}/../shadow", True))) == ["absolute-bind"]


@pytest.mark.parametrize(
    ("path", "read", "write"),
    [
        ("/", True, True),
        ("/etc", True, True),
        ("/var/run", True, True),
        ("/run/dbus", True, True),
        ("/root", True, True),
        ("/var", True, True),
        ("/proc", True, True),
        ("//var//run/./", True, True),
        ("/var/lib/docker/volumes/x/_data", True, True),
        ("/state", True, True),
        ("/state/data/shop", True, True),
        ("/var/backups", True, True),
        ("/var/lib/lxd", True, True),
        ("/var/lib/dpkg/info", False, True),
        ("/var/lib/cloud/scripts", False, True),
        ("/var/lib/grafana", False, False),
        ("/boot", False, True),
        ("/dev", False, True),
        ("/sys", False, True),
        ("/usr/local/bin", False, True),
        ("/etc/cron.d", False, True),
        ("/home/me", False, True),
        ("/home/me/.ssh", True, True),
        ("/lib/modules", False, True),
        ("/srv", False, False),
        ("/mnt/films", False, False),
        ("/home/me/films", False, False),
        ("/etc/pihole", False, False),
    ],
)
def test_paths_that_are_equal_to_root_need_a_pin(path: str, read: bool, write: bool) -> None:
    for read_only, root in ((True, read), (False, write)):
        assert bool(forms.root_path(path, read_only=read_only, own=("/state",))) is root
        entry = bind(path, read_only=read_only)
        assert bool(denied(judge(mounted(path, read_only), binds=[entry], own=("/state",)))) is root
        assert denied(judge(mounted(path, read_only), binds=[entry], own=("/state",), signed=True)) == []


@pytest.mark.parametrize("device", ["/dev/sda", "/dev/zvol/tank/root", "/dev/pmem0", "/dev/rbd0", "/dev/char/1:1"])
def test_disks_and_memory_need_a_pin_by_whatever_name(device: str) -> None:
    asked = service(devices=[{"source": device, "target": "/dev/x"}])
    assert denied(judge(asked, grants=[Grant("devices", "shop", "web", "r", (device,))])) == ["devices"]
    assert denied(judge(asked, grants=[Grant("devices", "shop", "web", "r", (device,), Pin("web:1"))])) == []


def test_an_entry_for_the_whole_machine_gives_nothing_without_a_pin() -> None:
    assert denied(judge(mounted("/srv", True), binds=[bind("/")])) == ["absolute-bind"]
    assert denied(judge(mounted("/srv", True), binds=[bind("/")], signed=True)) == []
    assert denied(judge(mounted("/srv", True), binds=[bind("/", pin=Pin("web:1"))])) == ["absolute-bind"]
    assert denied(judge(mounted("/sys", True), binds=[bind("/"), bind("/sys")])) == []


def test_where_a_path_really_lies_decides() -> None:
    assert denied(judge(mounted("/data"), binds=[bind("/data", host="/etc", read_only=False)])) == ["absolute-bind"]


def test_below_the_whole_machine_nothing_of_other_containers_becomes_a_program() -> None:
    root = {"type": "bind", "source": "/", "target": "/host", "read_only": True}
    entry = bind("/", pin=Pin("exporter:1"))
    plain = {"image": "exporter:1", "volumes": [root]}
    assert denied(judge({"services": {"web": plain}}, binds=[entry])) == []
    evil = {**root, "source": "/var/lib/docker/volumes/shop_evil/_data", "target": "/usr/bin"}
    assert set(denied(judge({"services": {"web": {**plain, "volumes": [root, evil]}}}, binds=[entry]))) == {
        "absolute-bind"
    }


# ------------------------------------------------------------------------------------------------------- bundles


def test_bundles_hold_what_can_be_granted_and_nothing_for_all() -> None:
    assert set(bundles()) == {"reverse-proxy", "home-automation", "media", "vpn", "monitoring", "gpu"}
    for bundle in bundles().values():
        for policy, given_values in bundle.grants:
            rule = rules()[policy]
            assert rule.granted
            assert bool(given_values) is (rule.values is not Values.NONE)
            assert all(forms.normal(policy, value) == value for value in given_values)


def test_a_bundle_gives_root_to_nobody_who_is_not_pinned() -> None:
    for bundle in bundles().values():
        grants = [Grant(policy, "shop", "web", "r", given) for policy, given in bundle.grants]
        binds = [BindGrant(path, path, "r", "shop", "web", read_only) for path, read_only in bundle.binds]
        for model in (service(privileged=True), service(volumes=[SOCKET]), service(pid="host"), mounted("/", True)):
            assert denied(judge(model, grants=grants, binds=binds)) != []


def test_judging_needs_no_model_to_be_whole() -> None:
    assert denied(judge_service({"volumes_from": ["gone"], "pid": "service:gone", "image": "x:1"})) == []


def test_refusals_offer_a_hundred_pins_and_any_pin_of_the_operator_s_counts() -> None:
    services = {f"s{n:03}": {"image": "x:1", "privileged": True} for n in range(102)}
    found = judge({"services": services})
    assert sum(item.need is not None for item in found if item.rule == "privileged") == 100
    assert sum("a service among so many cannot be pinned" in item.hint for item in found) == 2
    last = Grant("privileged", "shop", "s101", "tested", pin=Pin("x:1"))
    assert denied(judge({"services": services}, grants=[last])) == ["privileged"] * 101
