"""`bootstrap` of a machine as its vendor delivers it, from a laptop over real ssh. Run it with

pytest -m soak tests/target/test_bootstrap.py
"""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import docker
import pytest

from tests.conftest import BASE
from tests.e2e.host import eventually
from tests.target.owner import Owner, owner
from tests.target.target import BARE, BARE_NEXT, Target, bare_image, seconds
from tests.target.test_service import COMPOSE, changed

pytestmark = [pytest.mark.engine, pytest.mark.soak, pytest.mark.timeout(1800)]

COMMAND = ("bootstrap", "me@target", "--name", "mini")
PASSWORDLESS = "ALL=(ALL) NOPASSWD: ALL"
STACK = COMPOSE.replace("build: .", f"image: {BASE}")


@contextmanager
def bare(engine: docker.APIClient, folder: pytest.TempPathFactory, image: str = BARE) -> Iterator[Owner]:
    if subprocess.run(["which", "mmdebstrap"], capture_output=True).returncode != 0:
        pytest.skip("a bare machine needs mmdebstrap")
    bare_image(engine, folder.mktemp("bare"), image)
    machine = Target(engine, image)
    try:
        machine.start()
        with owner(machine) as made:
            made.account("me", sudo=PASSWORDLESS)
            yield made
    finally:
        machine.close()


@pytest.fixture(scope="module")
def laptop(engine: docker.APIClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Owner]:
    with bare(engine, tmp_path_factory) as made:
        yield made


def good(document: dict[str, object]) -> bool:
    checks = document["checks"]
    assert isinstance(checks, list)
    assert [item for item in checks if item["ok"] is not True] == []
    return {"round-trip", "transfer", "engine", "branch", "turn"} <= {item["name"] for item in checks}


def test_from_bare_to_synced(laptop: Owner) -> None:
    shown = laptop.document(*COMMAND, "--dry-run")
    assert laptop.machine.run("command -v python3 git docker || true; ls /opt /srv") == "/opt:\n\n/srv:"
    begun = time.monotonic()
    made = laptop.document(*COMMAND)
    seconds("bootstrap of a bare machine", begun)
    assert good(made)
    announced, done = ([item["name"] for item in one["changes"]] for one in (shown, made))
    # A package may start its service by itself: then that change is not needed any more.
    assert [name for name in announced if name in done] == done
    assert "Synced" in laptop.run("--on", "mini", "status")
    assert "cannot be pushed" not in laptop.machine.run("journalctl -u reconciler --no-pager")


def test_a_second_run_changes_nothing_and_says_so(laptop: Owner) -> None:
    script = "find /etc /opt /srv /usr -newer /tmp/mark -type f | grep -v -e /etc/ld.so.cache -e __pycache__ || true"
    laptop.machine.run("touch /tmp/mark")
    begun = time.monotonic()
    made = laptop.document(*COMMAND)
    seconds("bootstrap of a finished machine", begun)
    assert good(made)
    assert made["changes"] == []
    assert laptop.machine.run(script) == ""
    assert "nothing had to be changed" in laptop.run(*COMMAND)
    assert "nothing would be changed" in laptop.run(*COMMAND, "--dry-run")


def test_the_owner_pushes_a_stack_and_changes_it(laptop: Owner) -> None:
    laptop.machine.load(BASE)
    laptop.git("clone", "-q", "-o", "mini", "me@target:/srv/git/home.git", "mini")
    clone = laptop.folder / "mini"
    document = clone / "desired-state/mini.yaml"
    text = document.read_text()
    assert "stacks: []" in text
    document.write_text(text.partition("  stacks:")[0] + "  stacks: [{name: shop, files: [compose.yaml]}]\n")
    for said in ("one", "two", "three"):  # from the second push on, data/ belongs to another account
        (clone / "compose.yaml").write_text(STACK.replace("SAYS", said))
        laptop.git("add", "-A", cwd=clone)
        laptop.git("commit", "-q", "-m", said, cwd=clone)
        assert "Succeeded in" in laptop.git("push", "mini", "main", cwd=clone)
    assert laptop.machine.run("docker exec shop-web-1 cat /data/x") == "three"
    assert laptop.document(*COMMAND)["changes"] == []


def test_another_version_takes_over_from_the_laptop(laptop: Owner) -> None:
    """The agent has its own account; root upgrades it."""
    name = laptop.machine.run("basename /opt/reconciler/wheels/reconciler-*.whl")
    wheel = laptop.machine.get(f"/opt/reconciler/wheels/{name}")
    channel = laptop.folder / "channel"
    channel.mkdir()
    (channel / name).write_bytes(changed(wheel, "reconciler/__init__.py", '"""GitOps', '"""A newer GitOps'))
    before = laptop.machine.run("docker inspect -f '{{.State.StartedAt}}' shop-web-1")
    made = laptop.document(*COMMAND, "--channel", str(channel))
    assert good(made)
    assert [item["name"] for item in made["changes"]][-1] == "upgrade"
    assert laptop.document(*COMMAND, "--channel", str(channel))["changes"] == []
    assert laptop.machine.run("docker inspect -f '{{.State.StartedAt}}' shop-web-1") == before
    (laptop.folder / name).write_bytes(wheel)
    assert laptop.document("--on", "mini", "upgrade", str(laptop.folder / name))["outcome"] == "Upgraded"
    assert laptop.document("--on", "mini", "upgrade", str(channel / name))["outcome"] == "Upgraded"
    security = laptop.document("--on", "mini", "doctor", "--security")
    assert {item["name"] for item in security["checks"] if item["ok"] is not True} <= {"keys"}


