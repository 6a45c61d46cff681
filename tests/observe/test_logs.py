"""The engine's log format, cut anywhere."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import docker
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.engine import api_version, forget_versions, plain_stream
from reconciler.observe.containers import listed
from reconciler.observe.logs import LONGEST, ContainerLog, framed_pieces, lines, plain_pieces
from tests.conftest import engine_address
from tests.observe.test_engine_observer import Make, eventually, make

__all__ = ["make"]

TIME = "2026-11-29T06:30:00.{:09}Z"


def frame(stream: int, text: bytes) -> bytes:
    return bytes([stream, 0, 0, 0]) + len(text).to_bytes(4, "big") + text


def cut(data: bytes, places: list[int]) -> Iterator[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return (data[a:b] for a, b in itertools.pairwise(edges))


@given(st.lists(st.integers(0, 10_000)), st.lists(st.tuples(st.sampled_from([1, 2]), st.text("ab \t\0é", max_size=9))))
def test_frames_are_read_however_they_are_cut(places: list[int], printed: list[tuple[int, str]]) -> None:
    data = b"".join(frame(stream, f"{TIME.format(n)} {text}\n".encode()) for n, (stream, text) in enumerate(printed))
    found = list(lines(framed_pieces(cut(data, places))))
    names = {1: "stdout", 2: "stderr"}
    assert found == [(TIME.format(n), names[stream], text) for n, (stream, text) in enumerate(printed)]


def test_pieces_of_a_long_line_are_put_together_stream_by_stream() -> None:
    pieces = [
        ("stdout", f"{TIME.format(1)} one ".encode()),
        ("stderr", f"{TIME.format(2)} other\r\n".encode()),
        ("stdout", f"{TIME.format(3)} and two\n".encode()),
        ("stdout", f"{TIME.format(4)} cut off".encode()),
    ]
    assert list(lines(pieces)) == [
        (TIME.format(2), "stderr", "other"),
        (TIME.format(1), "stdout", "one and two"),
        (TIME.format(4), "stdout", "cut off"),
    ]


def test_log_of_a_terminal_has_lines_alone() -> None:
    data = f"{TIME.format(1)} a\r\n{TIME.format(2)} b\r\n".encode()
    assert [line for _, _, line in lines(plain_pieces(cut(data, [3, 40])))] == ["a", "b"]


def test_terminal_line_without_an_end_is_cut() -> None:
    piece = b"a b" * 1000
    printed = [f"{TIME.format(1)} ".encode(), *([piece] * 1500)]
    first, *rest = lines(plain_pieces(printed))
    assert len(first[2]) < LONGEST + 2 * len(piece)
    assert {time for time, _, _ in (first, *rest)} == {TIME.format(1)}
    assert "".join(text for _, _, text in (first, *rest)) == (piece * 1500).decode()


def test_time_of_another_zone_is_told_in_utc() -> None:
    [(time, _, _)] = lines([("stdout", b"2026-11-29T07:30:00.123456+01:00 x\n")])
    assert time == "2026-11-29T06:30:00.123456000Z"


def chunked(pieces: list[bytes], end: bytes = b"0\r\n\r\n") -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + end


@pytest.mark.parametrize("cuts", [[], [1], [2], list(range(1, 60)), [5, 6, 7, 30]])
def test_chunks_of_an_answer_are_joined_wherever_they_are_cut(tmp_path: Path, cuts: list[int]) -> None:
    pieces = [b"a", b"0\r\n\r\n", b"x" * 40]
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    for data, whole in ((chunked(pieces), True), (chunked(pieces, b""), False), (chunked(pieces)[:-30], False)):
        with served(tmp_path, cut(head + data, cuts)) as address:
            found = b""
            with plain_stream(address, "x", 5) as (_, status, told, read):
                assert (status, told["transfer-encoding"]) == (200, "chunked")
                try:
                    for piece in read:
                        found += piece
                    assert whole
                except ConnectionError:
                    assert not whole
        assert found == b"".join(pieces) or not whole


def test_followed_log_whose_head_does_not_come_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()

    def silent() -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK"
        ended.wait(20)

    with served(tmp_path, silent()) as address:
        monkeypatch.setattr("reconciler.engine.TIMEOUT", 0.2)
        with pytest.raises(TimeoutError), plain_stream(address, "x", None):
            raise AssertionError
        ended.set()


@contextmanager
def served(folder: Path, parts: Iterable[bytes]) -> Iterator[str]:
    """An engine that answers the second request with these parts."""
    path = folder / "engine.sock"
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(path))
        door.listen()

        def answer() -> None:
            for sent in ([b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"], parts):
                connection, _ = door.accept()
                with connection:
                    connection.recv(4096)
                    for part in sent:
                        connection.sendall(part)
                        time.sleep(0.001)

        thread = threading.Thread(target=answer)
        forget_versions()
        thread.start()
        api_version(f"unix://{path}")
        yield f"unix://{path}"
        thread.join()
        forget_versions()


@pytest.mark.engine
@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("tty", [False, True])
def test_real_engine_tells_all_of_it(engine: docker.APIClient, make: Make, tty: bool, plain: bool) -> None:
    log = partial(ContainerLog, address=engine_address() if plain else "")
    long = "x" * 40_000
    program = f"echo first; echo second; printf '%s\\n' {long}; echo last"
    container = make(program, tty=tty)
    assert eventually(lambda: engine.inspect_container(container)["State"]["Status"] == "exited")
    [answer] = engine.containers(all=True, filters={"id": container})
    item = listed(answer)
    whole = list(log(engine, item))
    texts = [line.line for line in whole]
    assert texts[:2] == ["first", "second"]
    assert texts[-1] == "last"
    if not tty:
        assert texts[2] == long
    assert {(line.container, line.stream) for line in whole} == {(container, "stdout")}
    assert [line.line for line in log(engine, item, tail=1)] == ["last"]
    assert next(line.line for line in log(engine, item, since=whole[1].time)) == "second"
    assert [line.line for line in log(engine, item, until=whole[0].time)] == ["first"]
    engine.remove_container(container)
    assert list(log(engine, item)) == []


@pytest.mark.engine
def test_a_followed_log_ends_when_it_is_closed(engine: docker.APIClient, make: Make) -> None:
    container = make("echo first; sleep 1000")
    assert eventually(lambda: engine.containers(filters={"id": container}))
    [answer] = engine.containers(filters={"id": container})
    log = ContainerLog(engine, listed(answer), follow=True, address=engine_address())
    found: list[str] = []

    def read() -> None:
        for line in log:
            found.append(line.line)

    reading = threading.Thread(target=read)
    reading.start()
    assert eventually(lambda: bool(found))
    log.close()
    reading.join(30)
    assert (reading.is_alive(), found) == (False, ["first"])
