"""Addresses of git repositories that may be given to git."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

_SCP = re.compile(
    r"(?:(?P<user>[A-Za-z0-9_][A-Za-z0-9._-]*)@)?(?P<host>[A-Za-z0-9][A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\]):(?P<path>[^-:].*)"
)
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*|\[?[0-9A-Fa-f:.]+\]?")
_USER = re.compile(r"[A-Za-z0-9_][^/?#]*")
_KNOWN = "Use an absolute path on this machine, https://…, ssh://… or user@host:path."


def url_problem(url: str) -> tuple[str, str] | None:
    """What is wrong with an address, and what to do; None if it may be given to git.

    The address itself is never repeated: it may contain a password.
    """
    if any(not char.isprintable() or char.isspace() for char in url):
        return "has a line break, a blank or a control character", _KNOWN
    if url.startswith(("/", "~/")):
        return None
    if url.startswith(("-", ".")) or not url:
        return "must be an absolute path or an address", _KNOWN
    if re.match(r"[A-Za-z0-9]+::", url):
        return "names a program that git would run ('::')", _KNOWN
    scheme, separator, _ = url.partition("://")
    if separator:
        return _scheme_problem(scheme.lower(), url)
    if not _SCP.fullmatch(url):
        return "is neither an absolute path nor an address", _KNOWN
    return None


def _scheme_problem(scheme: str, url: str) -> tuple[str, str] | None:
    if scheme == "file":
        return "must not begin with file://", "Write the path alone, like /srv/git/home.git."
    if scheme == "http":
        return "is not encrypted (http://)", "Use https://, or a path on this machine."
    if scheme not in ("https", "ssh"):
        return "has a scheme that is not allowed", _KNOWN
    try:
        parts = urlsplit(url)
        host, user, _ = parts.hostname or "", parts.username, parts.port
        password = parts.password
    except ValueError:
        return "is no valid address", _KNOWN
    if not _HOST.fullmatch(host) or (user is not None and not _USER.fullmatch(user)):
        return "has no valid host or user name", _KNOWN
    if scheme == "ssh" and password is not None:
        return "has a password", "ssh takes keys: leave the password out."
    if not parts.path.strip("/") or parts.path.startswith("/-"):
        return "names no repository on its host", _KNOWN
    return None
