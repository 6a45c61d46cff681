"""Holders of ports: overlaps of addresses, and trying the port on this machine."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import pytest

from reconciler.model.ports import Port, overlaps
from reconciler.observe.host import holders, is_bound


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (("0.0.0.0", 80, "tcp"), ("127.0.0.1", 80, "tcp"), True),
        (("127.0.0.1", 80, "tcp"), ("0.0.0.0", 80, "tcp"), True),
        (("127.0.0.1", 80, "tcp"), ("127.0.0.1", 80, "tcp"), True),
        (("127.0.0.1", 80, "tcp"), ("127.0.0.2", 80, "tcp"), False),
        (("0.0.0.0", 80, "tcp"), ("0.0.0.0", 81, "tcp"), False),
        (("0.0.0.0", 53, "tcp"), ("0.0.0.0", 53, "udp"), False),
        (("0.0.0.0", 80, "tcp"), ("::", 80, "tcp"), False),
        (("", 80, "tcp"), ("::1", 80, "tcp"), True),
        (("", 80, "tcp"), ("192.0.2.1", 80, "tcp"), True),
        (("[::]", 80, "tcp"), ("::1", 80, "tcp"), True),
        (("::1", 80, "tcp"), ("::2", 80, "tcp"), False),
    ],
)
def test_overlap(one: Port, other: Port, expected: bool) -> None:
    assert overlaps(one, other) is expected
    assert overlaps(other, one) is expected


def test_holders_names_each_port_that_is_held() -> None:
    held = {("0.0.0.0", 80, "tcp"): "container web", ("127.0.0.1", 53, "udp"): "container dns"}
    wanted = [("127.0.0.1", 80, "tcp"), ("127.0.0.1", 53, "udp"), ("127.0.0.1", 53, "tcp")]
    assert holders(wanted, held) == {wanted[0]: "container web", wanted[1]: "container dns"}


@contextlib.contextmanager
def bound(address: str, kind: socket.SocketKind = socket.SOCK_STREAM) -> Iterator[int]:
    with socket.socket(socket.AF_INET, kind) as held:
        held.bind((address, 0))
        if kind == socket.SOCK_STREAM:
            held.listen()
        yield held.getsockname()[1]


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", ""])
def test_listener_is_found(address: str) -> None:
    with bound("127.0.0.1") as port:
        assert is_bound((address, port, "tcp"))
        assert not is_bound((address, port, "udp"))
    assert not is_bound((address, port, "tcp"))


def test_other_address_is_free() -> None:
    with bound("127.0.0.1") as port:
        assert not is_bound(("127.0.0.2", port, "tcp"))


def test_udp_is_found() -> None:
    with bound("127.0.0.1", socket.SOCK_DGRAM) as port:
        assert is_bound(("0.0.0.0", port, "udp"))
        assert not is_bound(("0.0.0.0", port, "tcp"))


def test_connections_that_linger_hold_nothing() -> None:
    """The side that closes first keeps TIME_WAIT for a minute, like the proxy of a container that was just stopped."""
    with socket.socket() as watchdog:
        watchdog.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        watchdog.bind(("127.0.0.1", 0))
        watchdog.listen()
        port = watchdog.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            served, _ = watchdog.accept()
            served.close()
            assert client.recv(1) == b""
    with socket.socket() as strict, pytest.raises(OSError, match="in use"):
        strict.bind(("127.0.0.1", port))
    assert not is_bound(("127.0.0.1", port, "tcp"))


def test_what_cannot_be_tried_is_not_held() -> None:
    assert not is_bound(("192.0.2.1", 80, "tcp"))
    assert not is_bound(("127.0.0.1", 80, "sctp"))
