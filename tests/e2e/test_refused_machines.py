"""Faults of machine and repository: nothing is quarantined or touched, and the agent continues when they end."""

from __future__ import annotations

import json
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import docker
import pytest

from tests.e2e.host import Host, eventually, new_host
from tests.e2e.services import IMAGE, stated
from tests.e2e.together import Together

pytestmark = pytest.mark.engine
together = Together()

SERVICES = {"web": stated("1"), "db": stated("1", volumes=["data:/data"])}
DATA: dict[str, Any] = {"volumes": {"data": {}}}


def begin(host: Host) -> None:
    host.push(SERVICES, **DATA)
    assert host.once().code == 0


def changed(host: Host, version: str = "2") -> str:
    return host.push({**SERVICES, "web": stated(version)}, **DATA)


# -- the repository ----------------------------------------------------------------------------------------------


@together.with_one_compose
def test_a_branch_that_vanishes_must_touch_nothing(host: Host) -> None:
    begin(host)
    before, head = host.machine(), host.repository.head()
    host.repository.git("branch", "-m", "main", "other")
    turn = host.once()
    assert (turn.code, turn["reason"], turn["effects"]) == (3, "FetchFailed", 0)
    assert "main" in turn["message"]
    assert turn["hint"]
    assert host.machine() == before
    host.repository.git("branch", "-m", "other", "main")
    turn = host.once()
    assert (turn.code, turn["outcome"], turn["revision"]) == (0, "Unchanged", head)


@together.with_one_compose
def test_a_repository_that_vanishes_must_touch_nothing(host: Host) -> None:
    begin(host)
    before = host.machine()
    away = host.folder / "away.git"
    host.repository.folder.rename(away)
    turn = host.once()
    assert (turn.code, turn["reason"]) == (3, "FetchFailed")
    assert host.machine() == before
    away.rename(host.repository.folder)
    assert host.once().code == 0


@together.with_one_compose
def test_a_rewritten_branch_must_be_held(host: Host) -> None:
    begin(host)
    first = host.repository.head()
    second = changed(host)
    assert host.once().code == 0
    before = host.machine()
    tree = host.repository.git("rev-parse", f"{first}^{{tree}}")
    forced = host.repository.set(host.repository.commit_tree(tree, "another history"))
    for _ in range(2):
        turn = host.once()
        assert (turn.code, turn["outcome"], turn["reason"], turn["effects"]) == (1, "Held", "NotFastForward", 0)
    assert host.machine() == before
    assert host.note(forced) is None
    assert host.status()["reason"] == "NotFastForward"
    host.repository.set(second)
    assert host.once().code == 0


@together.with_one_compose
def test_a_damaged_mirror_must_be_made_anew(host: Host) -> None:
    begin(host)
    before = host.machine()
    mirror = host.state / "mirror.git"
    for pack in [*mirror.rglob("*.pack"), *(item for item in mirror.glob("objects/??/*") if item.is_file())]:
        pack.chmod(0o600)
        pack.write_bytes(b"not what it was")
    (mirror / "HEAD").write_bytes(b"\0\0\0")
    assert host.once().code == 0
    assert host.machine() == before
    sha = changed(host)
    turn = host.once()
    assert (turn.code, turn["revision"]) == (0, sha)
    shutil.rmtree(mirror)
    turn = host.once()
    assert (turn.code, turn["outcome"]) == (0, "Unchanged")


# -- the desired state -------------------------------------------------------------------------------------------


@together.with_one_compose
def test_a_missing_host_file_must_be_held(host: Host) -> None:
    begin(host)
    before = host.machine()
    files = host.files(SERVICES, **DATA)
    own = f"desired-state/{host.name}.yaml"
    host.push_files({**{k: v for k, v in files.items() if k != own}, "desired-state/another.yaml": files[own]})
    for _ in range(2):
        turn = host.once()
        assert (turn.code, turn["outcome"], turn["reason"]) == (1, "Held", "FileMissing")
    assert turn["effects"] == 0
    assert own in f"{turn['message']} {turn['hint']}"
    assert host.machine() == before
    host.push_files(files)
    assert host.once().code == 0
    assert host.machine() == before


