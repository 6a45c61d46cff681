"""The forge's token: from its file, which may change at any time, or from the environment."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import astuple

from reconciler.errors import Usage
from reconciler.formats.forges import TOKEN
from reconciler.model.outcome import Reason
from reconciler.ownership import SECRET, require
from reconciler.settings import ForgeSettings

LONGEST = 4096
"""Largest token file in bytes."""


def read_token(settings: ForgeSettings, environ: Mapping[str, str], register: Callable[[list[str]], None]) -> str:
    """The token, which is masked from now on. Usage if there is none that may be used."""
    origin = settings.token_file or f"${TOKEN}"
    if settings.token_file:
        require(settings.token_file, SECRET)
        try:
            # With a pipe we would wait for a process that writes.
            with os.fdopen(os.open(settings.token_file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
                text = file.read(LONGEST).decode(errors="replace").strip()
        except OSError as error:
            hint = "write the token into it, readable for the agent's user alone"
            raise Usage(Reason.USAGE_INVALID, f"{origin} cannot be read: {error.strerror}", hint) from None
    else:
        text = environ.get(TOKEN, "").strip()
    register([text])
    if not text or not text.isascii() or any(character <= " " or character == "\x7f" for character in text):
        hint = "it has to hold the token and nothing else"
        raise Usage(Reason.USAGE_INVALID, f"{origin} holds no token", hint)
    return text


def basis(settings: ForgeSettings, token: str) -> str:
    """What an answer depends on: the config and the token, as a digest that does not reveal it."""
    return hashlib.sha256(repr((astuple(settings), token)).encode()).hexdigest()[:16]
