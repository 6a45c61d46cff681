"""The builder's input for one build: the project, the Dockerfile, and the source policy."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from reconciler.formats.dockerfile import SYNTAX, without_frontend
from reconciler.materialise import write
from reconciler.model.files import Files
from reconciler.model.images import OURS, ImageWant, canonical, familiar
from reconciler.model.stock import StoredImage
from reconciler.settings import BuildSettings

CACHE_NAMESPACE = "BUILDKIT_CACHE_MOUNT_NS"
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")
"""Arguments that Compose takes from Docker's own config file, passwords included, if a build does not set them."""

_PLAIN = re.compile(r"(?:(?!\.git(?:#|$))[^$\\\"'#])*")
_REMOTES = ("http://*", "https://*", "git://*", "ssh://*")


def build_file(
    want: ImageWant, root: Path, dockerfile: Path, bounds: BuildSettings, host: str, secrets: Mapping[str, Path]
) -> dict[str, Any]:
    """The project for one build. Arguments without a value are left out: Compose would take them from the environment.

    `root`: the folder of the commit's files; `dockerfile`: its copy for the builder; `host`: the host whose cache
    mounts it uses. `secrets`: variable → a file with its bytes, because an environment cannot hold all bytes.
    """
    build = dict(want.build or {})
    build["context"] = _absolute(root, build["context"])
    build["args"] = _arguments(want, host)
    build["additional_contexts"] = {
        **{name: _absolute(root, path) for name, path in (build.get("additional_contexts") or {}).items()},
        **{name: f"docker-image://{tag}" for name, tag in want.sources.built.items()},
    }
    if build.get("dockerfile_inline"):
        if not want.sources.frontend:
            build["dockerfile_inline"] = without_frontend(build["dockerfile_inline"])
    else:
        build["dockerfile"] = str(dockerfile)
    if want.sources.built:
        build.pop("pull", None)  # an image that the commit itself builds is in no registry
    build.pop("tags", None)
    if bounds.network == "none":
        build["network"] = "none"
    if bounds.memory is not None:
        build["ulimits"] = {**(build.get("ulimits") or {}), "data": bounds.memory}
    build["secrets"] = [{"source": name, "target": id} for id, name in sorted(want.sources.secrets.items())]
    service = {"image": want.tag, "build": {key: value for key, value in build.items() if value not in ({}, [])}}
    if want.platform:
        service["platform"] = want.platform
    given = {name: {"file": str(path)} for name, path in secrets.items()}
    return {"services": {want.service: service}, **({"secrets": given} if given else {})}


def write_dockerfile(want: ImageWant, files: Files, folder: Path) -> Path:
    """A copy for the builder outside of the context, which stays as committed. `folder` exists."""
    path = dockerfile_path(want)
    copy = folder / posixpath.basename(path)
    if path not in files.entries:
        return copy
    data = files.read(path)
    if not want.sources.frontend:
        data = without_frontend(data.decode(errors="surrogateescape")).encode(errors="surrogateescape")
    write(copy, data, 0o644, durable=False)
    if f"{path}.dockerignore" in files.entries:
        write(copy.with_name(f"{copy.name}.dockerignore"), files.read(f"{path}.dockerignore"), 0o644, durable=False)
    return copy


def dockerfile_path(want: ImageWant) -> str:
    """Path of the Dockerfile in the commit."""
    build = want.build or {}
    return posixpath.normpath(posixpath.join(build["context"], build.get("dockerfile") or "Dockerfile"))


def source_policy(want: ImageWant, stored: Iterable[StoredImage]) -> str:
    """BuildKit's source policy. Its last matching rule decides, however a source is spelled.

    It refuses addresses (the builder fetches them in the host's network), and images that somebody has made on this
    machine, unless the commit builds them or builds on them.
    """
    own = {familiar(tag) for tag in want.sources.built.values()}
    rules = [_rule("DENY", "*"), _rule("ALLOW", "local://*"), _rule("ALLOW", "docker-image://*")]
    rules += [
        _rule("DENY", f"docker-image://{canonical(name)}", "EXACT")
        for image in stored
        for name in image.made_here
        if name not in own and (name not in want.sources.named or name.startswith(OURS))
    ]
    for address in want.sources.remotes:
        if address.startswith(("http://", "https://")) and _PLAIN.fullmatch(address):
            rules.append(_rule("ALLOW", address, "EXACT"))
        else:  # the builder turns it into another address
            rules += [_rule("ALLOW", scheme) for scheme in _REMOTES]
    return json.dumps({"rules": rules})


def _rule(action: str, identifier: str, kind: str = "WILDCARD") -> dict[str, Any]:
    return {"action": action, "selector": {"identifier": identifier, "matchType": kind}}


def _arguments(want: ImageWant, host: str) -> dict[str, Any]:
    given = (want.build or {}).get("args") or {}
    args = {name: value for name, value in given.items() if value is not None}
    for proxy in PROXIES:  # the builder accepts both spellings, and Compose fills each
        own = args.get(proxy) or args.get(proxy.lower()) or ""
        args |= {proxy: own, proxy.lower(): own}
    if not want.sources.frontend:
        args.pop(SYNTAX, None)
    return {**args, CACHE_NAMESPACE: f"reconciler.{host}.{want.stack}"}


def _absolute(root: Path, path: str) -> str:
    return str(root) if path in ("", ".") else f"{root}/{path}"
