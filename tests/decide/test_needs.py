"""`validate --grants`: entries that admit the commit, as few as possible and no wider than needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from reconciler import permissions as written
from reconciler.decide.admit.admit import Candidate, admit
from reconciler.decide.admit.needs import needs
from reconciler.formats import schemas
from reconciler.formats.fits import fits
from reconciler.model.admission import Needs
from reconciler.model.documents import NO_EXPORTS, BindGrant, Exports, HostDocument, Permissions
from reconciler.model.needs import Variable
from reconciler.model.outcome import Reason, Violation
from tests.decide.judging import Commit, candidate, denied, judge, judge_service

Json = Mapping[str, Any]


def entries(found: Needs, reason: str = "tested") -> dict[str, list[dict[str, Any]]]:
    """The config's keys with the entries in them, `reason` filled in."""
    kinds = {"grants": found.grants, "binds": found.binds}
    return {kind: [{**item, "reason": reason} for item in items] for kind, items in kinds.items()}


def allowed(found: Needs) -> dict[str, Any]:
    """The entries as the agent understands them."""
    values = entries(found)
    assert not [wrong for item in values["grants"] for wrong in written.wrong_grant(item, False)]
    assert not [wrong for item in values["binds"] for wrong in written.wrong_bind(item, False, ())]
    return {"grants": written.grants(values), "binds": written.binds(values)}


def binds(*mounts: str, services: Sequence[str] = ("web",), **more: Any) -> list[str]:
    """The paths that are printed for `/path` or `/path:ro` in each of the services, with 'ro' and the service."""
    volumes = [
        {"type": "bind", "source": path, "target": f"/t{n}", "read_only": mode == "ro"}
        for n, (path, _, mode) in enumerate(mount.partition(":") for mount in mounts)
    ]
    model = {"services": {name: {"image": "x:1", "volumes": volumes} for name in services}}
    known = judge(model, **more)
    found = needs(known, Permissions(binds=tuple(more.get("binds", ())), own=more.get("own", ())))
    leave = allowed(found)
    leave["binds"] = (*more.get("binds", ()), *leave["binds"])
    assert denied(judge(model, **{**more, **leave})) == []
    return [f"{b['path']} {'ro' if b['read_only'] else 'rw'} {b['service']}" for b in found.binds]


TUNNEL = {
    "image": "wg:1",
    "cap_add": ["NET_ADMIN", "SYS_MODULE", "NET_RAW", "SYS_TIME"],
    "devices": [{"source": "/dev/net/tun", "target": "/dev/net/tun", "permissions": "rwm"}],
    "sysctls": {"net.core.rmem_max": "1"},
    "privileged": True,
    "volumes": [
        {"type": "bind", "source": "/", "target": "/host", "read_only": True},
        {"type": "bind", "source": "/run/docker.sock", "target": "/run/docker.sock"},
    ],
}


def test_what_is_printed_admits_the_commit_and_one_entry_names_all_values_of_a_rule() -> None:
    found = needs(judge_service(TUNNEL))
    assert found.others == ()
    assert denied(judge_service(TUNNEL, **allowed(found))) == []
    values = {item["policy"]: item.get("values") for item in found.grants if "image" not in item}
    assert values["capability"] == ["NET_ADMIN", "SYS_TIME"]
    assert {item["image"] for item in (*found.grants, *found.binds) if "image" in item} == {"wg:1"}
    assert denied(judge_service({**TUNNEL, "image": "evil:1"}, **allowed(found))) != []


def test_the_agent_config_refuses_an_entry_until_a_reason_is_written() -> None:
    found = needs(judge_service(TUNNEL))
    agent = schemas.load("agent")["properties"]
    for kind, items in entries(found, "").items():
        assert items
        assert not any(fits([item], agent[kind]) for item in items)
    for kind, items in entries(found).items():
        assert fits(items, agent[kind])


