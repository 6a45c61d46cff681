"""Questions to real servers on loopback: what counts as an answer, and what a hostile one can do."""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from reconciler.model.endpoints import Answer, Watched
from reconciler.observe import probe
from reconciler.observe.probe import ask

Talk = Callable[[socket.socket], None]
NO_TRUST = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class Server:
    """Answers each connection by `talk`. `heard`: what clients have sent first."""

    def __init__(self, talk: Talk, context: ssl.SSLContext | None = None) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._talk, self._context = talk, context
        self.heard: list[bytes] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._one, args=(connection,), daemon=True).start()

    def _one(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            if self._context:
                with self._context.wrap_socket(connection, server_side=True) as secure:
                    self._talk(secure)
            else:
                self._talk(connection)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # ends the accept that is under way
        self._listener.close()

    def says(self, text: bytes) -> None:
        def talk(connection: socket.socket) -> None:
            self.heard.append(connection.recv(4096))
            connection.sendall(text)

        self._talk = talk


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server(lambda connection: None)
    yield made
    made.close()


def asked(url: str, door: str | None = None, trust: ssl.SSLContext = NO_TRUST) -> Answer:
    item = Watched("shop", "web", url)
    return ask([(item, door)], lambda: trust)[item]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", ""),
        (b"HTTP/1.0 204 No Content\r\n\r\n", ""),
        (b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", ""),
        (b"HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1:1/\r\n\r\n", ""),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", "it answers 404"),
        (b"HTTP/1.1 503 <script>\r\n\r\n", "it answers 503"),
        (b"SSH-2.0-OpenSSH\r\n", "it does not speak http"),
        (b"", "it does not speak http"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 20_000, "it does not speak http"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000, "it does not speak http"),
    ],
)
def test_an_answer_is_judged_by_its_status(server: Server, text: bytes, fault: str) -> None:
    server.says(text)
    assert asked(f"http://localhost:{server.port}/health?deep", "127.0.0.1").fault == fault
    [request] = server.heard
    assert request.startswith(b"GET /health?deep HTTP/1.1\r\n")
    assert f"Host: localhost:{server.port}\r\n".encode() in request


def test_the_address_that_is_given_is_the_one_that_is_asked(server: Server) -> None:
    server.says(b"HTTP/1.1 200 OK\r\n\r\n")
    assert asked(f"http://elsewhere.invalid:{server.port}/", "127.0.0.1").fault == ""
    assert asked("http://elsewhere.invalid/").fault == "its host has no address"
    assert asked(f"http://a..b:{server.port}/").fault == "its host is no name"


def test_a_port_counts_as_open_only_while_the_connection_lasts(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine's proxy accepts, and closes at once where nothing listens behind it."""
    with monkeypatch.context() as patient:
        patient.setattr(probe, "QUIET", 60.0)
        patient.setattr(probe, "PATIENCE", 60.0)
        assert asked(f"tcp://127.0.0.1:{server.port}").fault == "the connection is closed at once"
    server._talk = lambda connection: connection.sendall(b"220 ready\r\n")
    assert asked(f"tcp://127.0.0.1:{server.port}").fault == ""
    server._talk = lambda connection: time.sleep(3)
    assert asked(f"tcp://127.0.0.1:{server.port}").fault == ""
    server.close()
    assert asked(f"tcp://127.0.0.1:{server.port}").fault == "connection refused"


def test_a_slow_answer_takes_no_longer_than_its_time(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def drip(connection: socket.socket) -> None:
        while True:
            connection.sendall(b"H")
            time.sleep(0.05)

    server._talk = drip
    monkeypatch.setattr(probe, "PATIENCE", 0.5)
    begun = time.monotonic()
    assert asked(f"http://127.0.0.1:{server.port}/").fault.startswith("no answer within")
    assert time.monotonic() - begun < 30


def certificate(folder: Path, days: int, name: str = "localhost") -> Path:
    """A certificate that signs itself, with its key."""
    made, key = folder / f"{days}.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days",
         str(days), "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}", "-keyout", key, "-out", made],
        check=True, capture_output=True,
    )  # fmt: skip
    made.write_text(made.read_text() + key.read_text())
    return made


def test_the_end_of_a_certificate_is_known(server: Server, tmp_path: Path) -> None:
    made = certificate(tmp_path, 10)
    server._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server._context.load_cert_chain(made)
    server.says(b"HTTP/1.1 200 OK\r\n\r\n")
    url, trust = f"https://localhost:{server.port}/", ssl.create_default_context(cafile=str(made))
    answer = asked(url, "127.0.0.1", trust)
    assert answer.fault == ""
    assert answer.expires == pytest.approx(time.time() + 10 * 86400, abs=300)
    stranger = asked(url, "127.0.0.1", ssl.create_default_context())
    assert stranger.fault.startswith("its certificate is not accepted: self")
    assert stranger.expires is None
    other = asked(f"https://other.example:{server.port}/", "127.0.0.1", trust)
    assert "Hostname mismatch" in other.fault
    server.says(b"HTTP/1.1 500 Broken\r\n\r\n")
    broken = asked(url, "127.0.0.1", trust)
    assert (broken.fault, broken.expires) == ("it answers 500", answer.expires)


def test_many_are_asked_together_and_each_has_its_answer(server: Server) -> None:
    server.says(b"HTTP/1.1 200 OK\r\n\r\n")
    good = [Watched("shop", f"s{n}", f"http://127.0.0.1:{server.port}/{n}") for n in range(60)]
    bad = Watched("shop", "down", "tcp://127.0.0.1:1")
    found = ask([(item, None) for item in (*good, bad)], lambda: NO_TRUST)
    assert [found[item].fault for item in good] == [""] * 60
    assert found[bad].fault == "connection refused"
