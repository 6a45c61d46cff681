"""The only module that calls the engine: a client with a timeout on every call, and one classification of its errors.

The client's library takes 10 MB of memory, so it is imported where it is needed; a turn without changes does not need
it.
"""

from __future__ import annotations

import functools
import json
import re
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from reconciler.errors import Away, Transient
from reconciler.model.outcome import Reason

if TYPE_CHECKING:
    import docker
    from docker.errors import APIError

UNIX = "unix://"

OLDEST_API = "1.44"
"""The version of the API that this program is written for. Engine 25 and later speak it."""

PODMAN_HEADER = "libpod-api-version"
"""Podman sets it in every answer; Docker never does."""

TIMEOUT = 30
"""Seconds for any call; for a stop, the container's grace period is added."""

PIECE = 64 << 10
"""Bytes of an answer that are read at a time."""

CUT_OFF = "the answer was cut off"

LONG_ID = re.compile(r"\b[0-9a-f]{64}\b")
DISK_FULL = ("no space left on device", "disk quota exceeded")
TROUBLE = re.compile(
    r"connection (?:refused|error)|context (?:deadline exceeded|canceled)|shutting down|transport is closing"
    r"|containerd is not|task\b.*already exists|resource temporarily unavailable|too many open files"
    r"|cannot allocate memory|iptables",
    re.IGNORECASE,
)
"""Texts in errors that say that the engine itself failed."""

LOG_DRIVER = "initialize logging driver"
"""Part of the engine's refusal to start a container whose log goes to an address that does not answer. The same start
would be refused as long as the address is wrong, so it must not be repeated with an outage each time."""


WRONG_API = re.compile(r"client version \S+ is too (?:old|new)")
"""The engine's answer to a call in a version that it does not speak (moby, api/server/middleware/version.go)."""

_spoken: dict[str, str] = {}
"""Engine's address → version of its API that we use."""


class Negotiating:
    """A base class to be named before `docker.APIClient`. With it each call uses an API version that the engine has at
    that moment, because an engine that was away may be a newer one when it is back."""

    def __init__(self, *, base_url: str, timeout: int) -> None:
        self._host = base_url
        super().__init__(base_url=base_url, version=api_version(base_url), timeout=timeout)  # type: ignore[call-arg]

    @property
    def _version(self) -> str:
        return api_version(self._host)

    @_version.setter
    def _version(self, value: str) -> None:
        """Ignored: the library sets the version that we gave it."""


def load_without_ssh(host: str) -> None:
    """Let the client's library not load paramiko when it is imported: where that is installed (by pyinfra, for
    instance), it takes 18 MB. Only an engine at ssh:// needs it."""
    if not host.startswith("ssh://"):
        sys.modules.setdefault("docker.transport.sshconn", None)  # type: ignore[arg-type]


def connect(host: str, timeout: int = TIMEOUT) -> docker.APIClient:
    """A client of the engine at `host` (unix://, tcp://, ssh://). `timeout`: seconds of each call. Errors as
    `api_version`."""
    api_version(host)
    with engine_calls("connect"):
        return _client_class()(base_url=host, timeout=timeout)


@functools.cache
def _client_class() -> type[docker.APIClient]:
    import docker

    class Client(Negotiating, docker.APIClient):
        pass

    return Client


def api_version(host: str) -> str:
    """The API version that we use with this engine. The engine is asked once (one call, 1 ms), and again after it was
    away or has refused the version.

    It is OLDEST_API if the engine supports that, because its answers were tested; else the engine's oldest version.
    Away if the engine does not answer; Transient if it is Podman, or supports older versions only.
    """
    known = _spoken.get(host)
    if known is None:  # another thread may forget it at any moment
        known = _spoken[host] = _negotiated(host)
    return known


def forget_versions() -> None:
    """Ask each engine again before the next call."""
    _spoken.clear()


def _negotiated(host: str) -> str:
    with _asking(host) as ask:
        status, head, _ = ask(f"/v{OLDEST_API}/_ping")
        if PODMAN_HEADER not in head:
            if status >= 500:
                raise away("say which API it speaks", ConnectionError(f"HTTP {status}"))
            if status not in (400, 404):  # a proxy in front of the engine may forbid this request
                return OLDEST_API
        told = _told(*ask("/version"))
    version = told.get("Version", "")
    if PODMAN_HEADER in head:
        raise Transient(
            Reason.ENGINE_UNAVAILABLE,
            f"{host} is Podman {version}, which reconciler does not manage (docs/engine.md says why)",
            "install Docker Engine 25 or later, or name its socket with `engine` in the agent config",
        )
    oldest, newest = str(told.get("MinAPIVersion", "")), str(told.get("ApiVersion", ""))
    if _number(oldest) > _number(OLDEST_API):
        return oldest
    raise Transient(
        Reason.ENGINE_UNAVAILABLE,
        f"the engine {version} at {host} speaks its API up to {newest or '(unknown)'}, and {OLDEST_API} is needed",
        "install Docker Engine 25 or later",
    )


