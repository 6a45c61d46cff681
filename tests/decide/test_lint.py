"""Warnings: they never make a commit invalid, and each appears once for a service."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.decide.admit.admit import admit
from reconciler.decide.admit.lint import mutable_tag
from reconciler.model.documents import HostDocument
from tests.decide.judging import ROOT, Commit, candidate, denied, judge, judge_service, judge_stacks, warned

SOUND: dict[str, Any] = {
    "image": "nginx:1.27",
    "mem_limit": "67108864",
    "restart": "always",
    "healthcheck": {"test": ["CMD", "true"]},
}


def warnings(files: Commit | None = None, **keys: Any) -> list[str]:
    violations = judge_service({**SOUND, **keys}, files)
    assert denied(violations) == []
    return warned(violations)


@pytest.mark.parametrize(
    ("image", "mutable"),
    [
        ("nginx", True),
        ("nginx:latest", True),
        ("registry.example:5000/nginx", True),
        ("registry.example:5000/nginx:latest", True),
        ("nginx:1.27", False),
        ("registry.example:5000/a/nginx:1.27", False),
        ("nginx@sha256:" + "0" * 64, False),
        ("nginx:latest@sha256:" + "0" * 64, False),
        ("sha256:" + "0" * 64, False),
    ],
)
def test_a_tag_that_moves(image: str, mutable: bool) -> None:
    assert mutable_tag(image) is mutable
    assert warnings(image=image) == (["mutable-tag"] if mutable else [])


def test_an_image_that_is_built_here_needs_no_tag() -> None:
    assert warnings(Commit({"Dockerfile": ""}), image="shop/web", build={"context": ROOT}) == []


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"mem_limit": None}, ["memory-limit"]),
        ({"mem_limit": None, "deploy": {"resources": {"limits": {"memory": "67108864"}}}}, []),
        ({"healthcheck": None}, ["healthcheck"]),
        ({"healthcheck": {"disable": True}}, ["healthcheck"]),
        ({"healthcheck": {"test": ["NONE"]}}, ["healthcheck"]),
        ({"healthcheck": {"interval": "5s"}}, ["healthcheck"]),
        ({"restart": None}, ["restart-policy"]),
        ({"restart": None, "deploy": {"restart_policy": {"condition": "any"}}}, []),
        ({"restart": "no"}, []),
        ({"container_name": "web"}, ["container-name"]),
        ({"deploy": {"update_config": {"order": "start-first", "failure_action": "rollback"}}}, []),
        ({"deploy": {"update_config": {"monitor": "5s"}}}, ["gate-decides"]),
        ({"deploy": {"update_config": {"failure_action": "continue", "monitor": "5s"}}}, ["gate-decides"]),
        ({"deploy": {"update_config": {"max_failure_ratio": 0.5}}}, ["gate-decides"]),
        ({"deploy": {"update_config": {"order": "stop-first"}}}, []),
        ({"ports": [{"target": 80, "published": "80"}]}, ["public-port"]),
        ({"ports": [{"target": 80, "published": "80", "host_ip": "::"}]}, ["public-port"]),
        ({"ports": [{"target": 80, "published": "80", "host_ip": "127.0.0.1"}]}, []),
        ({"ports": [{"target": 80, "published": "80"}, {"target": 81, "published": "81"}]}, ["public-port"]),
        ({"volumes": [{"type": "volume", "target": "/data"}]}, ["anonymous-volume"]),
        ({"volumes": [{"type": "volume", "source": "data", "target": "/data"}]}, []),
        (
            {"volumes": [{"type": "volume", "source": "sql", "target": "/docker-entrypoint-initdb.d"}]},
            ["empty-volume-only"],
        ),
        ({"volumes": [{"type": "volume", "source": "x", "target": "/docker-entrypoint-initdb.d.old"}]}, []),
        ({"configs": [{"source": "c", "target": "/docker-entrypoint-initdb.d/1.sql"}]}, ["empty-volume-only"]),
        ({"configs": [{"source": "c"}]}, []),
    ],
)
def test_a_service_that_could_be_better(keys: dict[str, Any], expected: list[str]) -> None:
    assert warnings(**keys) == expected


@pytest.mark.parametrize(
    ("test", "environment", "socket"),
    [
        (["CMD", "pg_isready"], {}, True),
        (["CMD", "pg_isready", "-U", "shop"], {}, True),
        (["CMD-SHELL", "pg_isready -d shop || exit 1"], {}, True),
        (["CMD", "pg_isready", "-h", "127.0.0.1"], {}, False),
        (["CMD-SHELL", "pg_isready -qhlocalhost -U shop"], {}, False),
        (["CMD", "/usr/bin/pg_isready", "--host=127.0.0.1"], {}, False),
        (["CMD", "pg_isready", "-d", "postgresql://127.0.0.1/shop"], {}, False),
        (["CMD", "pg_isready"], {"PGHOST": "127.0.0.1"}, False),
        (["CMD-SHELL", "PGHOST=localhost pg_isready"], {}, False),
        (["CMD", "healthy.sh", "-U", "shop"], {}, False),
    ],
)
def test_a_database_that_is_asked_before_it_is_there(
    test: list[str], environment: dict[str, str], socket: bool
) -> None:
    found = warnings(healthcheck={"test": test}, environment=environment)
    assert found == (["socket-check"] if socket else [])


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("DB_PASSWORD", "hunter2", True),
        ("DBPASS", "hunter2", True),
        ("SMTP_PW", "hunter2", True),
        ("BYPASS", "hunter2", False),
        ("PWD", "hunter2", False),
        ("WEBPASSWORD", "hunter2", True),
        ("api_token", "abc", True),
        ("STRIPE_KEY", "abc", True),
        ("APIKEY", "abc", True),
        ("DB_PASSWORD", "", False),
        ("DB_PASSWORD", None, False),
        ("DB_PASSWORD_FILE", "/run/secrets/x", False),
        ("DB_PASSWORD", "/run/secrets/x", False),
        ("ALLOW_EMPTY_PASSWORD", "yes", False),
        ("KEYBOARD", "de", False),
        ("MONKEY", "see", False),
        ("TOKEN_URL", "https://example.org", False),
        ("PATH", "hunter2", False),
    ],
)
def test_secrets_in_plain_text(name: str, value: str | None, expected: bool) -> None:
    violations = judge_service({**SOUND, "environment": {name: value}})
    assert warned(violations) == (["plain-secret"] if expected else [])
    assert all("hunter2" not in item.message + item.hint for item in violations)


def test_a_value_of_the_secrets_folder_is_not_in_plain_text() -> None:
    model = {"services": {"web": {**SOUND, "environment": {"DB_PASSWORD": "pre-hunter2"}}}}
    assert warned(judge_stacks([candidate(model, concealed=frozenset({"hunter2", ""}))])) == []
    assert warned(judge_stacks([candidate(model, concealed=frozenset({"other", ""}))])) == ["plain-secret"]


def test_what_runs_once_needs_neither_check_nor_restart() -> None:
    once = {"image": "shop:1", "mem_limit": "67108864"}
    waits = {"migrate": {"condition": "service_completed_successfully"}}
    services = {"migrate": once, "web": {**SOUND, "depends_on": waits}}
    assert warned(judge({"services": services})) == []
    assert warned(judge({"services": {"migrate": once}})) == ["healthcheck", "restart-policy"]


def test_waiting_for_a_check_that_is_switched_off() -> None:
    off = {**SOUND, "healthcheck": {"disable": True}}
    waiting = {**SOUND, "depends_on": {"db": {"condition": "service_healthy"}}}
    assert warned(judge({"services": {"db": off, "web": waiting}})) == ["healthcheck", "disabled-healthcheck"]
    started = {**SOUND, "depends_on": {"db": {"condition": "service_started"}}}
    assert warned(judge({"services": {"db": off, "web": started}})) == ["healthcheck"]


@pytest.mark.parametrize(
    ("path", "read_only", "expected"),
    [
        ("nginx.conf", True, []),
        ("nginx.conf", False, ["read-only-copy"]),
        ("site", False, ["read-only-copy"]),
        ("nginx.conv", True, ["missing-source"]),
        ("data", False, []),
        (".config", False, []),
        ("conf.d", False, []),
        ("v1.2", False, []),
    ],
)
def test_mounts_of_the_commit_and_beside_it(path: str, read_only: bool, expected: list[str]) -> None:
    files = Commit({"nginx.conf": "", "site/index.html": ""})
    mount = {"type": "bind", "source": f"{ROOT}/{path}", "target": "/x", "read_only": read_only}
    assert warnings(files, volumes=[mount]) == expected


GIB = str(1 << 30)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("JAVA_TOOL_OPTIONS", "-XX:+UseG1GC -Xmx1g", True),
        ("JAVA_TOOL_OPTIONS", "-Xmx1g -Xmx768m", False),
        ("JAVA_TOOL_OPTIONS", "-Xmx768m", False),
        ("JAVA_TOOL_OPTIONS", "-Xmx=1g", False),
        ("OTHER_OPTIONS", "-Xmx2g", False),
        ("NODE_OPTIONS", "--max-old-space-size=1024", True),
        ("NODE_OPTIONS", "--max_old_space_size=700", False),
        ("NEO4J_server_memory_heap_max__size", "1G", True),
        ("NEO4J_server_memory_heap_max__size", "a lot", False),
    ],
)
def test_a_heap_beyond_the_limit(name: str, value: str, expected: bool) -> None:
    assert warnings(mem_limit=GIB, environment={name: value}) == (["heap-over-limit"] if expected else [])


@pytest.mark.parametrize(("pages", "expected"), [("256m", ["heap-over-limit"]), ("200m", [])])
def test_neo4j_needs_heap_and_page_cache(pages: str, expected: list[str]) -> None:
    """As Neo4j itself judges: if both are at the limit or above it, it ends at once."""
    given = {"NEO4J_server_memory_heap_max__size": "768m", "NEO4J_server_memory_pagecache_size": pages}
    assert warnings(mem_limit=GIB, environment=given) == expected


def test_without_a_limit_no_size_is_too_large() -> None:
    given = {"JAVA_TOOL_OPTIONS": "-Xmx9g"}
    assert warnings(mem_limit=None, environment=given, shm_size=GIB) == ["memory-limit"]


@pytest.mark.parametrize(("size", "expected"), [("1073741825", ["shm-over-limit"]), (GIB, [])])
def test_shared_memory_beyond_the_limit(size: str, expected: list[str]) -> None:
    assert warnings(mem_limit=GIB, shm_size=size) == expected


@pytest.mark.parametrize(
    ("image", "command", "name", "expected"),
    [
        ("postgres:17", None, "POSTGRES_SHARED_BUFFERS", ["unread-setting"]),
        ("registry.example/library/postgres:17", None, "POSTGRES_WORK_MEM", ["unread-setting"]),
        ("pgvector/pgvector:pg17", None, "POSTGRES_SHARED_BUFFERS", ["unread-setting"]),
        ("postgres:17", ["sh", "-c", "postgres -c work_mem=$POSTGRES_WORK_MEM"], "POSTGRES_WORK_MEM", []),
        ("postgres:17", None, "POSTGRES_USER", []),
        ("postgres:17", None, "POSTGRES_HOST", []),
        ("somebody/postgres:17", None, "POSTGRES_SHARED_BUFFERS", []),
        ("neo4j:5.26-community", None, "NEO4J_URI", ["refused-setting"]),
        ("localhost:5000/neo4j:5", None, "NEO4J_USER", ["refused-setting"]),
        ("neo4j:5.26-community", None, "NEO4J_AUTH_FILE", []),
        ("brain:1", None, "NEO4J_URI", []),
    ],
)
def test_settings_that_nobody_reads_or_that_are_refused(
    image: str, command: list[str] | None, name: str, expected: list[str]
) -> None:
    assert warnings(image=image, command=command, environment={name: "7MB"}) == expected


def test_an_image_that_is_built_here_may_read_what_it_likes() -> None:
    keys = {"image": "postgres:17", "build": {"context": ROOT}, "environment": {"POSTGRES_WORK_MEM": "8MB"}}
    assert warnings(Commit({"Dockerfile": ""}), **keys) == []


@pytest.mark.parametrize(
    ("asked", "order", "trial", "expected"),
    [
        ("http://web:8080/health", "start-first", False, ["name-check"]),
        ("/dev/tcp/web/8080", "stop-first", True, ["name-check"]),
        ("http://web", "stop-first", {}, ["name-check"]),
        ("http://web", "stop-first", False, []),
        ("http://localhost/web", "start-first", False, []),
        ("http://web.example.org/", "start-first", True, []),
    ],
)
def test_a_healthcheck_that_asks_by_name(asked: str, order: str, trial: bool, expected: list[str]) -> None:
    check = {"test": ["CMD", "curl", "-f", asked]}
    web = {**SOUND, "healthcheck": check, "deploy": {"update_config": {"order": order}}}
    assert warned(judge({"services": {"web": web | {"x-reconciler": {"trial": trial}}}})) == expected


def test_the_hosts_order_counts_where_the_file_has_none() -> None:
    mount = {"type": "bind", "source": f"{ROOT}/conf", "target": "/etc/nginx/conf.d", "read_only": True}
    web = {**SOUND, "healthcheck": {"test": ["CMD", "curl", "http://web:8080"]}}
    made = candidate({"services": {"proxy": {**SOUND, "volumes": [mount]}, "web": web}})
    commit = Commit({"conf/site.conf": "location / { proxy_pass http://web:8080; }"})

    def rules(order: str) -> list[str]:
        document = HostDocument("mini", (made.stack,), default_order=order)
        return warned(admit(document, [made], commit).violations)

    assert rules("stop-first") == []
    assert rules("start-first") == ["fixed-address", "name-check"]


@pytest.mark.parametrize(
    ("text", "order", "expected"),
    [
        ("location / { proxy_pass http://web:8080; }", "start-first", ["fixed-address"]),
        ("location / { proxy_pass http://web/; }", "start-first", ["fixed-address"]),
        ("upstream shop { server web:8080; }", "start-first", ["fixed-address"]),
        ("location ~ [.]php$ { fastcgi_pass web:9000; }", "start-first", ["fixed-address"]),
        ("stream { server { proxy_pass web:5432; } }", "start-first", ["fixed-address"]),
        ("location / { grpc_pass grpc://web:50051; }", "start-first", ["fixed-address"]),
        ("upstream shop { server web:8080 weight=2; }", "start-first", ["fixed-address"]),
        ("upstream shop { zone a 1m; server web:8080 resolve; }", "start-first", []),
        ("location / { set $to http://web:8080; proxy_pass $to; }", "start-first", []),
        ("location / { proxy_pass http://website:8080; }", "start-first", []),
        ("# proxy_pass http://web:8080;", "start-first", []),
        ("location / { proxy_pass http://web:8080; }", "stop-first", []),
    ],
)
def test_an_nginx_that_keeps_the_address_of_a_start_first_service(text: str, order: str, expected: list[str]) -> None:
    mount = {"type": "bind", "source": f"{ROOT}/conf", "target": "/etc/nginx/conf.d", "read_only": True}
    web = {**SOUND, "image": "shop:1", "deploy": {"update_config": {"order": order}}}
    model = {"services": {"proxy": {**SOUND, "volumes": [mount]}, "web": web}}
    assert warned(judge(model, Commit({"conf/site.conf": text}))) == expected
    used = [{"source": "site", "target": "/etc/nginx/conf.d/site.conf"}]
    model = {"services": {"proxy": {**SOUND, "configs": used}, "web": web}}
    assert warned(judge(model | {"configs": {"site": {"name": "site", "content": text}}})) == expected
    model |= {"configs": {"site": {"name": "site", "file": f"{ROOT}/conf/site.conf"}}}
    assert warned(judge(model, Commit({"conf/site.conf": text}))) == expected
