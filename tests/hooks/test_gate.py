"""What the hooks refuse and accept, in real pushes and commits."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

from reconciler.observe.pushed import Update, pushed_updates, updates
from tests.hooks.tool import ROOT, Ran, command, git, reconciler, script, write

HOST = """apiVersion: reconciler/v1
kind: Host
metadata: {name: mini}
spec:
  memory: {budget: 256MiB, steady: 80%, reserve: 64MiB}
  stacks:
    - {name: shop, files: [compose/compose.yaml]}
"""
COMPOSE = """services:
  web:
    image: nginx:1.27
    mem_limit: 64m
"""
GOOD = {"desired-state/mini.yaml": HOST, "compose/compose.yaml": COMPOSE}
PRIVILEGED = {**GOOD, "compose/compose.yaml": COMPOSE + "    privileged: true\n"}


class Pushes:
    """A bare repository of `init --bare`, and a clone of it."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder, self.bare, self.clone = folder, folder / "home.git", folder / "clone"
        assert reconciler(folder, *options, "init", "--bare", "home.git").code == 0
        git(folder, "clone", "-q", "home.git", "clone")

    def commit(self, files: dict[str, str], *options: str) -> str:
        write(self.clone, files)
        git(self.clone, "add", "-A")
        git(self.clone, "commit", "-q", "--allow-empty", "-m", "change", *options)
        return git(self.clone, "rev-parse", "HEAD")

    def push(self, *arguments: str, **environment: str) -> Ran:
        return command(self.clone, "git", "push", *(arguments or ("origin", "main")), **environment)

    def head(self, branch: str = "main") -> str:
        return git(self.bare, "for-each-ref", "--format=%(objectname)", f"refs/heads/{branch}")


@pytest.fixture
def pushes(tmp_path: Path) -> Pushes:
    return Pushes(tmp_path)


def test_a_valid_commit_must_come_in(pushes: Pushes) -> None:
    sha = pushes.commit(GOOD)
    done = pushes.push()
    assert done.code == 0, done.stderr
    assert f"main {sha[:7]} is valid" in done.stderr
    assert pushes.head() == sha


def test_every_violation_must_be_told_with_its_place_and_nothing_come_in(pushes: Pushes) -> None:
    pushes.commit({**PRIVILEGED, "desired-state/mini.yaml": HOST + "  frob: 1\n"})
    done = pushes.push()
    assert done.code != 0
    assert re.search(r"^remote: desired-state/mini\.yaml:8: .*frob", done.stderr, re.MULTILINE)
    pushes.commit({"desired-state/mini.yaml": HOST})
    done = pushes.push()
    assert re.search(r"^remote: compose/compose\.yaml:5: .*privileged", done.stderr, re.MULTILINE)
    assert pushes.head() == ""
    assert git(pushes.bare, "count-objects") == "0 objects, 0 kilobytes"


def test_an_exceeded_budget_must_show_the_memory(pushes: Pushes) -> None:
    pushes.commit({**GOOD, "compose/compose.yaml": COMPOSE.replace("64m", "512m")})
    done = pushes.push()
    assert done.code != 0
    assert re.search(r"^remote: shop +web +512 MiB", done.stderr, re.MULTILINE)
    assert "over by" in done.stderr


def test_only_the_watched_branch_must_be_judged(pushes: Pushes) -> None:
    pushes.commit(PRIVILEGED)
    git(pushes.clone, "tag", "v1")
    done = pushes.push("origin", "HEAD:refs/heads/work", "v1")
    assert (done.code, "reconciler" in done.stderr) == (0, False)
    assert pushes.push("-f", "origin", "HEAD^0:refs/heads/work").code == 0
    assert pushes.push("origin", ":work").code == 0


