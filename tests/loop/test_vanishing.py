"""No commit hides data from a service before a person has accepted it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from reconciler.model.outcome import Outcome, Reason
from tests.fakes.behaviour import crashing
from tests.fakes.life import Life, document, service
from tests.loop.lives import settled

DATA = "/state/data/shop"


def bind(source: str, target: str = "/data") -> dict[str, Any]:
    return {"type": "bind", "source": f"/render/{source}", "target": target}


def volume(source: str, target: str = "/data") -> dict[str, Any]:
    return {"type": "volume", "source": source, "target": target}


def push(life: Life, mounts: list[dict[str, Any]], **files: str) -> str:
    named: dict[str, Any] = {item["source"]: {} for item in mounts if item["type"] == "volume" and item["source"]}
    model = {"services": {"db": service("db:1", volumes=mounts)}, "volumes": named}
    return life.push_model(model, **{path.replace("__", "/"): text for path, text in files.items()})


def started(mounts: list[dict[str, Any]], **files: str) -> Life:
    life = Life()
    push(life, mounts, **files)
    return settled(life)


def written(life: Life, path: str = f"{DATA}/data/db") -> Life:
    life.machine.host_files.contents[path] = "rows"
    return life


def held(life: Life, words: str, sha: str) -> None:
    """It is held and nothing stops; accepted, it is applied; and the commit after it is not held again."""
    before = life.machine.snapshot()
    for _ in range(2):
        turn = life.turn()
        assert (turn.outcome, turn.reason) == (Outcome.HELD, Reason.CONSENT_MISSING), turn
        assert words in turn.message
        assert life.machine.snapshot() == before
    life.ask("accept", sha)
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert life.settle().outcome is Outcome.UNCHANGED


def test_files_that_would_hide_live_data() -> None:
    life = written(started([bind("data")]))
    held(life, "the files of data in the commit would hide the data", push(life, [bind("data")], data__seed="x"))


def test_an_accept_before_anything_was_shown_lets_no_data_vanish() -> None:
    life = written(started([bind("data")]))
    sha = push(life, [bind("data")], data__seed="x")
    life.ask("accept", sha)
    held(life, "the files of data in the commit would hide the data", sha)


def test_files_beside_an_empty_data_folder_hide_nothing() -> None:
    life = started([bind("data")])
    push(life, [bind("data")], data__seed="x")
    assert life.turn().outcome is Outcome.SUCCEEDED


@pytest.mark.parametrize("name", [".gitkeep", ".gitignore"])
def test_a_placeholder_leaves_a_data_folder_one(name: str) -> None:
    life = written(started([bind("data")]))
    push(life, [bind("data")], **{f"data/{name}": ""})
    life.turn()
    container = life.machine.named("shop-db-1")
    assert [(mount.source, mount.writable) for mount in container.mounts] == [(f"{DATA}/data", True)]


def test_a_mounted_file_that_the_commit_removes() -> None:
    life = started([bind("single.conf", "/etc/single.conf")], **{"single.conf": "x"})
    held(life, "single.conf is no longer in the commit", push(life, [bind("single.conf", "/etc/single.conf")]))


def test_a_mounted_file_whose_name_is_mistyped() -> None:
    files = {"single.conf": "x"}
    life = started([bind("single.conf", "/etc/single.conf")], **files)
    words = "Single.conf is not in the commit, and an empty folder would take the place of single.conf"
    held(life, words, push(life, [bind("Single.conf", "/etc/single.conf")], **files))


def test_files_of_the_commit_in_place_of_a_volume() -> None:
    life = started([volume("data")])
    words = "the files of seed in the commit would hide the data in shop_data"
    held(life, words, push(life, [bind("seed")], seed__rows="x"))


def test_files_of_the_commit_in_place_of_a_volume_that_is_still_used() -> None:
    life = started([volume("data")])
    push(life, [bind("seed"), volume("data", "/old")], seed__rows="x")
    assert life.turn().outcome is Outcome.SUCCEEDED


def test_a_volume_under_another_key() -> None:
    life = started([volume("data")])
    held(life, "the data are in shop_data, which nothing would use any more", push(life, [volume("data2")]))


@pytest.mark.parametrize("before", [[volume("data")], [bind("data")]], ids=["volume", "folder"])
def test_a_service_whose_containers_somebody_has_removed(before: list[dict[str, Any]]) -> None:
    life = written(started(before))
    new = push(life, [volume("data2")])
    life.machine.vanishes("shop-db-1")
    for _ in range(2):
        turn = life.turn()
        assert (turn.reason, "which nothing would use any more" in turn.message) == (Reason.CONSENT_MISSING, True)
    assert life.running() == {"shop-db-1": "db:1"}, "last good is corrected meanwhile"
    life.ask("accept", new)
    assert life.turn().outcome is Outcome.SUCCEEDED


@pytest.mark.parametrize("kind", [volume, bind])
def test_what_a_bad_commit_has_written_does_not_count_as_data(kind: Callable[..., dict[str, Any]]) -> None:
    life = written(started([kind("data")]))
    life.behave("db:9", crashing(0.5))
    services = {"db": service("db:1", volumes=[kind("data")]), "new": service("db:9", volumes=[kind("data2")])}
    life.push_model({"services": services, "volumes": {"data": {}, "data2": {}}})
    assert life.turn().outcome is Outcome.ROLLED_BACK
    written(life, f"{DATA}/data2/db")
    held(life, "data2 has nothing that a good commit has written, and the data are in", push(life, [kind("data2")]))
    held(life, "data3 is empty, and the data are in", push(life, [kind("data3")]))
    push(life, [kind("data2")])
    assert life.turn().outcome is Outcome.SUCCEEDED, "what a good commit has used holds data"


def test_a_folder_in_place_of_a_volume() -> None:
    life = started([volume("data")])
    held(life, "the data are in shop_data", push(life, [bind("data")]))


def test_a_volume_in_place_of_a_folder() -> None:
    life = written(started([bind("data")]))
    held(life, f"the data are in {DATA}/data", push(life, [volume("data")]))


@pytest.mark.parametrize(
    ("mount", "words"),
    [
        ({"type": "tmpfs", "target": "/data"}, "a tmpfs is empty, and the data are in shop_data"),
        ({"type": "volume", "target": "/data"}, "a volume without a name is empty, and the data are in shop_data"),
    ],
)
def test_what_begins_empty_in_place_of_a_volume(mount: dict[str, Any], words: str) -> None:
    life = started([volume("data")])
    sha = life.push_model({"services": {"db": service("db:1", volumes=[mount])}})
    held(life, words, sha)


def test_a_tmpfs_in_place_of_a_folder() -> None:
    life = written(started([bind("data")]))
    sha = life.push(db=service("db:1", tmpfs=["/data:size=8m"]))
    held(life, f"a tmpfs is empty, and the data are in {DATA}/data", sha)


def test_a_volume_that_another_service_goes_on_using_is_not_left_behind() -> None:
    life = Life()
    both = {"services": {"db": service("db:1", volumes=[volume("data")])}, "volumes": {"data": {}}}
    life.push_model(both)
    settled(life)
    life.push_model(
        {
            "services": {
                "db": service("db:1", volumes=[volume("new")]),
                "old": service("old:1", volumes=[volume("data")]),
            },
            "volumes": {"data": {}, "new": {}},
        }
    )
    assert life.turn().outcome is Outcome.SUCCEEDED


def test_a_service_that_drops_its_mount_or_moves_it_is_not_held() -> None:
    """Nothing empty takes the place of the data, and `status` lists the volume."""
    life = started([volume("data")])
    push(life, [volume("data", "/elsewhere")])
    assert life.turn().outcome is Outcome.SUCCEEDED
    push(life, [])
    assert life.turn().outcome is Outcome.SUCCEEDED


@pytest.mark.parametrize(("target", "declared"), [("/d", "/d"), ("/d/db", "/d"), ("/d", "/d/db")])
@pytest.mark.parametrize("kind", [volume, bind])
def test_a_dropped_mount_where_the_image_makes_an_empty_volume(
    kind: Callable[..., dict[str, Any]], target: str, declared: str
) -> None:
    life = Life()
    life.machine.image_volumes["sha256:db:1"] = (declared,)
    push(life, [kind("data", target)])
    written(settled(life))
    held(life, f"the image makes an empty volume at {declared}, and the data are in", push(life, []))


def test_an_image_that_is_still_to_be_pulled_is_taken_for_one_like_the_one_that_runs() -> None:
    life = Life()
    life.machine.image_volumes["sha256:db:1"] = ("/data",)
    push(life, [volume("data")])
    settled(life)
    life.machine.registry["db:2"] = life.machine.images["db:1"]
    sha = life.push_files({"services": {"db": service("db:2")}})
    held(life, "the image makes an empty volume at /data, and the data are in shop_data", sha)


@pytest.mark.parametrize(
    "mounts",
    [[volume("data", "/elsewhere")], [volume("data", "/elsewhere"), volume("more")], [bind("conf", "/etc/x")]],
    ids=["the data are mounted elsewhere", "and another volume in their place", "it were files of the commit"],
)
def test_a_volume_of_the_image_that_hides_nothing(mounts: list[dict[str, Any]]) -> None:
    life = Life()
    life.machine.image_volumes["sha256:db:1"] = ("/data",)
    push(life, [volume("data")] if mounts[0]["type"] == "volume" else [bind("conf", "/data")], conf="x")
    settled(life)
    push(life, mounts, conf="x")
    assert life.turn().outcome is Outcome.SUCCEEDED


def of_stacks(life: Life, **stacks: dict[str, Any]) -> str:
    """A commit with these stacks; each is a canonical model."""
    life.document = document(stacks=tuple(stacks))
    for model in stacks.values():
        for found in model["services"].values():
            life.image(found["image"])
    return life.push_files({}, **{f"{name}.yaml": json.dumps(model) for name, model in stacks.items()})


def storing(*mounts: dict[str, Any], name: str = "db", image: str = "db:1") -> dict[str, Any]:
    named: dict[str, Any] = {item["source"]: {} for item in mounts if item["type"] == "volume"}
    return {"services": {name: service(image, volumes=list(mounts))}, "volumes": named}


REST = {"services": {"a": service("a:1"), "b": service("b:1")}}


@pytest.mark.parametrize(
    ("mounts", "words"),
    [
        ([volume("db-data")], "store_db-data is empty, and the data of shop/db are in shop_db-data"),
        ([bind("data")], "/state/data/store/data is empty, and the data of shop/db are in /state/data/shop/data"),
    ],
)
def test_a_renamed_stack_starts_on_nothing_empty(mounts: list[dict[str, Any]], words: str) -> None:
    life = Life()
    of_stacks(life, shop=storing(*mounts), rest=REST)
    written(settled(life))
    held(life, words, of_stacks(life, store=storing(*mounts), rest=REST))


def test_a_service_and_its_volume_that_are_renamed_at_once() -> None:
    life = Life()
    of_stacks(life, shop=storing(volume("db-data")), rest=REST)
    settled(life)
    renamed = storing(volume("pg-data"), name="postgres", image="db:2")
    held(
        life,
        "shop_pg-data is empty, and the data of shop/db are in shop_db-data",
        of_stacks(life, shop=renamed, rest=REST),
    )


@pytest.mark.parametrize(
    "other",
    [
        storing(volume("cache", "/cache")),
        storing(volume("cache"), name="cache", image="cache:1"),
        storing(volume("db-data"), name="postgres"),
    ],
)
def test_a_new_service_that_is_no_renamed_one_is_not_held(other: dict[str, Any]) -> None:
    """Another target; another name and image; or the same volume."""
    life = Life()
    of_stacks(life, shop=storing(volume("db-data")), rest=REST)
    settled(life)
    name = "shop" if "postgres" in other["services"] else "other"
    of_stacks(life, **{name: other}, rest=REST)
    assert life.turn().outcome is Outcome.SUCCEEDED
