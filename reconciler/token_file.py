"""A file of the operator that contains one token and nothing else."""

from __future__ import annotations

import os

from reconciler.errors import Usage
from reconciler.model.outcome import Reason
from reconciler.ownership import Demand, require

LONGEST = 4096
"""Largest token in bytes."""


def read_token_file(path: str, demand: Demand) -> str:
    """The token. Usage if the file cannot be read, others may read it, or it contains anything else. Errors never
    contain its text."""
    require(path, demand)
    try:
        # Without O_NONBLOCK, opening a pipe would wait for a writer.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            text = file.read(LONGEST + 1).decode(errors="replace").strip()
    except OSError as error:
        hint = "write the token into it, readable for the agent's user alone"
        raise Usage(Reason.USAGE_INVALID, f"{path} cannot be read: {error.strerror}", hint) from None
    return checked(path, text)


def checked(origin: str, text: str) -> str:
    """Return the text if it is a token; else Usage. `origin`: its source, for people."""
    odd = not text or len(text) > LONGEST or not text.isascii()
    if odd or any(character <= " " or character == "\x7f" for character in text):
        raise Usage(Reason.USAGE_INVALID, f"{origin} holds no token", "it has to hold the token and nothing else")
    return text
