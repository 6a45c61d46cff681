"""The watched branch: X must Y, with real git on real folders."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from reconciler.effects import Effects
from reconciler.errors import Transient, Usage
from reconciler.model.files import READ_LIMIT, TooLargeError
from reconciler.model.outcome import Reason
from reconciler.observe.source import GitSource, files_at
from tests.repository import ENVIRONMENT, Repository

FILES = {"compose.yaml": "services: {}\n", "etc/nginx/site.conf": "listen 80;\n", "ümläut.txt": "ä"}


@pytest.fixture
def theirs(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "home.git")


def source(theirs: Repository, branch: str = "main", effects: Effects | None = None) -> GitSource:
    mirror = theirs.folder.parent / "state" / "mirror.git"
    return GitSource(str(theirs.folder), branch, mirror, environ=os.environ, effects=effects or Effects())


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A file that gets a line for each git that is started below it in PATH."""
    seen, shims = tmp_path / "started", tmp_path / "shims"
    shims.mkdir()
    real = subprocess.run(["which", "git"], capture_output=True, text=True, check=True).stdout.strip()
    (shims / "git").write_text(f'#!/bin/sh\necho "$*" >> {seen}\nexec {real} "$@"\n')
    (shims / "git").chmod(0o755)
    seen.touch()
    return seen


def counted(theirs: Repository, programs: Path) -> GitSource:
    environ = {**os.environ, "PATH": f"{programs.parent / 'shims'}:{os.environ['PATH']}"}
    mirror = theirs.folder.parent / "state" / "mirror.git"
    return GitSource(str(theirs.folder), "main", mirror, environ=environ, effects=Effects())


def starts(programs: Path) -> list[str]:
    lines = programs.read_text().splitlines()
    programs.write_text("")
    return lines


# -- heads and commits -------------------------------------------------------------------------------------------------


def test_fetch_gives_the_head_with_all_that_is_told_about_it(theirs: Repository) -> None:
    sha = theirs.push(FILES, message="Subject over\ntwo lines\n\nbody")
    head = source(theirs).fetch()
    assert head.sha == sha
    assert head.tree == theirs.git("rev-parse", f"{sha}^{{tree}}")
    assert (head.subject, head.author) == ("Subject over two lines", "A Person")
    assert head.time == "2026-01-01T00:00:00Z"


def test_each_push_is_seen_by_the_next_fetch(theirs: Repository) -> None:
    ours = source(theirs)
    for number in range(4):
        sha = theirs.push({"a": str(number)})
        assert ours.fetch().sha == sha
        assert ours.files(sha).read("a") == str(number).encode()


def test_a_packed_ref_is_seen(theirs: Repository) -> None:
    ours = source(theirs)
    theirs.push({"a": "1"})
    ours.fetch()
    sha = theirs.push({"a": "2"})
    theirs.git("pack-refs", "--all")
    assert ours.fetch().sha == sha
    sha = theirs.push({"a": "3"})
    assert ours.fetch().sha == sha


