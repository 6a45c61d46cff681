"""Stored states: complete, without secrets, and usable after something around them has changed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.decide.mounts.digests import digest
from reconciler.effects import Effects
from reconciler.errors import Corrupt, Transient
from reconciler.formats.freeze import check_whole
from reconciler.model.desired import DesiredState, Endpoint, Network, Service, Stack, Tree
from reconciler.model.documents import Memory
from reconciler.record.rendered import RenderedStore

TOKEN = "hunter2-hunter2"


def state(revision: str = "a" * 40, path: str = "web.conf") -> DesiredState:
    web = Service(
        stack="shop",
        name="web",
        spec="s" * 64,
        config={"image": "web", "environment": {"TOKEN": TOKEN}},
        image="sha256:1",
        image_ref="web",
        replicas=1,
        memory=64 << 20,
        memory_default=False,
        grace=10.0,
        restart="always",
    )
    trees = (Tree("d" * 64, path=path),)
    return DesiredState("mini", revision, "c" * 64, Memory(), (Stack("shop", (web,), (), ()),), trees)


class Host:
    """A state folder, and secrets that a person changes."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.secrets, self.effects = folder, {"TOKEN": TOKEN}, Effects()
        self.store = RenderedStore(folder, lambda stack: self.secrets, self.fingerprint, self.effects)

    def fingerprint(self) -> str:
        return digest(self.secrets)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path / "rendered")


def test_what_was_saved_is_loaded_and_holds_no_secret(host: Host) -> None:
    host.store.save(state(), {"shop": {"services": {"web": {"environment": {"TOKEN": TOKEN}}}}})
    assert host.store.load("c" * 64) == state()
    assert not [path for path in host.folder.rglob("*.json") if TOKEN in path.read_text()]
    host.store.save(state(), {})
    assert host.effects.count == 1


def test_the_same_content_of_another_commit_names_that_commits_files(host: Host) -> None:
    host.store.save(state(), {})
    assert host.store.load("c" * 64) == state()
    moved = state("b" * 40, "conf/web.conf")
    host.store.save(moved, {})
    assert host.store.load("c" * 64) == moved
    assert [path.name for path in host.folder.iterdir()] == ["c" * 64]


def test_secrets_that_changed_nothing_are_taken_note_of(host: Host) -> None:
    host.store.save(state(), {})
    host.secrets["OTHER"] = "a value that nobody uses"
    assert not host.store.current("c" * 64)
    host.store.save(state(), {})
    assert host.store.current("c" * 64)


def test_what_was_loaded_follows_the_files_and_the_secrets(host: Host) -> None:
    host.store.save(state(), {})
    assert host.store.load("c" * 64) is host.store.load("c" * 64)
    host.secrets["TOKEN"] = "another-value"
    loaded = host.store.load("c" * 64)
    assert loaded is not None
    assert loaded.services()["shop", "web"].config["environment"] == {"TOKEN": "another-value"}
    (host.folder / ("c" * 64) / "create.json").unlink()
    assert host.store.load("c" * 64) is None


def test_a_secret_that_is_gone_is_missed_by_what_is_created_only(host: Host) -> None:
    host.store.save(state(), {})
    host.secrets.clear()
    loaded = host.store.load("c" * 64)
    assert loaded is not None
    web = loaded.services()["shop", "web"]
    assert replace(web, config={}) == replace(state().services()["shop", "web"], config={})
    with pytest.raises(Transient, match="TOKEN"):
        check_whole(web.config)


def test_a_state_of_another_version_is_rendered_anew(host: Host) -> None:
    host.store.save(state(), {})
    path = host.folder / ("c" * 64) / "create.json"
    stored = json.loads(path.read_text())
    stored["desired"]["stacks"][0]["services"][0]["unheard"] = 1
    path.write_text(json.dumps(stored))
    assert host.store.load("c" * 64) is None


def test_a_state_that_0_1_0_has_written_is_loaded(host: Host) -> None:
    (shop,) = state().stacks
    web = replace(shop.services[0], endpoints=(Endpoint("shop_back"),))
    written = replace(state(), stacks=(replace(shop, services=(web,)),))
    host.store.save(written, {})
    path = host.folder / ("c" * 64) / "create.json"
    stored = json.loads(path.read_text())
    (service,) = stored["desired"]["stacks"][0]["services"]
    service |= {"trees": ["d" * 64], "order": "stop-first"}
    service["endpoints"][0] |= {"priority": 0}
    path.write_text(json.dumps(stored))
    assert RenderedStore(host.folder, lambda stack: host.secrets, host.fingerprint, Effects()).load("c" * 64) == written


def test_a_folder_that_cannot_be_written_is_the_environments_fault(host: Host) -> None:
    host.folder.write_text("in the way")
    with pytest.raises(Transient, match=str(host.folder)):
        host.store.save(state(), {})


@pytest.mark.parametrize("content", ["[" * 200_000, '{"fingerprint": ' + "[" * 200_000, "5", "{}", "null", ""])
def test_a_stored_state_that_is_damaged_is_said_with_the_remedy(host: Host, content: str) -> None:
    host.store.save(state(), {})
    (host.folder / ("c" * 64) / "create.json").write_text(content)
    with pytest.raises(Corrupt, match=r"create\.json cannot be read") as caught:
        host.store.load("c" * 64)
    assert "delete its folder" in caught.value.hint


def test_names_of_networks_and_images_hold_no_secret_either(host: Host) -> None:
    network = f"net-{TOKEN}"
    web = state().stacks[0].services[0]
    config = {"image": f"registry/{TOKEN}/web", "networks": {network: {}}, "labels": {TOKEN: "x"}}
    networks = (Network("shop", "net", network, {"name": network}, "d" * 64),)
    stack = Stack("shop", (replace(web, config=config),), networks, ())
    wanted = replace(state(), stacks=(stack,))
    host.store.save(wanted, {"shop": {"networks": {"net": {"name": network}}, network: {}}})
    assert not [path for path in host.folder.rglob("*.json") if TOKEN in path.read_text()]
    assert host.store.load("c" * 64) == wanted


@pytest.mark.parametrize("value", ["shop", "stacks", "name", "services", "desired"])
def test_a_secret_that_is_spelled_like_a_part_of_the_document_hinders_nothing(host: Host, value: str) -> None:
    host.secrets["TOKEN"] = value
    host.store.save(state(), {})
    assert host.store.load("c" * 64) == state()
