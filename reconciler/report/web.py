"""HTTP to one forge. The token is sent only to its scheme, host and port; all reads are bounded."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
import urllib3

from reconciler import __version__
from reconciler.formats.forges import is_loopback
from reconciler.report.answers import LONGEST_WAIT, Broken, ForgeError, Refused, Unreachable
from reconciler.values import dataclass

CONNECT, READ = 5.0, 15.0
"""Seconds for a connection, and between two pieces of an answer."""

WHOLE = 30.0
"""Seconds for a whole answer, from the request to its last byte."""

LARGEST = 4 << 20
"""Bytes of an answer: a page of 100 comments of 64 kB would not fit, and is requested in smaller pages."""

REDIRECTS = 3
SAID = 300
"""Characters of a forge's message that are shown."""

Clean = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Answer:
    """A successful answer. `body`: parsed JSON, None if there is none."""

    status: int
    body: Any
    headers: Mapping[str, str]


class Web:
    """`headers` are sent with each request, the token among them. `clean` masks the shown parts of answers."""

    def __init__(
        self, api: str, headers: Mapping[str, str], clean: Clean, ca_file: str | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        self._api, self._clean, self._now = api.rstrip("/"), clean, now
        self._origin = _origin(api)
        self._session = requests.Session()
        # ~/.netrc and $REQUESTS_CA_BUNDLE must not decide on credentials or trusted servers.
        self._session.trust_env = False
        self._session.verify = ca_file or True
        self._socket: socket.socket | None = None
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, _Adapter(self._hold))
        if not is_loopback(api):
            self._session.proxies.update(requests.utils.get_environ_proxies(api))
        agent = {"User-Agent": f"reconciler/{__version__}", "Accept-Encoding": "identity"}
        self._session.headers.update({**agent, "Accept": "application/json", **headers})
        self.quiet = 0.0
        """Seconds for which the last answer asks us to send nothing."""

    def close(self) -> None:
        self._session.close()

    def ask(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, query: Mapping[str, str] | None = None,
        parse: bool = True,
    ) -> Answer:  # fmt: skip
        """`path` begins with /. `parse`: the answer is JSON or empty. Raises Unreachable, Broken or Refused."""
        url = self._api + path
        self._late, watch = False, threading.Timer(WHOLE, self._cut)
        watch.daemon = True
        watch.start()
        try:
            for _ in range(REDIRECTS + 1):
                with self._session.request(
                    method, url, json=body, params=query, timeout=(CONNECT, READ), stream=True, allow_redirects=False
                ) as response:
                    target = response.headers.get("Location") if response.is_redirect else None
                    if target is None:
                        answer = self._answer(response, parse)
                        if self._late:
                            raise ValueError("the answer was cut off")
                        return answer
                    url, query = self._followed(url, target), None
        except (requests.RequestException, urllib3.exceptions.HTTPError, HTTPException, OSError, ValueError) as error:
            late = f"the answer takes more than {WHOLE:.0f} s" if self._late else ""
            raise Unreachable(f"{self._host}: {late or self._clean(_why(error))[:SAID]}") from None
        finally:
            watch.cancel()
        raise Refused(310, f"{self._host} redirects in a circle", "correct `report.forge` in the agent config")

    @property
    def _host(self) -> str:
        return self._origin[1]

    def _hold(self, connection: socket.socket) -> None:
        self._socket = connection

    def _cut(self) -> None:
        """End the request after WHOLE seconds: a header, interim answers or a trailer may never end, in pieces that
        arrive in time."""
        self._late = True
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def _followed(self, url: str, target: str) -> str:
        """The target of a redirect, if it is on the same forge (a renamed repository); no other host gets the token.
        The address is parsed by the library that connects: in `http://evil\\@forge/` urlsplit finds forge, requests
        evil."""
        found = requests.Request("GET", urljoin(url, target)).prepare().url or ""
        if _origin(found) != self._origin:
            elsewhere = self._clean("://".join(_origin(found)[:2]))
            hint = "correct `api` and `repository` below `report.forge` in the agent config"
            raise Refused(310, f"{self._host} redirects to {elsewhere[:SAID]}, where no token is sent", hint)
        return found

    def _answer(self, response: requests.Response, parse: bool) -> Answer:
        data, headers = self._read(response), {key.lower(): value for key, value in response.headers.items()}
        wait = self._wait(response.status_code, headers)
        self.quiet = wait or 0.0
        status = response.status_code
        if status < 300:
            return Answer(status, self._parsed(data) if parse else None, headers)
        said = self._said(data)
        if status in (404, 405) and data.lstrip()[:1] == b"<":
            said = "a page for browsers; is `api` right?"
        told = f"{self._host} answers {status}" + (f": {said}" if said else "")
        if status == 429 or (status == 403 and (wait is not None or "rate limit" in said.lower())):
            raise Unreachable(f"{told} (rate limit)", 60.0 if wait is None else wait)
        if status >= 500 or status in (408, 409, 425):  # 409: GitLab is busy with another status of the commit
            error: ForgeError = Unreachable(told, wait) if wait is not None else Broken(told)
            raise error
        raise Refused(status, told, self._clean(headers.get("x-accepted-github-permissions", ""))[:SAID])

    def _read(self, response: requests.Response) -> bytes:
        data = bytearray()
        while piece := response.raw.read1(1 << 16, decode_content=False):
            data += piece
            if len(data) > LARGEST:
                raise Broken(f"{self._host}: the answer is too large")
        wanted = response.headers.get("Content-Length", "")
        if wanted.isdecimal() and len(data) < int(wanted) and response.request.method != "HEAD":
            raise ValueError("the answer was cut off")
        return bytes(data)

    def _parsed(self, data: bytes) -> Any:
        if not data.strip():
            return None
        try:
            return json.loads(data)
        except (ValueError, RecursionError):
            raise ValueError("the answer is no JSON; is `api` right?") from None

    def _said(self, data: bytes) -> str:
        """The forge's message about an error."""
        try:
            found = json.loads(data)
        except (ValueError, RecursionError):
            return ""
        if not isinstance(found, dict):
            return ""
        words = [found.get("message"), found.get("error"), found.get("error_description"), found.get("errors")]
        told = "; ".join(item if isinstance(item, str) else json.dumps(item) for item in words if item)
        return self._clean(told)[:SAID]

    def _wait(self, status: int, headers: Mapping[str, str]) -> float | None:
        """Seconds that the answer asks us to wait: `Retry-After`, or from its rate limit."""
        after = headers.get("retry-after")
        if after is not None and status >= 400:
            return _bounded(_seconds(after, self._now()))
        for left, reset in (("x-ratelimit-remaining", "x-ratelimit-reset"), ("ratelimit-remaining", "ratelimit-reset")):
            if headers.get(left, "").strip() == "0":
                moment = headers.get(reset, "").strip()
                return _bounded(float(moment) - self._now() if moment.isdecimal() else None)
        return None


