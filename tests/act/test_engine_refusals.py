"""Classification of the engine's refusals by their words."""

from __future__ import annotations

import pytest
import requests
from docker.errors import APIError, NotFound

from reconciler.act.compose import _failure as compose_failure
from reconciler.act.refusals import gone, refusals
from reconciler.engine import engine_calls
from reconciler.errors import Away, ReconcilerError, RolloutFailed, Transient
from reconciler.model.outcome import Reason

ID = "a" * 64


def answer(status: int, words: str) -> APIError:
    response = requests.Response()
    response.status_code = status
    kind = NotFound if status == 404 else APIError
    return kind("the engine's answer", response, words)


def raised(status: int, words: str) -> ReconcilerError:
    """The error that a start raises if the engine answers so."""
    with pytest.raises(ReconcilerError) as error, engine_calls("start it"), refusals("start it"), gone(ID):
        raise answer(status, words)
    return error.value


RUNC = (
    "failed to create task for container: failed to create shim task: OCI runtime create failed: runc create failed: "
    "unable to start container process: "
)
PROGRAM = (
    'exec: "nosuch": executable file not found in $PATH',
    'exec: "/data": permission denied',
    'error during container init: exec: "/x": stat /x: no such file or directory',
    "exec /app: exec format error",
    "exec user process caused: exec format error",
    "unable to find user nosuch: no matching entries in passwd file",
    "unable to find group nosuch: no matching entries in group file",
    'chdir to cwd ("/nosuch") set in config.json failed: permission denied',
    "crun: executable file `nosuch` not found in $PATH: No such file or directory",
)
"""A program that cannot be started."""

SETTINGS = (
    "failed to set up container networking: endpoint with that name exists",
    'error during container init: error mounting "/a" to rootfs at "/b": no such file or directory',
    "error during container init: open /proc/sys/net/x: no such file or directory",
    "error running prestart hook #0: exec: nvidia-smi: executable file not found in $PATH",
    'could not select device driver "nvidia" with capabilities: [[gpu]]',
    "can't join IPC of container a: non-shareable IPC (hint: use IpcMode:shareable for the donor container)",
    "could not find an available, non-overlapping IPv6 address pool among the defaults to assign to the network",
    "multiple overlapping subnet configuration is not supported",
    "invalid CIDR address: 10.0.0.0/99",
    "failed to initialize logging driver: dial tcp 127.0.0.1:1: connect: connection refused",
)
"""Other things that the commit asks of the engine."""


@pytest.mark.parametrize(
    ("words", "reason"),
    [*((words, Reason.CRASHED) for words in PROGRAM), *((words, Reason.ENGINE_REFUSED) for words in SETTINGS)],
)
@pytest.mark.parametrize("layers", ["", RUNC])
def test_blames_the_commit(layers: str, words: str, reason: Reason) -> None:
    error = raised(500, layers + words)
    assert isinstance(error, RolloutFailed)
    assert error.failure.reason is reason
    assert words.removeprefix("error during container init: ").removeprefix("crun: ") in error.message
    assert error.hint


@pytest.mark.parametrize(
    "words",
    ['invalid CapAdd: unknown capability: "CAP_X"', "unknown or invalid runtime name: x", "no command specified"],
)
def test_a_container_that_is_not_created_has_not_crashed(words: str) -> None:
    error = compose_failure("shop", ["web"], f"Error response from daemon: {words}\n")
    assert isinstance(error, RolloutFailed)
    assert (error.failure.reason, error.failure.service) == (Reason.ENGINE_REFUSED, "web")


def test_says_what_is_wrong_and_not_who_passed_it_on() -> None:
    error = raised(
        400,
        "failed to create task for container: failed to create shim task: OCI runtime create failed: runc create "
        'failed: unable to start container process: exec: "/missing": stat /missing: no such file: unknown',
    )
    assert error.message == 'the engine refused to start it: exec: "/missing": stat /missing: no such file'


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (500, "Bind for 0.0.0.0:80 failed: port is already allocated"),
        (500, "listen tcp4 0.0.0.0:80: bind: address already in use"),
        (500, "Address already in use"),
        (403, "Pool overlaps with other one on this address space"),
        (403, "cannot create network a (br-a): conflicts with network b (br-b): networks have overlapping IPv4"),
        (404, "could not find an available, non-overlapping IPv4 address pool among the defaults to assign to it"),
        (400, "all predefined address pools have been fully subnetted"),
        (403, "no available IPv4 addresses on this network's address pools: shop_default (" + ID + ")"),
        (404, f"network {ID} not found"),
        (409, "cannot join network of a non running container: " + ID),
        (400, 'invalid mount config for type "bind": bind source path does not exist: /srv/gone'),
    ],
)
def test_blames_others_on_the_machine(status: int, words: str) -> None:
    error = raised(status, words)
    assert isinstance(error, RolloutFailed)
    assert error.failure.reason is Reason.DEPENDENCY_NOT_READY
    assert error.hint


def test_a_network_that_is_gone_is_answered_with_the_command_that_makes_it() -> None:
    assert raised(404, "network edge not found").hint.startswith("docker network create edge, if")


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (503, "this daemon is shutting down"),
        (500, "failed to create task for container: task 6f0a: already exists: unknown"),
        (500, "connection error: desc = transport: dial unix /run/containerd.sock: connection refused"),
        (500, "fork/exec /usr/bin/unpigz: resource temporarily unavailable"),
        (500, "Unable to enable NAT rule: iptables failed"),
        (502, ""),
    ],
)
def test_blames_the_engine(status: int, words: str) -> None:
    assert isinstance(raised(status, words), Away)


def test_full_disk_is_nobodys_verdict() -> None:
    error = raised(500, "failed to copy: write /var/lib/docker/x: no space left on device")
    assert type(error) is Transient
    assert "docker system df" in error.hint


def test_container_that_somebody_removed_is_nobodys_verdict() -> None:
    error = raised(404, f"No such container: {ID}")
    assert type(error) is Transient
    assert ID[:12] in error.message


@pytest.mark.parametrize(
    "error",
    [
        requests.exceptions.ReadTimeout("read timed out"),
        requests.exceptions.ConnectionError("connection aborted"),
        ConnectionRefusedError("refused"),
        FileNotFoundError("no socket"),
    ],
)
def test_silence_is_away(error: Exception) -> None:
    with pytest.raises(Away) as away, engine_calls("list containers"):
        raise error
    assert away.value.reason is Reason.ENGINE_UNAVAILABLE
    assert "list containers" in away.value.message
