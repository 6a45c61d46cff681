"""Messages about paths of the host that public stacks often mount."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.decide.lower.mounts import Mounts
from reconciler.decide.mounts.mount_paths import written
from reconciler.decide.mounts.sources import Places, Source
from reconciler.model.documents import BindGrant, StackDocument
from tests.decide.judging import ROOT, Commit, candidate, judge_stacks


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("/nonexistent/data", "service web: ~/data of the host is mounted, and no home folder is known here"),
        ("/etc/localtime", "is mounted for writing (with :ro it needs no grant)"),
        ("/etc/timezone", "is mounted for writing (with :ro it needs no grant)"),
        ("/render/data", "service web: ../data of the host is mounted: "),
        ("/", "service web: / of the host is mounted: "),
        ("/srv/films", "service web: /srv/films of the host is mounted: "),
    ],
)
def test_a_path_of_the_host_is_named_with_a_way_out(source: str, said: str) -> None:
    mount = {"type": "bind", "source": source, "target": "/data"}
    found = judge_stacks([candidate({"services": {"web": {"image": "x:1", "volumes": [mount]}}})])
    assert [said in item.message for item in found if item.rule == "absolute-bind"] == [True]


def test_where_the_commit_lay_is_told_to_nobody() -> None:
    root = "/var/lib/agent/render/17-abc/commit"
    assert written("/var/lib/agent/render/17-abc/data", root) == "../data"
    assert written("/var/lib/agent/render/17-abc", root) == ".."
    assert written("/var/lib/agent/render/data", root) == "../../data"
    assert written("/var/lib/agent/data", root) == "/var/lib/agent/data"
    assert written("/data", "/commit") == "/data"


GRANTS = (
    BindGrant("/data", "/safe", "films", read_only=False),
    BindGrant("/x/data/", "/other/", "photos", read_only=False),
)


def lowered(source: str) -> str:
    """The path in the engine's mount for a bind of `source`."""
    model: dict[str, Any] = {"volumes": [{"type": "bind", "source": source, "target": "/d"}]}
    stack = Source(StackDocument("shop", ("compose.yaml",)), {"services": {"web": model}}, ROOT, {}, {})
    places = Places("/state/trees", "/state/data", None, GRANTS)
    return str(Mounts(stack, Commit(), places).of("web", model)[0]["source"])


@pytest.mark.parametrize(
    ("source", "mapped"),
    [
        ("/data", "/safe"),
        ("//data", "/safe"),
        ("///data//films/", "/safe/films"),
        ("/./data/./films", "/safe/films"),
        ("/x//data", "/other"),
        ("/x/./data/y", "/other/y"),
    ],
)
def test_no_spelling_of_a_granted_path_gets_past_its_mapping(source: str, mapped: str) -> None:
    assert lowered(source) == mapped


@given(st.lists(st.sampled_from(["data", "x", "safe", "", ".", "..", "/", "films", "render", "commit"]), max_size=8))
def test_what_is_admitted_is_what_is_mapped(parts: list[str]) -> None:
    source = "/" + "/".join(parts)
    mount = {"type": "bind", "source": source, "target": "/d"}
    found = judge_stacks([candidate({"services": {"web": {"image": "x:1", "volumes": [mount]}}})], binds=GRANTS)
    if not any(item.rule == "absolute-bind" for item in found):
        ours = ("/safe", "/other", "/state/data/shop", "/state/trees")
        assert any(f"{lowered(source)}/".startswith(f"{place}/") for place in ours), source
