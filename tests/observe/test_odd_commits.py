"""Commits that git itself would not write: each is judged by itself, and none hides later ones."""

from __future__ import annotations

import pytest

from reconciler.errors import Transient
from reconciler.model.outcome import Level, Reason
from tests.observe.sources import FILES, source
from tests.repository import Repository

PERSON = b"A Person <person@example.org> 1767225600 +0100"


def literal(theirs: Repository, header: bytes = b"", message: bytes = b"change", author: bytes = PERSON) -> str:
    """The branch's next commit, in exactly these bytes, which git itself would not write."""
    tree = theirs.tree(FILES).encode()
    parent = b"parent " + theirs.head().encode() + b"\n" if theirs.git("for-each-ref", "refs/heads/main") else b""
    lines = b"tree " + tree + b"\n" + parent + b"author " + author + b"\ncommitter " + PERSON + b"\n" + header
    data = lines + b"\n" + message
    return theirs.set(theirs.git("hash-object", "-t", "commit", "-w", "--stdin", "--literally", stdin=data))


ODD = {
    "a NUL in the message": ({"message": b"a\0b"}, Level.WARN),
    "a NUL in the header": ({"author": b"A\0" + PERSON}, Level.DENY),
    "a NUL at the end of the header": ({"header": b"x \0\n"}, Level.DENY),
    "no person": ({"author": b""}, None),
    "odd persons": ({"author": b"<<>> x"}, None),
    "an encoding that is an attack": ({"header": b"encoding idna\n", "message": b"\xff" * 99}, None),
    "an encoding that never works": ({"header": b"encoding undefined\n"}, None),
    "an encoding that is no text": ({"header": b"encoding zlib\n"}, None),
    "an encoding that takes its time": ({"header": b"encoding punycode\n", "message": b"a" * 300_000}, None),
    "a message of 20 MB": ({"message": b"x\n" * 10_000_000}, None),
    "a header of 20 MB": ({"header": b"x-y " + b"z" * 20_000_000 + b"\n"}, Level.DENY),
}


@pytest.mark.parametrize(("odd", "level"), ODD.values(), ids=ODD)
def test_an_odd_commit_is_judged_itself_and_hides_none_after_it(
    theirs: Repository, odd: dict[str, bytes], level: Level | None
) -> None:
    first = theirs.push(FILES)
    sha = literal(theirs, **odd)
    ours = source(theirs)
    assert ours.fetch().sha == sha
    assert [item.level for item in ours.files(sha).refused] == ([level] if level else [])
    assert set(ours.files(sha).entries) == set(FILES)
    assert ours.is_ancestor(first, sha)
    for _ in range(2):
        honest = theirs.push(FILES)
        assert ours.fetch().sha == honest
        assert ours.files(honest).refused == ()
        assert ours.is_ancestor(sha, honest)
    assert ours.commit(sha) is ours.commit(sha)
    ours.pin("mini/bad/x", sha)
    assert source(theirs).fetch().sha == honest


HEADERS = {
    "no author": b"tree TREE\ncommitter PERSON\n\nx",
    "no committer": b"tree TREE\nauthor PERSON\n\nx",
    "no end": b"tree TREE\nauthor PERSON\ncommitter PERSON\nx-y z",
    "another order": b"tree TREE\ncommitter PERSON\nauthor PERSON\n\nx",
}


@pytest.mark.parametrize("data", HEADERS.values(), ids=HEADERS)
def test_a_commit_without_a_proper_header_is_refused_and_hides_none_after_it(theirs: Repository, data: bytes) -> None:
    written = data.replace(b"TREE", theirs.tree(FILES).encode()).replace(b"PERSON", PERSON)
    sha = theirs.set(theirs.git("hash-object", "-t", "commit", "-w", "--stdin", "--literally", stdin=written))
    ours = source(theirs)
    assert ours.fetch().sha == sha
    (refused,) = ours.files(sha).refused
    assert (refused.rule, refused.level, refused.reason) == ("malformed-commit", Level.DENY, Reason.PARSE_FAILED)
    honest = theirs.push(FILES)
    assert ours.fetch().sha == honest
    assert ours.files(honest).refused == ()


@pytest.mark.parametrize("kind", ["blob", "tree", "tag of a blob"])
def test_a_branch_that_names_no_commit_is_told_and_the_mirror_stays(theirs: Repository, kind: str) -> None:
    first = theirs.push(FILES)
    ours = source(theirs)
    ours.fetch()
    ours.pin("mini/good", first)
    made = {"blob": theirs.blob("x"), "tree": theirs.tree(FILES)}
    tag = f"object {made['blob']}\ntype blob\ntag t\ntagger A Person <person@example.org> 1767225600 +0100\n\nx\n"
    made["tag of a blob"] = theirs.git("mktag", stdin=tag.encode())
    (theirs.folder / "refs/heads/main").write_text(made[kind] + "\n")
    with pytest.raises(Transient, match="and no commit") as caught:
        ours.fetch()
    assert caught.value.reason is Reason.FETCH_FAILED
    assert ours.pins("mini/") == {"mini/good": first}
    (theirs.folder / "refs/heads/main").write_text(first + "\n")
    assert ours.fetch().sha == first


def test_a_branch_that_names_a_tag_of_a_tag_is_followed(theirs: Repository) -> None:
    first = theirs.push(FILES)
    for name, to in (("a", first), ("b", "a")):
        theirs.git("tag", "-a", "-m", "x", name, to)
    (theirs.folder / "refs/heads/main").write_text(theirs.git("rev-parse", "refs/tags/b") + "\n")
    ours = source(theirs)
    head = ours.fetch()
    assert set(ours.files(head.sha).entries) == set(FILES)
    assert ours.is_ancestor(first, head.sha)
