"""Every way of a secret into a container: the bytes of its file if it is mounted, a text elsewhere."""

from __future__ import annotations

import json
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from reconciler.act.trees import TreeStore
from reconciler.decide.mounts.sources import Places
from reconciler.effects import Effects
from reconciler.loop.prepare import Prepared, Preparer, Rules
from reconciler.model.desired import DesiredState
from reconciler.model.documents import NOTHING_ALLOWED
from reconciler.model.files import Files
from reconciler.observe.render import ComposeRenderer
from reconciler.observe.secrets import SecretStore
from reconciler.record.rendered import RenderedStore
from tests.commits import CommitFiles

TEXTS = [b"", b"\n", b"word", b"word\n", b"two\r\nlines\r\n", "wörd $X '\"\n".encode(), b"l" * 150_000 + b"\n"]
NO_TEXTS = [b"nul\0nul\n", b"\xff\xfe\x80\n", bytes(range(256)) * 1000]


class Host:
    def __init__(self, folder: Path, compose: Path) -> None:
        self.folder = folder
        self.folder.joinpath("secrets", "shop").mkdir(parents=True, mode=0o700)
        self.folder.joinpath("secrets").chmod(0o700)
        self.sealed: list[str] = []
        self.secrets = SecretStore(folder / "secrets", seal=self.seal)
        places = Places(f"{folder}/trees", f"{folder}/data", f"{folder}/secrets", (), self.seal)
        renderer = ComposeRenderer(str(compose), folder / "render", self.secrets)
        self.preparer = Preparer(renderer, Rules("mini", places, permissions=replace(NOTHING_ALLOWED, owner=True)))

    def seal(self, digest: str) -> str:
        self.sealed.append(digest)
        return digest[::-1]

    def put(self, data: bytes) -> None:
        path = self.folder / "secrets/shop/KEY"
        path.write_bytes(data)
        path.chmod(0o600)

    def judge(self, service: dict[str, Any], **document: Any) -> tuple[Prepared, Files]:
        compose = {"services": {"web": {"image": "x", **service}}, **document}
        host = {
            "apiVersion": "reconciler/v1", "kind": "Host", "metadata": {"name": "mini"},
            "spec": {"stacks": [{"name": "shop", "files": ["compose.yaml"]}]},
        }  # fmt: skip
        files = CommitFiles({"compose.yaml": json.dumps(compose), "desired-state/mini.yaml": json.dumps(host)})
        return self.preparer.prepare(files), files

    def apply(self, service: dict[str, Any], **document: Any) -> DesiredState:
        prepared, files = self.judge(service, **document)
        assert not prepared.denied, prepared.violations
        desired = self.preparer.lower(prepared, {}, "c0ffee")
        TreeStore(self.folder / "trees", Effects()).ensure(desired.trees, files, self.secrets)
        return desired

    def mounted(self, service: dict[str, Any], **document: Any) -> bytes:
        (mount,) = self.apply(service, **document).services()["shop", "web"].config["volumes"]
        assert Path(mount["source"]).parent.name == ".mounts" or not document["configs"]["k"].get("environment")
        return Path(mount["source"]).read_bytes()


@pytest.fixture
def host(compose_binary: Path, tmp_path: Path) -> Host:
    return Host(tmp_path, compose_binary)


@pytest.mark.parametrize("data", [*TEXTS, *NO_TEXTS], ids=lambda data: repr(data[:12]))
def test_what_is_mounted_has_the_bytes_of_the_file(host: Host, data: bytes) -> None:
    host.put(data)
    assert host.mounted({"secrets": ["k"]}, secrets={"k": {"environment": "KEY"}}) == data
    assert host.mounted({"configs": ["k"]}, configs={"k": {"environment": "KEY"}}) == data


@pytest.mark.parametrize("data", TEXTS, ids=lambda data: repr(data[:12]))
def test_a_text_has_no_final_newline(host: Host, data: bytes) -> None:
    host.put(data)
    text = data.decode().removesuffix("\n")
    assert host.mounted({"configs": ["k"]}, configs={"k": {"content": "<${KEY}>"}}) == f"<{text}>".encode()
    desired = host.apply({"environment": {"A": "<${KEY}>", "KEY": None}, "labels": {"l": "${KEY}"}})
    config = desired.services()["shop", "web"].config
    assert (config["environment"], config["labels"]["l"]) == ({"A": f"<{text}>", "KEY": text}, text)


@pytest.mark.parametrize("data", NO_TEXTS, ids=lambda data: repr(data[:12]))
@pytest.mark.parametrize(
    "place",
    [
        ({"environment": {"A": "${KEY}"}}, {}),
        ({"environment": ["KEY"]}, {}),
        ({"labels": {"a": "x${KEY:?}"}}, {}),
        ({"configs": ["k"]}, {"configs": {"k": {"content": "$KEY"}}}),
    ],
    ids=lambda place: str(place[0])[:30],
)
def test_what_is_no_text_is_refused_in_a_text(host: Host, data: bytes, place: tuple[Any, Any]) -> None:
    host.put(data)
    prepared, _ = host.judge(place[0], **place[1])
    (found,) = [item for item in prepared.violations if item.rule == "unset-variable"]
    assert (found.path, found.level.value) == ("compose.yaml", "deny")
    assert "no UTF-8" in found.message
    assert "environment: KEY" in found.hint


def test_digests_that_depend_on_a_secret_are_sealed(host: Host, tmp_path: Path) -> None:
    host.put(b"1234")
    plain = host.apply({"environment": {"A": "b"}})
    spec = plain.services()["shop", "web"].spec
    assert spec[::-1] not in host.sealed, "what holds no secret needs no key"
    assert plain.content[::-1] in host.sealed
    for service in ({"environment": {"A": "x${KEY}"}}, {"command": "run ${KEY}"}, {"labels": {"a": "${KEY}"}}):
        web = host.apply(service).services()["shop", "web"]
        assert web.spec[::-1] in host.sealed
        assert web.config["labels"]["dev.reconciler.spec"] == web.spec
    options = {"a": {"driver_opts": {"key": "${KEY}"}}}
    (network,) = host.apply({"networks": ["a"]}, networks=options).stacks[0].networks
    assert network.digest[::-1] in host.sealed
    stored = RenderedStore(tmp_path / "rendered", host.secrets.variables, host.secrets.fingerprint, Effects())
    stored.save(plain, {})
    assert set(stored.digests()) == {plain.content, spec, plain.stacks[0].networks[0].digest}


def test_a_state_of_an_older_version_finds_its_file_again(host: Host) -> None:
    """It mounted the value without its newline."""
    host.put(b"word\n")
    desired = host.apply({"secrets": ["k"]}, secrets={"k": {"environment": "KEY"}})
    (new,) = desired.trees
    older = replace(new, digest=sha256(b"word").hexdigest()[::-1])
    TreeStore(host.folder / "trees", Effects()).ensure([older], None, host.secrets)
    assert host.secrets.place(older.digest).read_bytes() == b"word"