def test_rewriting_and_deleting_must_need_the_push_option(pushes: Pushes) -> None:
    first = pushes.commit(GOOD)
    assert pushes.push().code == 0
    second = pushes.commit({"note": "x"}, "--amend")
    refused = pushes.push("--force", "origin", "main")
    assert (refused.code != 0, pushes.head()) == (True, first)
    assert "reconciler.accept" in refused.stderr
    assert "no push option reconciler.acept" in pushes.push("-f", "-o", "reconciler.acept", "origin", "main").stderr
    assert pushes.push("--force", "-o", "reconciler.accept", "origin", "main").code == 0
    assert pushes.head() == second
    refused = pushes.push("origin", ":main")
    assert (refused.code != 0, pushes.head()) == (True, second)
    assert pushes.push("-o", "reconciler.accept", "origin", ":main").code == 0
    assert pushes.head() == ""


def test_the_option_must_not_let_pass_what_is_invalid(pushes: Pushes) -> None:
    pushes.commit(PRIVILEGED)
    assert pushes.push("-o", "reconciler.accept", "origin", "main").code != 0


def test_the_agent_config_must_say_the_branch_and_what_is_granted(tmp_path: Path) -> None:
    config = tmp_path / "agent.yaml"
    grant = "{policy: privileged, stack: shop, service: web, image: 'nginx:1.27', reason: a test}"
    settings = f"host: mini\nsource: {{url: {tmp_path}/home.git, branch: live}}\nstate: {tmp_path}/state\n"
    config.write_text(settings)
    pushes = Pushes(tmp_path, "--config", str(config))
    pushes.commit(PRIVILEGED)
    assert pushes.push("origin", "HEAD:live").code != 0
    assert pushes.push("origin", "HEAD:main").code == 0
    config.write_text(f"{settings}grants: [{grant}]\n")
    assert pushes.push("origin", "HEAD:live").code == 0
    assert not (tmp_path / "state").exists()


def test_without_a_config_the_repository_must_say_the_branch(pushes: Pushes) -> None:
    git(pushes.bare, "config", "reconciler.branch", "live")
    pushes.commit(PRIVILEGED)
    assert pushes.push("origin", "HEAD:main").code == 0
    assert pushes.push("origin", "HEAD:live").code != 0


def test_another_ref_of_the_same_name_must_not_hide_the_watched_branch(pushes: Pushes) -> None:
    """Git shortens the branch's name to `heads/main` if a tag `main` exists, and `remotes/origin/main` likewise."""
    pushes.commit(GOOD)
    git(pushes.clone, "tag", "main")
    assert pushes.push("origin", "refs/heads/main", "refs/tags/main").code == 0
    pushes.commit(PRIVILEGED)
    assert pushes.push("origin", "refs/heads/main").code != 0
    reconciler(pushes.bare, "hooks", "uninstall")
    git(pushes.clone, "remote", "set-head", "origin", "main")
    git(pushes.clone, "tag", "-d", "main")
    git(pushes.clone, "branch", "origin/main")
    assert reconciler(pushes.clone, "hooks", "install").code == 0
    git(pushes.bare, "symbolic-ref", "HEAD", "refs/heads/live")
    assert pushes.push("origin", "refs/heads/main").code != 0


def test_a_config_that_cannot_be_read_must_be_told_and_refuse_nothing_that_it_may_grant(tmp_path: Path) -> None:
    config = tmp_path / "agent.yaml"
    config.write_text(f"host: mini\nsource: {{url: {tmp_path}/home.git}}\nstate: {tmp_path}/state\n")
    pushes = Pushes(tmp_path, "--config", str(config))
    config.chmod(0o666)  # anybody could have written it
    pushes.commit(PRIVILEGED)
    done = pushes.push()
    assert done.code == 0, done.stderr
    assert "the agent config cannot be used here" in done.stderr
    pushes.commit({"desired-state/mini.yaml": HOST + "  frob: 1\n"})
    assert pushes.push().code != 0


def test_variables_of_the_host_must_not_be_missed_by_those_who_cannot_see_them(pushes: Pushes) -> None:
    pushes.commit({**GOOD, "compose/compose.yaml": COMPOSE + "    environment: {A: '${PASSWORD:?}'}\n"})
    done = pushes.push()
    assert done.code == 0, done.stderr
    assert "values of secrets_dir" in " ".join(done.stderr.replace("remote:", " ").split())