@together.with_one_compose
def test_a_commit_that_drops_most_services_must_be_held(host: Host) -> None:
    four = {name: stated("1") for name in ("one", "two", "three", "four")}
    host.push(four)
    assert host.once().code == 0
    before = host.machine()
    host.push({"one": stated("1")})
    for _ in range(2):
        turn = host.once()
        assert (turn.code, turn["outcome"]) == (1, "Held")
    assert turn["effects"] == 0
    assert host.machine() == before
    empty = json.loads(host.host_document())
    empty["spec"]["stacks"] = []
    host.push_files({f"desired-state/{host.name}.yaml": json.dumps(empty)})
    assert host.once().code == 1
    assert host.machine() == before
    host.push({"one": stated("1"), "two": stated("1")})
    assert host.once().code == 0
    assert host.states() == {"one-1": "running", "two-1": "running"}


# -- the engine, images and ports -----------------------------------------------------------------------------------


@together.with_one_compose
def test_an_engine_that_is_away_must_quarantine_nothing(host: Host) -> None:
    begin(host)
    before = host.machine()
    sha = changed(host)
    host.configure(engine=f"unix://{host.folder}/none.sock")
    for _ in range(2):
        turn = host.once()
        assert (turn.code, turn["reason"]) == (3, "EngineUnavailable")
    assert host.note(sha) is None
    assert host.machine() == before
    assert host.status().code == 3
    host.configure()
    turn = host.once()
    assert (turn.code, turn["revision"]) == (0, sha)


class Registry(BaseHTTPRequestHandler):
    """A registry without any image."""

    def do_GET(self) -> None:
        found = self.path == "/v2/"
        self.send_response(200 if found else 404)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        if self.command == "GET" and not found:
            self.wfile.write(b'{"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}')

    do_HEAD = do_GET  # noqa: N815 - the base class needs this name

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def registry() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Registry) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@together.with_one_compose
def test_a_commit_with_an_image_that_does_not_exist_must_be_rejected(host: Host) -> None:
    begin(host)
    before = host.machine()
    with registry() as port:
        sha = host.push({**SERVICES, "web": stated("2", image=f"127.0.0.1:{port}/none:1")}, **DATA)
        turn = host.once()
    assert (turn.code, turn["outcome"], turn["reason"]) == (1, "Rejected", "PullFailed")
    assert f"127.0.0.1:{port}/none:1" in turn["message"]
    assert host.machine() == before
    note = host.note(sha)
    assert note is not None
    assert note.trailers["State"] == "failure"
    assert host.once()["effects"] == 0


@together.with_one_compose
def test_a_registry_that_is_away_must_quarantine_nothing(host: Host) -> None:
    begin(host)
    before = host.machine()
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        reference = f"127.0.0.1:{closed.getsockname()[1]}/none:1"  # nobody else gets this port, and it does not answer
        sha = host.push({**SERVICES, "web": stated("2", image=reference)}, **DATA)
        turn = host.once()
    assert (turn.code, turn["outcome"], turn["reason"]) == (3, "Failed", "PullFailed")
    assert host.machine() == before
    assert host.note(sha) is None
    host.engine.tag(IMAGE, reference)
    try:
        turn = host.once()
        assert (turn.code, turn["outcome"]) == (0, "Succeeded")
    finally:
        host.engine.remove_image(reference, force=True)


def published(port: int) -> dict[str, Any]:
    return {**SERVICES, "web": stated("2", ports=[f"127.0.0.1:{port}:80"])}


@together.with_one_compose
def test_a_port_that_a_process_holds_must_be_waited_for(host: Host) -> None:
    begin(host)
    before = host.machine()
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        sha = host.push(published(port), **DATA)
        turn = host.once()
        assert (turn.code, turn["outcome"]) == (3, "Failed")
        assert str(port) in turn["message"]
        assert host.machine() == before
        assert host.note(sha) is None
    turn = host.once()
    assert (turn.code, turn["outcome"]) == (0, "Succeeded")
    assert host.container("web")["HostConfig"]["PortBindings"]["80/tcp"][0]["HostPort"] == str(port)


