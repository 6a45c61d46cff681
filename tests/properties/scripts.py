"""Strategies: random lives, small ones first."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.fakes.behaviour import Behaviour
from tests.properties import lives
from tests.properties.lives import Back, Befall, Deed, Push, Script, Take, Trouble, Wish

SERVICES = ("db", "cache", "job", "web", "side", "admin")
ACTIONS = ("CreateContainer", "StopContainer", "StartContainer", "WaitHealthy", "UpdateContainer", "RemoveContainer")


def _versions() -> st.SearchStrategy[int]:
    return st.sampled_from([*lives.GOOD_VERSIONS, *lives.GOOD_VERSIONS, *lives.BAD_VERSIONS])


@st.composite
def pushes(draw: st.DrawFn) -> Push:
    chosen = draw(st.sets(st.sampled_from(SERVICES), min_size=2))
    if "side" in chosen:
        chosen |= {"web"}
    wishes = []
    for name in sorted(chosen):
        single = name in ("side", "admin", "job", "db")
        replicas = 1 if single else draw(st.integers(1, 3))
        wishes.append(Wish(name, draw(_versions()), replicas, draw(st.sampled_from([64, 64, 96]))))
    return Push(tuple(wishes), draw(st.sampled_from([False, False, False, True])))


def takes() -> st.SearchStrategy[Take]:
    return st.builds(Take, st.one_of(st.none(), st.none(), st.integers(1, 70)))


def befalls() -> st.SearchStrategy[Befall]:
    action = st.sampled_from(ACTIONS)
    return st.one_of(
        st.builds(Befall, action, st.just("engine away"), st.sampled_from([2.0, 15.0, 200.0])),
        st.builds(Befall, action, st.just("stop")),
        st.builds(Befall, action, st.just("push"), st.just(0.0), pushes()),
        st.builds(Befall, action, st.just("stream breaks")),
    )


def troubles() -> st.SearchStrategy[Trouble]:
    words = ("remote", "notes", "time", "vanishes", "exits", "unhealthy")
    return st.builds(Trouble, st.sampled_from(words), st.integers(0, 9))


def deeds() -> st.SearchStrategy[Deed]:
    return st.one_of(pushes(), takes(), takes(), st.builds(Back, st.integers(1, 3)), befalls(), troubles())


@st.composite
def scripts(draw: st.DrawFn, most: int = 8) -> Script:
    behaviours = {}
    for name in SERVICES:
        good = lives.GOOD_JOBS if name == "job" else lives.GOOD
        for version in lives.GOOD_VERSIONS:
            behaviours[f"{name}:{version}"] = draw(st.sampled_from(sorted(good)))
        for version in lives.BAD_VERSIONS:
            behaviours[f"{name}:{version}"] = draw(st.sampled_from(sorted(_bad(name))))
    first = draw(pushes())
    return Script(behaviours, (first, *draw(st.lists(deeds(), min_size=1, max_size=most))))


def _bad(name: str) -> dict[str, Behaviour]:
    if name == "job":
        return lives.BAD_JOBS
    return lives.BAD_WITH_PROBE if name in lives.PROBED else lives.BAD