@pytest.mark.parametrize(
    ("mounts", "services", "printed"),
    [
        (["/srv/a"], ["web"], ["/srv/a rw web"]),
        (["/srv/a", "/srv/b"], ["web"], ["/srv/a rw web", "/srv/b rw web"]),
        (["/srv/a", "/srv/b", "/srv/c"], ["web"], ["/srv rw web"]),
        (["/srv/m/a", "/srv/m/b", "/srv/m/c"], ["db", "web"], ["/srv/m rw *"]),
        (["/srv/a", "/srv/a/b", "/srv/a:ro"], ["web"], ["/srv/a rw web"]),
        (["/srv/a:ro", "/srv/a/b"], ["web"], ["/srv/a/b rw web", "/srv/a ro web"]),
        (["/srv/a:ro", "/srv/b:ro", "/srv/c:ro", "/srv/c/d"], ["web"], ["/srv ro web", "/srv/c/d rw web"]),
        (["/home/op/a:ro", "/home/op/b:ro", "/home/op/c:ro"], ["web"], 3),
        (["/home/op/m/a", "/home/op/m/b", "/home/op/m/c"], ["web"], ["/home/op/m rw web"]),
        (["/opt/a", "/opt/b", "/opt/c"], ["web"], 3),
        (["/var/lib/a", "/var/lib/b", "/var/lib/c"], ["web"], 3),
        (["/sys/a:ro", "/sys/b:ro", "/sys/c:ro"], ["web"], 3),
        (["/etc/a", "/etc/b", "/etc/c"], ["web"], 3),
        (["/run/a", "/run/b", "/run/c"], ["web"], 3),
    ],
)
def test_one_entry_stands_for_a_tree_of_data_and_for_no_other(
    mounts: list[str], services: list[str], printed: list[str] | int
) -> None:
    found = binds(*mounts, services=services)
    assert (sorted(found) == sorted(printed)) if isinstance(printed, list) else len(found) == printed, found


def test_no_tree_is_printed_over_an_entry_that_would_decide_below_it() -> None:
    had = [BindGrant("/srv/a", "/srv/a", "x", read_only=True)]
    assert len(binds("/srv/a", "/srv/b", "/srv/c", binds=had)) == 3
    assert len(binds("/srv/a", "/srv/b", "/srv/c", own=("/srv/agent",))) == 3


LENDER = {"services": {"p": {"image": "p:1"}}, "networks": {"edge": {"name": "edge"}, "in": {"name": "proxy_in"}}}
USER = {
    "services": {"web": {"image": "web:1"}},
    "networks": {"out": {"name": "edge", "external": True}, "far": {"name": "far", "external": True}},
}


def of(name: str, model: Json, exports: Exports = NO_EXPORTS) -> Candidate:
    plain = candidate(model, name)
    return replace(plain, stack=replace(plain.stack, exports=exports))


def judged(*stacks: Candidate, **leave: Any) -> tuple[Violation, ...]:
    document = HostDocument("mini", tuple(item.stack for item in stacks))
    return admit(document, stacks, Commit(), Permissions(**leave)).violations


def test_what_a_stack_of_the_commit_owns_it_exports_and_the_rest_is_granted() -> None:
    had = Exports(networks=("in",))
    found = needs(judged(of("proxy", LENDER, had), of("blog", USER)), exported={"proxy": had})
    assert found.exports == {"proxy": Exports(networks=("in", "edge"))}
    assert [item["values"] for item in found.grants] == [["far"]]
    leave = allowed(found)
    assert denied(judged(of("proxy", LENDER, found.exports["proxy"]), of("blog", USER), **leave)) == []
    assert denied(judged(of("proxy", LENDER, had), of("blog", USER), **leave)) == ["external-network"]


def test_names_are_grouped_by_stack_and_what_nothing_lifts_is_told() -> None:
    def unset(stack: str, name: str) -> Violation:
        return Violation(Reason.POLICY_VIOLATION, "unset-variable", "m", "h", stack=stack, need=Variable(stack, name))

    fixed = judge_service({"image": "x:1", "provider": {"type": "x"}})
    built = judge_service({"build": {"context": "/render/commit"}, "privileged": True}, Commit({"Dockerfile": ""}))
    found = needs([unset("a", "X"), unset("b", "X"), unset("a", "Y"), unset("a", "X"), *fixed, *built])
    assert found.variables == {"a": ("X", "Y"), "b": ("X",)}
    assert {"provider", "privileged"} <= {item.rule for item in found.others}
    assert found.grants == ()


def test_the_owner_needs_no_entry() -> None:
    found = needs(judge_service(TUNNEL, owner=True))
    assert (found.grants, found.binds, found.others) == ((), (), ())
