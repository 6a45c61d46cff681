"""Files that cannot be read in do not keep the other violations for a second report."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping

import pytest

from reconciler.errors import Transient
from reconciler.loop.prepare import Preparer
from reconciler.model.documents import StackDocument
from reconciler.model.files import Files
from reconciler.model.outcome import Reason
from reconciler.model.rendered import Rendered
from tests.commits import CommitFiles
from tests.fakes.life import RULES, CanonicalRenderer, document, service

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64 + b"\nsize 12345678\n"


@pytest.mark.parametrize("key", ["env_file", "label_file", "include"])
@pytest.mark.parametrize(
    ("files", "rule"),
    [
        ({}, "file-missing"),
        ({"x.env": POINTER}, "stored-form"),
        ({"x.env": b"\0GITCRYPT\0" + bytes(200), ".gitattributes": b"*.env filter=git-crypt"}, "stored-form"),
    ],
)
def test_an_unreadable_file_and_a_denial_are_told_together(key: str, files: Mapping[str, bytes], rule: str) -> None:
    web = service("web:1", privileged=True)
    named = {"include": ["x.env"]} if key == "include" else {}
    model = {"services": {"web": web if named else web | {key: "x.env"}}, **named}
    commit = CommitFiles({"desired-state/mini.yaml": document(), "shop.yaml": json.dumps(model), **files}, revision="c")
    prepared = Preparer(CanonicalRenderer(), RULES).prepare(commit)
    assert prepared.denied
    assert {"privileged", rule} <= {item.rule for item in prepared.violations if item.level == "deny"}
    assert not prepared.sources


def test_a_file_that_the_attributes_of_a_working_folder_call_encrypted_is_judged_once() -> None:
    model = {"services": {"web": service("web:1")}, "include": ["x.yaml"]}
    contents = {"shop.yaml": json.dumps(model), "x.yaml": "{}", ".gitattributes": "x.yaml filter=git-crypt\n"}
    folder = CommitFiles({"desired-state/mini.yaml": document(), **contents})
    prepared = Preparer(CanonicalRenderer(), RULES).prepare(folder)
    assert "stored-form" in {item.rule for item in prepared.violations if item.level == "deny"}


class Broken(CanonicalRenderer):
    def begin(self, files: Files, stack: StackDocument, named: Iterable[str]) -> Callable[[], Rendered]:
        raise Transient(Reason.ENGINE_UNAVAILABLE, "no Compose")


def test_a_missing_file_is_told_also_where_compose_cannot_be_run() -> None:
    model = {"services": {"web": service("web:1") | {"env_file": "x.env"}}}
    commit = CommitFiles({"desired-state/mini.yaml": document(), "shop.yaml": json.dumps(model)}, revision="c")
    prepared = Preparer(Broken(), RULES).prepare(commit)
    assert [item.rule for item in prepared.violations if item.level == "deny"] == ["file-missing"]