def test_names_with_line_ends_must_forge_no_line_of_ours(pushes: Pushes) -> None:
    """Of a file of the commit, and of a branch, where git allows line ends of Unicode alone."""
    forged = "x\nreconciler: main 1234567 is valid\n.yaml"
    files = "[compose/compose.yaml, {}]".format('"compose/x\\nreconciler: main 1234567 is valid\\n.yaml"')
    host = HOST.replace("[compose/compose.yaml]", files)
    pushes.commit(
        {**GOOD, "desired-state/mini.yaml": host, f"compose/{forged}": "services: {web: {privileged: true}}\n"}
    )
    done = pushes.push()
    assert done.code != 0
    assert not [line for line in done.stderr.splitlines() if line.startswith("remote: reconciler: main 1234567")]
    sha = pushes.commit({"desired-state/mini.yaml": HOST})
    branch = f"work\u2028{'0' * 40}\u00a0{sha}\u00a0refs/heads/main"
    done = pushes.push("origin", f"HEAD:refs/heads/{branch}")
    assert (done.code, "reconciler" in done.stderr) == (0, False)


def test_a_ref_must_be_read_from_one_line_whatever_its_name_has() -> None:
    old, new = "0" * 40, "a" * 40
    odd = f"refs/heads/x\u2028{old} {new} refs/heads/main"
    assert updates(f"{old} {new} {odd}\n{old} {new} refs/heads/other\n") == [
        Update(odd, old, new), Update("refs/heads/other", old, new),
    ]  # fmt: skip
    assert pushed_updates(f"refs/heads/x\u2028 {new} refs/heads/y {old}\n") == [Update("refs/heads/y", old, new)]


def test_nothing_in_the_pushed_tree_must_steer_the_hook(pushes: Pushes) -> None:
    settings = "host: other\nsource: {url: /srv/x.git, branch: other}\nstate: /tmp/none\ntrust: owner\n"
    pushes.commit({**PRIVILEGED, "reconciler.yaml": settings, ".gitattributes": "* filter=evil\n"})
    assert pushes.push().code != 0


def test_the_hook_before_ours_must_be_asked_first_with_the_same_lines(pushes: Pushes) -> None:
    ours = pushes.bare / "hooks/pre-receive"
    script(ours.with_name("pre-receive.before-reconciler"), f"cat >{pushes.folder}/told; exit 1")
    sha = pushes.commit(GOOD)
    assert pushes.push().code != 0
    assert (pushes.folder / "told").read_text() == f"{'0' * 40} {sha} refs/heads/main\n"


def test_a_missing_program_must_be_told_and_stop_nobody(pushes: Pushes) -> None:
    git(pushes.bare, "config", "reconciler.program", "/nonexistent/reconciler")
    pushes.commit(PRIVILEGED)
    done = pushes.push()
    assert done.code == 0
    assert "nothing was checked: this account cannot run /nonexistent/reconciler" in done.stderr


def test_a_check_that_fails_itself_must_be_told_and_stop_nobody(pushes: Pushes) -> None:
    """The check is killed; it is of another version and does not know the hook; it finds no git."""
    pushes.commit(PRIVILEGED)
    program = pushes.folder / "program"
    for line in ("kill -9 $$", "exit 2"):
        script(program, line)
        git(pushes.bare, "config", "reconciler.program", str(program))
        done = pushes.push("origin", "HEAD:main")
        assert done.code == 0, done.stderr
        assert f"nothing was checked: {program} ended with code " in done.stderr
        pushes.commit({"README": line})
    script(program, "exit 1")
    assert pushes.push().code != 0
    argv = (sys.executable, "-m", "reconciler", "hooks", "run", "pre-receive")
    lines = f"{'0' * 40} {'1' * 40} refs/heads/main\n"
    done = command(pushes.bare, *argv, stdin=lines, PYTHONPATH=str(ROOT), PATH="/nonexistent", GIT_DIR=str(pushes.bare))
    assert (done.code, "nothing was checked, the agent checks it" in done.stdout) == (0, True), done


def test_the_name_of_another_branch_may_be_any_bytes(pushes: Pushes) -> None:
    pushes.commit(GOOD)
    for branch in ("main", os.fsdecode(b"\xff\xfe")):
        done = pushes.push("-q", "origin", f"HEAD:refs/heads/{branch}", PYTHONIOENCODING="utf-8:strict")
        assert (done.code, "could not" in done.stderr, "nothing was" in done.stderr) == (0, False, False), done.stderr


