"""Compose's features must keep their meaning through the switch, and through the rollback, with every version."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from tests.e2e.host import Answer, Host
from tests.e2e.services import (
    BROKEN,
    IMAGE,
    VOLUME_IMAGE,
    ask,
    health,
    healthy,
    living,
    one_shot,
    server,
    service,
    stated,
)
from tests.e2e.together import Together

pytestmark = pytest.mark.engine
together = Together()


Services = Mapping[str, Any]
Contents = Mapping[str, str | bytes]


def good(host: Host, services: Services, files: Contents | None = None, **more: Any) -> Answer:
    host.push(services, files, **more)
    turn = host.once()
    assert (turn.code, turn["outcome"]) == (0, "Succeeded"), turn["message"]
    return turn


def bad(host: Host, services: Services, files: Contents | None = None, **more: Any) -> None:
    """Push a commit that fails. Afterwards exactly the containers that ran before must run again."""
    before = host.ids()
    host.push(services, files, **more)
    turn = host.once()
    assert (turn.code, turn["outcome"]) == (1, "RolledBack"), turn["message"]
    assert host.ids() == before
    assert host.once()["effects"] == 0


def changed(before: Mapping[str, str], after: Mapping[str, str]) -> set[str]:
    return {name.split("-s-")[1] for name in {**before, **after} if before.get(name) != after.get(name)}


@together.with_every_compose
def test_replicas(host: Host) -> None:
    good(host, {"web": stated("1", scale=3)})
    three = host.ids()
    assert changed({}, three) == {"web-1", "web-2", "web-3"}
    good(host, {"web": stated("1", deploy={"replicas": 2})})
    two = host.ids()
    assert changed(three, two) == {"web-3"}
    good(host, {"web": stated("2", deploy={"replicas": 3})})
    assert changed(two, host.ids()) == {"web-1", "web-2", "web-3"}
    assert set(host.states().values()) == {"running"}
    bad(host, {"web": stated("3", deploy={"replicas": 2}), "new": BROKEN})
    bad(host, {"web": {**BROKEN, "deploy": {"replicas": 4}}})
    good(host, {"web": stated("2", deploy={"replicas": 3}), "other": stated("1")})
    good(host, {"web": stated("2", deploy={"replicas": 0}), "other": stated("1")})
    assert host.states() == {"other-1": "running"}


def chain(version: str, migrate: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "db": healthy("sleep 1; touch /tmp/healthy"),
        "migrate": migrate or one_shot("sleep 0.5", depends_on={"db": {"condition": "service_healthy"}}),
        "app": stated(version, depends_on={"migrate": {"condition": "service_completed_successfully"}}),
        "edge": stated("1", depends_on={"app": {"condition": "service_started", "restart": True}}),
    }


@together.with_every_compose
def test_dependencies_and_one_shots(host: Host) -> None:
    good(host, chain("1"))
    state = {name: host.container(name)["State"] for name in ("db", "migrate", "app", "edge")}
    assert state["db"]["StartedAt"] < state["migrate"]["StartedAt"] < state["migrate"]["FinishedAt"]
    assert state["migrate"]["FinishedAt"] < state["app"]["StartedAt"] < state["edge"]["StartedAt"]
    before = host.ids()
    good(host, chain("2"))
    assert changed(before, host.ids()) == {"app-1"}
    assert host.container("edge")["State"]["StartedAt"] > host.container("app")["State"]["StartedAt"]
    before = host.ids()
    good(host, chain("2", one_shot("echo 2")))
    assert changed(before, host.ids()) == {"migrate-1"}
    app = host.container("app")["State"]["StartedAt"]
    bad(host, chain("3", one_shot("exit 4")))
    assert host.container("app")["State"]["StartedAt"] == app
    assert host.container("migrate")["State"]["ExitCode"] == 0


@together.with_every_compose
def test_container_name(host: Host) -> None:
    name = f"{host.name}-own-name"
    good(host, {"web": stated("1", container_name=name), "peer": stated("1")})
    first = host.ids()
    assert set(first) == {name, f"{host.stack}-peer-1"}
    good(host, {"web": stated("2", container_name=name), "peer": stated("1")})
    second = host.ids()
    assert second[name] != first[name]
    assert host.exec("peer-1", f"getent hosts {name}")
    bad(host, {"web": {**BROKEN, "container_name": name}, "peer": stated("1")})
    good(host, {"web": stated("2"), "peer": stated("1")})
    assert set(host.ids()) == {f"{host.stack}-web-1", f"{host.stack}-peer-1"}


def namespace_users(version: str, **more: Any) -> dict[str, Any]:
    return {
        "leader": server(version, volumes=["data:/data"], mem_limit="64m"),
        "net": stated("1", network_mode="service:leader"),
        "pid": stated("1", pid="service:leader"),
        "files": stated("1", volumes_from=["leader"]),
        "apart": stated("1"),
        **more,
    }


@together.with_every_compose
def test_namespace_users_of_namespaces_and_volumes(host: Host) -> None:
    volumes: dict[str, Any] = {"volumes": {"data": {}}}
    good(host, namespace_users("one"), **volumes)
    before = host.ids()
    check_sharing(host, "one")
    good(host, namespace_users("two"), **volumes)
    assert changed(before, host.ids()) == {"leader-1", "net-1", "pid-1", "files-1"}
    check_sharing(host, "two")
    bad(host, namespace_users("three", namespace_owner={**BROKEN, "volumes": ["data:/data"]}), **volumes)
    check_sharing(host, "two")
    bad(host, namespace_users("two", net={**BROKEN, "network_mode": "service:leader"}), **volumes)
    check_sharing(host, "two")


def check_sharing(host: Host, says: str) -> None:
    namespace_owner = host.container("leader")
    assert host.exec("net-1", ask("127.0.0.1")) == says
    assert host.container("net")["HostConfig"]["NetworkMode"] == f"container:{namespace_owner['Id']}"
    assert "perl" in host.exec("pid-1", "cat /proc/1/cmdline")
    host.exec("leader-1", f"echo {says} > /data/word")
    assert host.exec("files-1", "cat /data/word") == says


@together.with_every_compose
def test_volumes_must_keep_their_data(host: Host) -> None:

    def services(version: str, **more: Any) -> dict[str, Any]:
        kept = {"image": VOLUME_IMAGE, "volumes": ["data:/data", "/scratch"], **more}
        return {"db": stated(version, **kept), "two": stated(version, image=VOLUME_IMAGE, scale=2)}

    volumes: dict[str, Any] = {"volumes": {"data": {"labels": {"of": "db"}}}}
    good(host, services("1"), **volumes)
    host.exec("db-1", "for f in data scratch store; do head -c 5000 /dev/zero | tr '\\0' x > /$f/sentinel; done")
    for n in ("1", "2"):
        host.exec(f"two-{n}", f"echo {n} > /store/who")
    before = host.ids()
    good(host, services("2"), **volumes)
    assert changed(before, host.ids()) == {"db-1", "two-1", "two-2"}
    check_data(host)
    bad(
        host,
        {**services("3"), "db": {**BROKEN, "image": VOLUME_IMAGE, "volumes": ["data:/data", "/scratch"]}},
        **volumes,
    )
    check_data(host)
    good(
        host,
        services("4", volumes=["data:/data", "/scratch", "more:/more"]),
        volumes={**volumes["volumes"], "more": {}},
    )
    check_data(host)
    assert host.volumes() >= {f"{host.stack}_data", f"{host.stack}_more"}


def check_data(host: Host) -> None:
    assert host.exec("db-1", "cat /data/sentinel /scratch/sentinel /store/sentinel | tr -d x | wc -c") == "0"
    assert host.exec("db-1", "cat /data/sentinel /scratch/sentinel /store/sentinel | wc -c") == "15000"
    assert [host.exec(f"two-{n}", "cat /store/who") for n in ("1", "2")] == ["1", "2"]


@together.with_every_compose
def test_configs_and_secrets_of_every_source(host: Host) -> None:
    folder = host.secrets / host.stack
    folder.mkdir(mode=0o700)
    (folder / "PASSWORD").write_bytes(b"from the host's folder \0\xff\r\n")
    (folder / "PASSWORD").chmod(0o600)
    (host.secrets / f"{host.stack}.env").write_text("TOKEN=from-the-env-file\n")
    (host.secrets / f"{host.stack}.env").chmod(0o600)
    user = service(
        user="1000:1000",
        configs=["plain", {"source": "inline", "target": "/etc/deep/inline.conf"}, {"source": "variable"}],
        secrets=["file", {"source": "password", "target": "pw"}, {"source": "token", "target": "/etc/token"}],
    )
    document = {
        "configs": {
            "plain": {"file": "./files/plain"},
            "inline": {"content": "inline ${WORD}\n"},
            "variable": {"environment": "WORD"},
        },
        "secrets": {
            "file": {"file": "./files/secret"},
            "password": {"environment": "PASSWORD"},
            "token": {"environment": "TOKEN"},
        },
        "stack": {"env": {"WORD": "word"}},
    }
    raw = bytes(range(256))
    files: dict[str, str | bytes] = {"files/plain": raw, "files/secret": "committed\n"}
    wanted = {
        "/etc/deep/inline.conf": b"inline word\n", "/variable": b"word", "/run/secrets/file": b"committed\n",
        "/run/secrets/pw": b"from the host's folder \0\xff\r\n", "/etc/token": b"from-the-env-file", "/plain": raw,
    }  # fmt: skip

    def check() -> None:
        for path, content in wanted.items():
            assert bytes.fromhex(host.exec("user-1", f"od -An -v -tx1 {path}", user="1000:1000")) == content, path
            assert host.exec("user-1", f"echo x 2>/dev/null > {path} || echo refused", user="0") == "refused"

    good(host, {"user": user, "other": stated("1")}, files, **document)
    check()
    good(host, {"user": {**user, "environment": {"VERSION": "2"}}, "other": stated("1")}, files, **document)
    check()
    bad(host, {"user": {**user, **BROKEN}, "other": stated("1")}, files, **document)
    check()
    (folder / "PASSWORD").write_text("changed on the host\n")
    before = host.ids()
    turn = host.once()
    assert (turn.code, changed(before, host.ids())) == (1, set()), "the head is quarantined, whatever the secret says"
    good(host, {"user": user, "other": stated("1")}, files, **document)
    assert changed(before, host.ids()) == {"user-1"}
    wanted["/run/secrets/pw"] = b"changed on the host\n"
    check()


@together.with_every_compose
def test_a_changed_file_must_replace_exactly_its_users(host: Host) -> None:

    def services() -> dict[str, Any]:
        return {
            "config": service(configs=[{"source": "conf", "target": "/conf"}]),
            "bind": service(volumes=["./conf:/conf/whole:ro", "./data:/data"]),
            "one": service(volumes=["./conf/b:/b"]),
            "none": service(),
        }

    document = {"configs": {"conf": {"file": "./conf/a"}}}
    files: dict[str, str | bytes] = {"conf/a": "a1", "conf/b": "b1"}
    good(host, services(), files, **document)
    host.exec("bind-1", "echo mine > /data/kept")
    before = host.ids()
    good(host, services(), {**files, "conf/a": "a2"}, **document)
    assert changed(before, host.ids()) == {"config-1", "bind-1"}
    assert host.exec("config-1", "cat /conf") == host.exec("bind-1", "cat /conf/whole/a") == "a2"
    before = host.ids()
    good(host, services(), {**files, "conf/a": "a2", "conf/c": "c1"}, **document)
    assert changed(before, host.ids()) == {"bind-1"}
    bad(host, {**services(), "none": BROKEN}, {"conf/a": "a3", "conf/b": "b3"}, **document)
    assert host.exec("config-1", "cat /conf") == host.exec("bind-1", "cat /conf/whole/a") == "a2"
    assert host.exec("one-1", "cat /b") == "b1"
    assert host.exec("bind-1", "cat /data/kept") == "mine"


def networked(version: str, subnet: str) -> tuple[dict[str, Any], dict[str, Any]]:
    services = {
        "web": server(
            version, mem_limit="64m", networks={"front": {"aliases": ["www"]}, "back": {"ipv4_address": f"{subnet}.10"}}
        ),
        "inside": stated("1", networks=["back"], links=["web:linked"]),
        "outside": stated("1", networks=["front"]),
    }
    networks = {"front": {}, "back": {"internal": True, "ipam": {"config": [{"subnet": f"{subnet}.0/24"}]}}}
    return services, {"networks": networks}


@together.with_every_compose
def test_networks_aliases_and_static_addresses(host: Host) -> None:
    part = int(host.name[1:5], 16)
    host.configure(address_pool=["10.192.0.0/10"])
    first, second, third = (f"10.{200 + part % 50}.{part // 50 % 80 * 3 + n}" for n in range(3))

    def check(says: str, subnet: str) -> None:
        for name in ("web", "linked", f"{subnet}.10"):
            assert host.exec("inside-1", ask(name)) == says
        for name in ("web", "www"):
            assert host.exec("outside-1", ask(name)) == says

    services, document = networked("one", first)
    good(host, services, **document)
    check("one", first)
    before = host.ids()
    services, document = networked("two", first)
    good(host, services, **document)
    assert changed(before, host.ids()) == {"web-1"}
    check("two", first)
    bad(host, {**services, "web": {**services["web"], **BROKEN}}, **document)
    check("two", first)
    before = host.ids()
    services, document = networked("two", second)
    good(host, services, **document)
    assert changed(before, host.ids()) == {"web-1", "inside-1"}
    check("two", second)
    back, changed_back = networked("two", third)
    bad(host, {**back, "web": {**back["web"], **BROKEN}}, **changed_back)
    check("two", second)
    assert set(host.networks()) == {f"{host.stack}_front", f"{host.stack}_back"}


@together.with_every_compose
def test_the_small_options(host: Host) -> None:
    many = service(
        init=True, ulimits={"nofile": {"soft": 1234, "hard": 2345}}, tmpfs=["/run/t:size=1m"], stop_grace_period="2s",
        extra_hosts=["gate:10.9.8.7"], env_file=["./some.env", {"path": "./none.env", "required": False}],
        environment={"OWN": "wins"}, hostname="called", dns=["10.9.8.1"], shm_size="2m", working_dir="/tmp",
        cap_drop=["ALL"], read_only=True, stop_signal="SIGINT", labels={"a.b": "c"}, group_add=["4321"],
        healthcheck={"test": "test -d /tmp", "interval": "500ms"}, logging={"options": {"max-size": "1m"}},
        deploy={"resources": {"limits": {"memory": "48m", "cpus": "0.5", "pids": 50}}}, mem_limit=None,
    )  # fmt: skip
    services = {
        "many": many,
        "form": service(healthcheck={"test": ["CMD", "test", "-d", "/tmp"], "interval": "500ms"}),
        "off": service(healthcheck={"disable": True}),
        "wanted": stated("1", profiles=["on"]),
        "unwanted": stated("1", profiles=["off"]),
        "merged": {"extends": {"file": "base.yaml", "service": "base"}, "mem_limit": "16m"},
    }
    files: dict[str, str | bytes] = {
        "some.env": "FROM_FILE='quoted $$ value'\nOWN=loses\n",
        "base.yaml": json.dumps({"services": {"base": {"image": IMAGE, "command": ["sleep", "99999"], "init": True}}}),
    }
    profiles = {"profiles": ["on"]}

    def check() -> None:
        states = host.states()
        assert set(states) == {"many-1", "form-1", "off-1", "wanted-1", "merged-1"}
        assert set(states.values()) == {"running"}
        found = host.container("many")
        settings, config = found["HostConfig"], found["Config"]
        assert settings["Init"] is True
        assert settings["Ulimits"] == [{"Name": "nofile", "Hard": 2345, "Soft": 1234}]
        assert (settings["Memory"], settings["NanoCpus"], settings["PidsLimit"]) == (48 << 20, 500_000_000, 50)
        assert (settings["ReadonlyRootfs"], settings["CapDrop"], settings["GroupAdd"]) == (True, ["ALL"], ["4321"])
        assert settings["LogConfig"]["Config"] == {"max-size": "1m"}
        assert (config["StopTimeout"], config["StopSignal"], config["Labels"]["a.b"]) == (2, "SIGINT", "c")
        assert host.exec("many-1", "hostname; pwd; cat /proc/1/comm").split() == [
            "called", "/tmp", "docker-init",
        ]  # fmt: skip
        assert "10.9.8.7" in host.exec("many-1", "getent hosts gate")
        assert host.exec("many-1", "df -k /run/t | tail -1 | awk '{print $2}'; echo $OWN; echo $FROM_FILE") == (
            "1024\nwins\nquoted $$ value"
        )
        assert found["State"]["Health"]["Status"] == host.container("form")["State"]["Health"]["Status"] == "healthy"
        assert "Health" not in host.container("off")["State"]

    good(host, services, files, stack=profiles)
    check()
    first = host.ids()
    good(host, services, {**files, "some.env": "FROM_FILE='quoted $$ value'\nOWN=loses\nNEW=1\n"}, stack=profiles)
    assert changed(first, host.ids()) == {"many-1"}
    check()
    bad(host, {**services, "many": {**many, "command": ["false"], "restart": "no"}}, files, stack=profiles)
    check()


@together.with_every_compose
def test_builds(host: Host) -> None:

    def services(argument: str = "a") -> dict[str, Any]:
        return {
            "web": service(image=None, build={"context": "./web", "args": {"ARGUMENT": argument}}),
            "named": service(image=f"{host.stack}-named:1", build={"context": ".", "dockerfile": "other.Dockerfile"}),
            "plain": service(),
        }

    dockerfile = f"FROM {IMAGE}\nARG ARGUMENT\nCOPY . /in/\nRUN echo built $ARGUMENT > /built\n"
    files: dict[str, str | bytes] = {
        "web/Dockerfile": dockerfile, "web/text": "one", "web/.dockerignore": "ignored\n", "web/ignored": "x",
        "other.Dockerfile": f"FROM {IMAGE}\nCOPY web/text /text\n",
    }  # fmt: skip
    turn = good(host, services(), files)
    assert turn["services"]
    assert host.exec("web-1", "cat /in/text /built; ls -A /in") == "onebuilt a\n.dockerignore\nDockerfile\ntext"
    before = host.ids()
    good(host, services(), {**files, "README": "changes nothing of web"})
    assert changed(before, host.ids()) <= {"named-1"}
    before = host.ids()
    good(host, services(), {**files, "README": "changes nothing of web", "web/text": "two"})
    assert changed(before, host.ids()) == {"web-1", "named-1"}
    assert host.exec("named-1", "cat /text") == "two"
    before = host.ids()
    good(host, services("b"), {**files, "README": "changes nothing of web", "web/text": "two"})
    assert changed(before, host.ids()) == {"web-1"}
    assert host.exec("web-1", "cat /built") == "built b"
    before = host.ids()
    host.push(services(), {**files, "web/Dockerfile": f"FROM {IMAGE}\nRUN echo it went wrong; exit 3\n"})
    turn = host.once()
    assert (turn.code, turn["outcome"], turn["reason"]) == (1, "Rejected", "BuildFailed")
    assert "it went wrong" in "\n".join(turn["failure"]["log"])
    assert host.ids() == before


@together.with_every_compose
def test_environment_of_the_stack(host: Host) -> None:
    (host.secrets / f"{host.stack}.env").write_text("FIRST=host\n")
    (host.secrets / f"{host.stack}.env").chmod(0o600)
    web = service(environment={"SEEN": "${FIRST} ${SECOND} ${THIRD} ${FOURTH:-default}", "LITERAL": "$${FIRST}"})
    files: dict[str, str | bytes] = {".env": "FIRST=file\nSECOND=file\nTHIRD=file\n"}
    good(host, {"web": web}, files, stack={"env": {"FIRST": "stack", "SECOND": "stack"}})
    assert host.exec("web-1", 'echo "$SEEN"; echo "$LITERAL"') == "host stack file default\n${FIRST}"


@together.with_every_compose
def test_health_of_the_image(host: Host) -> None:
    """An image may have a health check that the file does not mention."""
    checked = "reconciler-test/checked"
    good(host, {"web": living("sleep 1; touch /tmp/healthy", image=checked)})
    assert host.container("web")["State"]["Health"]["Status"] == "healthy"
    bad(host, {"web": living("", image=checked, healthcheck={"retries": 1})})
    good(host, {"web": living("", image=checked, healthcheck={"disable": True})})
    good(host, {"web": living("touch /tmp/healthy", image=checked, healthcheck=health())})


@together.with_one_compose
def test_a_service_that_looks_like_a_one_shot_must_run_again_after_the_rollback(host: Host) -> None:
    """It exits with 0 when asked to stop, as a one-shot does."""
    good(host, {"plain": stated("1", restart=None), "web": stated("1")})
    before = host.ids()
    host.push({"plain": stated("2", restart=None), "web": {**BROKEN, "depends_on": ["plain"]}})
    assert host.once()["outcome"] == "RolledBack"
    assert host.states() == {"plain-1": "running", "web-1": "running"}
    assert (host.ids(), host.exec("plain-1", "echo $VERSION")) == (before, "1")
    assert host.once()["effects"] == 0
