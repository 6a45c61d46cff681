"""Our hooks can be installed into any repository, and leave it as they found it."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from reconciler.verbs.hooks import BEFORE, shipped
from tests.hooks.tool import ROOT, clone, command, git, reconciler, script

NAMES = ("pre-commit", "pre-push", "pre-receive", "post-receive")


def test_the_package_must_hold_the_hooks_of_the_repository() -> None:
    assert sorted(path.name for path in (ROOT / "hooks").iterdir()) == sorted(NAMES)
    for name in NAMES:
        path = ROOT / "hooks" / name
        assert path.read_bytes() == shipped(name)
        assert path.stat().st_mode & 0o111 == 0o111
        assert subprocess.run(["sh", "-n", str(path)], check=False).returncode == 0
        assert len(path.read_text().splitlines()) <= 25


def test_a_clone_must_get_the_hooks_of_a_clone_once(tmp_path: Path) -> None:
    made = clone(tmp_path)
    first = reconciler(made, "hooks", "install", "--output", "json")
    assert first.code == 0
    assert [Path(item).name for item in first.document["files"]] == ["pre-commit", "pre-push"]
    assert first.document["kind"] == "Hooks"
    before = {path.name: path.stat().st_ino for path in (made / ".git/hooks").iterdir() if not path.suffix}
    assert {"pre-commit", "pre-push"} <= before.keys()
    again = reconciler(made, "hooks", "install", "--output", "json")
    assert (again.code, again.document["hooks"]) == (0, first.document["hooks"])
    assert not list((made / ".git/hooks").glob(f"*{BEFORE}"))
    assert reconciler(made, "hooks", "status").code == 0


def test_hooks_of_others_must_be_called_first_and_come_back(tmp_path: Path) -> None:
    made = clone(tmp_path)
    foreign = made / ".git/hooks/pre-commit"
    script(foreign, f"echo called >>{tmp_path}/told; exit 3")
    text = foreign.read_text()
    assert reconciler(tmp_path, "hooks", "install", "--repo", str(made)).code == 0
    assert foreign.read_bytes() == shipped("pre-commit")
    refused = subprocess.run(["git", "commit", "--allow-empty", "-m", "x"], cwd=made, capture_output=True, text=True)
    assert refused.returncode != 0
    assert (tmp_path / "told").read_text() == "called\n"
    assert reconciler(tmp_path, "hooks", "uninstall", "--repo", str(made)).code == 0
    assert foreign.read_text() == text
    assert not (made / ".git/hooks/pre-push").exists()
    assert "reconciler" not in (made / ".git/config").read_text()


@pytest.mark.parametrize(
    "first", ["#!/bin/sh", "#!/bin/sh -e", "#! /bin/bash", "#!/usr/bin/env bash", "#!/usr/bin/env -S bash -e"]
)
def test_a_script_of_others_must_see_its_own_name(tmp_path: Path, first: str) -> None:
    made = clone(tmp_path)
    foreign = made / ".git/hooks/pre-push"
    script(foreign, "")
    foreign.write_text(
        f'{first}\necho "$(basename "$0") $(dirname "$0") $2" >{tmp_path}/told\ncat >>{tmp_path}/told\nexit 3\n'
    )
    reconciler(made, "hooks", "install")
    git(tmp_path, "init", "-q", "--bare", "there.git")
    assert command(made, "git", "push", "../there.git", "main").code != 0
    told = (tmp_path / "told").read_text().splitlines()
    assert told[0] == "pre-push .git/hooks ../there.git"
    assert told[1].startswith("refs/heads/main ")
    git(made, "push", "-q", "--no-verify", "../there.git", "main")
    assert command(made, "git", "push", "../there.git", "main").code != 0
    assert (tmp_path / "told").read_text().splitlines() == told[:1]  # nothing to push is no line, not an empty one


def test_a_program_of_others_must_be_called_first_too(tmp_path: Path) -> None:
    made = clone(tmp_path)
    foreign = made / ".git/hooks/pre-commit"
    script(foreign, "")
    foreign.write_text(f"#!{sys.executable}\nopen('{tmp_path}/told', 'w').write('called')\nraise SystemExit(3)\n")
    reconciler(made, "hooks", "install")
    assert command(made, "git", "commit", "--allow-empty", "-m", "x").code != 0
    assert (tmp_path / "told").read_text() == "called"


def test_what_cannot_be_chained_must_leave_everything_as_it_is(tmp_path: Path) -> None:
    made = clone(tmp_path)
    reconciler(made, "hooks", "install")
    foreign = made / ".git/hooks/pre-push"
    script(foreign, "exit 0")
    script(foreign.with_name(foreign.name + BEFORE), "exit 1")
    (made / ".git/hooks/pre-commit").unlink()
    answer = reconciler(made, "hooks", "install", "--output", "json")
    assert (answer.code, answer.document["files"]) == (1, [])
    assert "pre-push" in answer.document["messages"][0]
    assert not (made / ".git/hooks/pre-commit").exists()
    assert reconciler(made, "hooks", "status").code == 1
    reconciler(made, "hooks", "uninstall")
    assert foreign.read_text() == "#!/bin/sh\nexit 0\n"


def test_a_hook_that_a_tool_writes_again_must_be_kept_again(tmp_path: Path) -> None:
    """Husky writes its hooks at each `npm install`, in a folder that core.hooksPath names."""
    made = clone(tmp_path)
    git(made, "config", "core.hooksPath", ".husky/_")
    hook = made / ".husky/_/pre-commit"

    def npm_install() -> None:
        script(hook, '. "$(dirname "$0")/h"')
        (hook.parent / "h").write_text(
            'n=$(basename "$0")\ns=$(dirname "$(dirname "$0")")/$n\n[ ! -f "$s" ] && exit 0\nsh -e "$s" "$@"\nexit $?\n'
        )

    script(made / ".husky/pre-commit", f"echo called >>{tmp_path}/told; exit 1")
    npm_install()
    theirs = hook.read_bytes()
    for _ in range(2):
        assert reconciler(made, "hooks", "install").code == 0
        assert hook.read_bytes() == shipped("pre-commit")
        assert command(made, "git", "commit", "--allow-empty", "-m", "x").code != 0
        npm_install()
        status = reconciler(made, "hooks", "status")
        assert status.code == 1
        assert "has replaced ours" in status.stdout
    assert (tmp_path / "told").read_text() == "called\n" * 2
    assert reconciler(made, "hooks", "uninstall").code == 0
    assert hook.read_bytes() == theirs
    assert not hook.with_name(hook.name + BEFORE).exists()


def test_an_older_hook_of_ours_must_be_replaced_and_not_kept(tmp_path: Path) -> None:
    made = clone(tmp_path)
    reconciler(made, "hooks", "install")
    ours = made / ".git/hooks/pre-commit"
    ours.write_bytes(shipped("pre-commit") + b"# an older one\n")
    assert reconciler(made, "hooks", "status").code == 1
    assert reconciler(made, "hooks", "install").code == 0
    assert ours.read_bytes() == shipped("pre-commit")
    assert not ours.with_name(ours.name + BEFORE).exists()


def test_hooks_path_and_worktrees_must_be_honoured(tmp_path: Path) -> None:
    made = clone(tmp_path)
    git(made, "worktree", "add", "-q", "../tree")
    reconciler(tmp_path / "tree", "hooks", "install")
    assert (made / ".git/hooks/pre-commit").exists()
    git(made, "config", "core.hooksPath", ".husky")
    answer = reconciler(made, "hooks", "install", "--output", "json")
    assert answer.document["folder"] == str(made / ".husky")
    assert "working tree" in answer.document["messages"][0]
    assert (made / ".husky/pre-push").exists()
    git(made, "config", "core.hooksPath", "/dev/null")
    assert reconciler(made, "hooks", "install").code == 1


def test_a_program_that_is_gone_must_be_told(tmp_path: Path) -> None:
    made = clone(tmp_path)
    reconciler(made, "hooks", "install")
    git(made, "config", "reconciler.program", str(tmp_path / "gone"))
    answer = reconciler(made, "hooks", "status", "--output", "json")
    assert (answer.code, str(tmp_path / "gone") in answer.document["messages"][0]) == (1, True)


def test_a_hook_in_a_folder_for_all_repositories_must_act_only_where_it_was_installed(tmp_path: Path) -> None:
    made, other = clone(tmp_path), clone(tmp_path, "other")
    config = tmp_path / "gitconfig"
    config.write_text(f"[core]\n\thooksPath = {tmp_path}/all\n")
    assert reconciler(made, "hooks", "install", GIT_CONFIG_GLOBAL=str(config)).code == 0
    assert (tmp_path / "all/pre-commit").exists()
    (other / "compose.yaml").write_text("services: [")
    git(other, "add", "-A")
    git(other, "commit", "-q", "-m", "broken", GIT_CONFIG_GLOBAL=str(config))


def test_hooks_that_other_repositories_use_must_stay_until_the_last_one_uninstalls(tmp_path: Path) -> None:
    made, other, gone = clone(tmp_path), clone(tmp_path, "other"), clone(tmp_path, "gone")
    (tmp_path / "gitconfig").write_text(f"[core]\n\thooksPath = {tmp_path}/all\n")
    shared = {"GIT_CONFIG_GLOBAL": str(tmp_path / "gitconfig")}
    script(tmp_path / "all/pre-commit", "exit 0")
    for folder in (made, other, gone, made):
        assert reconciler(folder, "hooks", "install", **shared).code == 0
    shutil.rmtree(gone)
    answer = reconciler(made, "hooks", "uninstall", "--output", "json", **shared)
    assert (answer.code, answer.document["files"]) == (0, [])
    assert str(other) in answer.document["messages"][0]
    assert str(gone) not in answer.document["messages"][0]
    assert "reconciler" not in (made / ".git/config").read_text()
    here = reconciler(made, "hooks", "status", "--output", "json", **shared)
    assert (here.code, "has not installed them" in here.document["messages"][0]) == (1, True)
    assert reconciler(other, "hooks", "status", **shared).code == 0
    git(tmp_path, "init", "-q", "--bare", "bare.git")
    assert reconciler(tmp_path / "bare.git", "hooks", "install", **shared).code == 0
    assert reconciler(other, "hooks", "uninstall", **shared).code == 0
    assert reconciler(tmp_path / "bare.git", "hooks", "uninstall", **shared).code == 0
    assert [path.name for path in (tmp_path / "all").iterdir()] == ["pre-commit"]
    assert (tmp_path / "all/pre-commit").read_text() == "#!/bin/sh\nexit 0\n"


def test_a_folder_whose_name_has_a_line_end_must_get_its_hooks(tmp_path: Path) -> None:
    made = clone(tmp_path, "two\nlines")
    assert reconciler(made, "hooks", "install").code == 0
    (made / "compose.yaml").write_text("services: [")
    git(made, "add", "-A")
    assert command(made, "git", "commit", "-m", "broken").code != 0


def test_a_git_that_is_too_old_must_be_told(tmp_path: Path) -> None:
    made, real = clone(tmp_path), shutil.which("git")
    script(
        tmp_path / "old/git", f'case "$*" in *--path-format*) echo --path-format=absolute;; *) exec {real} "$@";; esac'
    )
    path = f"{tmp_path}/old:{os.environ['PATH']}"
    answer = reconciler(made, "hooks", "install", "--output", "json", PATH=path)
    assert (answer.code, "2.31" in answer.document["hint"]) == (2, True)


def test_no_repository_must_be_wrong_usage(tmp_path: Path) -> None:
    answer = reconciler(tmp_path, "hooks", "install", "--output", "json")
    assert (answer.code, answer.document["kind"]) == (2, "Error")


def test_a_bare_repository_must_be_made_private_and_ready_for_pushes(tmp_path: Path) -> None:
    path = tmp_path / "srv/home.git"
    answer = reconciler(tmp_path, "init", "--bare", str(path), "--output", "json")
    assert (answer.code, answer.document["kind"]) == (0, "Init")
    assert answer.document["files"][1:] == [f"{path}/hooks/pre-receive", f"{path}/hooks/post-receive"]
    assert any("git push" in line for line in answer.document["notes"])
    assert git(path, "config", "receive.advertisePushOptions") == "true"
    assert git(path, "symbolic-ref", "HEAD") == "refs/heads/main"
    for folder, _, names in os.walk(path):
        for item in (folder, *(f"{folder}/{name}" for name in names)):
            assert stat.S_IMODE(os.stat(item).st_mode) & 0o077 == 0
    assert reconciler(tmp_path, "hooks", "status", "--repo", str(path)).code == 0
    again = reconciler(tmp_path, "init", "--bare", str(path), "--output", "json")
    assert (again.code, again.document["files"]) == (1, [])


def test_the_bare_repository_must_have_the_branch_of_the_agent_config(tmp_path: Path) -> None:
    config = tmp_path / "agent.yaml"
    config.write_text(f"host: mini\nsource: {{url: /srv/x.git, branch: live}}\nstate: {tmp_path}/state\n")
    answer = reconciler(tmp_path, "--config", str(config), "init", "--bare", "home.git", "--output", "json")
    assert (answer.code, answer.document["host"]) == (0, "mini")
    assert git(tmp_path / "home.git", "symbolic-ref", "HEAD") == "refs/heads/live"
    assert git(tmp_path / "home.git", "config", "reconciler.config") == str(config)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a repository away")
def test_a_repository_of_somebody_else_must_be_left_to_its_owner(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "--bare", "theirs.git")
    before = (tmp_path / "theirs.git/config").read_bytes()
    os.chown(tmp_path / "theirs.git", 1, 1)
    (tmp_path / "gitconfig").write_text("[safe]\n\tdirectory = *\n")
    trusting = {"GIT_CONFIG_GLOBAL": str(tmp_path / "gitconfig")}
    for verb in ("install", "uninstall"):
        answer = reconciler(tmp_path, "hooks", verb, "--repo", "theirs.git", "--output", "json", **trusting)
        assert (answer.code, "sudo -u '#1'" in answer.document["hint"]) == (2, True)
    assert reconciler(tmp_path, "hooks", "status", "--repo", "theirs.git", **trusting).code == 1
    assert (tmp_path / "theirs.git/config").read_bytes() == before


def test_uninstalling_must_leave_a_bare_repository_without_a_trace(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "--bare", "plain.git")
    before = {path: path.read_bytes() for path in (tmp_path / "plain.git").rglob("*") if path.is_file()}
    reconciler(tmp_path, "hooks", "install", "--repo", "plain.git")
    assert git(tmp_path / "plain.git", "config", "receive.advertisePushOptions") == "true"
    reconciler(tmp_path, "hooks", "uninstall", "--repo", "plain.git")
    assert {path: path.read_bytes() for path in (tmp_path / "plain.git").rglob("*") if path.is_file()} == before


def test_a_link_in_place_of_the_folder_of_the_agent_must_lead_nowhere(tmp_path: Path) -> None:
    made, other = tmp_path / "home.git", tmp_path / "other"
    git(tmp_path, "init", "-q", "--bare", str(made))
    made.chmod(0o755)
    other.mkdir(mode=0o700)
    (other / "daemon.json").write_text('{"kind": "Push"}')
    (made / "reconciler").symlink_to(other)
    ran = reconciler(tmp_path, "hooks", "install", "--repo", str(made))
    assert (ran.code, "is no folder of this repository" in " ".join(ran.stdout.split())) == (1, True), ran
    assert not (made / "hooks/post-receive").exists()
    assert stat.S_IMODE(other.stat().st_mode) == 0o700
    reconciler(tmp_path, "hooks", "uninstall", "--repo", str(made))
    assert (other / "daemon.json").exists()


def test_uninstalling_must_keep_what_others_have_put_there_and_set(tmp_path: Path) -> None:
    made = tmp_path / "home.git"
    git(tmp_path, "init", "-q", "--bare", str(made))
    git(made, "config", "receive.denyDeleteCurrent", "refuse")
    for _ in range(2):
        assert reconciler(tmp_path, "hooks", "install", "--repo", str(made)).code == 0
    assert git(made, "config", "receive.denyDeleteCurrent") == "ignore"
    (made / "reconciler/mini.json").write_text('{"kind": "Push"}')
    (made / "reconciler/theirs.json").write_text("{}")
    assert reconciler(tmp_path, "hooks", "uninstall", "--repo", str(made)).code == 0
    assert [path.name for path in (made / "reconciler").iterdir()] == ["theirs.json"]
    assert git(made, "config", "receive.denyDeleteCurrent") == "refuse"
    assert "advertisePushOptions" not in (made / "config").read_text()


def test_a_pipe_in_place_of_a_hook_must_hold_nobody(tmp_path: Path) -> None:
    made = clone(tmp_path)
    os.mkfifo(made / ".git/hooks/pre-commit")
    assert reconciler(made, "hooks", "status").code == 1
