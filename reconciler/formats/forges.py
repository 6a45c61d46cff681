"""The forge of a repository's address: its kind, the address of its API, and the repository's name there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from reconciler.values import dataclass

TOKEN = "RECONCILER_REPORT_FORGE_TOKEN"  # noqa: S105 (its name)
"""The variable with the forge's token, if no token_file is set."""

KNOWN = {
    "github.com": ("github", "https://api.github.com"),
    "ssh.github.com": ("github", "https://api.github.com"),
    "gitlab.com": ("gitlab", "https://gitlab.com/api/v4"),
    "altssh.gitlab.com": ("gitlab", "https://gitlab.com/api/v4"),
    "codeberg.org": ("forgejo", "https://codeberg.org/api/v1"),
    "gitea.com": ("gitea", "https://gitea.com/api/v1"),
}
"""Host → kind and API. The two ssh hosts answer on port 443, for networks that block 22."""

NO_ADDRESS = "has no valid host or port"
"""The message about a URL for which `is_address` is False."""

_API = {"github": "/api/v3", "gitlab": "/api/v4", "gitea": "/api/v1", "forgejo": "/api/v1"}
"""Path of the API on a self-hosted forge, from the documentation of each."""

SCOPES = {
    "github": "`repo` (fine-grained: Contents, read)",
    "gitlab": "`read_repository`",
    "gitea": "`read:repository`",
    "forgejo": "`read:repository`",
}
"""The scope that a token needs to fetch a private repository, from each forge's documentation."""

_SCP = re.compile(r"(?:[^@/:]+@)?(\[[^\]]+\]|[^@/:]+):(?!//)(.+)")
_PATH = re.compile(r"[A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.-]+)+")


@dataclass(frozen=True, slots=True)
class Place:
    """A repository on a forge. `kind` and `api` are '' if unknown."""

    kind: str
    api: str
    repository: str


def place_of(url: str, kind: str = "") -> Place | None:
    """The forge and repository of a git address; None for a folder of this machine, or a path that no forge has.

    `kind`: the operator's setting, for a host that is not in KNOWN.
    """
    host, path = _split(url)
    name = unquote(path).strip("/").removesuffix(".git")
    if not host or not _PATH.fullmatch(name):
        return None
    known, api = KNOWN.get(host, ("", ""))
    if not known and kind:
        api = f"https://{host}{_API[kind]}"
    return Place(kind or known, api, name)


def problems(given: Mapping[str, Any], url: str, token: bool) -> Iterator[tuple[tuple[str, ...], str, str, str]]:
    """Mistakes in `report.forge` besides its form: place below it, rule, message and remedy.

    `url`: the source's; `token`: whether the environment has one.
    """
    named = {key: str(given.get(key) or "") for key in ("kind", "api", "repository", "token_file")}
    known = place_of(url, named["kind"] if named["kind"] in _API else "")
    for key in ("kind", "api", "repository"):
        if not named[key] and not (known and getattr(known, key)):
            hint = f"Write {key}; only these hosts are known by their address: {', '.join(KNOWN)}."
            yield (), f"forge-{key}", f"has no {key}, and source.url does not say it", hint
    if named["api"] and not is_address(named["api"]):
        yield ("api",), "forge-api", NO_ADDRESS, "Write it like https://git.example.org/api/v1."
    elif named["api"].startswith("http://") and not is_loopback(named["api"]):
        hint = "Write https://; for a certificate of your own authority there is ca_file."
        yield ("api",), "forge-api", "would send the token in the clear", hint
    if not named["token_file"] and not token:
        yield (), "forge-token", "has no token", f"Write token_file, or set ${TOKEN}."


def is_address(url: str) -> bool:
    """Whether a URL's host and port are well-formed."""
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def is_loopback(url: str) -> bool:
    """Whether a URL's host is this machine, where http:// does no harm."""
    host = (urlsplit(url).hostname or "").lower()
    return host in ("localhost", "::1") or re.fullmatch(r"127(?:\.\d{1,3}){3}", host) is not None


def _split(url: str) -> tuple[str, str]:
    """Host (with the port of https if it is unusual) and path; '' for a folder."""
    if "://" in url:
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            return "", ""
        host = (parts.hostname or "").lower().rstrip(".")
        return (f"{host}:{port}" if port and parts.scheme == "https" and port != 443 else host), parts.path
    found = _SCP.fullmatch(url)
    return (found[1].lower().rstrip("."), found[2]) if found and not url.startswith(("/", "~")) else ("", "")
