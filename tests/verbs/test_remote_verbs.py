"""The verbs of the laptop, with given answers of machines, notes and connections."""

from __future__ import annotations

import socket
from threading import Event
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from reconciler.errors import Transient, Usage
from reconciler.model.fleet import RemoteHost
from reconciler.model.outcome import Reason
from reconciler.record import text
from reconciler.record.text.layout import Style
from reconciler.reference import output_schema
from reconciler.verbs.deploy import Deployer, Hands
from reconciler.verbs.fleet import by_ssh, trailers
from reconciler.verbs.nettest import Watched, below, net_test, percentile
from reconciler.verbs.tunnel import LONGEST_PAUSE, Forward, forwards, keep_open, with_monitor

SCHEMA = Draft202012Validator(output_schema())


def status(*ports: tuple[str, int, str], service: str = "web") -> dict[str, Any]:
    listed = [{"address": address, "port": port, "protocol": protocol} for address, port, protocol in ports]
    return {
        "host": "mini", "sync": "Synced", "health": "Healthy", "reason": None, "message": "", "since": None,
        "agent": {"running": True}, "source": {"head": "a" * 40},
        "stacks": [{"services": [{"stack": "shop", "service": service, "ports": listed}]}],
    }  # fmt: skip


def test_each_published_tcp_port_is_forwarded_once() -> None:
    found = forwards(status(("0.0.0.0", 1, "tcp"), ("::", 1, "tcp"), ("127.0.0.1", 2, "tcp"), ("", 3, "udp")), [])
    assert [(item.port, item.address in ("127.0.0.1", "::1")) for item in found] == [(1, True), (2, True)]


def test_a_port_that_is_taken_on_the_laptop_gets_another_number() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        (found,) = forwards(status(("127.0.0.1", port, "tcp")), ["shop/web"])
    assert found.local != port
    assert found.option == f"127.0.0.1:{found.local}:[127.0.0.1]:{port}"


@pytest.mark.parametrize(
    ("wanted", "ports", "names"),
    [
        ([], [("", 80, "tcp")], ["web", "monitor"]),
        ([], [], ["monitor"]),
        (["web"], [("", 80, "tcp")], ["web"]),
        (["monitor"], [("", 80, "tcp")], ["monitor"]),
        (["shop", "monitor"], [("", 80, "tcp")], ["web", "monitor"]),
    ],
)
def test_the_monitor_is_forwarded_as_well(
    wanted: list[str], ports: list[tuple[str, int, str]], names: list[str]
) -> None:
    assert [item.service for item in with_monitor(status(*ports), wanted)] == names


@pytest.mark.parametrize(
    ("wanted", "ports", "told"),
    [(["db"], [("", 80, "tcp")], "has no service db"), ([], [("", 80, "udp")], "publishes a TCP port")],
)
def test_a_service_or_port_that_cannot_be_forwarded_is_an_error(
    wanted: list[str], ports: list[tuple[str, int, str]], told: str
) -> None:
    with pytest.raises(Usage, match=told):
        forwards(status(*ports), wanted)


class Ends:
    """A connection that has ended with this message of ssh."""

    def __init__(self, said: str) -> None:
        self._said = said

    def poll(self) -> int | None:
        return 255

    def close(self) -> str:
        return self._said


def kept(endings: list[tuple[float, str]]) -> list[str]:
    """The progress lines for connections that last so many seconds and end with these messages."""
    clock, told, stop = [0.0], list[str](), Event()
    stop.wait = lambda timeout=None: stop.is_set()  # type: ignore[method-assign]
    rest = iter(endings)

    def forward() -> Ends:
        lasted, said = next(rest, (0.0, ""))
        clock[0] += lasted
        return Ends(said)

    def tell(line: str) -> None:
        told.append(line)
        if len(told) == len(endings):
            stop.set()

    keep_open(forward, tell, stop, lambda: clock[0])
    return told


def test_a_lost_tunnel_is_opened_again_with_growing_pauses() -> None:
    told = kept([(100.0, "Broken pipe"), *[(0.1, "refused")] * 6, (100.0, "")])
    pauses = [float(line.rpartition(" in ")[2].split()[0]) for line in told]
    assert pauses[:4] == [1.0, 2.0, 4.0, 8.0]
    assert max(pauses) == LONGEST_PAUSE


def test_a_tunnel_that_never_opens_is_an_error() -> None:
    with pytest.raises(Transient, match="Address already in use"):
        kept([(0.1, "bind: Address already in use")])


