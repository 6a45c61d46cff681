"""Public stacks, really run: published, changed in one service, broken by a commit, and rolled back."""

from __future__ import annotations

import pytest

from tests.corpus.life import GRACE, PublicStack
from tests.corpus.public import FOLDERS, needs_corpus
from tests.corpus.stacks import NOT_RUN, STACKS, Break

# The first of these tests builds the images.
pytestmark = [needs_corpus, pytest.mark.engine, pytest.mark.timeout(1500)]

CASES = [pytest.param(stack, id=stack.name, marks=[pytest.mark.soak] if stack.soak else []) for stack in STACKS]
ENDS = {
    Break.NO_PROGRAM: ("RolledBack", "Crashed"),
    Break.CRASH: ("RolledBack", "Crashed"),
    Break.UNHEALTHY: ("RolledBack", "HealthCheckFailed"),
    Break.TOO_SMALL: ("RolledBack", "OutOfMemory"),
    Break.BUILD: ("Rejected", "BuildFailed"),
}
"""How a commit is broken → how its turn ends."""


def test_every_stack_is_run_or_there_is_a_reason_why_not() -> None:
    names = [stack.name for stack in STACKS]
    assert sorted([*names, *NOT_RUN]) == sorted(FOLDERS)
    assert sum(not stack.soak for stack in STACKS) >= 12


@pytest.mark.parametrize("public", CASES, indirect=True)
def test_a_public_stack_must_run_take_a_change_and_survive_a_bad_commit(public: PublicStack) -> None:
    host, stack = public.host, public.stack
    public.push(public.published)
    first = host.once()
    assert (first.code, first["outcome"]) == (0, "Succeeded"), first.document
    published = host.ids()
    assert set(published) == {public.name(service) for service in public.model["services"]}
    public.answers()

    public.push(public.changed())
    second = host.once()
    assert (second.code, second["outcome"]) == (0, "Succeeded"), second.document
    changed = host.containers()
    assert {name for name, item in changed.items() if item["Id"] != published.get(name)} == {public.name(stack.change)}
    assert changed[public.name(stack.change)]["Config"]["StopTimeout"] == GRACE
    public.answers()

    bad = public.push_spoilt()
    third = host.once()
    assert (third.code, third["outcome"], third["reason"]) == (1, *ENDS[stack.broken[1]]), third.document
    assert host.ids() == {name: item["Id"] for name, item in changed.items()}
    assert {item["State"]["Status"] for item in host.containers().values()} == {"running"}
    public.answers()
    note = host.note(bad)
    assert note is not None
    assert note.trailers["State"] == "failure"
    assert host.once()["effects"] == 0
