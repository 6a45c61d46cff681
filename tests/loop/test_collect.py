"""Objects that nothing needs are removed, and no others."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import pytest

from reconciler.decide.mounts.sources import Places
from reconciler.loop.prepare import Rules
from reconciler.model.images import Image
from reconciler.model.outcome import Outcome, Reason
from tests.fakes.behaviour import crashing
from tests.fakes.life import ROOT, CanonicalRenderer, Life, RememberingPreparer, service

OTHERS = Image("sha256:somebody-elses")


def app(version: str, **more: Any) -> dict[str, Any]:
    """Stack shop with one service that is built, and one file that it mounts."""
    built = service("", build={"context": f"{ROOT}/app"}, configs=[{"source": "conf", "target": "/conf"}]) | more
    built = {key: value for key, value in built.items() if key != "image" or value}
    return {"services": {"app": built}, "configs": {"conf": {"content": f"conf {version}"}}}


def push(life: Life, version: str, **more: Any) -> str:
    files = {"desired-state/mini.yaml": life.document, "app/Dockerfile": f"FROM base\nRUN echo {version}\n"}
    return life.source.push(files | {"shop.yaml": json.dumps(app(version, **more))})


def roll(life: Life, version: str, **more: Any) -> str:
    sha = push(life, version, **more)
    assert life.turn().outcome is Outcome.SUCCEEDED
    return sha


def own_tags(life: Life) -> set[str]:
    return {name for name in life.machine.images if name.startswith("reconciler/")}


@dataclass(frozen=True)
class Built:
    """Result of a build on the machine in memory."""

    id: str
    key: str
    tag: str


def wanted(life: Life, sha: str) -> dict[str, Built]:
    """service → its desired build."""
    preparer = RememberingPreparer(CanonicalRenderer(), Rules("mini", Places("/state/trees", "/state/data")))
    wants = [want for want in preparer.prepare(life.source.files(sha)).wants if want.build]
    ids = {want.key: "sha256:" + hashlib.sha256(want.key.encode()).hexdigest() for want in wants}
    return {want.service: Built(ids[want.key], want.key, want.tag) for want in wants}


def image(life: Life) -> str:
    return life.machine.named("shop-app-1").image


def test_two_hundred_commits_leave_as_much_as_three() -> None:
    life = Life()
    sizes = []
    for n in range(200):
        roll(life, str(n))
        machine = life.machine
        sizes.append((len(machine.images), len(machine.trees), len(life.store.states), len(life.cycle.history.fetched)))
    assert sizes[2:] == [sizes[2]] * 198
    assert sizes[2] == (3, 3, 3, 3)
    life.turn()
    assert life.effects == 0


def test_two_hundred_bad_commits_leave_no_more_than_one() -> None:
    life = Life()
    roll(life, "good")
    good, sizes = image(life), []
    for n in range(200):
        sha = push(life, f"bad {n}", restart="no", healthcheck=None)
        life.machine.behave(wanted(life, sha)["app"].id, crashing(0.1))
        assert life.turn().outcome is Outcome.ROLLED_BACK
        sizes.append((len(own_tags(life)), len(life.machine.trees), len(life.store.states)))
    assert sizes == [(2, 2, 2)] * 200
    assert image(life) == good


def test_going_back_to_the_last_three_needs_no_build() -> None:
    life = Life()
    for version in "abcd":
        roll(life, version)
    for version in "cbdc":
        before = len(life.machine.trace)
        roll(life, version)
        assert not [item for item in life.machine.trace[before:] if item.startswith(("build", "tree"))], version


def test_names_that_an_earlier_version_gave_to_our_builds_go_with_them_and_others_keep_them() -> None:
    life = Life()
    for version in "abcd":
        sha = roll(life, version, image=f"shop/app:{version}")
        built = wanted(life, sha)["app"]
        life.machine.images[f"shop/app:{version}"] = life.machine.images[built.tag]
        record = {"revision": sha, "image": built.tag, "names": [f"shop/app:{version}"]}
        life.journal.append("fetched", at=life.machine.clock.now(), **record)
        if version == "b":
            life.machine.images["backup/app:b"] = life.machine.images[built.tag]
    life.start()
    roll(life, "e", image="shop/app:e")
    assert "shop/app:a" not in life.machine.images
    assert "backup/app:b" in life.machine.images
    assert "shop/app:b" not in life.machine.images
    assert "shop/app:d" in life.machine.images


def test_what_any_container_uses_stays() -> None:
    life = Life()
    roll(life, "a")
    life.machine.used_by_others.add(image(life))
    used = own_tags(life)
    for version in "bcdef":
        roll(life, version)
    assert used < own_tags(life)
    life.machine.used_by_others.clear()
    roll(life, "g")
    assert not used & own_tags(life)


def test_images_of_others_are_none_of_our_business() -> None:
    life = Life()
    theirs = {
        "reconciler/shop-app:theirs": Image("sha256:without-our-labels"),
        "reconciler/other-app:0123": Image("sha256:other"),
        "redis:7": OTHERS,
        "sha256:dangling": Image("sha256:dangling"),
    }
    life.machine.images.update(theirs)
    life.machine.built_for["sha256:other"] = ("other", "app")
    for version in "abcdef":
        roll(life, version)
    assert theirs.items() <= life.machine.images.items()


def pulled(life: Life, ref: str) -> Outcome:
    """A commit with this image, which only the registry has, unless the machine has it."""
    model = {"services": {"web": service(ref)}}
    life.source.push({"desired-state/mini.yaml": life.document, "shop.yaml": json.dumps(model)})
    return life.turn().outcome


def test_what_we_pulled_goes_and_what_was_there_stays() -> None:
    life = Life()
    for n in range(6):
        life.machine.registry[f"web:{n}"] = Image(f"sha256:web{n}")
    life.image("web:1")
    life.machine.images["mine:web"] = life.machine.registry["web:2"]
    for n in range(6):
        assert pulled(life, f"web:{n}") is Outcome.SUCCEEDED
    assert sorted(life.machine.images) == ["mine:web", "web:1", "web:2", "web:3", "web:4", "web:5"]


def test_a_tag_that_moves_leaves_nothing_behind() -> None:
    life = Life()
    for n in range(8):
        life.machine.registry["web:latest"] = Image(f"sha256:web{n}")
        model = {"services": {"web": service("web:latest", pull_policy="always")}}
        files = {"desired-state/mini.yaml": life.document, "shop.yaml": json.dumps(model), "n": str(n)}
        life.source.push(files)
        assert life.turn().outcome is Outcome.SUCCEEDED
    assert len(life.machine.images) == 3
    assert life.machine.images["web:latest"].id == life.machine.named("shop-web-1").image


def test_one_that_came_back_by_hand_is_not_ours_any_more() -> None:
    life = Life()
    for n in range(9):
        life.machine.registry[f"web:{n}"] = Image(f"sha256:web{n}")
    for n in range(4):
        pulled(life, f"web:{n}")
    assert "web:0" not in life.machine.images
    life.machine.images["web:0"] = life.machine.registry["web:0"]
    for n in range(4, 9):
        pulled(life, f"web:{n}")
    assert "web:0" in life.machine.images


def test_what_the_head_has_fetched_stays_when_another_build_of_it_fails() -> None:
    life = Life()
    roll(life, "a")
    model = app("b")
    model["services"]["web"] = service("", build={"context": f"{ROOT}/web"})
    del model["services"]["web"]["image"]
    files = {"desired-state/mini.yaml": life.document, "app/Dockerfile": "FROM b\n", "web/Dockerfile": "FROM none\n"}
    sha = life.source.push(files | {"shop.yaml": json.dumps(model)})
    life.machine.build_failures.add(wanted(life, sha)["web"].key)
    built = wanted(life, sha)["app"].tag
    for _ in range(2):
        assert life.turn().outcome in (Outcome.REJECTED, Outcome.UNCHANGED)
        assert built in life.machine.images
    roll(life, "c")
    assert built not in life.machine.images


@pytest.mark.parametrize("what", ["advance", "revert"])
def test_a_kill_anywhere_is_made_good_and_then_all_is_quiet(what: str) -> None:
    n, died = 0, True
    while died:
        n += 1
        life = Life()
        for version in "abc":
            roll(life, version)
        life.start(crash_at=n)
        sha = push(life, "d", restart="no", healthcheck=None)
        if what == "revert":
            life.machine.behave(wanted(life, sha)["app"].id, crashing(0.1))
        died = life.turn_or_die() is None
        if died:
            life.turn()
            life.turn()
        left = 4 if what == "revert" else 3
        assert len(own_tags(life)) == len(life.machine.trees) == len(life.store.states) == left, n
        life.turn()
        assert life.effects == 0, n
    assert n > 15


def test_a_long_life_forgets_its_steps_and_nothing_that_matters() -> None:
    life = Life()
    life.journal.longest = 1800
    bad = push(life, "bad", restart="no", healthcheck=None)
    life.machine.behave(wanted(life, bad)["app"].id, crashing(0.1))
    life.turn()
    most = 0
    for n in range(300):
        roll(life, str(n % 5))
        most = max(most, len(life.journal.lines))
    assert most < 1900
    life.start()
    history = life.cycle.history
    assert bad in history.quarantined
    assert len(history.finals) == len(history.told) == 301
    push(life, "bad", restart="no", healthcheck=None)
    assert life.turn().reason is Reason.REVISION_QUARANTINED
