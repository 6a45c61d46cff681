"""The forge's token: from its file, which may change at any time, or from the environment."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import astuple

from reconciler.formats.forges import TOKEN
from reconciler.ownership import SECRET
from reconciler.settings import ForgeSettings
from reconciler.token_file import checked, read_token_file


def read_token(settings: ForgeSettings, environ: Mapping[str, str], register: Callable[[list[str]], None]) -> str:
    """The token, which is masked from now on. Usage if there is none that may be used."""
    if settings.token_file:
        text = read_token_file(settings.token_file, SECRET)
    else:
        text = checked(f"${TOKEN}", environ.get(TOKEN, "").strip())
    register([text])
    return text


def basis(settings: ForgeSettings, token: str) -> str:
    """Digest of everything on which a forge's answer depends: the config and the token. It does not reveal the
    token."""
    return hashlib.sha256(repr((astuple(settings), token)).encode()).hexdigest()[:16]
