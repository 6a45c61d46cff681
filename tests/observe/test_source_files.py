"""The files of a commit, from the mirror or from a user's own repository."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from reconciler.errors import Usage
from reconciler.model.files import READ_LIMIT, Files, TooLargeError
from reconciler.observe.blobs import STREAMED
from reconciler.observe.source import files_at
from tests.observe.sources import FILES, source
from tests.repository import ENVIRONMENT, Repository


def test_files_are_those_of_the_commit(theirs: Repository) -> None:
    sha = theirs.push(FILES)
    files = source_files(theirs, sha)
    assert files.revision == sha
    assert {path: (entry.mode, entry.size) for path, entry in files.entries.items()} == {
        path: ("100644", len(text.encode())) for path, text in FILES.items()
    }
    assert {path: files.read(path).decode() for path in files.entries} == FILES
    assert files.refused == ()


def source_files(theirs: Repository, sha: str) -> Files:
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
    assert files.link("link") == "target"
    for path in ("run", "module", "none"):
        with pytest.raises(KeyError):
            files.link(path)


def test_large_files_are_read_only_when_asked_for(theirs: Repository) -> None:
    data = b"x" * (READ_LIMIT + 1)
    files = source_files(theirs, theirs.push({"big": data, "fits": data[1:]}))
    assert len(files.read("fits")) == READ_LIMIT
    with pytest.raises(TooLargeError, match=f"big has {READ_LIMIT + 1} bytes"):
        files.read("big")
    assert files.read("big", READ_LIMIT + 1) == data


@pytest.mark.parametrize("size", [0, 10, STREAMED - 1, STREAMED, 3 * STREAMED + 1])
def test_files_are_copied_byte_for_byte(theirs: Repository, tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    files = source_files(theirs, theirs.push({"file": data}))
    with (tmp_path / "copy").open("w+b") as target:
        files.copy("file", target)
    assert (tmp_path / "copy").read_bytes() == data


LARGE = 64 << 20
COPIED = """
import resource, sys
from pathlib import Path
from reconciler.observe.source import files_at
files = files_at(Path(sys.argv[1]), "main", {})
with open(sys.argv[2], "w+b") as target:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    files.copy("large", target)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.parametrize("packed", [False, True])
def test_the_beginning_of_a_file_is_read_alone(theirs: Repository, packed: bool) -> None:
    large = bytes(range(256)) * (32 << 12)
    sha = theirs.push({"large": large, "small": "ab", "empty": ""})
    if packed:
        theirs.git("repack", "-adq")
    files = source_files(theirs, sha)
    assert [files.head(name, 3) for name in ("large", "small", "empty")] == [b"\0\1\2", b"ab", b""]
    with pytest.raises(KeyError):
        files.head("absent", 3)


def test_a_large_file_takes_no_memory(theirs: Repository, tmp_path: Path) -> None:
    block = bytes(1 << 20)
    theirs.push({"large": bytes(LARGE)})
    done = subprocess.run(
        [sys.executable, "-c", COPIED, str(theirs.folder), str(tmp_path / "copy")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        check=True,
    )
    assert int(done.stdout) < 8 << 10
    assert (tmp_path / "copy").stat().st_size == LARGE
    with (tmp_path / "copy").open("rb") as copied:
        assert all(copied.read(1 << 20) == block for _ in range(LARGE >> 20))


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
    ours_of_them = [name for name in opened if name.startswith(f"{ours.git.folder}/objects/pack/")]
    assert [name for name in ours_of_them if name.endswith("(deleted)")] == []


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
