"""No commit brings nested mounts together, in its rollout or rollback; a link in the way holds it."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.model.documents import Grant
from reconciler.model.outcome import Outcome, Reason
from reconciler.model.ways import Obstacle, Way
from tests.fakes.life import ROOT, Life, service
from tests.loop.lives import assert_quiet, proven, settled

DATA = "/state/data/shop"


def mounting(image: str, *paths: str, **more: Any) -> dict[str, Any]:
    volumes = [{"type": "bind", "source": f"{ROOT}/{path}", "target": f"/{n}"} for n, path in enumerate(paths)]
    return service(image, volumes=volumes, **more)


def held(life: Life) -> str:
    """The message of a held commit; checks that nothing was touched."""
    before, services, trace = life.ids(), life.running(), len(life.machine.trace)
    turn = life.turn()
    assert (turn.outcome, turn.reason, turn.attempt) == (Outcome.HELD, Reason.POLICY_VIOLATION, None), turn
    assert (life.ids(), life.running()) == (before, services)
    assert life.machine.trace[trace:] == ["journal seen"]
    assert not life.cycle.history.quarantined
    return f"{turn.message}; {turn.hint}"


def test_the_old_one_who_can_write_is_gone_before_the_new_one_is_made() -> None:
    """Two commits, as in an attack: the first one's container makes the link, the second one mounts it."""
    life = proven(a=mounting("a:1", "data"), other=service("o:1"), more=service("m:1"))
    life.push(b=mounting("b:1", "data/x"), other=service("o:1"), more=service("m:1"))
    told = held(life)
    assert "shop/b: data/x is mounted and lies in data, which shop/a can write to" in told
    assert f"one in which shop/a does not mount {DATA}/data any more" in told
    life.push(other=service("o:1"), more=service("m:1"))
    settled(life)
    life.push(b=mounting("b:1", "data/x"), other=service("o:1"), more=service("m:1"))
    settled(life)
    assert "shop-b-1" in life.running()


def test_one_service_cannot_go_deeper_in_one_commit_either() -> None:
    life = proven(a=mounting("a:1", "data"))
    life.push(a=mounting("a:1", "data/pg"))
    assert "a rollout and its rollback would have both" in held(life)
    life.push(a=mounting("a:1", "data-pg"))
    settled(life)


def test_what_could_be_started_again_on_the_rollback_counts() -> None:
    """The new container could make a link and fail its gate; the earlier one would then mount the link."""
    life = proven(b=mounting("b:1", "data/x"), other=service("o:1"), more=service("m:1"))
    life.push(a=mounting("a:1", "data"), other=service("o:1"), more=service("m:1"))
    assert f"one in which shop/b does not mount {DATA}/data/x any more" in held(life)


def test_a_container_that_is_left_counts_although_no_commit_asks_for_it() -> None:
    others = {"other": service("o:1"), "more": service("m:1")}
    life = proven(b=mounting("b:1", "data/x"), **others)
    left = life.machine.named("shop-b-1")
    life.push(**others)
    settled(life)
    left.state = "exited"
    life.machine.containers[left.id] = left
    life.push(a=mounting("a:1", "data"), **others)
    turn = life.turn()
    assert turn.outcome is Outcome.HELD
    assert "shop/b" in turn.message
    settled(life)  # what nobody asks for was removed meanwhile


def test_what_runs_so_already_can_be_left_step_by_step() -> None:
    """A state of an older version, or after a grant was removed."""
    grant = Grant("nested-mount", "shop", "b", "ours", ("data/x",))
    life = Life(grants=[grant])
    life.push(a=mounting("a:1", "data"), b=mounting("b:1", "data/x"), c=service("c:1"))
    settled(life)
    life._rules = Life()._rules
    life.start()
    life.push(a=mounting("a:1", "data"), c=service("c:1"))
    settled(life)


def test_what_is_granted_is_judged_so_on_the_machine_too() -> None:
    life = Life(grants=[Grant("nested-mount", "*", "b", "ours", ("data/x",))])
    life.push(a=mounting("a:1", "data"), c=service("c:1"))
    settled(life)
    life.push(b=mounting("b:1", "data/x"), c=service("c:1"))
    settled(life)


@pytest.mark.parametrize("planted", [True, False])
def test_a_link_in_the_way_holds_a_commit_until_it_is_removed(planted: bool) -> None:
    life = proven(web=service("web:1"))
    path = f"{DATA}/data"
    if planted:
        life.machine.host_files.known[path] = Way(obstacle=Obstacle(f"{path} is a symbolic link", f"rm {path}"))
    life.push(web=mounting("web:2", "data"))
    if planted:
        assert f"rm {path}" in held(life)
        assert_quiet(life)
        del life.machine.host_files.known[path]
    settled(life)
    assert life.running() == {"shop-web-1": "web:2"}


def test_links_of_the_hosts_are_seen_through_by_what_folders_are() -> None:
    """Two granted paths that are the same folder through an operator's link."""
    life = proven(a=mounting("a:1", "one"), c=service("c:1"))
    files = life.machine.host_files
    files.known[f"{DATA}/one"] = Way(frozenset({(1, 1)}), (1, 7))
    files.known[f"{DATA}/two/x"] = Way(frozenset({(1, 1), (1, 7)}), (1, 9))
    life.push(a=mounting("a:1", "one"), b=mounting("b:1", "two/x"), c=service("c:1"))
    assert "two/x is mounted and lies in one, which shop/a can write to" in held(life)