@contextmanager
def neighbour(host: Host) -> Iterator[tuple[dict[str, Any], int]]:
    """A foreign container that publishes a port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    engine = host.engine
    made = engine.create_container(
        IMAGE, ["sleep", "600"], name=f"{host.name}-neighbour", ports=[80],
        host_config=engine.create_host_config(port_bindings={80: ("127.0.0.1", port)}, mem_limit="32m"),
    )  # fmt: skip
    try:
        engine.start(made["Id"])
        yield engine.inspect_container(made["Id"]), port
    finally:
        engine.remove_container(made["Id"], force=True)


@together.with_one_compose
def test_a_port_that_a_foreign_container_holds_must_be_waited_for(host: Host) -> None:
    begin(host)
    before = host.machine()
    with neighbour(host) as (container, port):
        host.push(published(port), **DATA)
        turn = host.once()
        assert (turn.code, turn["outcome"]) == (3, "Failed")
        assert container["Name"].lstrip("/") in turn["message"]
        assert host.machine() == before
        assert host.engine.inspect_container(container["Id"]) == container


# -- the state folder --------------------------------------------------------------------------------------------


@together.with_one_compose
def test_a_torn_end_of_the_journal_must_be_dropped(host: Host) -> None:
    begin(host)
    before = host.machine()
    journal = host.state / "journal.jsonl"
    with journal.open("ab") as file:
        file.write(b'{"kind": "started", "attempt"')
    turn = host.once()
    assert (turn.code, turn["outcome"], turn["effects"]) == (0, "Unchanged", 0)
    assert "journal" in turn.stderr
    assert host.machine() == before
    changed(host)
    assert host.once().code == 0
    assert host.once()["effects"] == 0


@together.with_one_compose
def test_a_journal_that_is_damaged_in_the_middle_must_stop_the_agent(host: Host) -> None:
    begin(host)
    before = host.machine()
    journal = host.state / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([lines[0], b"{{{\n", *lines[1:]]))
    changed(host)
    turn = host.once()
    assert (turn.code, turn["kind"]) == (4, "Error")
    assert "journal.jsonl" in turn["message"]
    assert turn["hint"]
    assert host.machine() == before
    journal.write_bytes(b"".join(lines))
    assert host.once().code == 0


@together.with_one_compose
def test_a_second_agent_on_the_same_state_folder_must_end(host: Host) -> None:
    begin(host)
    before = host.ids()
    with host.started("run") as agent:
        eventually(lambda: host.status()["agent"]["running"])
        turn = host.once()
        assert (turn.code, turn["kind"], turn["reason"]) == (75, "Error", "Locked")
        assert str(agent.pid) in turn["message"]
        assert host.status().code == 0
        assert host.plan().code == 0
    assert host.ids() == before
    assert host.once().code == 0


@together.with_one_compose
def test_containers_of_somebody_else_under_the_stack_s_name_must_stay(host: Host) -> None:
    engine = host.engine
    made = engine.create_container(
        IMAGE, ["sleep", "600"], labels={"com.docker.compose.project": host.stack}, name=f"{host.stack}-web-1",
        host_config=engine.create_host_config(mem_limit="32m"),
    )  # fmt: skip
    engine.start(made["Id"])
    before = engine.inspect_container(made["Id"])
    host.push(SERVICES, **DATA)
    turn = host.once()
    assert turn.code in (1, 3)
    assert f"{host.stack}-web-1" in turn["message"]
    assert engine.inspect_container(made["Id"]) == before
    assert list(host.containers()) == [f"{host.stack}-web-1"]


@together.with_one_compose
def test_two_hosts_on_one_engine_must_leave_each_other_alone(host: Host) -> None:
    begin(host)
    before = host.machine()
    with new_host(host.folder / "other", host.compose) as other:
        other.push(SERVICES, **DATA)
        assert other.once().code == 0
        other.push({"web": stated("2")}, **DATA)
        assert other.once().code == 0
        assert host.machine() == before
        with pytest.raises(docker.errors.NotFound):
            other.engine.inspect_container(f"{other.stack}-db-1")
