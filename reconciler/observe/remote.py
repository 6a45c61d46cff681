"""The source of commits: a folder of this machine, https or ssh. Anything else that git accepts is refused."""

from __future__ import annotations

import os
import re
from dataclasses import field, replace
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from reconciler.errors import Usage
from reconciler.formats.forges import is_loopback
from reconciler.formats.urls import IN_THE_CLEAR, NOT_ENCRYPTED
from reconciler.model.outcome import Reason
from reconciler.observe.login import NOBODY, Login
from reconciler.values import dataclass

_SCP_LIKE = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9._-]*@)?(?:[A-Za-z0-9][A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\]):(?!:).+")
PUBLIC_FORGES = (
    "github.com", "gitlab.com", "bitbucket.org", "codeberg.org", "gitea.com", "sr.ht", "azure.com", "visualstudio.com",
    "framagit.org", "notabug.org", "salsa.debian.org", "sourceforge.net", "sf.net", "gitee.com", "disroot.org",
)  # fmt: skip
"""Hosts on which strangers may read what is pushed; their subdomains, too."""

_SHORTEST_TOKEN = 16
"""A user's name with so many characters and without a password counts as a token."""

_BRANCH_NOT = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|^[-./]|\.lock(?:/|$)|[./]$|^@$|^$")


@dataclass(frozen=True, slots=True)
class Remote:
    """A checked address. `address` is for git and contains no credentials, `shown` is for people.

    `protocol` is git's word for the only protocol that may be used. `path`: the folder, if it is one. `login`: the
    credentials for it.
    """

    address: str
    shown: str
    protocol: str
    path: Path | None = None
    login: Login = field(default=NOBODY, repr=False)

    @property
    def origin(self) -> str:
        """Scheme, host and port of an address with a scheme; nothing else may be told its secrets."""
        return urlsplit(self.address)._replace(path="", query="", fragment="").geturl()


def parse_remote(url: str, login: Login = NOBODY) -> Remote:
    """The address in the agent config. Usage if we would not give it to git."""
    odd = {chr(code) for code in (*range(32), 127)} | (set() if url.startswith(("/", "~/")) else {" "})
    if not url or url.startswith("-") or not odd.isdisjoint(url):
        raise _refused(url, "is empty, begins with a dash or holds blanks or control characters")
    if "://" in url:
        return _from_url(url, login)
    before_colon, colon, _ = url.partition(":")
    if colon and "/" not in before_colon:
        if not _SCP_LIKE.fullmatch(url):
            raise _refused(url, "names a helper program or a host that is no host name")
        return Remote(url, url, "ssh", login=login)
    path = Path(os.path.abspath(Path(url).expanduser()))
    return Remote(str(path), str(path), "file", path)


def credentials(url: str) -> tuple[str, ...]:
    """The secret part of an address: its password, or without one a token in the place of the user's name."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ()
    user = parts.username or ""
    written = parts.password or (user if len(user) >= _SHORTEST_TOKEN else "")
    return tuple({written, unquote(written)} - {""})


def on_public_forge(remote: Remote) -> bool:
    """Whether everybody may be able to read the repository. An alias of ssh's own configuration is not resolved."""
    if remote.path is not None:
        return False
    return is_public(remote.address)


def is_public(address: str) -> bool:
    """Whether the address has the host of a public forge. It must have a host."""
    host = urlsplit(address).hostname if "://" in address else _scp_host(address)
    name = (host or "").lower().rstrip(".")
    return any(name == forge or name.endswith(f".{forge}") for forge in PUBLIC_FORGES)


def _scp_host(address: str) -> str:
    return address.partition(":")[0].rpartition("@")[2]


def check_branch(branch: str) -> str:
    """Return the name if git accepts it for a branch; else raise Usage."""
    if _BRANCH_NOT.search(branch) or len(branch.encode()) > 200:
        raise Usage(
            Reason.USAGE_INVALID,
            f"source.branch: {branch!r} cannot be the name of a branch",
            "write the name as `git branch` shows it, e.g. main",
        )
    return branch


def _from_url(url: str, login: Login) -> Remote:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError as error:
        raise _refused(url, f"cannot be read: {error}") from None
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*", host):
        raise _refused(_without_credentials(parts), "has no proper host name")
    if parts.scheme == "https" or (parts.scheme == "http" and login.signed):
        return _http(parts, login)
    if parts.scheme == "ssh" and parts.password is None and not (parts.username or "").startswith("-"):
        return Remote(url, url, "ssh", login=login)
    raise _refused(_without_credentials(parts), _why_not(parts))


def _http(parts: SplitResult, login: Login) -> Remote:
    address = _without_credentials(parts)
    if parts.username is not None:
        name, password = unquote(parts.username), unquote(parts.password or "")
        if not (name + password).isprintable():
            raise _refused(address, "has a name or password with control characters")
        login = replace(login, username=name, password=password)
    if parts.scheme == "http" and login.is_secret and not is_loopback(address):
        raise _refused(address, IN_THE_CLEAR)
    return Remote(address, address, parts.scheme, login=login)


def _without_credentials(parts: SplitResult) -> str:
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _why_not(parts: SplitResult) -> str:
    if parts.scheme == "ssh":
        return "has a password or an odd user: ssh takes keys"
    if parts.scheme == "http":
        return NOT_ENCRYPTED
    return f"uses {parts.scheme}, which is not allowed"


def _refused(url: str, why: str) -> Usage:
    return Usage(
        Reason.USAGE_INVALID,
        f"source.url: {url!r} {why}",
        "use a path on this machine (/srv/git/home.git), https://host/path or ssh://user@host/path",
    )
