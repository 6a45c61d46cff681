"""How many stacks of a commit Compose renders at the same time."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import replace

from reconciler.formats.dotenv import dotenv
from reconciler.loop.prepare import Preparer
from reconciler.model.documents import StackDocument
from reconciler.model.files import Files
from reconciler.model.rendered import Rendered
from tests.commits import CommitFiles
from tests.fakes.life import RULES, CanonicalRenderer, document, service

STACKS = ("one", "two", "three", "four", "five")


class Watched(CanonicalRenderer):
    at_once = 2

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.most = 0

    def begin(self, files: Files, stack: StackDocument, named: Iterable[str]) -> Callable[[], Rendered]:
        model = super().begin(files, stack, named)
        self.open.append(stack.name)
        self.most = max(self.most, len(self.open))

        def finish() -> Rendered:
            self.open.remove(stack.name)
            return model()

        return finish


def test_stacks_are_rendered_together_up_to_the_limit_and_keep_their_order() -> None:
    renderer = Watched()
    model = json.dumps({"services": {"web": service("web:1")}})
    contents = {"desired-state/mini.yaml": document(stacks=STACKS), **{f"{name}.yaml": model for name in STACKS}}
    prepared = Preparer(renderer, RULES).prepare(CommitFiles(contents, revision="c0ffee"))
    assert (renderer.most, renderer.open) == (2, [])
    assert [source.document.name for source in prepared.sources] == list(STACKS)
    assert not prepared.denied


def test_a_warning_that_scan_and_rendering_both_have_is_told_once() -> None:
    class Repeating(CanonicalRenderer):
        def begin(self, files: Files, stack: StackDocument, named: Iterable[str]) -> Callable[[], Rendered]:
            _, found = dotenv(files.read(".env"), ".env")
            return lambda: replace(super(Repeating, self).begin(files, stack, named)(), violations=found)

    model = json.dumps({"services": {"web": service("web:1")}})
    contents = {"desired-state/mini.yaml": document(stacks=("one",)), "one.yaml": model, ".env": "COMPOSE_FILE=x\n"}
    prepared = Preparer(Repeating(), RULES).prepare(CommitFiles(contents, revision="c0ffee"))
    assert [item.rule for item in prepared.violations].count("ignored-variable") == 1
    del contents["desired-state/mini.yaml"]
    plain = {**contents, ".env": "COMPOSE_FILE=one.yaml\n"}
    found = Preparer(Repeating(), RULES).prepare(CommitFiles(plain, revision="c0ffee"))
    assert found.document is not None
    assert "ignored-variable" not in {item.rule for item in found.violations}, "there it names the files"