def test_the_agent_runs_again_after_a_reboot(laptop: Owner) -> None:
    laptop.close()
    laptop.machine.reboot()
    laptop.trust("accept-new")  # it may have another address
    eventually(lambda: laptop.machine.answers("systemctl is-active reconciler"), seconds=60)
    assert good(laptop.document(*COMMAND, "--channel", str(laptop.folder / "channel")))


def test_root_installs_and_uninstalls_for_the_agents_account(laptop: Owner) -> None:
    """From the laptop, and on the machine: `reconciler` is found, and needs no --user."""
    machine = laptop.machine
    told = " ".join(machine.run("reconciler status 2>&1", code=2).split())
    assert "call the verb so: sudo -u reconciler reconciler" in told
    assert "root alone" in machine.run("sudo -u reconciler reconciler install 2>&1", code=2)
    before = machine.run("systemctl cat reconciler; docker volume ls -q")
    machine.run("sudo reconciler install")
    laptop.run("--on", "mini", "install")
    assert machine.run("systemctl cat reconciler; docker volume ls -q") == before
    laptop.run("--on", "mini", "uninstall", "--yes")
    laptop.run("--on", "mini", "install")  # as root, although no service says so any more
    assert machine.run("systemctl show reconciler -p User --value") == "reconciler"
    laptop.run("--on", "mini", "uninstall", "--level", "state", "--yes")
    assert (
        machine.run("systemctl is-active reconciler || true; docker ps -aq; ls /var/lib/reconciler") == "inactive\ndata"
    )
    assert "shop_kept" in machine.run("docker volume ls -q")
    assert good(laptop.document(*COMMAND, "--channel", str(laptop.folder / "channel")))


def test_bootstrap_continues_after_kills_at_three_moments(
    engine: docker.APIClient, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with bare(engine, tmp_path_factory) as made:
        for moment in ("Install Docker Engine", "Make a virtual environment", "Make the bare repository"):
            process = subprocess.Popen(
                made.command(*COMMAND), env=made.environment, cwd=made.folder, stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, text=True,
            )  # fmt: skip
            assert process.stdout is not None
            assert any(line.startswith(moment) for line in process.stdout)
            time.sleep(1)
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert good(made.document(*COMMAND))
        assert made.document(*COMMAND)["changes"] == []


def test_debian_13_with_its_own_engine_and_data_elsewhere(
    engine: docker.APIClient, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with bare(engine, tmp_path_factory, BARE_NEXT) as made:
        command = (*COMMAND, "--data-root", "/srv/docker")
        done = made.document(*command)
        assert good(done)
        assert not [item["name"] for item in done["changes"] if item["name"].startswith("apt-")]
        assert made.machine.run("docker info --format '{{.DockerRootDir}} {{.LoggingDriver}}'") == "/srv/docker local"
        security = json.loads(
            made.machine.run("/opt/reconciler/current/bin/reconciler doctor --security --output json")
        )
        assert [item for item in security["checks"] if item["ok"] is False] == []
        assert made.document(*command)["changes"] == []
        made.machine.run("docker volume create kept")
        [stays] = [
            note for note in made.document(*COMMAND, "--data-root", "/srv/other")["notes"] if "data stays" in note
        ]
        assert "/srv/docker" in stays


HOLD = (
    'open F, ">", "/var/lib/apt/lists/lock"; my $lock = pack("s s x4 q q i x4", F_WRLCK, 0, 0, 0, 0); '
    'fcntl(F, F_SETLK, $lock) or die; open R, ">", "/root/held"; close R; sleep 20'
)
"""A perl program that holds apt's lock on the package lists for 20 s, as a machine does while it reads them by
itself."""


def answered(argv: list[str], made: Owner, word: str) -> int:
    """Run a command on a terminal, and type `word` where it asks for a password. Returns its exit code."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(made.folder)
        os.execve(argv[0], argv, made.environment)
    said, asked = b"", 0
    with contextlib.suppress(OSError):  # the terminal of a program that has ended
        while data := os.read(terminal, 65536):
            said += data
            if b"for sudo:" in data:
                asked += 1
                os.write(terminal, f"{word}\n".encode())
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert (code, asked) == (0, 1), said.decode(errors="replace")
    return code


def test_a_password_another_port_and_a_busy_apt(
    engine: docker.APIClient, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The account's own rule of sudo asks for a password, also for what our rule allows without one."""
    with bare(engine, tmp_path_factory) as made:
        made.account("zoe", sudo="ALL=(ALL) ALL")
        made.machine.put("/etc/ssh/sshd_config.d/ports.conf", b"Port 22\nPort 2222\n")
        made.machine.put("/root/hold", f"use Fcntl;\n{HOLD}\n".encode())
        made.machine.run("echo zoe:secret | chpasswd; systemctl restart ssh; systemd-run -q perl /root/hold")
        eventually(lambda: made.machine.answers("test -e /root/held"), seconds=30)
        command = ("bootstrap", "ssh://zoe@target:2222", "--name", "mini", "--harden", "none")
        assert "nobody can be asked" in made.document(*command, code=2)["message"]
        answered(made.command(*command), made, "secret")
        assert "Synced" in made.run("--on", "mini", "status")
