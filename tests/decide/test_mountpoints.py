"""A read-only folder of the commit contains every place at which the service mounts something inside it."""

from __future__ import annotations

from reconciler.decide.lower.lower import lower
from reconciler.decide.mounts.digests import tree_digest
from reconciler.decide.mounts.mountpoints import mountpoints
from reconciler.decide.mounts.sources import Places, Source
from reconciler.model.desired import Tree
from reconciler.model.documents import HostDocument, StackDocument
from tests.decide.judging import Commit

ROOT = "/render/commit"
FILES = Commit({"app/server.js": "serve", "app/config/default.json": "{}", "extra.json": "[]"})


def test_what_lies_inside_is_made() -> None:
    mounts = {"/app": False, "/app/node_modules": False, "/app/config/local.json": True, "/data": False}
    found = mountpoints("/app", ["server.js"], mounts)
    assert found == {"node_modules": False, "config/local.json": True}


def test_what_the_folder_has_is_not_made() -> None:
    assert mountpoints("/app", ["config/default.json"], {"/app/config": False, "/app/config/default.json": True}) == {}


def test_only_the_innermost_folder_has_it() -> None:
    mounts = {"/app": False, "/app/vendor": False, "/app/vendor/cache": False}
    assert mountpoints("/app", [], mounts) == {"vendor": False}
    assert mountpoints("/app/vendor", [], mounts) == {"cache": False}


def test_names_that_only_begin_alike_are_other_places() -> None:
    assert mountpoints("/app", [], {"/app": False, "/application": False, "/app/": False}) == {}


def test_spellings_of_a_place_are_one() -> None:
    assert mountpoints("/app/", [], {"/app": False, "//app/./data/": False}) == {"data": False}


def test_the_root_holds_everything() -> None:
    assert mountpoints("/", [], {"/": False, "/data": False}) == {"data": False}


def trees(*volumes: dict[str, str], **keys: object) -> dict[str | None, Tree]:
    model = {"services": {"web": {"image": "x", "volumes": list(volumes), **keys}}, "configs": {"c": {"content": "c"}}}
    stack = StackDocument("shop", ("compose.yaml",))
    source = Source(stack, model, ROOT, {}, {})
    found = lower(HostDocument("mini", (stack,)), [source], FILES, {}, Places("/trees", "/data"), "c0ffee")
    return {tree.path: tree for tree in found.trees}


APP = {"type": "bind", "source": f"{ROOT}/app", "target": "/app"}


def test_a_folder_with_nothing_inside_is_named_by_its_files_alone() -> None:
    assert trees(APP)["app"] == Tree(tree_digest(FILES, "app"), path="app")


def test_volumes_tmpfs_and_files_find_their_places() -> None:
    anonymous = {"type": "volume", "target": "/app/node_modules"}
    named = {"type": "bind", "source": f"{ROOT}/extra.json", "target": "/app/config/extra.json"}
    config = {"source": "c", "target": "/app/c.txt"}
    tree = trees(APP, anonymous, named, tmpfs=["/app/tmp:size=1m"], configs=[config])["app"]
    assert set(tree.empty_folders) == {"node_modules", "tmp"}
    assert set(tree.empty_files) == {"config/extra.json", "c.txt"}
    assert tree.digest != tree_digest(FILES, "app")


def test_a_volume_named_like_a_file_of_the_commit_is_a_folder() -> None:
    model_volume = {"type": "volume", "source": "extra.json", "target": "/app/data"}
    stack = StackDocument("shop", ("compose.yaml",))
    model = {
        "services": {"web": {"image": "x", "volumes": [APP, model_volume]}},
        "volumes": {"extra.json": {"name": "shop_extra.json"}},
    }
    source = Source(stack, model, ROOT, {}, {})
    found = lower(HostDocument("mini", (stack,)), [source], FILES, {}, Places("/trees", "/data"), "c0ffee")
    assert found.trees[0].empty_folders == ("data",)
    assert found.trees[0].empty_files == ()
