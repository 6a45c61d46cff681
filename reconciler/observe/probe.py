"""Asks endpoints whether they answer. Every answer is bounded in bytes and time, and no redirect is followed."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Mapping

import h11

from reconciler import __version__
from reconciler.formats.endpoints import Address, parse
from reconciler.model.endpoints import Answer, Watched

PATIENCE = 10.0
"""Seconds for one question, from the resolution of the name to the answer's head."""

QUIET = 1.0
"""Seconds for which a tcp connection must stay open. The engine's proxy accepts each connection to a published port,
and closes it at once if nothing listens in the container."""

LARGEST = 32 << 10
"""Largest number of bytes up to the end of an answer's head."""

AT_ONCE = 32
"""Number of endpoints that are asked at the same time."""

GOOD = range(200, 400)
"""Status codes of an endpoint that answers, as for Kubernetes' probes."""

Trust = Callable[[], ssl.SSLContext]

EXPIRED = 10
"""OpenSSL's number for a certificate that has expired (X509_V_ERR_CERT_HAS_EXPIRED)."""


def ask(questions: Iterable[tuple[Watched, str | None]], trust: Trust) -> Mapping[Watched, Answer]:
    """Ask all endpoints. A question is an endpoint, and the IP address to connect to (None: its own host's).

    `trust`: makes the TLS context with the trusted authorities. Called for https only, because it takes megabytes.
    """
    return asyncio.run(_all(list(questions), trust))


async def _all(questions: list[tuple[Watched, str | None]], trust: Trust) -> dict[Watched, Answer]:
    places = asyncio.Semaphore(AT_ONCE)

    async def one(watched: Watched, door: str | None) -> Answer:
        async with places:
            return await _asked(parse(watched.url), door, trust)

    found = await asyncio.gather(*(one(*question) for question in questions))
    return dict(zip((watched for watched, _ in questions), found, strict=True))


async def _asked(address: Address, door: str | None, trust: Trust) -> Answer:
    known: list[float] = []  # end of its certificate; known even if the request fails afterwards
    try:
        fault = await asyncio.wait_for(_answer(address, door or address.host, trust, known), PATIENCE)
    except TimeoutError:
        fault = f"no answer within {PATIENCE:.0f} s"
    except ssl.SSLCertVerificationError as error:
        known += [time.time()] if error.verify_code == EXPIRED and not known else []
        fault = f"its certificate is not accepted: {error.verify_message}"
    except ssl.SSLError as error:
        fault = f"TLS fails: {error.reason or error}"
    except UnicodeError:
        fault = "its host is no name"
    except socket.gaierror:
        fault = "its host has no address"
    except OSError as error:
        fault = (os.strerror(error.errno) if error.errno else str(error)).lower()
    except (h11.RemoteProtocolError, h11.LocalProtocolError):
        fault = f"it does not speak {address.scheme}"
    return Answer(fault, known[0] if known else None)


async def _answer(address: Address, host: str, trust: Trust, known: list[float]) -> str:
    """Why the endpoint counts as down; '' if it answers."""
    secure = address.scheme == "https"
    reader, writer = await asyncio.open_connection(
        host, address.port, ssl=trust() if secure else None, server_hostname=address.host if secure else None,
        limit=LARGEST,
    )  # fmt: skip
    try:
        if address.scheme == "tcp":
            return await _stays_open(reader)
        if secure:
            ends = (writer.get_extra_info("peercert") or {}).get("notAfter")
            known += [ssl.cert_time_to_seconds(ends)] if ends else []
        status = await _status(address, reader, writer)
        return "" if status in GOOD else f"it answers {status}"
    finally:
        writer.transport.abort()  # `close` would wait for the other side


async def _stays_open(reader: asyncio.StreamReader) -> str:
    try:
        said = await asyncio.wait_for(reader.read(1), QUIET)
    except TimeoutError:
        return ""
    return "" if said else "the connection is closed at once"


async def _status(address: Address, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
    """The status code of the answer; h11.RemoteProtocolError if it is no HTTP answer."""
    talk = h11.Connection(h11.CLIENT, max_incomplete_event_size=LARGEST)
    headers = {"Host": address.authority, "User-Agent": f"reconciler/{__version__}", "Accept": "*/*"}
    asked = h11.Request(method="GET", target=address.path, headers=[*headers.items(), ("Connection", "close")])
    writer.write((talk.send(asked) or b"") + (talk.send(h11.EndOfMessage()) or b""))
    size = 0
    while True:
        event = talk.next_event()
        if isinstance(event, h11.Response):
            return int(event.status_code)
        if event is h11.NEED_DATA:
            data = await reader.read(4096)
            size += len(data)
            if size > LARGEST:
                raise h11.RemoteProtocolError("its head does not end")
            talk.receive_data(data)
        elif not isinstance(event, h11.InformationalResponse):
            raise h11.RemoteProtocolError("the connection ended without an answer")
