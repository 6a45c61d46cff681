"""A mount in a folder that a container can write to is rejected, in any spelling and with any services."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.decide.admit.nesting import Mounted, nested, of_containers, of_state
from reconciler.model.desired import DesiredState, Service, Stack, Volume
from reconciler.model.documents import DEFAULT_GATE, BindGrant, Grant, Memory
from reconciler.model.observed import Container, Mount, ObservedState, ObservedVolume
from reconciler.model.outcome import Level, Violation
from reconciler.model.ways import Way
from tests.decide.judging import ROOT, Commit, candidate, judge_stacks

SRV = BindGrant("/srv", "/srv", "media", read_only=False)


def mounts(*sources: str) -> list[dict[str, Any]]:
    """As Compose prints them: `./x` is a path of the commit's folder; `:ro` is read-only; without a slash it is a
    volume."""
    found = []
    for source in sources:
        path, _, mode = source.partition(":")
        kind = "bind" if path.startswith(("/", ".")) else "volume"
        where = f"{ROOT}/{path[2:]}" if path.startswith("./") else path
        found.append({"type": kind, "source": where, "target": "/d", "read_only": mode == "ro"})
    return found


def told(
    stacks: dict[str, dict[str, list[Any]]], *binds: BindGrant, commit: Commit | None = None, **more: Any
) -> list[Violation]:
    """`stacks`: stack → service → its mounts."""
    candidates = [
        candidate({"services": {name: {"image": "x:1", "volumes": item} for name, item in services.items()}}, stack)
        for stack, services in stacks.items()
    ]
    found = judge_stacks(candidates, commit, binds=binds, **more)
    return [item for item in found if item.rule == "nested-mount"]


def shop(**services: list[Any]) -> dict[str, dict[str, list[Any]]]:
    return {"shop": services}


@pytest.mark.parametrize(
    ("services", "inner"),
    [
        (shop(a=mounts("./data"), b=mounts("./data/x")), ["b"]),
        (shop(a=mounts("./data"), b=mounts("./data/x:ro")), ["b"]),
        (shop(a=mounts("./data"), b=mounts("./data/x/y/z")), ["b"]),
        (shop(b=mounts("./data/x/y"), z=mounts("./data/x"), a=mounts("./data")), ["b", "z"]),
        (shop(a=mounts("./data", "./data/x")), ["a"]),
        (shop(a=mounts("./Data"), b=mounts("./data/x")), ["b"]),
        (shop(a=mounts("./dat\u0061\u0308"), b=mounts("./dat\u00e4/x")), ["b"]),
        (shop(a=mounts("/srv/media"), b=mounts("/srv/media/films:ro")), ["b"]),
        (shop(a=mounts("/srv/./media/"), b=mounts("//srv//media/films")), ["b"]),
        (shop(a=mounts("/srv"), b=mounts("./data")), []),
        (shop(a=mounts("./data:ro"), b=mounts("./data/x")), []),
        (shop(a=mounts("./data"), b=mounts("./data")), []),
        (shop(a=mounts("./data/x"), b=mounts("./data/y")), []),
        (shop(a=mounts("./data"), b=mounts("./database/x")), []),
        (shop(a=mounts("./data/x"), b=mounts("./data:ro")), []),
        (shop(a=mounts("data"), b=mounts("data")), []),
    ],
)
def test_who_mounts_a_folder_in_one_that_others_write_to_is_told(
    services: dict[str, dict[str, list[Any]]], inner: list[str]
) -> None:
    found = told(services, SRV)
    assert [item.service for item in found] == inner
    assert all(item.level is Level.DENY for item in found)


def test_both_places_are_named_and_the_line_that_allows_it() -> None:
    found = told({"one": {"a": mounts("/srv/media")}, "two": {"b": mounts("/srv/media/films")}}, SRV)
    assert [(item.stack, item.pointer) for item in found] == [("two", "/services/b/volumes/0")]
    assert "/srv/media/films is mounted and lies in /srv/media, which one/a can write to" in found[0].message
    assert "code in the outer service can become root" in found[0].hint
    assert "{policy: nested-mount, values: [/srv/media/films], stack: two, service: b, reason:" in found[0].hint


def test_stacks_have_folders_of_their_own() -> None:
    assert told({"one": {"a": mounts("./data")}, "two": {"b": mounts("./data/x")}}) == []


def test_what_is_mapped_is_judged_by_where_it_lies() -> None:
    binds = (BindGrant("/all", "/srv", "x", read_only=False), BindGrant("/films", "/srv/media/films/", "y"))
    found = told(shop(a=mounts("/all/media"), b=mounts("/films:ro")), *binds)
    assert [item.service for item in found] == ["b"]
    assert "/srv/media/films is mounted and lies in /srv/media" in found[0].message


def test_files_of_the_commit_are_read_only_whatever_they_say() -> None:
    assert told(shop(a=mounts("./conf"), b=mounts("./conf/x")), commit=Commit({"conf/x/y": ""})) == []
    assert told(shop(a=mounts("./conf"), b=mounts("./conf/data")), commit=Commit({"conf/x/y": ""})) == []


def test_a_read_only_mount_with_writable_ones_below_counts_as_writable() -> None:
    outer = mounts("/srv:ro")[0] | {"bind": {"recursive": "writable"}}
    assert [item.service for item in told(shop(a=[outer], b=mounts("/srv/disk/films")), SRV)] == ["b"]


def test_a_volume_that_stands_for_a_path_counts_as_that_path() -> None:
    options = {"type": "none", "o": "bind,rw", "device": "/srv/media"}
    services = {"a": {"volumes": mounts("v")}, "b": {"volumes": mounts("/srv/media/films")}}
    model = {"services": services, "volumes": {"v": {"driver_opts": options}}}
    found = judge_stacks([candidate(model)], binds=(SRV,))
    assert [item.service for item in found if item.rule == "nested-mount"] == ["b"]


@pytest.mark.parametrize(
    ("values", "service", "lifted"),
    [(("data/x",), "b", True), (("./data/x/",), "*", True), (("data",), "b", False), (("data/x",), "a", False)],
)
def test_a_grant_names_the_inner_place(values: tuple[str, ...], service: str, lifted: bool) -> None:
    grant = Grant("nested-mount", "shop", service, "both are ours", values)
    found = told(shop(a=mounts("./data"), b=mounts("./data/x")), grants=(grant,))
    assert (found == []) is lifted


def test_who_is_pinned_as_root_is_no_reason() -> None:
    """Everything lies in /, and whoever may write there needs no link."""
    assert told(shop(a=mounts("/"), b=mounts("/srv/x")), SRV) == []


def test_many_mounts_are_judged_in_time_that_grows_with_their_number() -> None:
    services = {f"s{n}": mounts("./data", f"./data/x{n}", "./deep/" + "x/" * 50 + str(n)) for n in range(1000)}
    assert len(told(shop(**services))) == 1000


# ------------------------------------------------------------------------------------- what there is on the machine


def test_links_of_adoption_and_identities_are_met_as_well() -> None:
    outer = Mounted("shop", "a", "/home/me/shop/data", writable=True)
    inner = Mounted("shop", "b", "/state/data/shop/data/x", writable=False)
    links = {"/state/data/shop/data": "/home/me/shop/data"}
    assert list(nested([outer, inner], [outer, inner])) == []
    assert list(nested([outer, inner], [outer, inner], links=links)) == [(inner, outer)]
    ways = {outer.path: Way(end=(1, 7)), inner.path: Way(frozenset({(1, 2), (1, 7)}), (1, 9))}
    assert list(nested([outer, inner], [outer, inner], ways)) == [(inner, outer)]
    assert list(nested([outer, inner], [outer, inner], {outer.path: Way(), inner.path: Way()})) == []


def test_a_place_of_a_link_is_as_good_as_where_it_points() -> None:
    """Whoever can write to the folder of adoption's link can replace the link."""
    outer = Mounted("shop", "a", "/state/data/shop/all", writable=True)
    inner = Mounted("shop", "b", "/state/data/shop/all/data", writable=False)
    assert list(nested([outer, inner], [outer, inner], links={inner.path: "/home/me/data"})) == [(inner, outer)]


