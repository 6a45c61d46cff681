"""`bootstrap --adopt` of a machine on which Compose projects run already. Run it with

pytest -m soak tests/target/test_adopt.py
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import docker
import pytest

from tests.conftest import BASE
from tests.target.owner import Owner, owner
from tests.target.target import IMAGE, Target, image

pytestmark = [pytest.mark.engine, pytest.mark.soak, pytest.mark.timeout(1800)]

COMMAND = ("bootstrap", "me@target", "--name", "mini", "--harden", "none", "--adopt")
SHOP = f"""services:
  web:
    image: {BASE}
    command: [sh, -c, "trap 'exit 0' TERM; echo started >>/data/log; while :; do sleep 1; done"]
    environment: {{PASSWORD: "${{PASSWORD}}", MODE: "${{MODE}}"}}
    restart: always
    volumes: ["./conf:/etc/conf:ro", "./data:/data", "kept:/kept"]
volumes: {{kept: {{}}}}
"""
TOOLS = f"services: {{tool: {{image: {BASE}, command: [sleep, infinity], init: true, restart: unless-stopped}}}}\n"
LIVES = "docker ps -q | xargs docker inspect -f '{{.Name}} {{.Id}} {{.State.StartedAt}}' | sort"


@contextmanager
def running(engine: docker.APIClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Owner]:
    """The owner of a machine with a project in a closed home folder, another one elsewhere, and a container alone."""
    image(engine, tmp_path_factory.mktemp("target"))
    machine = Target(engine, IMAGE)
    try:
        machine.start()
        machine.load(BASE)
        with owner(machine) as made:
            made.account("me", sudo="ALL=(ALL) NOPASSWD: ALL")
            machine.put("/home/me/shop/compose.yaml", SHOP.encode())
            machine.put("/home/me/shop/.env", b"PASSWORD=hunter2-and-more\nMODE=calm\n")
            machine.put("/home/me/shop/conf/a.conf", b"one\n")
            machine.put("/home/me/shop/notes/private", b"no part of the project\n")
            machine.put("/opt/stacks/tools/docker-compose.yml", TOOLS.encode())
            machine.run(
                "chmod 700 /home/me; chown -R me: /home/me/shop; docker compose -f /home/me/shop/compose.yaml up -d; "
                f"docker compose -f /opt/stacks/tools/docker-compose.yml up -d; docker run -d --name alone {BASE} "
                "sleep infinity"
            )
            yield made
    finally:
        machine.close()


@pytest.fixture(scope="module")
def laptop(engine: docker.APIClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Owner]:
    with running(engine, tmp_path_factory) as made:
        yield made


def test_what_runs_becomes_the_first_commit_and_nothing_restarts(laptop: Owner) -> None:
    before = laptop.machine.run(LIVES)
    assert "Make a first commit on main from what runs: shop, tools" in laptop.run(*COMMAND, "--dry-run")
    made = laptop.document(*COMMAND)
    assert [item for item in made["checks"] if item["ok"] is not True] == []
    assert {"turn", "adopt"} <= {item["name"] for item in made["checks"]}
    [shown] = [step.partition(": ")[2] for step in made["next"] if step.startswith("read what was adopted")]
    said = subprocess.run(shown.split(), env=laptop.environment, capture_output=True, text=True, check=True).stdout
    assert "compose/shop/.env (shop): PASSWORD" in said
    assert laptop.machine.run(LIVES) == before
    files = laptop.machine.run("git --git-dir=/srv/git/home.git ls-tree -r --name-only main").splitlines()
    assert {"compose/shop/compose.yaml", "compose/shop/conf/a.conf", "compose/tools/docker-compose.yml"} <= {*files}
    assert not [path for path in files if "private" in path or path.endswith(".env") or "data" in path]
    assert "hunter2" in laptop.machine.run("cat /etc/reconciler/secrets/shop.env")
    assert "hunter2" not in laptop.machine.run("git --git-dir=/srv/git/home.git log -p main")


def test_a_second_run_changes_nothing(laptop: Owner) -> None:
    before = laptop.machine.run(LIVES)
    assert laptop.document(*COMMAND)["changes"] == []
    assert laptop.machine.run(LIVES) == before


def test_the_owner_changes_an_adopted_service_and_its_data_stays(laptop: Owner) -> None:
    before = laptop.machine.run(LIVES).splitlines()
    laptop.git("clone", "-q", "-o", "mini", "me@target:/srv/git/home.git", "mini")
    clone = laptop.folder / "mini"
    path = clone / "compose/shop/compose.yaml"
    path.write_text(path.read_text().replace('"${MODE}"', "wild"))
    laptop.git("commit", "-qam", "Go wild", cwd=clone)
    assert "Succeeded in" in laptop.git("push", "mini", "main", cwd=clone)
    after = laptop.machine.run(LIVES).splitlines()
    assert [line.split()[0] for line in before if line not in after] == ["/shop-web-1"]
    assert laptop.machine.run("docker exec shop-web-1 sh -c 'cat /data/log; echo $MODE'") == "started\nstarted\nwild"
    assert laptop.machine.run("cat /home/me/shop/data/log") == "started\nstarted"


def test_what_would_restart_is_refused_and_a_remote_repository_gets_a_commit_to_fetch(
    engine: docker.APIClient, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with running(engine, tmp_path_factory) as made:
        before = made.machine.run(LIVES)
        made.machine.run("echo two >>/home/me/shop/conf/a.conf")
        command = (*COMMAND, "--repository", "https://forge.invalid/me/home.git")
        [refused] = [item for item in made.document(*command, code=1)["checks"] if item["ok"] is False]
        assert refused["name"] == "adopt"
        assert "shop/web would be replaced: mounts: /etc/conf differs" in refused["said"]
        assert made.machine.run(LIVES) == before
        made.machine.run("echo one >/home/me/shop/conf/a.conf; touch -d '1 hour ago' /home/me/shop/conf/a.conf")
        found = {item["name"]: item["ok"] for item in made.document(*command, code=1)["checks"]}
        assert (found["adopt"], found["branch"], found["turn"]) == (True, False, False)
        assert made.machine.run(LIVES) == before
        assert made.document(*command, code=1)["changes"] == []
        made.git("clone", "-q", "-b", "main", "me@target:/srv/git/adopted.git", "home")
        assert (made.folder / "home/desired-state/mini.yaml").exists()
