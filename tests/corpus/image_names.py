"""Images for the names in the public stacks, made from the distribution's packages.

An image that the machine has under such a name is not changed, and is used.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker

from tests.conftest import ROOT

FOLDER = ROOT / "tests/corpus/images"
REPOSITORY = "reconciler-corpus"
NAMES = {
    "nginx": ("nginx", "nginx:alpine"),
    "redis": ("redis:alpine", "redislabs/redismod"),
    "mariadb": ("mariadb:10-focal", "mariadb:10.5", "mariadb:10.6.4-focal"),
    "postgres": ("postgres", "postgres:alpine", "postgres:12-alpine"),
    "prometheus": ("prom/prometheus",),
    "php": ("nextcloud:apache", "wordpress"),
    "stand-in": (
        "dpage/pgadmin4", "elasticsearch:7.16.1", "gitea/gitea", "grafana/grafana", "itzg/minecraft-server",
        "kibana:7.16.1", "linuxserver/wireguard", "logstash:7.16.1", "mcr.microsoft.com/azure-sql-edge:1.0.4",
        "mongo", "mongo:4.2.0", "pihole/pihole", "portainer/portainer-ce:alpine", "traefik:2.6",
        "visibilityspots/cloudflared",
    ),
}  # fmt: skip
"""Our image → the names that the stacks use for it."""


def build(compose: Path) -> None:
    """Make all of our images. Quick if the builder still has them."""
    done = subprocess.run(
        [str(compose), "-p", REPOSITORY, "-f", str(FOLDER / "compose.yaml"), "build"], capture_output=True, text=True,
        timeout=900, stdin=subprocess.DEVNULL, env={**os.environ, "COMPOSE_BAKE": "false"},
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"


@contextmanager
def lent(engine: docker.APIClient) -> Iterator[None]:
    """Within this context ours have the public names, unless other images have them."""
    given = [name for ours, names in NAMES.items() for name in names if _lend(engine, f"{REPOSITORY}/{ours}", name)]
    try:
        yield
    finally:
        for name in given:
            engine.remove_image(name, noprune=True)


def _lend(engine: docker.APIClient, ours: str, name: str) -> bool:
    if engine.images(name) and not _is_ours(engine.inspect_image(name)):
        return False
    repository, _, tag = name.partition(":")
    engine.tag(ours, repository, tag or "latest", force=True)
    return True


def _is_ours(image: Mapping[str, Any]) -> bool:
    """Also a public name that a killed run has left."""
    labels = image["Config"].get("Labels") or {}
    return labels.get("com.docker.compose.project") == REPOSITORY