class _Adapter(requests.adapters.HTTPAdapter):
    """Passes the socket of each connection that it makes to `hold`."""

    def __init__(self, hold: Callable[[socket.socket], None]) -> None:
        super().__init__()
        self._hold = hold

    def get_connection_with_tls_context(self, *arguments: Any, **named: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*arguments, **named)
        made_by: Any = type(pool)
        kind, hold = made_by.ConnectionCls, self._hold

        class Held(kind):  # type: ignore[misc, valid-type]
            def connect(self) -> None:
                super().connect()
                hold(self.sock)

        pool.ConnectionCls = Held
        return pool


def _origin(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return parts.scheme, (parts.hostname or "").lower(), port


def _seconds(text: str, now: float) -> float | None:
    """The value of `Retry-After`: a number, or a date."""
    text = text.strip()
    if text.isdecimal():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now
    except (ValueError, OverflowError):
        return None


def _bounded(seconds: float | None) -> float:
    return min(max(60.0 if seconds is None else seconds, 1.0), LONGEST_WAIT)


def _why(error: Exception) -> str:
    """The text of the innermost exception, because outer ones repeat addresses."""
    while isinstance(
        inner := error.__cause__ or (None if error.__suppress_context__ else error.__context__), Exception
    ):
        error = inner
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
