"""What a volume of the local driver stands for: a network share, a path of the host, or something else."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

_WITH_VALUE = frozenset({
    "acdirmax", "acdirmin", "acregmax", "acregmin", "actimeo", "cache", "dir_mode", "dom", "domain", "file_mode",
    "gid", "iocharset", "local_lock", "lookupcache", "minorversion", "mountport", "mountproto", "mountvers", "nconnect",
    "nfsvers", "pass", "password", "port", "proto", "retrans", "retry", "rsize", "sec", "timeo", "uid", "user",
    "username", "vers", "wsize",
})  # fmt: skip
_WORDS = frozenset({
    "ac", "acl", "async", "bg", "cto", "fg", "forcegid", "forceuid", "fsc", "hard", "intr", "lock", "mfsymlinks",
    "noac", "noacl", "noatime", "nobrl", "nocto", "nodev", "nodiratime", "noexec", "nointr", "nolock", "noperm",
    "noresvport", "noserverino", "nosuid", "nounix", "rdirplus", "nordirplus", "relatime", "resvport", "ro", "rw",
    "serverino", "sharecache", "nosharecache", "soft", "sync", "tcp", "udp", "unix",
})  # fmt: skip
"""Options of nfs(5) and mount.cifs(8) that change how a share is used, not what is mounted. Other options can change
that: `bind` makes it a path of the host."""

_SERVER = re.compile(r"[A-Za-z0-9._-]+|\[?[0-9a-fA-F:]+\]?")


def source(options: Mapping[str, Any]) -> str:
    """What a volume with these options stands for, in the form that a grant names: nfs://SERVER/PATH,
    cifs://SERVER/PATH, a path of the host, or the options word by word."""
    kind, device = str(options.get("type") or ""), str(options.get("device") or "")
    words = [word for word in str(options.get("o") or "").split(",") if word]
    if not set(options) - {"type", "device", "o"}:
        found = ""
        if kind in ("nfs", "nfs4"):
            found = _nfs(device, words)
        elif kind in ("cifs", "smb3"):
            found = _cifs(device, words)
        elif kind in ("", "none", "bind") and device.startswith("/") and _bound(words):
            found = device
        if found:
            return found
    return " ".join(f"{name}={_quoted(str(options[name]))}" for name in sorted(options))


def _quoted(text: str) -> str:
    """Quoted, so that different options never give the same text."""
    return text if re.fullmatch(r"[^\s\"]*", text) else json.dumps(text)


def _nfs(device: str, words: list[str]) -> str:
    host, colon, path = device.partition(":/")
    server = _server(words) or host
    fits = colon and (not host or host == server) and _SERVER.fullmatch(server) and _plain(path)
    return f"nfs://{server}/{path}".rstrip("/") if fits and _usual(words) else ""


def _cifs(device: str, words: list[str]) -> str:
    host, _, path = device.removeprefix("//").partition("/")
    server = _server(words) or host
    fits = device.startswith("//") and host == server and _SERVER.fullmatch(server) and _plain(path)
    return f"cifs://{server}/{path}".rstrip("/") if fits and _usual(words) else ""


def _server(words: list[str]) -> str:
    """The address in the options; if they name several, a text that is no address."""
    named = [word.partition("=")[2] for word in words if word.partition("=")[0] in ("addr", "ip")]
    return named[0] if len(named) == 1 else "" if not named else "?"


def _usual(words: list[str]) -> bool:
    return all(
        word.partition("=")[0] in _WITH_VALUE | {"addr", "ip"} if "=" in word else word in _WORDS for word in words
    )


def _plain(path: str) -> bool:
    return ".." not in path.split("/") and "//" not in f"/{path}"


def _bound(words: list[str]) -> bool:
    return {"bind", "rbind"} & set(words) != set() and set(words) <= {"bind", "rbind", "ro", "rw"}
