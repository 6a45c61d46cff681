"""Pulls and local images on the real engine, with a registry that gives chosen answers."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import docker
import pytest

from reconciler.act.images import ImagePuller, PatientClient, pull_error
from reconciler.effects import Effects
from reconciler.engine import OLDEST_API
from reconciler.errors import Away, ImageFailed, Interrupted, Transient
from reconciler.model.images import ImageWant
from reconciler.model.outcome import Reason
from reconciler.observe.images import LocalImages
from reconciler.waiting import listening
from tests.conftest import engine_address

pytestmark = pytest.mark.engine

ANSWERS = {
    "missing": (404, b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}'),
    "unnamed": (404, b'{"errors":[{"code":"NAME_UNKNOWN","message":"repository name not known"}]}'),
    "denied": (403, b'{"errors":[{"code":"DENIED","message":"requested access is denied"}]}'),
    "login": (401, b'{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}'),
    "busy": (429, b'{"errors":[{"code":"TOOMANYREQUESTS","message":"rate limit"}]}'),
    "sick": (503, b"oops"),
}


class Registry(BaseHTTPRequestHandler):
    """Answers according to the repository's name."""

    def do_GET(self) -> None:
        status, body = next((ANSWERS[name] for name in ANSWERS if name in self.path), (200, b"{}"))
        self.send_response(status)
        self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815 - http.server names its methods so

    def log_message(self, *arguments: object) -> None:
        return


@pytest.fixture(scope="module")
def registry() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Registry)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def puller(engine: docker.APIClient) -> Iterator[ImagePuller]:
    client = PatientClient(engine_address())
    yield ImagePuller(client, Effects())
    client.close()


def want(ref: str, platform: str | None = None) -> ImageWant:
    return ImageWant("shop", "web", ref, key=f"key of {ref}", tag=ref, platform=platform)


@pytest.mark.parametrize("repository", ["missing", "unnamed", "denied"])
def test_what_the_registry_does_not_give_is_the_commit_s_fault(
    puller: ImagePuller, registry: str, repository: str
) -> None:
    ref = f"{registry}/{repository}/image:1"
    with pytest.raises(ImageFailed, match=ref) as failed:
        puller.pull(want(ref))
    assert failed.value.reason is Reason.PULL_FAILED


@pytest.mark.parametrize("repository", ["login", "busy", "sick"])
def test_a_registry_in_trouble_quarantines_nothing(puller: ImagePuller, registry: str, repository: str) -> None:
    with pytest.raises(Transient, match=repository) as failed:
        puller.pull(want(f"{registry}/{repository}/image:1"))
    assert failed.value.reason is Reason.PULL_FAILED


def test_a_registry_that_is_not_there(puller: ImagePuller) -> None:
    with pytest.raises(Transient) as failed:
        puller.pull(want("127.0.0.1:1/x:1"))
    assert not isinstance(failed.value, Away)


@pytest.fixture
def mute() -> Iterator[str]:
    """A registry that accepts every connection and sends nothing."""
    held: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as watchdog:

        def accept() -> None:
            with suppress(OSError):
                while True:
                    held.append(watchdog.accept()[0])

        threading.Thread(target=accept, daemon=True).start()
        yield f"127.0.0.1:{watchdog.getsockname()[1]}"
    for connection in held:
        connection.close()


def test_a_pull_ends_as_soon_as_it_is_not_wanted_any_more(puller: ImagePuller, mute: str) -> None:
    def superseded() -> None:
        raise Interrupted(Reason.INTERRUPTED, "something newer came")

    begun = time.monotonic()
    with listening(superseded), pytest.raises(Interrupted):
        puller.pull(want(f"{mute}/silent:1"))
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize("ref", ["UPPER", "-x", "a b", "x@sha256:12"])
def test_names_that_cannot_be(engine: docker.APIClient, puller: ImagePuller, ref: str) -> None:
    assert LocalImages(engine).local([want(ref)]) == {}
    with pytest.raises(ImageFailed):
        puller.pull(want(ref))


def test_an_engine_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    address = "unix:///nonexistent/docker.sock"
    with pytest.raises(Away):
        PatientClient(address)
    monkeypatch.setattr("reconciler.engine.api_version", lambda host: OLDEST_API)
    client = PatientClient(address)  # as of an engine that was there
    with pytest.raises(Away):
        ImagePuller(client, Effects()).pull(want("x"))
    with pytest.raises(Away):
        LocalImages(client).local([want("x")])


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("manifest for x:1 not found: manifest unknown: manifest unknown", ImageFailed),
        ("pull access denied for x, repository does not exist or may require 'docker login'", ImageFailed),
        ("no matching manifest for linux/amd64 in the manifest list entries", ImageFailed),
        ("toomanyrequests: You have reached your pull rate limit", Transient),
        ("unauthorized: incorrect username or password", Transient),
        ('Get "https://r/v2/": net/http: TLS handshake timeout', Transient),
        ("write /var/lib/docker/tmp/x: no space left on device", Transient),
        ("error pulling image configuration: download failed after attempts=6: unexpected EOF", Transient),
    ],
)
def test_words_of_other_registries(text: str, kind: type[Exception]) -> None:
    assert isinstance(pull_error("x", text), kind)


@pytest.mark.parametrize(
    "text",
    [
        "pull access denied for x, repository does not exist or may require 'docker login': denied: <b>PRIVATE",
        'error parsing HTTP 404 response body: invalid character: "PRIVATE"',
        "manifest for x:1 not found: manifest unknown: PRIVATE",
        "unknown: PRIVATE\nPRIVATE",
        "unauthorized: PRIVATE",
        "toomanyrequests: PRIVATE",
    ],
)
def test_what_answered_in_a_registry_s_place_is_not_repeated(text: str) -> None:
    """A commit chooses which address the engine asks, and that may be a service in the host's own network."""
    told = pull_error("127.0.0.1:8080/x:1", text)
    assert "PRIVATE" not in f"{told.message} {told.hint} {told.details}"


def test_local_images(engine: docker.APIClient, images: dict[str, str]) -> None:
    host = engine.inspect_image("reconciler-test/actor")
    wants = [
        want("reconciler-test/checked"),
        want("reconciler-test/actor", platform=f"{host['Os']}/{host['Architecture']}"),
        want("reconciler-test/store", platform="linux/s390x"),
        want("reconciler-test/absent"),
        ImageWant("shop", "web", "absent", "built", "reconciler-test/store", build={"context": "."}),
    ]
    found = LocalImages(engine).local(wants)
    assert {key: image.id for key, image in found.items()} == {
        "key of reconciler-test/checked": images["checked"],
        "key of reconciler-test/actor": images["actor"],
        "built": images["store"],
    }
    assert [image.healthcheck for image in found.values()] == [True, False, False]
