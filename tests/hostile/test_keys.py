"""Every denied key, in every way to write it, judged as in a turn: by Compose's model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.decide.mounts.sources import Places
from reconciler.loop.prepare import Preparer, Rules
from reconciler.model.documents import HostDocument, StackDocument
from reconciler.model.outcome import Level, Violation
from reconciler.observe.render import ComposeRenderer
from reconciler.observe.secrets import SecretStore
from tests.commits import CommitFiles
from tests.hostile.cases import NEWER, SERVICE, TOP, Case
from tests.hostile.forms import FORMS, MAIN, OTHER, Cases, Written, direct

BESIDE = {"stack/Dockerfile": "FROM scratch\n", "stack/spec.json": "{}", "README": "x"}


@pytest.fixture
def preparer(compose_binary: Path, tmp_path: Path) -> Iterator[Preparer]:
    renderer = ComposeRenderer(str(compose_binary), tmp_path / "render", SecretStore(None))
    yield Preparer(renderer, Rules("mini", Places("/state/trees", "/state/data")))
    renderer.close()


def judged(preparer: Preparer, written: Written) -> list[Violation]:
    files = CommitFiles({**BESIDE, **written.contents}, revision="c0ffee")
    stack = StackDocument("shop", written.files, written.profiles, {"TOK": "x"}, line=1)
    found = preparer.prepare(files, HostDocument("mini", (stack,))).violations
    return [item for item in found if item.level is Level.DENY]


def untold(cases: Cases, written: Written, found: list[Violation]) -> list[str]:
    """The cases without a violation with the right rule, owner and marked line, and the violations that they have."""
    lines = {path: text.splitlines() for path, text in written.contents.items()}
    missing = []
    for name, case in cases.named.items():
        told = [item for item in found if item.rule == case.rule and item.path in lines and item.line]
        at = [item for item in told if cases.marker(name) in lines[item.path or ""][(item.line or 1) - 1]]
        owner = None if case.section else cases.service(name)
        if not any(item.service == owner and item.column and item.hint for item in at):
            about = [item for item in found if item.service in (cases.service(name), None)]
            missing.append(f"{name}: {[(i.rule, i.path, i.line, i.message) for i in about]}")
    return missing


IMPOSSIBLE = {
    ("socket of the API", "override_tag"),  # no text, where Compose expects true or false
    # base and heir would have it
    ("odd name", "extends_here"), ("id as a name", "extends_here"), ("name of a standby", "extends_here"),
}  # fmt: skip


def of_this(compose: Path, form: str) -> dict[str, Case]:
    cases = {**SERVICE, **TOP, **({} if compose.parent.name == "2.26" else NEWER)}
    return {name: case for name, case in cases.items() if (name, form) not in IMPOSSIBLE}


@pytest.mark.parametrize("form", FORMS)
def test_no_way_to_write_it_hides_what_is_denied(preparer: Preparer, compose_binary: Path, form: str) -> None:
    named = list(of_this(compose_binary, form).items())
    # Compose reads a file again for every service that extends one of it
    share = 24 if form in ("extends_file", "extends_chain") else len(named)
    for start in range(0, len(named), share):
        cases = Cases(dict(named[start : start + share]))
        written = FORMS[form](cases)
        found = judged(preparer, written)
        assert "compose-rejects" not in [item.rule for item in found], [item.message for item in found]
        assert untold(cases, written, found) == []


def test_what_is_rolled_back_is_not_denied(preparer: Preparer) -> None:
    cases = Cases({name: case for name, case in SERVICE.items() if "{context" not in case.line})
    made = direct(cases).contents[MAIN]
    taken = "".join(
        f"  {cases.service(name)}: {{{case.line.partition(':')[0]}: !reset null}}\n"
        for name, case in cases.named.items()
    )
    found = judged(preparer, Written({MAIN: made, OTHER: f"services:\n{taken}"}, (MAIN, OTHER)))
    assert {item.rule for item in found} <= {"budget-steady", "budget-peak"}, found


@pytest.mark.parametrize("name", NEWER)
def test_what_an_older_compose_does_not_know_is_refused_too(preparer: Preparer, name: str) -> None:
    cases = Cases({name: NEWER[name]})
    found = judged(preparer, direct(cases))
    assert {item.rule for item in found} & {NEWER[name].rule, "compose-rejects"}
    assert all(item.path == MAIN and item.message and item.hint for item in found)
