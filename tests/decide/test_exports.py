"""Other stacks of the host use what one stack exports, without a grant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from reconciler.decide.admit.admit import Candidate, admit
from reconciler.model.documents import Exports, HostDocument
from reconciler.model.outcome import Violation
from tests.decide.judging import Commit, candidate

OWNER = {"services": {"proxy": {"image": "proxy:1"}}, "networks": {"edge": {"name": "edge"}}, "volumes": {"media": {}}}
USER = {
    "services": {"web": {"image": "web:1"}},
    "networks": {"out": {"name": "edge", "external": True}},
    "volumes": {"films": {"name": "proxy_media", "external": True}},
}


def stack(name: str, model: Mapping[str, Any], **exports: tuple[str, ...]) -> Candidate:
    plain = candidate(model, name)
    return replace(plain, stack=replace(plain.stack, exports=Exports(**exports)))


def rules(*stacks: Candidate) -> set[str]:
    return {item.rule for item in denied(*stacks)}


def denied(*stacks: Candidate) -> tuple[Violation, ...]:
    document = HostDocument("mini", tuple(item.stack for item in stacks), path="desired-state/mini.yaml")
    found = admit(document, stacks, Commit()).violations
    return tuple(item for item in found if item.rule.startswith(("external", "unknown")))


def owner(**exports: tuple[str, ...]) -> Candidate:
    return stack("proxy", {**OWNER, "volumes": {"media": {"name": "proxy_media"}}}, **exports)


def test_what_is_exported_needs_no_grant() -> None:
    assert rules(owner(), stack("blog", USER)) == {"external-network", "external-volume"}
    assert rules(owner(networks=("edge",)), stack("blog", USER)) == {"external-volume"}
    assert rules(owner(networks=("edge",), volumes=("media",)), stack("blog", USER)) == set()


def test_the_owner_cannot_go_while_others_use_what_it_exports() -> None:
    assert rules(stack("blog", USER)) == {"external-network", "external-volume"}


def test_only_what_a_stack_makes_itself_can_be_exported() -> None:
    borrowed = stack("blog", USER, networks=("out",))
    (found, *_) = [item for item in denied(borrowed) if item.rule == "unknown-export"]
    assert found.path == "desired-state/mini.yaml"
    assert "exports out, which is not among its own networks" in found.message
    assert "external-network" in rules(borrowed, stack("third", USER))


@pytest.mark.parametrize("name", ["host", "someone_else"])
def test_names_of_others_stay_refused(name: str) -> None:
    user = {"services": {"web": {"image": "web:1"}}, "networks": {"x": {"name": name, "external": True}}}
    assert "external-network" in rules(owner(networks=("edge",)), stack("blog", user))
