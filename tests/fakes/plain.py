"""`docker compose up -d` by hand on the fake machine: a project that runs without any of our labels.

compose_up(life, {"services": {"web": service("web:1")}})
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from reconciler.decide.drift.wanted_facts import wanted
from reconciler.model.creation import Creation
from reconciler.model.desired import DesiredState, Service
from reconciler.model.images import ImageDefaults
from reconciler.model.observed import COMPOSE_PROJECT, Mount, ObservedNetwork, ObservedVolume
from tests.fakes.compose import create
from tests.fakes.containers import FakeContainer
from tests.fakes.life import Life
from tests.fakes.source import TextFiles

FOLDER = "/home/me/shop"
"""The project's folder; its files are on the machine."""


def compose_up(life: Life, model: Mapping[str, Any], **texts: str) -> None:
    """`texts`: further files of the project by path. No limits are set: plain projects rarely have any."""
    desired = lowered(life, model, texts)
    machine, stack = life.machine, desired.stacks[0]
    for network in stack.networks:
        labels = {COMPOSE_PROJECT: stack.name}
        machine.networks.setdefault(network.name, ObservedNetwork(machine.new_id(), network.name, labels))
    for volume in stack.volumes:
        machine.volumes.setdefault(volume.name, ObservedVolume(labels={COMPOSE_PROJECT: stack.name}))
    machine.host_files.contents |= {f"{FOLDER}/{path}": text for path, text in texts.items()}
    trees = {tree.digest: tree.path for tree in desired.trees}
    machine.trees |= set(trees)
    for service in stack.services:
        create(machine, stack, [Creation(service, service.replicas, {}, {})], {})
    machine.trees -= set(trees)
    services = {service.name: service for service in stack.services}
    for container in machine.containers.values():
        if container.stack == stack.name and container.spec is not None:
            _plain(container, services[container.service], trees, machine.image_defaults(container.image))
            machine.run(container)


def lowered(life: Life, model: Mapping[str, Any], texts: Mapping[str, str]) -> DesiredState:
    for item in model["services"].values():
        life.image(item["image"])
    files = TextFiles({"desired-state/mini.yaml": life.document, "shop.yaml": json.dumps(model), **texts}, "0" * 40)
    preparer = life.ports().preparer
    prepared = preparer.prepare(files)
    return preparer.lower(prepared, life.machine.image_list.local(prepared.wants), "0" * 40)


def _plain(
    container: FakeContainer, service: Service, trees: Mapping[str, str | None], defaults: ImageDefaults
) -> None:
    container.spec = container.host = None
    container.restart, container.folder, container.trees = service.restart, FOLDER, ()
    facts = wanted(service, defaults)
    mounts = {target: _in_folder(mount, trees) for target, mount in facts["mounts"].items()}
    volumes = {mount.target: ("volume", mount.source, mount.writable) for mount in container.mounts}
    named = {target: volumes.get(target, mount) if mount[0] == "volume" else mount for target, mount in mounts.items()}
    container.mounts = tuple(Mount(kind, source, target, rw) for target, (kind, source, rw) in sorted(named.items()))
    networks = {item.network: _endpoint(item.aliases) for item in service.endpoints}
    container.facts = {**facts, "mounts": named, "networks": networks, "memory": 0, "memory with swap": 0}


def _endpoint(aliases: tuple[str, ...]) -> dict[str, Any]:
    return {"aliases": frozenset(aliases), "ipv4": "", "ipv6": "", "mac": ""}


def _in_folder(mount: tuple[str, str, bool], trees: Mapping[str, str | None]) -> tuple[str, str, bool]:
    """A mount as plain Compose makes it: the working folder's own files, writable."""
    kind, source, writable = mount
    if kind != "bind":
        return mount
    path = trees.get(source.rpartition("/")[2])
    return (kind, f"{FOLDER}/{path or source.removeprefix('/state/data/shop/')}", writable if path is None else True)
