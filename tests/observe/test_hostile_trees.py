"""Hostile commits: each bad path is reported, none is used, nothing outside is read and nothing is executed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from reconciler.effects import Effects
from reconciler.errors import Transient
from reconciler.model.outcome import Level, Reason
from reconciler.observe.source import GitSource, files_at
from reconciler.observe.tree import GitFiles
from tests.observe.sources import source
from tests.repository import Repository

Line = tuple[str, str, str, bytes]


def fetched(theirs: Repository, tree: str) -> GitFiles:
    theirs.set(theirs.commit_tree(tree))
    ours = source(theirs)
    files = ours.files(ours.fetch().sha)
    assert isinstance(files, GitFiles)
    return files


HOSTILE = {
    b".git": "reserved for git's own files",
    b".GIT": "reserved for git's own files",
    b".gIt": "reserved for git's own files",
    b"GIT~1": "reserved for git's own files",
    b".git.": "reserved for git's own files",
    b".git ": "reserved for git's own files",
    ".g\u200cit".encode(): "reserved for git's own files",
    "\ufeff.git".encode(): "reserved for git's own files",
    b"..": "leads out",
    b".": "leads out",
    b"a/../../b": "leads out",
    b"../../etc/passwd": "leads out",
    b"/etc/passwd": "leads out",
    b"a//b": "leads out",
    b"a/.git/config": "reserved for git's own files",
    b"a\nb": "control characters",
    b"a\rb": "control characters",
    b"a\tb": "control characters",
    b"a\x1b[31mb": "control characters",
    b"a\x7fb": "control characters",
    "a\u0085b".encode(): "control characters",
    "a\u2028b".encode(): "control characters",
    "exe.\u202etxt".encode(): "control characters",
    b"x" * 256: "longer than",
    b"/".join([b"x" * 200] * 25): "longer than",
    b"/".join([b"d"] * 120): "deeper than",
}


@pytest.mark.parametrize("name", HOSTILE, ids=lambda name: ascii(name[:20])[2:-1])
@pytest.mark.parametrize("depth", [0, 2])
def test_a_hostile_path_is_refused_with_its_reason(theirs: Repository, name: bytes, depth: int) -> None:
    blob = theirs.blob("services: {}")
    tree = theirs.literal_tree([("100644", "blob", blob, name), ("100644", "blob", blob, b"zz")])
    for _ in range(depth):
        tree = theirs.raw_tree([("040000", "tree", tree, b"deep")])
    files = fetched(theirs, tree)
    prefix = "deep/" * depth
    assert list(files.entries) == [prefix + "zz"]
    (violation,) = files.refused
    assert HOSTILE[name] in violation.message
    rule = "unsafe-path" if HOSTILE[name].startswith(("leads", "reserved")) else "odd-path"
    assert (violation.reason, violation.rule, violation.level) == (Reason.POLICY_VIOLATION, rule, Level.DENY)
    assert violation.path is not None
    assert violation.path.startswith(prefix)
    assert violation.path.isprintable()
    assert violation.hint


def test_a_hostile_folder_takes_its_files_along(theirs: Repository) -> None:
    inside = theirs.tree({"config": "[core]", "hooks/post-checkout": "#!/bin/sh"})
    tree = theirs.literal_tree([("40000", "tree", inside, b".git"), ("100644", "blob", theirs.blob("x"), b"a")])
    files = fetched(theirs, tree)
    assert list(files.entries) == ["a"]
    assert [violation.path for violation in files.refused] == [".git/config", ".git/hooks/post-checkout"]


def test_a_name_that_is_not_utf8_is_left_out_with_a_warning(theirs: Repository) -> None:
    blob = theirs.blob("x")
    files = fetched(theirs, theirs.raw_tree([("100644", "blob", blob, b"caf\xe9"), ("100644", "blob", blob, b"ok")]))
    assert list(files.entries) == ["ok"]
    assert [(item.path, item.level) for item in files.refused] == [("caf\\\\xe9", Level.WARN)]


def test_names_that_only_look_odd_are_taken(theirs: Repository) -> None:
    names = [
        ".gitignore",
        ".gitmodules",
        "git",
        "a.git",
        "-rf",
        "$HOME",
        "a b",
        "`x`",
        "日本",
        "👩\u200d🚀.txt",
        "*",
        "a\\b",
    ]
    lines = [("100644", "blob", theirs.blob("x"), name.encode()) for name in names]
    files = fetched(theirs, theirs.raw_tree(lines))
    assert sorted(files.entries) == sorted(names)
    assert files.refused == ()
    assert {files.read(name) for name in names} == {b"x"}


@pytest.mark.parametrize("kind", ["two files", "file and folder", "folder hidden in a name"])
def test_one_name_for_two_things_is_refused(theirs: Repository, kind: str) -> None:
    one, two, folder = theirs.blob("1"), theirs.blob("2"), theirs.tree({"b": "3"})
    lines: dict[str, list[Line]] = {
        "two files": [("100644", "blob", one, b"a"), ("100644", "blob", two, b"a")],
        "file and folder": [("100644", "blob", one, b"a"), ("40000", "tree", folder, b"a")],
        "folder hidden in a name": [("100644", "blob", one, b"a/b"), ("40000", "tree", folder, b"a")],
    }
    files = fetched(theirs, theirs.literal_tree(lines[kind]))
    assert files.refused
    assert all("more than once" in violation.message for violation in files.refused)
    assert "a" not in files.entries
    assert kind == "file and folder" or not files.entries


def test_case_twins_are_both_listed_for_the_policies_to_judge(theirs: Repository) -> None:
    blob = theirs.blob("x")
    files = fetched(theirs, theirs.raw_tree([("100644", "blob", blob, b"A"), ("100644", "blob", blob, b"a")]))
    assert list(files.entries) == ["A", "a"]


def test_a_link_out_of_the_tree_is_an_entry_that_cannot_be_read(theirs: Repository) -> None:
    tree = theirs.raw_tree([("120000", "blob", theirs.blob("/etc/passwd"), b"compose.yaml")])
    files = fetched(theirs, tree)
    assert files.entries["compose.yaml"].mode == "120000"
    with pytest.raises(KeyError):
        files.read("compose.yaml")


def test_a_submodule_is_an_entry_and_is_not_fetched(theirs: Repository, tmp_path: Path) -> None:
    command = f"touch {tmp_path}/marker"
    modules = f'[submodule "x"]\n\tpath = x\n\turl = ext::sh -c "{command}"\n\tupdate = !{command}\n'
    blob = theirs.blob(modules)
    tree = theirs.raw_tree([("100644", "blob", blob, b".gitmodules"), ("160000", "commit", "1" * 40, b"x")])
    files = fetched(theirs, tree)
    assert files.entries["x"].mode == "160000"
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize("mode", ["100664", "100600", "0100644", "100777"])
def test_odd_modes_are_read_as_what_git_takes_them_for(theirs: Repository, mode: str) -> None:
    files = fetched(theirs, theirs.literal_tree([(mode, "blob", theirs.blob("x"), b"a")]))
    assert files.entries["a"].mode in ("100644", "100755")
    assert files.read("a") == b"x"


def test_a_tree_of_trees_that_names_billions_is_refused_in_time(theirs: Repository) -> None:
    tree = theirs.raw_tree([("100644", "blob", theirs.blob("x"), f"f{number}".encode()) for number in range(10)])
    for _ in range(9):
        tree = theirs.raw_tree([("040000", "tree", tree, f"d{number}".encode()) for number in range(10)])
    files = fetched(theirs, tree)
    assert files.entries == {}
    assert [violation.message for violation in files.refused] == ["the commit lists more files than can be read"]


def test_folders_nested_beyond_reason_quarantine_no_mirror(theirs: Repository) -> None:
    tree = theirs.tree({"a": "x"})
    for _ in range(300):
        tree = theirs.raw_tree([("040000", "tree", tree, b"folder-of-a-long-name")])
    files = fetched(theirs, tree)
    assert files.entries == {}
    assert "longer than" in files.refused[0].message


def test_a_commit_that_is_no_tree_is_no_endless_healing(theirs: Repository) -> None:
    theirs.set(theirs.commit_tree(theirs.tree({"a": "1"})))
    ours = GitSource(str(theirs.folder), "main", theirs.folder.parent / "m", environ=os.environ, effects=Effects())
    good = ours.fetch().sha
    ours.pin("good", good)
    text = f"tree {theirs.blob('x')}\nauthor A <a> 1 +0000\ncommitter A <a> 1 +0000\n\nx\n"
    bad = theirs.git("hash-object", "-w", "--stdin", "-t", "commit", "--literally", stdin=text.encode())
    (theirs.folder / "refs/heads/main").write_text(bad + "\n")
    with pytest.raises(Transient):
        ours.fetch()
    assert ours.pins("") == {"good": good}


def test_hooks_and_monitors_of_a_users_repository_are_not_run(theirs: Repository, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    theirs.push({"a": "x"})
    script = tmp_path / "run.sh"
    script.write_text(f"#!/bin/sh\ntouch {marker}\n")
    script.chmod(0o755)
    for name in ("core.fsmonitor", "core.sshCommand", "core.pager", "diff.external", "core.editor", "core.askPass"):
        theirs.git("config", name, str(script))
    theirs.git("config", "core.hooksPath", str(tmp_path))
    theirs.git("config", "uploadpack.packObjectsHook", str(script))
    theirs.git("config", "alias.ls-tree", f"!{script}")
    for hook in ("post-checkout", "reference-transaction", "pre-auto-gc", "post-index-change"):
        (tmp_path / hook).symlink_to(script)
    ours = GitSource(str(theirs.folder), "main", tmp_path / "m", environ=os.environ, effects=Effects())
    assert ours.files(ours.fetch().sha).read("a") == b"x"
    assert files_at(theirs.folder, "main", os.environ).read("a") == b"x"
    assert not marker.exists()


LISTED = """
import resource, sys
from pathlib import Path
from reconciler.decide.read.parse import host_document
from reconciler.observe.source import files_at
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[2]), int(sys.argv[2])))
files = files_at(Path(sys.argv[1]), "main", {})
print(len(files.entries), len(files.refused), len(host_document(files, "mini")[1]))
"""


def test_names_of_a_listing_that_is_full_fit_into_memory(theirs: Repository) -> None:
    """A few objects that name 64 MiB: many folders of a hundred folders, each a path that nothing else has."""
    tree = theirs.tree({"file": "x"})
    for _ in range(80):
        tree = theirs.raw_tree([("040000", "tree", tree, b"deep-deep")])
    many = theirs.raw_tree([("040000", "tree", tree, b"%03d" % number) for number in range(250)])
    theirs.set(theirs.commit_tree(theirs.raw_tree([("040000", "tree", many, b"%03d" % n) for n in range(250)])))
    done = subprocess.run(
        [sys.executable, "-c", LISTED, str(theirs.folder), str(1 << 30)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-1000:]
    assert done.stdout.split()[0] == "62500"


def test_many_bad_paths_are_told_as_far_as_anybody_reads(theirs: Repository) -> None:
    blob = theirs.blob("x")
    files = fetched(theirs, theirs.raw_tree([("100644", "blob", blob, b"a\t%d" % number) for number in range(2_000)]))
    assert (len(files.entries), len(files.refused)) == (0, 200)
