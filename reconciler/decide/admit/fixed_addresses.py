"""Warnings about an nginx that asks for a service's address once, though the service gets a new one at each rollout."""

from __future__ import annotations

import re
from collections.abc import Iterator

from reconciler.decide.admit.policies.subject import Finding, ServiceSubject, Subject
from reconciler.decide.mounts.mount_paths import inside
from reconciler.model.documents import START_FIRST

LARGEST = 256 * 1024
"""Bytes of a file that is read as nginx's configuration."""

_COMMENT = re.compile(r"#[^\n]*")
_NAMED = r"proxy_pass\s+https?://{name}(?=[:/;\s])|\bserver\s+{name}(:\d+)?(?=[;\s])(?![^;]*\bresolve\b)"
"""A fixed `proxy_pass`, or a server of an `upstream`. With a variable in it, or `resolve`, nginx asks again."""


def findings(subject: Subject) -> Iterator[Finding]:
    """One finding for each nginx of the stack and each start-first service whose address its files name in this way."""
    started_first = [service.name for service in subject.services() if service.order == START_FIRST]
    if not started_first:
        return
    for service in subject.services():
        for index, path in _files(service):
            text = _COMMENT.sub("", subject.commit.text(path))
            for name in started_first:
                if name != service.name and re.search(_NAMED.format(name=re.escape(name)), text):
                    what = f"{path} names {name}, and nginx looks up its address only once"
                    yield service.finding("fixed-address", ("volumes", index), what)


def _files(service: ServiceSubject) -> Iterator[tuple[int, str]]:
    """Files of the commit that are mounted as nginx's configuration."""
    commit = service.of.commit
    for index, mount in enumerate(service.model.get("volumes") or ()):
        path = inside(str(mount.get("source") or ""), service.of.root) if mount.get("type") == "bind" else None
        if path is None or "nginx" not in f"{service.model.get('image')} {mount.get('target')}" or not commit.has(path):
            continue
        for name in commit.names(path):
            if commit.size(name) <= LARGEST:
                yield index, name
