"""Pulls images, and tells faults of the commit from faults of the registry."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

import docker
from docker.errors import APIError, DockerException, ImageNotFound, InvalidRepository
from docker.types import CancellableStream
from requests.exceptions import ConnectionError as Disconnected
from urllib3.exceptions import ReadTimeoutError

from reconciler.effects import Effects
from reconciler.engine import Negotiating, disk_full, engine_calls, explanation, is_disk_full
from reconciler.errors import ImageFailed, ReconcilerError, Transient
from reconciler.model.images import Image, ImageWant, image_of
from reconciler.model.outcome import Reason
from reconciler.waiting import patiently

DEADLINE = 1800.0
"""Seconds for one pull."""

SILENCE = 300.0
"""Seconds without a message from the engine after which a pull is given up."""

NOT_THERE = (
    "manifest unknown",
    "name unknown",
    "not found",
    "denied",
    "does not exist",
    "invalid reference format",
    "invalid tag format",
    "invalid repository name",
    "no matching manifest",
    "does not match the specified platform",
    "missing signature key",
)
"""Refusals that another try would not change: the commit names an image that the registry does not give us."""


_BODY = re.compile(
    r"\b(response body|denied|forbidden|unauthorized|toomanyrequests|unknown)(?:: .*|$)", re.IGNORECASE | re.DOTALL
)
"""After these words the engine repeats the answer that it got. It asks in the host's own network, and a commit chooses
the address: `127.0.0.1:8080/x`, or a registry that redirects there. The report must not contain the answer."""


class PatientClient(Negotiating, docker.APIClient):
    """A client whose pulls end; in docker-py they can wait for ever."""

    def __init__(self, host: str) -> None:
        super().__init__(base_url=host, timeout=60)
        self._answer: Any = None

    def request(self, *arguments: Any, **options: Any) -> Any:
        self._answer = None
        self._answer = super().request(*arguments, **{**options, "timeout": options.get("timeout") or SILENCE})
        return self._answer

    def hang_up(self) -> None:
        """End the answer that another thread reads at this moment; the engine cancels the work when its caller is
        gone."""
        if self._answer is not None:
            with suppress(DockerException, OSError, AttributeError, ValueError):
                CancellableStream(iter(()), self._answer).close()


class ImagePuller:
    """Pulls with the credentials of Docker's own config file."""

    def __init__(self, client: PatientClient, effects: Effects, heard: Callable[[], None] = lambda: None) -> None:
        """`heard` is called whenever the engine reports progress."""
        self._client = client
        self._effects = effects
        self._heard = heard

    def pull(self, want: ImageWant) -> Image:
        """Pull `want.ref`. ImageFailed (PullFailed) if there is no such image for us.

        Transient (PullFailed) if the registry cannot be asked or does not answer, Away if the engine does not.
        """
        self._effects.point(f"pull {want.ref}")
        cut = threading.Event()

        def hang_up() -> None:
            cut.set()
            self._client.hang_up()

        return patiently(lambda: self._pull(want, cut), hang_up)

    def _pull(self, want: ImageWant, cut: threading.Event) -> Image:
        """In a thread of its own, because the engine says nothing while a registry does not answer."""
        with engine_calls(f"pull {want.ref}"):
            try:
                lines = self._client.pull(want.ref, platform=want.platform, stream=True, decode=True)
                self._follow(want.ref, lines, cut)
                inspected = self._client.inspect_image(want.ref)  # type: ignore[no-untyped-call]  # the stubs lack it
                return image_of(inspected, want.ref)
            except InvalidRepository as error:
                raise pull_error(want.ref, f"invalid reference format: {error}") from error
            except ImageNotFound as error:
                raise pull_error(want.ref, f"not found: {explanation(error)}") from error
            except APIError as error:
                raise pull_error(want.ref, explanation(error)) from error
            except (ReadTimeoutError, Disconnected) as error:
                raise _given_up(want.ref, error) from error
            except DockerException as error:
                if "Credentials store error" not in str(error):
                    raise
                raise pull_error(want.ref, str(error)) from error

    def _follow(self, ref: str, lines: Iterable[Mapping[str, Any]], cut: threading.Event) -> None:
        deadline = time.monotonic() + DEADLINE
        for line in lines:
            if cut.is_set():  # before there was an answer to end
                self._client.hang_up()
                return
            if line.get("error"):
                raise pull_error(ref, str(line["error"]))
            self._heard()
            if time.monotonic() > deadline:
                raise _transient(ref, f"it takes longer than {DEADLINE / 60:g} min")


def pull_error(ref: str, text: str) -> ReconcilerError:
    """The meaning of a refused pull, from the words of engine and registry."""
    if is_disk_full(text):
        return disk_full(f"pull {ref}", text)
    words, text = text.lower(), _BODY.sub(r"\1", text, count=1)
    if "unauthorized" in words and "denied" not in words:
        return _transient(ref, text, "The registry wants credentials: `docker login` as the agent's user.")
    if any(part in words for part in NOT_THERE):
        return ImageFailed(
            Reason.PULL_FAILED,
            f"the image {ref} cannot be pulled: {text}",
            "Is its name right, was it pushed, and does this machine have the rights to it (`docker login`)?",
        )
    return _transient(ref, text)


def _given_up(ref: str, error: Exception) -> ReconcilerError:
    """If the client cannot reach the engine at all, the registry is not at fault."""
    if isinstance(error, Disconnected) and "Read timed out" not in str(error):
        raise error
    return _transient(ref, f"nothing has come for {SILENCE:g} s")


def _transient(ref: str, text: str, hint: str = "") -> Transient:
    return Transient(
        Reason.PULL_FAILED,
        f"the image {ref} cannot be pulled now: {text}",
        hint or "The commit is probably correct; it is tried again.",
    )
