"""What an address means, and which of them lead to a published port of this machine."""

from __future__ import annotations

import pytest

from reconciler.formats.endpoints import Address, door, parse
from reconciler.model.ports import Port

ALL: Port = ("0.0.0.0", 8080, "tcp")


@pytest.mark.parametrize(
    ("text", "address", "origin"),
    [
        ("http://localhost", Address("http", "localhost", 80, "/"), "http://localhost"),
        ("HTTPS://Shop.Example.ORG:443/a?b", Address("https", "shop.example.org", 443, "/a?b"), "https://shop.example.org"),
        ("http://localhost:8080?x=1", Address("http", "localhost", 8080, "/?x=1"), "http://localhost:8080"),
        ("tcp://[::1]:5432", Address("tcp", "::1", 5432, ""), "tcp://[::1]:5432"),
    ],
)  # fmt: skip
def test_an_address_has_one_form(text: str, address: Address, origin: str) -> None:
    assert parse(text) == address
    assert parse(text).origin == origin


@pytest.mark.parametrize("text", ["http://localhost:65536", "tcp://localhost:70000", "http://[1:2]/", "http://[::1::]"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse(text)


@pytest.mark.parametrize(
    ("text", "published", "found"),
    [
        ("http://localhost:8080", [ALL], "127.0.0.1"),
        ("http://127.0.0.1:8080", [ALL], "127.0.0.1"),
        ("http://localhost:8080", [("127.0.0.1", 8080, "tcp")], "127.0.0.1"),
        ("http://localhost:8080", [("::", 8080, "tcp")], "::1"),
        ("http://[::1]:8080", [("::", 8080, "tcp")], "::1"),
        ("http://10.0.0.7:8080", [("10.0.0.7", 8080, "tcp")], "10.0.0.7"),
        ("http://localhost:8081", [ALL], None),
        ("http://localhost:8080", [("0.0.0.0", 8080, "udp")], None),
        ("http://localhost:8080", [("10.0.0.7", 8080, "tcp")], None),
        ("http://127.0.0.1:8080", [("127.0.0.2", 8080, "tcp")], None),
        ("http://10.0.0.7:8080", [ALL], None),
        ("http://169.254.169.254:8080", [ALL], None),
        ("http://127.1:8080", [ALL], None),
        ("http://2130706433:8080", [ALL], None),
        ("http://0x7f.0.0.1:8080", [ALL], None),
        ("http://0.0.0.0:8080", [ALL], None),
        ("http://[::ffff:127.0.0.1]:8080", [ALL], None),
        ("http://localhost.evil.example:8080", [ALL], None),
        ("http://localhost.:8080", [ALL], None),
    ],
)  # fmt: skip
def test_only_a_published_port_by_its_own_name_needs_no_grant(
    text: str, published: list[Port], found: str | None
) -> None:
    assert parse(text).door(published) == found


def test_a_port_on_every_address_is_reached_by_loopback() -> None:
    assert [door((item, 1, "tcp")) for item in ("0.0.0.0", "::", "", "[::]", "10.0.0.7")] == [
        "127.0.0.1", "::1", "127.0.0.1", "::1", "10.0.0.7",
    ]  # fmt: skip
