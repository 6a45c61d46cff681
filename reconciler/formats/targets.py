"""Addresses of notifications and heartbeats: which parts may be shown, and which are secret."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from reconciler.formats.forges import NO_ADDRESS, is_address
from reconciler.formats.quantities import QuantityError, seconds
from reconciler.formats.yamls import Pointer

MASK = "***"

HOSTED = frozenset(
    "apprise apprises form forms gotify gotifys http https json jsons mailto mailtos xml xmls".split()  # noqa: SIM905
)
"""Schemes in which a host stands where every URL has it; in others (discord, slack, tgram) a key may stand there."""

KEY = 16
"""Characters from which on a part of an address is taken for a key, and masked wherever it is printed."""

_HOST = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]+)?")
_ENDS = re.compile(r"[/?#]")
_PARTS = re.compile(r"[/?#&=@:,;]")
_SHORTEST = 4


def shown(url: str) -> str:
    """The address for people: its scheme, and its host where that cannot be a key."""
    scheme, _, rest = url.partition("://")
    host = _host(scheme.lower(), rest)
    if not host:
        return f"{scheme}://{MASK}"
    user = f"{MASK}@" if "@" in rest else ""
    return f"{scheme}://{user}{host}" + (f"/{MASK}" if _ENDS.search(rest) else "")


def secrets(url: str) -> tuple[str, ...]:
    """What is masked in everything that is printed: the address, its password, and parts that look like keys."""
    parts = _parts(url)
    user = url.partition("://")[2].rpartition("@")[0]
    passwords = {user.partition(":")[2]} if ":" in user else set()
    keys = {part for part in parts if len(part) >= KEY and "." not in part}
    return _forms({url, *keys, *passwords})


def parts(url: str) -> tuple[str, ...]:
    """Every part that may identify the address. Mask these only in texts about this address, because common words such
    as `alerts` are among them."""
    return _forms({url, *(part for part in _parts(url) if len(part) >= _SHORTEST)})


def problems(values: Mapping[str, Any]) -> Iterator[tuple[Pointer, str, str, str]]:
    """What is wrong with `notify` and `heartbeat` beside their form: where, the rule, what, and the remedy."""
    beat, targets = values.get("heartbeat"), values.get("notify")
    every = beat.get("every") if isinstance(beat, dict) else None
    if isinstance(every, str) and _too_short(every):
        yield ("heartbeat", "every"), "out-of-range", "must be at least 1s", "Write a duration like 5m."
    url = beat.get("url") if isinstance(beat, dict) else None
    if isinstance(url, str) and not is_address(url):
        yield ("heartbeat", "url"), "heartbeat-url", NO_ADDRESS, "Write it like https://ping.example.org/KEY."
    for number, item in enumerate(targets if isinstance(targets, list) else ()):
        if not isinstance(item, dict):
            continue
        begin, _, end = str(item.get("quiet") or "").partition("-")
        if begin and begin == end:
            yield ("notify", number, "quiet"), "quiet", "ends when it begins", "Write two times, like 23:00-07:00."
        if item.get("on") == []:
            yield ("notify", number, "on"), "empty-value", "names no event", "Name one, or leave `on` out."


def _host(scheme: str, rest: str) -> str:
    """The host; '' if it is no host, or may be a part of a password that contains / or ?."""
    place = _ENDS.split(rest, maxsplit=1)[0]
    if scheme not in HOSTED or place.rpartition("@")[0] != rest.rpartition("@")[0]:
        return ""
    host = place.rpartition("@")[2]
    return host if _HOST.fullmatch(host) else ""


def _parts(url: str) -> set[str]:
    scheme, _, rest = url.partition("://")
    host = _host(scheme.lower(), rest)
    return set(_PARTS.split(rest)) - {host, *_PARTS.split(host)}


def _forms(found: set[str]) -> tuple[str, ...]:
    return tuple(sorted({form for text in found for form in (text, unquote(text))} - {""}))


def _too_short(text: str) -> bool:
    try:
        return seconds(text) < 1
    except QuantityError:
        return False
