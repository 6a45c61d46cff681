"""What is said about paths of the host that public stacks like to mount."""

from __future__ import annotations

import pytest

from reconciler.decide.policies.paths import written
from tests.decide.judging import candidate, judge_stacks


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("/nonexistent/data", "service web: ~/data of the host is mounted, and no home folder is known here"),
        ("/etc/localtime", "the variable TZ chooses the time zone"),
        ("/etc/timezone", "the variable TZ chooses the time zone"),
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