def test_a_working_tree_with_its_repository_inside_is_a_source(tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    script = "git init -q -b main && echo x > a && git add a && git commit -qm one && git rev-parse HEAD"
    done = subprocess.run(script, shell=True, cwd=work, env=ENVIRONMENT, capture_output=True, text=True, check=True)
    mirror = tmp_path / "state" / "mirror.git"
    ours = GitSource(str(work), "main", mirror, environ=os.environ, effects=Effects())
    assert ours.fetch().sha == done.stdout.strip()


def test_a_linked_worktree_is_a_source(theirs: Repository, tmp_path: Path) -> None:
    sha = theirs.push(FILES)
    theirs.git("worktree", "add", "-q", str(tmp_path / "linked"), "main")
    ours = GitSource(str(tmp_path / "linked"), "main", tmp_path / "m", environ=os.environ, effects=Effects())
    assert ours.fetch().sha == sha
    assert ours.fetch().sha == sha


def test_a_symbolic_branch_is_followed(theirs: Repository) -> None:
    first = theirs.push(FILES)
    theirs.git("symbolic-ref", "refs/heads/live", "refs/heads/main")
    ours = source(theirs, "live")
    assert ours.fetch().sha == first
    second = theirs.push({})
    assert ours.fetch().sha == second


@pytest.mark.parametrize("branch", ["feature/x", "v1.2", "über", "a@b", "#12", "a-{b}", "HEAD", "main"])
def test_any_branch_that_git_allows_can_be_watched(theirs: Repository, branch: str) -> None:
    sha = theirs.push(FILES, branch)
    assert source(theirs, branch).fetch().sha == sha


def test_tags_are_not_fetched(theirs: Repository) -> None:
    theirs.git("tag", "v1", theirs.push(FILES))
    ours = source(theirs)
    ours.fetch()
    assert ours.git.run("for-each-ref", "--format=%(refname)").stdout == b"refs/fetched/main\n"


def test_a_force_push_is_fetched_and_the_old_head_stays_known(theirs: Repository) -> None:
    ours = source(theirs)
    base, old = theirs.push({"a": "1"}), theirs.push({"a": "2"})
    ours.fetch()
    ours.pin("good", old)
    new = theirs.set(theirs.commit_tree(theirs.tree({"a": "3"}), parent=base))
    theirs.git("reflog", "expire", "--all", "--expire=now")
    theirs.git("gc", "-q", "--prune=now")
    assert ours.fetch().sha == new
    assert not ours.is_ancestor(old, new)
    assert ours.is_ancestor(base, new)
    assert ours.files(old).read("a") == b"2"


def test_is_ancestor_knows_what_builds_on_what(theirs: Repository) -> None:
    ours = source(theirs)
    first, second = theirs.push({"a": "1"}), theirs.push({"a": "2"})
    ours.fetch()
    assert ours.is_ancestor(first, second)
    assert ours.is_ancestor(second, second)
    assert not ours.is_ancestor(second, first)
    assert not ours.is_ancestor("0" * 40, second)
    assert not ours.is_ancestor("--all", second)


@pytest.mark.parametrize("sha", ["0" * 40, "main", "--help", ""])
def test_an_unknown_commit_is_a_key_error(theirs: Repository, sha: str) -> None:
    theirs.push(FILES)
    ours = source(theirs)
    ours.fetch()
    with pytest.raises(KeyError):
        ours.commit(sha)
    with pytest.raises(KeyError):
        ours.files(sha)


@pytest.mark.parametrize(
    ("date", "time"),
    [
        ("1767225600 -1100", "2026-01-01T00:00:00Z"),
        ("99999999999999 +0000", "1970-01-01T00:00:00Z"),
        ("12x", "1970-01-01T00:00:00Z"),
    ],
)
def test_an_odd_date_is_no_obstacle(theirs: Repository, date: str, time: str) -> None:
    identity = f"Ärger <x@y> {date}"
    text = f"tree {theirs.tree(FILES)}\nauthor {identity}\ncommitter {identity}\n\nsubject\n"
    sha = theirs.git("hash-object", "-w", "--stdin", "-t", "commit", "--literally", stdin=text.encode())
    (theirs.folder / "refs/heads/main").write_text(sha + "\n")
    head = source(theirs).fetch()
    assert (head.time, head.author, head.subject) == (time, "Ärger", "subject")


@pytest.mark.parametrize("encoding", ["ISO-8859-1", "no-such-encoding"])
def test_a_commit_in_another_encoding_is_read(theirs: Repository, encoding: str) -> None:
    text = f"tree {theirs.tree(FILES)}\nauthor A <a> 1 +0000\ncommitter A <a> 1 +0000\nencoding {encoding}\n\nGrüße\n"
    sha = theirs.git("hash-object", "-w", "--stdin", "-t", "commit", stdin=text.encode("latin-1"))
    theirs.set(sha)
    assert source(theirs).fetch().subject == ("Grüße" if encoding.startswith("ISO") else "Gr��e")


# -- files -------------------------------------------------------------------------------------------------------------


def test_files_are_those_of_the_commit(theirs: Repository) -> None:
    sha = theirs.push(FILES)
    files = source_files(theirs, sha)
    assert files.revision == sha
    assert {path: (entry.mode, entry.size) for path, entry in files.entries.items()} == {
        path: ("100644", len(text.encode())) for path, text in FILES.items()
    }
    assert {path: files.read(path).decode() for path in files.entries} == FILES
    assert files.refused == ()


def source_files(theirs: Repository, sha: str) -> object:
    ours = source(theirs)
    ours.fetch()
    return ours.files(sha)


def test_entries_carry_gits_own_ids(theirs: Repository) -> None:
    sha = theirs.push(FILES)
    entry = source_files(theirs, sha).entries["etc/nginx/site.conf"]
    assert entry.oid == theirs.git("rev-parse", f"{sha}:etc/nginx/site.conf")


def test_only_regular_files_can_be_read(theirs: Repository) -> None:
    blob = theirs.blob("target")
    tree = theirs.raw_tree([
        ("100755", "blob", blob, b"run"),
        ("120000", "blob", blob, b"link"),
        ("160000", "commit", "1" * 40, b"module"),
    ])  # fmt: skip
    files = source_files(theirs, theirs.set(theirs.commit_tree(tree)))
    assert {path: entry.mode for path, entry in files.entries.items()} == {
        "run": "100755", "link": "120000", "module": "160000",
    }  # fmt: skip
    assert files.read("run") == b"target"
    for path in ("link", "module", "none", "", "../etc/passwd"):
        with pytest.raises(KeyError):
            files.read(path)


def test_large_files_are_read_only_when_asked_for(theirs: Repository) -> None:
    data = b"x" * (READ_LIMIT + 1)
    files = source_files(theirs, theirs.push({"big": data, "fits": data[1:]}))
    assert len(files.read("fits")) == READ_LIMIT
    with pytest.raises(TooLargeError, match=f"big has {READ_LIMIT + 1} bytes"):
        files.read("big")
    assert files.read("big", READ_LIMIT + 1) == data


def test_attributes_and_filters_change_nothing(theirs: Repository) -> None:
    files = {
        ".gitattributes": "* export-ignore export-subst text eol=crlf ident filter=lfs working-tree-encoding=UTF-16\n",
        "compose.yaml": "# $Format:%H$ $Id$\nservices: {}\n",
    }
    found = source_files(theirs, theirs.push(files))
    assert {path: found.read(path).decode() for path in found.entries} == files


def test_many_packs_are_put_together_and_stay_readable(theirs: Repository) -> None:
    ours = source(theirs)
    shas = []
    for number in range(55):
        shas.append(theirs.push({"a": str(number), "b": "x" * number}))
        ours.fetch()
    packs = list(ours.git.folder.glob("objects/pack/*.pack"))
    assert len(packs) <= 51
    assert [ours.files(sha).read("a").decode() for sha in shas] == [str(number) for number in range(55)]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_what_left_the_branch_is_given_up_and_what_is_pinned_stays(theirs: Repository) -> None:
    ours = source(theirs)
    first = theirs.push(FILES)
    for number in range(30):
        theirs.set(first)
        sha = theirs.push(FILES | {"blob": os.urandom(50_000).hex()})
        ours.fetch()
        if number == 3:
            pinned = sha
            ours.pin("mini/good", pinned)
    before = size(ours.git.folder)
    ours.tidy()
    after = size(ours.git.folder)
    assert before > 30 * 50_000
    assert after < 4 * 50_000
    assert ours.fetch().sha == sha
    for kept in (first, pinned, sha):
        files = source(theirs).files(kept)
        assert files.read("compose.yaml") == b"services: {}\n"
    ours.tidy()
    assert size(ours.git.folder) == after


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_packs_that_were_replaced_do_not_stay_open(theirs: Repository) -> None:
    ours = source(theirs)
    for number in range(4):
        sha = theirs.push({"a": str(number)})
        ours.fetch()
        ours.files(sha).read("a")
        ours.git.run("repack", "-a", "-d", "-q")
    assert ours.files(sha).read("a") == b"3"
    opened = [os.readlink(link) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    assert [name for name in opened if "/objects/pack/" in name and name.endswith("(deleted)")] == []


def test_delta_chains_are_read_as_git_reads_them(theirs: Repository) -> None:
    lines = [f"line {number} {number * 7919 % 1009}" for number in range(3000)]
    shas = []
    for number in range(12):
        lines[number * 200] = f"changed {number}"
        shas.append(theirs.push({"big.txt": "\n".join(lines), "same": "same"}))
    theirs.git("repack", "-adfq", "--depth=50")
    ours = source(theirs)
    ours.fetch()
    for sha in shas:
        assert ours.files(sha).read("big.txt").decode() == theirs.git("cat-file", "blob", f"{sha}:big.txt")


# -- pins --------------------------------------------------------------------------------------------------------------


def test_a_pin_is_an_effect_only_where_it_changes_something(theirs: Repository) -> None:
    effects = Effects()
    ours = source(theirs, effects=effects)
    first, second = theirs.push({"a": "1"}), theirs.push({"a": "2"})
    ours.fetch()
    assert effects.count == 0
    ours.pin("good", first)
    ours.pin("bad/abc", second)
    ours.pin("good", first)
    assert effects.count == 2
    assert ours.pins("") == {"bad/abc": second, "good": first}
    assert ours.pins("bad/") == {"bad/abc": second}
    assert source(theirs).pins("go") == {"good": first}
    ours.pin("maxi.local/bad/abc", second)
    ours.pin("good", second)
    assert ours.pins("good") == {"good": second}


@pytest.mark.parametrize("name", ["", "../x", "a..b", "a/", "-x", "a b", "a.lock", "a.lock/b"])
def test_a_name_that_is_no_pin_is_refused(theirs: Repository, name: str) -> None:
    sha = theirs.push(FILES)
    ours = source(theirs)
    ours.fetch()
    with pytest.raises(ValueError, match="cannot name a pin"):
        ours.pin(name, sha)


def test_a_commit_that_is_not_there_cannot_be_pinned(theirs: Repository) -> None:
    theirs.push(FILES)
    ours = source(theirs)
    ours.fetch()
    with pytest.raises(KeyError):
        ours.pin("good", "1" * 40)


# -- cost --------------------------------------------------------------------------------------------------------------


def test_an_unchanged_local_branch_costs_no_process(theirs: Repository, programs: Path) -> None:
    theirs.push(FILES)
    ours = counted(theirs, programs)
    ours.fetch()
    starts(programs)
    for _ in range(3):
        ours.fetch()
    assert starts(programs) == []


def test_a_new_process_needs_one_git_for_an_unchanged_branch(theirs: Repository, programs: Path) -> None:
    theirs.push(FILES)
    counted(theirs, programs).fetch()
    starts(programs)
    counted(theirs, programs).fetch()
    assert len(starts(programs)) == 1


def test_where_a_look_is_not_certain_an_unchanged_branch_costs_one_fetch(theirs: Repository, programs: Path) -> None:
    theirs.push(FILES)
    theirs.git("symbolic-ref", "refs/heads/live", "refs/heads/main")
    ours = counted(theirs, programs)
    ours.branch = "live"
    ours.fetch()
    starts(programs)
    ours.fetch()
    ours.fetch()
    assert [line for line in starts(programs) if " fetch " not in line and "rev-list" not in line] == []


def test_a_turn_without_news_imports_no_git_library(theirs: Repository) -> None:
    theirs.push(FILES)
    source(theirs).fetch()
    code = f"""
import os, sys
from pathlib import Path
from reconciler.effects import Effects
from reconciler.observe.source import GitSource
ours = GitSource({str(theirs.folder)!r}, "main", Path({str(theirs.folder.parent / "state/mirror.git")!r}),
                 environ=os.environ, effects=Effects())
ours.fetch()
assert not {{"git", "gitdb"}} & set(sys.modules)
files = ours.files(ours.fetch().sha)
files.read("compose.yaml")
assert "gitdb" in sys.modules and "git" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


# -- faults of the remote ----------------------------------------------------------------------------------------------


def test_a_vanished_branch_is_transient_and_nothing_is_lost(theirs: Repository) -> None:
    sha = theirs.push(FILES)
    ours = source(theirs)
    ours.fetch()
    ours.pin("good", sha)
    theirs.git("branch", "-m", "main", "other")
    with pytest.raises(Transient) as caught:
        ours.fetch()
    assert caught.value.reason is Reason.FETCH_FAILED
    assert caught.value.message.startswith(f"cannot fetch branch main from {theirs.folder}: ")
    assert "source.branch" in caught.value.hint
    assert ours.files(sha).read("compose.yaml")
    assert ours.pins("") == {"good": sha}
    theirs.git("branch", "-m", "other", "main")
    assert ours.fetch().sha == sha


def test_a_vanished_repository_is_transient_and_nothing_is_lost(theirs: Repository) -> None:
    sha = theirs.push(FILES)
    ours = source(theirs)
    ours.fetch()
    ours.pin("good", sha)
    theirs.folder.rename(theirs.folder.with_name("elsewhere"))
    with pytest.raises(Transient, match="does not appear to be a git repository") as caught:
        ours.fetch()
    assert "source.url" in caught.value.hint
    assert ours.pins("") == {"good": sha}


def test_an_empty_repository_is_transient(theirs: Repository) -> None:
    with pytest.raises(Transient, match="couldn't find remote ref refs/heads/main"):
        source(theirs).fetch()


def test_an_unreachable_https_remote_names_no_credentials(tmp_path: Path) -> None:
    url = "https://user:hunter2000@127.0.0.1:9/home.git"
    ours = GitSource(url, "main", tmp_path / "m", environ=os.environ, effects=Effects())
    with pytest.raises(Transient) as caught:
        ours.fetch()
    text = caught.value.message + caught.value.hint
    assert "https://127.0.0.1:9/home.git" in text
    assert "hunter2000" not in text
    assert "asked again later" in caught.value.hint


def test_credentials_stand_neither_in_the_mirror_nor_in_arguments(tmp_path: Path) -> None:
    url = "https://user:hunter2000@127.0.0.1:9/home.git"
    ours = GitSource(url, "main", tmp_path / "m", environ=os.environ, effects=Effects())
    with pytest.raises(Transient):
        ours.fetch()
    assert "hunter2000" not in " ".join([*ours.git._arguments, ours.remote.address, ours.remote.shown])
    for path in (tmp_path / "m").rglob("*"):
        assert path.is_dir() or b"hunter2000" not in path.read_bytes()


def test_a_remote_that_hangs_is_given_up(tmp_path: Path) -> None:
    environ = {**os.environ, "GIT_SSH_COMMAND": "sleep 300; :"}
    ours = GitSource(
        "git@example.org:home.git", "main", tmp_path / "m", environ=environ, effects=Effects(), timeouts=(0.5, 0.5)
    )
    with pytest.raises(Transient, match=r"no end within 0\.5 s") as caught:
        ours.fetch()
    assert caught.value.reason is Reason.FETCH_FAILED


def test_a_repository_of_another_object_format_is_said(tmp_path: Path) -> None:
    folder = tmp_path / "home.git"
    script = f"git init -q --object-format=sha256 -b main {folder} && cd {folder} && git commit -q --allow-empty -m x"
    subprocess.run(script, shell=True, env=ENVIRONMENT, check=True)
    ours = GitSource(str(folder), "main", tmp_path / "m", environ=os.environ, effects=Effects())
    with pytest.raises(Transient) as caught:
        ours.fetch()
    assert "sha1" in caught.value.hint


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another user's repository")
def test_another_users_repository_is_read(theirs: Repository) -> None:
    sha = theirs.push(FILES)
    for path in [theirs.folder, *theirs.folder.rglob("*")]:
        os.chown(path, 12345, 12345)
    assert source(theirs).fetch().sha == sha


# -- a user's repository -----------------------------------------------------------------------------------------------


def test_files_at_takes_any_name_of_a_commit(theirs: Repository, tmp_path: Path) -> None:
    first, second = theirs.push({"a": "1"}), theirs.push({"a": "2"})
    theirs.git("worktree", "add", "-q", "--detach", str(tmp_path / "linked"), first)
    for name in (second, second[:9], "main", "HEAD", "refs/heads/main", "main@{0}^{commit}"):
        if "@" not in name:
            assert files_at(theirs.folder, name, os.environ).revision == second
    assert files_at(theirs.folder, "HEAD~1", os.environ).read("a") == b"1"
    assert files_at(tmp_path / "linked", "HEAD", os.environ).read("a") == b"1"


def test_files_at_takes_a_working_tree_or_the_git_folder_in_it(tmp_path: Path) -> None:
    script = "git init -q -b main && echo x > a && git add a && git commit -qm one"
    subprocess.run(script, shell=True, cwd=tmp_path, env=ENVIRONMENT, check=True)
    for folder in (tmp_path, tmp_path / ".git"):
        assert files_at(folder, "HEAD", os.environ).read("a") == b"x\n"


def test_files_at_reads_sha256_repositories(tmp_path: Path) -> None:
    script = "git init -q --object-format=sha256 -b main && echo x > a && git add a && git commit -qm one"
    subprocess.run(script, shell=True, cwd=tmp_path, env=ENVIRONMENT, check=True)
    files = files_at(tmp_path, "main", os.environ)
    assert len(files.revision or "") == 64
    assert files.read("a") == b"x\n"


@pytest.mark.parametrize("name", ["", "none", "--all", "-h", "a\nb", "HEAD~99", "0" * 40])
def test_files_at_refuses_what_names_no_commit(theirs: Repository, name: str) -> None:
    theirs.push(FILES)
    with pytest.raises(Usage, match="--commit") as caught:
        files_at(theirs.folder, name, os.environ)
    assert caught.value.exit_code == 2


def test_files_at_refuses_what_is_no_repository(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(Usage, match="is no git repository"):
            files_at(folder, "HEAD", os.environ)


# -- what people call commits ------------------------------------------------------------------------------------------


def test_a_commit_is_found_by_what_people_call_it(theirs: Repository) -> None:
    first = theirs.push(FILES)
    second = theirs.push({**FILES, "more": "x"})
    ours = source(theirs)
    assert (ours.find(first), ours.fetched()) == (None, None)
    ours.fetch()
    assert ours.fetched() == second
    for name, sha in ((first, first), (first[:7], first), ("main", second), ("main~1", first)):
        assert ours.find(name) == sha
    for name in ("", "no-such", "--all", "main\n", "main:more", f"{first}..{second}", "0" * 40, "main~9"):
        assert ours.find(name) is None, name


def test_what_is_unpinned_is_forgotten(theirs: Repository) -> None:
    sha = theirs.push(FILES)
    effects = Effects()
    ours = source(theirs, effects=effects)
    ours.fetch()
    ours.pin(f"mini/bad/{sha}/content", sha)
    ours.pin(f"mini/bad/{sha}/other", sha)
    ours.unpin(f"mini/bad/{sha}/content")
    assert list(ours.pins("mini/")) == [f"mini/bad/{sha}/other"]
    before = effects.count
    ours.unpin(f"mini/bad/{sha}/content")
    assert effects.count == before
