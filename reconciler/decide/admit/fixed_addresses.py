"""Warnings about an nginx that asks for a service's address once, though the service gets a new one at each rollout."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from reconciler.decide.admit.policies.subject import Finding, Json, ServiceSubject, Subject
from reconciler.decide.mounts.mount_paths import inside
from reconciler.formats.yamls import Pointer
from reconciler.model.documents import START_FIRST

LARGEST = 256 * 1024
"""Bytes of a file that is read as nginx's configuration."""

_COMMENT = re.compile(r"#[^\n]*")
_NAMED = (
    r"\b(?:proxy|fastcgi|uwsgi|scgi|grpc)_pass\s+(?:[a-z]+://)?{name}(?=[:/;\s])"
    r"|\bserver\s+{name}(:\d+)?(?=[;\s])(?![^;]*\bresolve\b)"
)
"""A `proxy_pass` (or `fastcgi_pass` and the like) with a fixed name, or a server of an `upstream`. With a variable, or
with `resolve`, nginx asks again."""


def findings(subject: Subject) -> Iterator[Finding]:
    """One finding for each nginx of the stack and each start-first service whose address its files name in this way."""
    started_first = [service.name for service in subject.services() if service.order == START_FIRST]
    if not started_first:
        return
    for service in subject.services():
        for pointer, path, text in _texts(service):
            text = _COMMENT.sub("", text)
            for name in started_first:
                if name != service.name and re.search(_NAMED.format(name=re.escape(name)), text):
                    what = f"{path} names {name}, and nginx looks up its address only once"
                    yield service.finding("fixed-address", pointer, what)


def _texts(service: ServiceSubject) -> Iterator[tuple[Pointer, str, str]]:
    """nginx's configuration: for each file or config its place in the service, its path or name, and its text."""
    image, commit = str(service.model.get("image") or ""), service.of.commit
    configs: Json = service.of.model.get("configs") or {}
    sources: list[tuple[Pointer, Any, Any, Any]] = [
        (("volumes", index), mount.get("source"), mount.get("target"), None)
        for index, mount in enumerate(service.model.get("volumes") or ())
        if mount.get("type") == "bind"
    ]
    for index, used in enumerate(service.model.get("configs") or ()):
        config = configs.get(used.get("source")) or {}
        place = ("configs", index, "source")
        sources.append((place, config.get("file") or used.get("source"), used.get("target"), config.get("content")))
    for pointer, source, target, content in sources:
        if "nginx" not in f"{image} {target}":
            continue
        if content is not None:
            yield pointer, f"the config {source}", str(content)
            continue
        path = inside(str(source or ""), service.of.root)
        for name in commit.names(path) if path is not None and commit.has(path) else ():
            if commit.size(name) <= LARGEST:
                yield pointer, name, commit.text(name)
