"""The one door to the engine: a client with a timeout on every call, and one reading of its failures."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import docker
from docker.errors import APIError, DockerException, NotFound
from requests.exceptions import RequestException
from urllib3.exceptions import HTTPError

from reconciler.errors import Away, Transient
from reconciler.model.outcome import Reason

API_VERSION = "1.44"
"""Spoken by Engine 25 and everything since; pinned, so that no call is spent on asking (0.1 s)."""

TIMEOUT = 30
"""Seconds that any call may take; a stop gets the container's grace on top."""

LONG_ID = re.compile(r"\b[0-9a-f]{64}\b")
DISK_FULL = ("no space left on device", "disk quota exceeded")
TROUBLE = re.compile(
    r"connection (?:refused|error)|context (?:deadline exceeded|canceled)|shutting down|transport is closing"
    r"|containerd is not|task\b.*already exists|resource temporarily unavailable|too many open files"
    r"|cannot allocate memory|iptables",
    re.IGNORECASE,
)
"""Words of an engine that fails at its own work."""


def connect(host: str, timeout: int = TIMEOUT) -> docker.APIClient:
    """A client of the engine at `host` (unix://, tcp://, ssh://). Asks nothing yet."""
    with engine_calls("connect"):
        return docker.APIClient(base_url=host, version=API_VERSION, timeout=timeout)


@contextmanager
def engine_calls(what: str) -> Iterator[None]:
    """Around calls of the client: whatever goes wrong in them leaves as Away or another Transient.

    Answers that are about the request (gone, refused) are to be caught inside, where their meaning is known.
    """
    try:
        yield
    except APIError as error:
        raise unexpected(what, error) from error
    except (DockerException, RequestException, HTTPError, OSError) as error:
        raise Away(
            Reason.ENGINE_UNAVAILABLE,
            f"the engine does not answer ({what}): {error}",
            "Is it running (`docker info`)? DOCKER_HOST or `engine` in the agent config say where it is.",
        ) from error


def unexpected(what: str, error: APIError) -> Transient:
    """The error to raise for an answer that nobody at the call knows how to read. Away: the engine's own failure."""
    text = explanation(error)
    if is_disk_full(text):
        return disk_full(what, text)
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
    """The engine failed at its own work, so the answer says nothing about what was asked of it."""
    return TROUBLE.search(text) is not None


def is_gone(error: APIError) -> bool:
    return isinstance(error, NotFound)


def explanation(error: APIError) -> str:
    """The engine's own words, on one line, with ids in their short form."""
    text = " ".join(str(error.explanation or error).split())
    return LONG_ID.sub(lambda found: found.group()[:12], text)