def test_percentiles_are_measured_values() -> None:
    assert percentile([], 50) is None
    assert percentile([3.0], 95) == 3.0
    assert (percentile(list(range(1, 101)), 50), percentile(list(range(1, 101)), 95)) == (50, 95)


@pytest.mark.parametrize(
    ("watched", "up", "down", "words"),
    [
        (Watched([0.01]), 20e6, 20e6, []),
        (Watched([0.2]), 20e6, 20e6, ["round trips"]),
        (Watched([0.01]), 5e6, None, ["up", "down"]),
        (Watched([0.01], reconnects=2, lost=7.0), 20e6, 20e6, ["lost 2 times"]),
        (Watched([]), 20e6, 20e6, ["round trips"]),
    ],
)
def test_the_verdict_names_each_value_that_misses_its_bound(
    watched: Watched, up: float | None, down: float | None, words: list[str]
) -> None:
    found = below(watched, up, down)
    assert len(found) == len(words)
    assert all(word in line for word, line in zip(words, found, strict=True))


class Wire:
    """A connection whose round trips take the given seconds; None: the connection is lost."""

    def __init__(self, *trips: float | None) -> None:
        self._trips = list(trips)

    def echo(self) -> Wire:
        return self

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None: ...

    def round_trip(self) -> float | None:
        return self._trips.pop(0) if self._trips else 0.001

    def up(self) -> float | None:
        return 20e6

    down = up


def test_reconnections_are_counted() -> None:
    forward = Forward("shop", "web", 1, "127.0.0.1", 80)
    code, document = net_test(
        "mini", Wire(0.002), lambda: [(forward, 0.004)], lambda: True, 0.0, lambda line: None, Event()
    )
    assert SCHEMA.is_valid(document)
    assert (code, document["reconnects"], document["services"][0]["ms"]) == (0, 0, 4.0)
    code, document = net_test("mini", Wire(*[0.001] * 50, None), list, lambda: True, 0.1, lambda line: None, Event())
    assert (code, document["reconnects"], document["verdict"]) == (1, 1, "poor")
    assert "mini: poor" in text.render(document, Style(), 0.0)


def test_a_machine_that_cannot_be_reached_has_a_row() -> None:
    def ask(name: str) -> dict[str, Any]:
        if name == "gone":
            raise Transient(Reason.HOST_UNREACHABLE, "gone cannot be reached", "")
        found = status()
        return found | ({"agent": {"running": False}} if name == "asleep" else {})

    code, document = by_ssh(["mini", "gone", "asleep"], ask)
    assert SCHEMA.is_valid(document)
    assert (code, [row["state"] for row in document["hosts"]]) == (1, ["Synced Healthy", "Unknown", "Unknown"])
    assert by_ssh(["mini"], ask)[0] == 0
    assert by_ssh([], ask)[0] == 1
    assert "no agent runs there" in text.render(document, Style(), 0.0)


def test_only_the_last_paragraph_of_a_note_counts() -> None:
    note = "mini success X\n\nReconciler-State: failure\nforged\n\nReconciler-State: success\nReconciler-Reason: X\n"
    assert trailers(note) == {"State": "success", "Reason": "X"}


class HasAll:
    """A clone with every commit."""

    def changes(self) -> list[str]:
        return []

    def commit(self, revision: str) -> str:
        return revision

    def tree(self, sha: str) -> str:
        return sha

    def title(self, sha: str) -> str:
        return ""

    def fetched(self, remote: str, branch: str) -> str:
        return "b" * 40


def test_a_rollback_that_would_be_held_names_what_a_person_can_accept() -> None:
    held = {"outcome": "Held", "reason": "ConsentMissing", "message": "drops 1 of 1"}
    for hint, told in (
        (f"if this is intended, `reconciler accept {'a' * 12}`", "reconciler --on mini accept main"),
        ("`reconciler resume` ends it", "`reconciler resume` ends it"),
    ):
        plan = {**held, "hint": hint}
        hands = Hands(lambda *_, plan=plan: (1, plan), lambda *_: None, lambda *_: "", lambda _: None, Event())
        with pytest.raises(Usage, match="would not take aaaa") as caught:
            Deployer(RemoteHost("mini", "mini"), "mini", HasAll(), hands).roll_back(
                "a" * 40, lambda _: True, wait=True, timeout=1.0
            )
        assert told in caught.value.hint
        assert "accept aaa" not in caught.value.hint
