"""Clients' keys, from a secret file. Each line: NAME ROLE KEY. ROLE is `read` or `write` (which may also read)."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader, HTTPBearer
from fastapi.security.http import HTTPAuthorizationCredentials

from brain.errors import Forbidden, Unauthorized

ROLES = ("read", "write")
SHORTEST = 20
"""Fewest characters of a key: a shorter one can be guessed."""


@dataclass(frozen=True, slots=True)
class Caller:
    name: str
    role: str


class Keys:
    """Keeps digests only. ValueError if the file is wrong: it names the line, never the key."""

    def __init__(self, text: str) -> None:
        self._callers: dict[bytes, Caller] = {}
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip() and not line.lstrip().startswith("#"):
                self._add(number, line.split())
        if not self._callers:
            raise ValueError("the file of API keys names nobody")

    def _add(self, number: int, words: list[str]) -> None:
        if len(words) != 3 or words[1] not in ROLES or len(words[2]) < SHORTEST:
            raise ValueError(f"line {number} of the API keys is not NAME read|write KEY, of {SHORTEST} characters")
        self._callers[_digest(words[2])] = Caller(words[0], words[1])

    def caller(self, key: str) -> Caller | None:
        """The client with this key, or None. Takes as long for a nearly right key as for any other."""
        asked, found = _digest(key), None
        for digest, caller in self._callers.items():
            if hmac.compare_digest(digest, asked):
                found = caller
        return found


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


_bearer = HTTPBearer(auto_error=False, description="Authorization: Bearer KEY")
_header = APIKeyHeader(name="X-API-Key", auto_error=False, description="the same, where Bearer is taken")


async def reader(
    request: Request,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)],
    header: Annotated[str | None, Security(_header)],
) -> Caller:
    keys: Keys = request.app.state.keys
    caller = keys.caller(bearer.credentials if bearer else header or "")
    if caller is None:
        raise Unauthorized("an API key is needed: Authorization: Bearer KEY")
    request.state.caller = caller.name
    return caller


async def writer(caller: Annotated[Caller, Depends(reader)]) -> Caller:
    if caller.role != "write":
        raise Forbidden(f"the key of {caller.name} may only read")
    return caller


OPENAPI: dict[int | str, dict[str, Any]] = {
    401: {"description": "No key, or an unknown one"},
    403: {"description": "The key may only read"},
    503: {"description": "A database or model does not answer; `error.code` names which"},
}
