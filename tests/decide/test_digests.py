"""Trees are named by their content, not by place or time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO

import pytest

from reconciler.decide.mounts.digests import content_digest, tree_digest
from reconciler.model.files import Entry
from reconciler.model.outcome import Violation


@dataclass
class Listing:
    entries: dict[str, Entry]
    revision: str | None = None
    refused: tuple[Violation, ...] = ()

    def read(self, path: str, limit: int = 0) -> bytes:
        raise KeyError(path)

    def head(self, path: str, most: int) -> bytes:
        raise KeyError(path)

    def link(self, path: str) -> str:
        raise KeyError(path)

    def copy(self, path: str, target: BinaryIO) -> None:
        raise KeyError(path)


def listing(*lines: tuple[str, str, str]) -> Listing:
    return Listing({path: Entry(path, mode, oid, 1) for path, mode, oid in lines})


def test_order_and_place_do_not_matter() -> None:
    here = listing(("a/x", "100644", "1"), ("a/y/z", "100644", "2"))
    there = listing(("b/c/y/z", "100644", "2"), ("b/c/x", "100644", "1"), ("b/d", "100644", "3"))
    assert tree_digest(here, "a") == tree_digest(there, "b/c")


@pytest.mark.parametrize(
    "other",
    [
        listing(("a/x", "100755", "1")),
        listing(("a/x", "100644", "2")),
        listing(("a/w", "100644", "1")),
        listing(("a/x", "100644", "1"), ("a/w", "100644", "1")),
    ],
)
def test_name_bit_and_content_matter(other: Listing) -> None:
    assert tree_digest(listing(("a/x", "100644", "1")), "a") != tree_digest(other, "a")


def test_a_neighbour_with_the_same_beginning_is_not_part_of_it() -> None:
    alone = listing(("conf/x", "100644", "1"))
    beside = listing(("conf/x", "100644", "1"), ("conf.d/x", "100644", "2"), ("conf2", "100644", "3"))
    assert tree_digest(alone, "conf") == tree_digest(beside, "conf")


def test_a_file_is_not_the_folder_that_holds_it() -> None:
    files = listing(("a/x", "100644", "1"))
    assert tree_digest(files, "a/x") != tree_digest(files, "a")


def test_the_whole_repository() -> None:
    files = listing(("x", "100644", "1"))
    below = listing(("a/x", "100644", "1"))
    assert tree_digest(files, ".") == tree_digest(files, "") == tree_digest(below, "a")


def test_a_submodule_has_no_digest_and_a_link_is_no_file() -> None:
    with pytest.raises(ValueError, match="a/link"):
        tree_digest(listing(("a/link", "160000", "1")), "a")
    found = {tree_digest(listing(("a/x", mode, oid)), "a") for mode in ("120000", "100644") for oid in "12"}
    assert len(found) == 4


def test_nothing_there() -> None:
    with pytest.raises(KeyError):
        tree_digest(listing(("a/x", "100644", "1")), "b")


def test_texts() -> None:
    assert content_digest("é".encode()) == "4a99557e4033c3539de2eb65472017cad5f9557f7a0625a09f1c3f6e2ba69c4c"