def test_states_and_containers_tell_what_they_mount() -> None:
    volumes = [
        {"type": "bind", "source": "/state/data/shop/x", "target": "/x"},
        {"type": "bind", "source": "/srv/films", "target": "/y", "read_only": True},
        {"type": "volume", "source": "shop_v", "target": "/v"},
        {"type": "volume", "source": "shop_plain", "target": "/w"},
        {"type": "tmpfs", "target": "/t"},
    ]
    options = {"type": "none", "o": "bind", "device": "/disk/"}
    volume = Volume("shop", "v", "shop_v", {"driver_opts": options})
    service = Service("shop", "a", "s", {"volumes": volumes}, "i", "i", 1, 0, True, 10.0, "no")
    state = DesiredState("mini", "c0ffee", "c", Memory(), (Stack("shop", (service,), (), (volume,), DEFAULT_GATE),))
    told = [(place.path, place.writable) for place in of_state(state)]
    assert told == [("/state/data/shop/x", True), ("/srv/films", False), ("/disk", True)]

    others = [Service("shop", "b", "s", {"volumes": volumes[2:3]}, "i", "i", 1, 0, True, 10.0, "no")]
    state = DesiredState("mini", "c0ffee", "c", Memory(), (Stack("shop", tuple(others), (), (), DEFAULT_GATE),))
    assert list(of_state(state)) == []
    there = {"shop_v": ObservedVolume(options=options)}
    assert [place.path for place in of_state(state, there)] == ["/disk"]

    mounted = (Mount("bind", "/home/me/x/y", "/x"), Mount("volume", "shop_v", "/v", writable=False))
    container = Container("1", "a", "shop", "a", 1, "exited", mounts=mounted)
    observed = ObservedState((container,), volumes={"shop_v": ObservedVolume(options=options)})
    found = [(place.path, place.writable) for place in of_containers(observed, {"/state/data/shop/x": "/home/me/x"})]
    assert found == [("/state/data/shop/x/y", True), ("/disk", False)]
