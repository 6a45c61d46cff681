"""Addresses of git repositories that may be given to git, and the credentials that fit them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from reconciler.formats.forges import is_loopback

_SCP = re.compile(
    r"(?:(?P<user>[A-Za-z0-9_][A-Za-z0-9._-]*)@)?(?P<host>[A-Za-z0-9][A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\]):(?P<path>[^-:].*)"
)
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*|\[?[0-9A-Fa-f:.]+\]?")
_USER = re.compile(r"[A-Za-z0-9_][^/?#]*")
_KNOWN = "Use an absolute path on this machine, https://…, ssh://… or user@host:path."


NOT_ENCRYPTED = (
    "is not encrypted (http://): whoever is on the way could put other commits in the place of yours, unless commits "
    "must be signed"
)
IN_THE_CLEAR = "is not encrypted (http://): a name, password or token would be sent in the clear"
_SSH_READS = re.compile(r"[\s%$\"'\\]")
"""Characters of a path that ssh expands or splits at."""


def url_problem(url: str, signed: bool = False) -> tuple[str, str] | None:
    """What is wrong with an address, and what to do; None if it may be given to git.

    The address itself is never repeated: it may contain a password. `signed`: only signed commits are applied.
    """
    is_path = url.startswith(("/", "~/"))
    if any(not char.isprintable() or (char.isspace() and not (is_path and char == " ")) for char in url):
        return "has a line break, a blank or a control character", _KNOWN
    if is_path:
        return None
    if url.startswith(("-", ".")) or not url:
        return "must be an absolute path or an address", _KNOWN
    if re.match(r"[A-Za-z0-9]+::", url):
        return "names a program that git would run ('::')", _KNOWN
    scheme, separator, _ = url.partition("://")
    if separator:
        return _scheme_problem(scheme.lower(), url, signed)
    if not _SCP.fullmatch(url):
        return "is neither an absolute path nor an address", _KNOWN
    return None


def login_problems(given: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Keys of `source` that do not fit together: the key, what is wrong with it, and what to do."""
    url = str(given.get("url") or "")
    scheme = url.partition("://")[0].lower() if "://" in url else "ssh" if _SCP.fullmatch(url) else ""
    for key in ("token_file", "username", "ca_file"):
        if given.get(key) and scheme not in (("https",) if key == "ca_file" else ("https", "http")):
            yield key, "is of use with https:// alone", _OTHER_WAY.get(scheme, "Remove it: a folder needs none.")
    for key in ("key_file", "known_hosts_file"):
        path = given.get(key)
        if path and scheme != "ssh":
            yield key, "is of use with ssh://… or user@host:path alone", _OTHER_WAY.get(scheme, "Remove it.")
        elif path and _SSH_READS.search(str(path)):
            yield key, "has a character that ssh reads as something else", "Choose a path without blanks, %, $, quotes."
    if given.get("username") and not given.get("token_file"):
        yield "username", "is of no use without a token", "Write token_file, too."
    if given.get("token_file") and "@" in url.partition("://")[2].partition("/")[0]:
        yield "token_file", "stands beside a name or token in source.url", "Write https://host/path, and username."
    if given.get("token_file") and scheme == "http" and not is_loopback(url):
        yield "token_file", "would be sent in the clear (http://)", "Use https://."


_OTHER_WAY = {
    "ssh": "For ssh write key_file: `reconciler key` makes the key.",
    "https": "For https write token_file.",
    "http": "For http:// nothing is checked but the signatures of commits.",
}


def _scheme_problem(scheme: str, url: str, signed: bool) -> tuple[str, str] | None:
    if scheme == "file":
        return "must not begin with file://", "Write the path alone, like /srv/git/home.git."
    if scheme == "http" and not signed:
        return (
            NOT_ENCRYPTED,
            "Use https:// (ca_file for an authority of your own), or let allowed_signers say who signs.",
        )
    if scheme not in ("https", "http", "ssh"):
        return "has a scheme that is not allowed", _KNOWN
    try:
        parts = urlsplit(url)
        host, user, _ = parts.hostname or "", parts.username, parts.port
        password = parts.password
    except ValueError:
        return "is no valid address", _KNOWN
    if not _HOST.fullmatch(host) or (user is not None and not _USER.fullmatch(user)):
        return "has no valid host or user name", _KNOWN
    if scheme == "http" and user is not None and not is_loopback(url):
        return IN_THE_CLEAR, "Use https://, or leave them out."
    if scheme == "ssh" and password is not None:
        return "has a password", "ssh takes keys: leave the password out."
    if not parts.path.strip("/") or parts.path.startswith("/-"):
        return "names no repository on its host", _KNOWN
    return None
