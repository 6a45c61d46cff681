"""Addresses that the machine uses, from its kernel."""

from __future__ import annotations

import sys

import pytest

from reconciler.formats.cidr import lies_in, range_of
from reconciler.model.images import registry
from reconciler.observe import routes

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the kernel's routes are read on Linux")


def test_the_kernels_routes_are_read_from_every_table() -> None:
    found = routes.of_this_machine([])
    assert any(lies_in("127.0.0.1", [claim.range]) for claim in found), "the table of local addresses"
    ranges = [range_of(claim.range) for claim in found]
    assert None not in ranges
    assert all(item is not None and item.prefixlen >= routes.WIDEST[item.version] for item in ranges)


def test_routes_of_the_engines_own_bridges_do_not_count() -> None:
    assert not [claim for claim in routes.of_this_machine(["lo"]) if claim.what.endswith("(lo)")]
    assert [claim for claim in routes.of_this_machine([]) if claim.what.endswith("(lo)")]


def test_hosts_are_where_the_name_service_says() -> None:
    found = routes.of_hosts(["127.0.0.7", "127.0.0.7", "fd00::9", "no.such.host.invalid", "a" * 300])
    assert [(claim.range, claim.what) for claim in found] == [
        ("127.0.0.7", "127.0.0.7 (127.0.0.7)"), ("fd00::9", "fd00::9 (fd00::9)"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("https://git.lan:8443/home.git", "git.lan"),
        ("ssh://git@[fd00::9]:22/x", "fd00::9"),
        ("git@git.lan:home.git", "git.lan"),
        ("/srv/git/home.git", ""),
        ("https://[broken/x", ""),
    ],
)
def test_the_host_of_a_remote(address: str, host: str) -> None:
    assert routes.host_of(address) == host


@pytest.mark.parametrize(
    ("ref", "host"),
    [
        ("web", "registry-1.docker.io"),
        ("team/web:1", "registry-1.docker.io"),
        ("registry.lan:5000/team/web:1", "registry.lan"),
        ("localhost/web", "localhost"),
        ("[fd00::9]:5000/web", "fd00::9"),
    ],
)
def test_the_registry_of_an_image(ref: str, host: str) -> None:
    assert registry(ref) == host
