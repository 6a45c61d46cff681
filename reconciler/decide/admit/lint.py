"""Warnings about allowed settings that have a better alternative. At most one for each service and rule."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

from reconciler.decide.admit import sizes
from reconciler.decide.admit.budget import ending, service_memory
from reconciler.decide.admit.policies.subject import Finding, Json, ServiceSubject, Subject
from reconciler.decide.mounts.mount_paths import inside
from reconciler.formats.compose_names import SETTINGS
from reconciler.model.documents import START_FIRST

OWNED = {"uid": frozenset({"0"}), "gid": frozenset({"0"}), "mode": frozenset({"0", "0444", "444", "292"})}
"""Defaults of configs and secrets in containers; Compose 2.26 prints the mode as a decimal number."""

PUBLIC_ADDRESSES = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - looked for, not bound
_SECRET_NAME = re.compile(
    r"(?i)(password|passwd|passphrase|secret|token)|(^|_)(api|access|private)?_?key$|(?<!by)(?<!com)pass$|_pwd?$"
)
_NO_SECRET_NAME = re.compile(r"(?i)(_file|_path|_dir|_url|_name|_ttl|_expiry|_lifetime|_length)$")
_NO_SECRET_VALUE = re.compile(r"(?i)(true|false|yes|no|on|off|none|null|/.*|)")
_INITIAL = re.compile(r"/docker-entrypoint-initdb\.d(/.*)?")
_NAMES_HOST = re.compile(r"(^|\s)(-[a-zA-Z]*h|--host)|host=|://")
_FILE_NAME = re.compile(r"[^.].*\.(?!d$)[A-Za-z][A-Za-z0-9]{0,5}")


def findings(subject: Subject, concealed: Collection[str]) -> Iterator[Finding]:
    """`concealed`: values that came from the host's secrets_dir, and so are in no file of the commit."""
    services: Mapping[str, Json] = subject.model.get("services") or {}
    for name, network in sorted((subject.model.get("networks") or {}).items()):
        if (network or {}).get("enable_ipv4") is False:
            yield subject.finding("ipv4-stays", ("networks", name, "enable_ipv4"), f"network {name} switches IPv4 off")
    for service in subject.services():
        told: set[str] = set()
        for finding in _service(service, services, concealed):
            if finding.rule not in told:
                told.add(finding.rule)
                yield finding


def disabled_healthcheck(service: Json) -> bool:
    """Whether the file switches off a check that the image may have."""
    check: Json = service.get("healthcheck") or {}
    return bool(check.get("disable")) or check.get("test") in (["NONE"], "NONE")


def mutable_tag(image: str) -> bool:
    """Whether the reference can name another image without a change of the file: latest, or no tag."""
    name, _, digest = image.partition("@")
    if digest or image.startswith("sha256:"):
        return False
    tag = posixpath.basename(name).partition(":")[2]
    return tag in ("", "latest")


def _service(service: ServiceSubject, services: Mapping[str, Json], concealed: Collection[str]) -> Iterator[Finding]:
    yield from _image_and_memory(service)
    if service.name not in ending(services):
        yield from _staying(service)
    yield from _names_and_ports(service)
    yield from _volumes(service)
    yield from _file_owners(service)
    yield from _secrets(service, concealed)
    yield from _dependencies(service, services)
    yield from _joined_ipc(service, services)
    yield from sizes.findings(service)


def _joined_ipc(service: ServiceSubject, services: Mapping[str, Json]) -> Iterator[Finding]:
    """A service that itself joins the IPC of another service, or of the host, can be joined, too."""
    kind, _, owner = str(service.model.get("ipc") or "").partition(":")
    if kind == "service" and (services.get(owner) or {}).get("ipc") in (None, "", "private", "none"):
        what = f"it joins the IPC of {owner}, which does not share it"
        hint = f"Write `ipc: shareable` on the service {owner}."
        yield replace(service.finding("ipc-not-shared", ("ipc",), what), hint=hint)


def _image_and_memory(service: ServiceSubject) -> Iterator[Finding]:
    image = str(service.model.get("image") or "")
    if image and not service.model.get("build") and mutable_tag(image):
        yield service.finding("mutable-tag", ("image",), f"image {image} has no fixed version")
    if service_memory(service.model, 0)[1]:
        yield service.finding("memory-limit", (), "no memory limit")
    update = (service.model.get("deploy") or {}).get("update_config") or {}
    for key in ("monitor", "failure_action", "max_failure_ratio"):
        if update.get(key) not in (None, 0, "", "0s", "rollback"):
            yield service.finding("gate-decides", ("deploy", "update_config", key), f"{key} is {update[key]}")