def descriptions(host: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The engine's answers to `info` and `version`, {} for one that fails. Two calls."""
    version = api_version(host)
    with _asking(host) as ask:
        return _told(*ask(f"/v{version}/info")), _told(*ask("/version"))


@contextmanager
def engine_calls(what: str) -> Iterator[None]:
    """Around calls of the client: every error in them becomes Away or another Transient.

    Answers about the request itself (gone, refused) must be caught inside, where their meaning is known.
    """
    from docker.errors import APIError, DockerException
    from requests.exceptions import RequestException
    from urllib3.exceptions import HTTPError

    try:
        yield
    except APIError as error:
        raise unexpected(what, error) from error
    except (DockerException, RequestException, HTTPError, OSError) as error:
        raise away(what, error) from error


LIST = "list containers"


def containers_of(host: str, filters: Mapping[str, Any]) -> bytes | None:
    """The engine's list of all containers that pass `filters`, as JSON, without the client's library.

    None if that is not possible: `host` is no unix socket, or the answer is not the list. Away if the engine does not
    answer. A list that was cut off may be returned; `parsed` finds that.
    """
    if not host.startswith(UNIX):
        return None
    query = urlencode({"all": 1, "filters": json.dumps(filters)})
    status, body = _plain(host, f"containers/json?{query}", LIST)
    return body if status == 200 else None


def plain_inspect(host: str, kind: str, name: str, what: str = "json") -> tuple[bool, dict[str, Any] | None]:
    """Request `/KIND/NAME/WHAT` (kind: `containers` or `images`), without the client's library.

    (True, answer); (True, None): the object is gone; (False, None): it cannot be read in this way. Away if the engine
    does not answer.
    """
    if not host.startswith(UNIX):
        return False, None
    asked = f"inspect {name[:19]}"
    status, body = _plain(host, f"{kind}/{name}/{what}", asked)
    return status in (200, 404), parsed(body, asked) if status == 200 else None


def parsed(body: bytes, what: str) -> Any:
    """The JSON of an answer to `what`. Away if it is cut off: in HTTP/1.0 such an answer of an ending engine looks
    whole."""
    try:
        return json.loads(body)
    except ValueError as error:
        raise away(what, error) from error


def _plain(host: str, target: str, what: str) -> tuple[int, bytes]:
    """Status and body of a GET request. A second one in another version, if the engine no longer speaks ours."""
    for _ in range(2):
        version = api_version(host)
        try:
            status, _, body = _get(host.removeprefix(UNIX), f"/v{version}/{target}")
        except OSError as error:
            raise away(what, error) from error
        if status != 400 or not WRONG_API.search(body.decode(errors="replace")):
            break
        forget_versions()
    return status, body


def plain_stats(host: str, container: str) -> tuple[bool, dict[str, Any] | None]:
    """A container's present use; result as of `plain_inspect`."""
    return plain_inspect(host, "containers", container, "stats?stream=false&one-shot=true")


@contextmanager
def plain_events(host: str, filters: Mapping[str, Any]) -> Iterator[socket.socket]:
    """A connection on which the engine at this unix socket sends a head and then its events, one JSON text per line.

    OSError if the engine cannot be reached.
    """
    query = urlencode({"filters": json.dumps(filters)})
    try:
        version = api_version(host)
    except Transient as error:
        raise ConnectionError(error.message) from error
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(TIMEOUT)
        connection.connect(host.removeprefix(UNIX))
        connection.sendall(f"GET /v{version}/events?{query} HTTP/1.0\r\nHost: docker\r\n\r\n".encode())
        try:
            yield connection
        finally:
            forget_versions()  # the engine has ended, most likely: the next one may be newer


@contextmanager
def plain_stream(host: str, target: str, patience: float | None) -> Iterator[Stream]:
    """A GET request to the engine at this unix socket, for an answer that is a stream. The client's library takes three
    times as long for a long log, because the engine sends each line in a chunk of its own.

    `patience`: seconds for each piece of the body; None: no bound. OSError if the engine does not answer, or its answer
    is cut off.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(TIMEOUT)
        connection.connect(host.removeprefix(UNIX))
        asked = f"GET /v{api_version(host)}/{target} HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n"
        connection.sendall(asked.encode())
        held, ended = b"", -1
        while ended < 0:
            piece = connection.recv(PIECE)
            if not piece:
                raise ConnectionError(CUT_OFF)
            held += piece
            ended = held.find(b"\r\n\r\n")
        status, head = _head(held[:ended])
        connection.settimeout(patience)
        yield connection, status, head, _chunks(connection, held[ended + 4 :])


def _chunks(connection: socket.socket, begun: bytes) -> Iterator[bytes]:
    """The chunks of a body (RFC 9112, 7.1); those that arrive together are one piece. ConnectionError if the last one
    does not come."""
    held = bytearray(begun)
    while True:
        found: list[bytearray] = []
        at, end = 0, held.find(b"\r\n")
        while end >= 0:
            size = int(held[at:end].partition(b";")[0], 16)
            begin, at_next = end + 2, end + 4 + size
            if len(held) < at_next:
                break
            if size == 0:
                yield b"".join(found)
                return
            found.append(held[begin : begin + size])
            at, end = at_next, held.find(b"\r\n", at_next)
        del held[:at]
        yield b"".join(found)
        piece = connection.recv(PIECE)
        if not piece:
            raise ConnectionError(CUT_OFF)
        held += piece


Head = Mapping[str, str]
Ask = Callable[[str], tuple[int, Head, bytes]]
"""Path and query of a GET request → status, head (names in lower case) and body."""

Stream = tuple[socket.socket, int, Head, Iterator[bytes]]
"""An answer's connection, status, head, and body in pieces."""


@contextmanager
def _asking(host: str) -> Iterator[Ask]:
    """A function for GET requests whose paths have no API version. Away if the engine does not answer."""
    if host.startswith(UNIX):
        try:
            yield functools.partial(_get, host.removeprefix(UNIX))
        except OSError as error:
            raise away("say which API it speaks", error) from error
        return
    import docker

    with engine_calls("say which API it speaks"), closing(docker.APIClient(host, OLDEST_API, TIMEOUT)) as client:

        def ask(target: str) -> tuple[int, Head, bytes]:
            answer = client.get(f"{client.base_url}{target}", timeout=TIMEOUT)
            return answer.status_code, {name.lower(): text for name, text in answer.headers.items()}, answer.content

        yield ask


def _get(path: str, target: str) -> tuple[int, Head, bytes]:
    """One GET request to the socket `path`. In HTTP/1.0, so the answer ends with the connection."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(TIMEOUT)
        connection.connect(path)
        connection.sendall(f"GET {target} HTTP/1.0\r\nHost: docker\r\n\r\n".encode())
        pieces = []
        while piece := connection.recv(PIECE):
            pieces.append(piece)
    text, ended, body = b"".join(pieces).partition(b"\r\n\r\n")
    status, head = _head(text)
    size = head.get("content-length")
    if not ended or not status or (size is not None and len(body) != int(size)):
        raise ConnectionError(CUT_OFF)
    return status, head, body


def _head(text: bytes) -> tuple[int, Head]:
    """Status and head of an answer. 0: it has no status."""
    first, *lines = text.decode("latin-1").split("\r\n")
    status = first.split(" ", 2)[1:2]
    fields = (line.partition(":") for line in lines)
    head = {name.lower(): value.strip() for name, _, value in fields}
    return int(status[0]) if status and status[0].isdigit() else 0, head


def _told(status: int, head: Head, body: bytes) -> Mapping[str, Any]:
    """The JSON object in the answer; {} if there is none."""
    try:
        value = json.loads(body) if status == 200 else None
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _number(version: str) -> tuple[int, ...]:
    """A version like 1.44 as numbers; () if it is none."""
    parts = version.split(".")
    return tuple(map(int, parts)) if all(part.isdecimal() for part in parts) else ()


def away(what: str, error: Exception) -> Away:
    """The error for a missing answer. The engine that answers next may be another one."""
    forget_versions()
    return Away(
        Reason.ENGINE_UNAVAILABLE,
        f"the engine does not answer ({what}): {error}",
        "Is it running (`docker info`)? DOCKER_HOST or `engine` in the agent config say where it is.",
    )


def unexpected(what: str, error: APIError) -> Transient:
    """The error for an answer that the caller does not understand. Away: the engine's own failure."""
    text = explanation(error)
    if is_disk_full(text):
        return disk_full(what, text)
    if WRONG_API.search(text):
        forget_versions()  # the next call asks
    kind = Away if error.is_server_error() else Transient
    return kind(
        Reason.ENGINE_UNAVAILABLE,
        f"the engine could not {what}: {text} (HTTP {error.status_code})",
        "The engine's own log says more. At least Engine 25 is needed.",
    )


def disk_full(what: str, text: str) -> Transient:
    return Transient(
        Reason.ENGINE_UNAVAILABLE,
        f"the engine's disk is full ({what}): {text}",
        "Free space where the engine keeps its data (`docker system df`).",
    )


def is_disk_full(text: str) -> bool:
    return any(words in text.lower() for words in DISK_FULL)


def is_engine_trouble(text: str) -> bool:
    """Whether the text says that the engine itself failed, so that the request is not at fault."""
    return TROUBLE.search(text) is not None and LOG_DRIVER not in text


def explanation(error: APIError) -> str:
    """The engine's message, on one line, with short ids."""
    text = " ".join(str(error.explanation or error).split())
    return LONG_ID.sub(lambda found: found.group()[:12], text)