def as_nobody(folder: Path, code: str, *arguments: str) -> Ran:
    """Run Python code as another account, after our modules are imported."""
    code = f"import os, sys, yaml, reconciler.wiring.hooks; os.setgid(65534); os.setuid(65534); {code}"
    return command(folder, sys.executable, "-c", code, *arguments, PYTHONPATH=str(ROOT))


@pytest.fixture
def closed(tmp_path: Path) -> Path:
    """A folder that only root may enter, in one that everybody may."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another account")
    for folder in (tmp_path, *tmp_path.parents[:3]):
        if folder.parent != Path("/"):  # not /tmp itself
            folder.chmod(0o755)
    made = tmp_path / "closed"
    made.mkdir(mode=0o700)
    return made


def test_a_folder_in_the_path_that_the_pusher_may_not_enter_must_hide_nothing(closed: Path) -> None:
    (closed / "docker-compose").touch(mode=0o755)
    code = "from reconciler.observe.binary import find_compose; print(find_compose(None, {'PATH': sys.argv[1]}))"
    done = as_nobody(closed.parent, code, f"{closed}:{os.environ['PATH']}")
    assert (done.code, done.stdout.strip() != "") == (0, True), done.stderr


def test_a_config_in_a_closed_folder_must_be_told_like_one_that_cannot_be_read(closed: Path) -> None:
    """Its grants may allow what the push asks for."""
    code = "print(reconciler.wiring.hooks._settings('/', None, {'HOME': sys.argv[1]}))"
    for home, told in ((closed, f"may not see whether {closed}/.config"), (closed.parent, "(None, '')")):
        done = as_nobody(closed.parent, code, str(home))
        assert (done.code, told in done.stdout) == (0, True), done


def test_the_laptop_must_check_what_is_committed_and_not_what_lies_around(pushes: Pushes) -> None:
    assert reconciler(pushes.clone, "hooks", "install").code == 0
    write(pushes.clone, PRIVILEGED)
    git(pushes.clone, "add", "-A")
    refused = command(pushes.clone, "git", "commit", "-m", "bad")
    assert refused.code != 0
    assert re.search(r"^compose/compose\.yaml:5: ", refused.stdout + refused.stderr, re.MULTILINE)
    write(pushes.clone, GOOD)
    git(pushes.clone, "add", "-A")
    write(pushes.clone, PRIVILEGED)
    assert command(pushes.clone, "git", "commit", "-m", "good").code == 0
    assert command(pushes.clone, "git", "commit", "-a", "-m", "bad").code != 0


def test_the_laptop_must_check_what_is_pushed_to_the_watched_branch(pushes: Pushes) -> None:
    reconciler(pushes.bare, "hooks", "uninstall")
    pushes.commit(PRIVILEGED)
    assert reconciler(pushes.clone, "hooks", "install").code == 0
    for source in ("main", "main@{0 seconds ago}"):
        assert pushes.push("origin", f"{source}:refs/heads/main").code != 0
    assert pushes.push("origin", "main:work").code == 0


def test_without_compose_the_laptop_must_say_what_it_could_not_check(pushes: Pushes, tmp_path: Path) -> None:
    reconciler(pushes.clone, "hooks", "install")
    write(pushes.clone, PRIVILEGED)
    git(pushes.clone, "add", "-A")
    done = command(pushes.clone, "git", "commit", "-m", "x", RECONCILER_COMPOSE=str(tmp_path / "none"))
    assert done.code == 0
    assert "could not be checked here" in done.stdout + done.stderr


def test_a_repository_without_desired_state_must_be_left_alone(pushes: Pushes) -> None:
    reconciler(pushes.clone, "hooks", "install")
    write(pushes.clone, {"README": "x"})
    git(pushes.clone, "add", "-A")
    done = command(pushes.clone, "git", "commit", "-m", "x")
    assert (done.code, "reconciler" in done.stdout + done.stderr) == (0, False)