def _staying(service: ServiceSubject) -> Iterator[Finding]:
    if disabled_healthcheck(service.model):
        yield service.finding("healthcheck", ("healthcheck",), "the healthcheck is switched off")
    elif not (test := (service.model.get("healthcheck") or {}).get("test")):
        yield service.finding("healthcheck", (), "no healthcheck")
    elif _asks_the_socket(test, service.model.get("environment") or {}):
        yield service.finding("socket-check", ("healthcheck", "test"), "pg_isready without a host")
    elif _runs_twice(service) and _asks_by_name(test, service.name):
        yield service.finding("name-check", ("healthcheck", "test"), f"the healthcheck asks {service.name} by name")
    if not service.model.get("restart") and not (service.model.get("deploy") or {}).get("restart_policy"):
        yield service.finding("restart-policy", (), "no restart policy")


def _asks_the_socket(test: object, environment: Json) -> bool:
    told = " ".join(map(str, test)) if isinstance(test, list) else str(test)
    _, asked, arguments = told.partition("pg_isready")
    return bool(asked) and "PGHOST" not in told and "PGHOST" not in environment and not _NAMES_HOST.search(arguments)


def _runs_twice(service: ServiceSubject) -> bool:
    """Whether the service asks for a new container beside the old one, start-first or as a trial."""
    return service.order == START_FIRST or (service.model.get(SETTINGS) or {}).get("trial") not in (None, False)


def _asks_by_name(test: object, name: str) -> bool:
    told = " ".join(map(str, test)) if isinstance(test, list) else str(test)
    return re.search(rf"(://|/dev/tcp/){re.escape(name)}(?=[:/?\s\"']|$)", told) is not None


def _names_and_ports(service: ServiceSubject) -> Iterator[Finding]:
    name = service.model.get("container_name")
    if name:
        yield service.finding("container-name", ("container_name",), f"container_name {name} is fixed")
    for index, port in enumerate(service.model.get("ports") or ()):
        if (port.get("host_ip") or "") in PUBLIC_ADDRESSES:
            shown = port.get("published") or f"for {port.get('target')}"
            yield service.finding("public-port", ("ports", index), f"port {shown} is open on every address")


def _volumes(service: ServiceSubject) -> Iterator[Finding]:
    for kind in ("volumes", "configs"):
        for index, mount in enumerate(service.model.get(kind) or ()):
            if _INITIAL.fullmatch(str(mount.get("target"))):
                yield service.finding("empty-volume-only", (kind, index), f"{mount['target']} is mounted")
    for index, mount in enumerate(service.model.get("volumes") or ()):
        target, source = mount.get("target"), str(mount.get("source") or "")
        if mount.get("type") == "volume" and not source:
            yield service.finding("anonymous-volume", ("volumes", index), f"the volume at {target} has no name")
        path = inside(source, service.of.root) if mount.get("type") == "bind" else None
        if path is None:
            continue
        if not service.of.commit.has_content(path):
            if _FILE_NAME.fullmatch(posixpath.basename(path)):
                yield service.finding("missing-source", ("volumes", index), f"{path} is not in the commit")
        elif not mount.get("read_only"):
            yield service.finding("read-only-copy", ("volumes", index), f"{path} is mounted for writing")


def _file_owners(service: ServiceSubject) -> Iterator[Finding]:
    for kind in ("configs", "secrets"):
        for index, use in enumerate(service.model.get(kind) or ()):
            for key in ("uid", "gid", "mode"):
                if str(use.get(key) or "0") not in OWNED[key]:
                    what = f"{use.get('source')} is to have {key} {use[key]}"
                    yield service.finding("file-owner", (kind, index, key), what)


def _secrets(service: ServiceSubject, concealed: Collection[str]) -> Iterator[Finding]:
    """Names the variable, never its value."""
    build: Json = service.model.get("build") or {}
    for place, values in ((("environment",), service.model.get("environment")), (("build", "args"), build.get("args"))):
        for name, value in sorted((values or {}).items()):
            if value is not None and _plain_secret(name, str(value), concealed):
                what = f"{name} looks like a secret in plain text"
                yield service.finding("plain-secret", (*place, name), what)


def _plain_secret(name: str, value: str, concealed: Collection[str]) -> bool:
    return looks_secret(name, value) and not any(secret and secret in value for secret in concealed)


def looks_secret(name: str, value: str) -> bool:
    """Whether a variable has the name of a password or key, and a value that could be one."""
    named = _SECRET_NAME.search(name) and not _NO_SECRET_NAME.search(name)
    return bool(named) and not _NO_SECRET_VALUE.fullmatch(value)


def _dependencies(service: ServiceSubject, services: Mapping[str, Json]) -> Iterator[Finding]:
    for name, wait in sorted((service.model.get("depends_on") or {}).items()):
        healthy = (wait or {}).get("condition") == "service_healthy"
        if healthy and disabled_healthcheck(services.get(name) or {}):
            what = f"waits for {name} to be healthy, but its healthcheck is switched off"
            yield service.finding("disabled-healthcheck", ("depends_on", name), what)
