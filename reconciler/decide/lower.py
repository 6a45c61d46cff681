"""From Compose's canonical model to the form in which it is applied. Pure; every rule has a golden case.

Compose is left with nothing to decide: images by id, networks and volumes by the engine's name, files as read-only
binds of content-addressed trees, no order, no build, no restart policy before the verdict.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from reconciler.decide.budget import replicas, service_memory
from reconciler.decide.digests import content_digest, tree_digest
from reconciler.decide.mountpoints import mountpoints
from reconciler.formats.quantities import seconds
from reconciler.model.desired import (
    Condition,
    Dependency,
    DesiredState,
    Endpoint,
    Network,
    Service,
    Stack,
    Tree,
    Volume,
)
from reconciler.model.documents import BindGrant, HostDocument, StackDocument
from reconciler.model.files import Files, below
from reconciler.model.images import Image, ImageWant
from reconciler.model.observed import LABEL_HOST, LABEL_SPEC, LABEL_STACK

Json = Mapping[str, Any]

DEFAULT_GRACE = 10.0
"""Seconds a container may take to stop when its file names none; Compose's default."""

_DROPPED = {
    "build",
    "pull_policy",
    "depends_on",
    "container_name",
    "profiles",
    "scale",
    "links",
    "configs",
    "secrets",
} | {"volumes", "networks", "restart", "deploy", "labels", "image", "develop", "attach"}
_SHARED = ("network_mode", "pid", "ipc")


@dataclass(frozen=True, slots=True)
class Places:
    """Folders of the host in which mounts lie (absolute). `secrets` is None without a secrets_dir.

    `binds`: where the paths that the operator has granted lie on this machine.
    """

    trees: str
    data: str
    secrets: str | None = None
    binds: tuple[BindGrant, ...] = ()


@dataclass(frozen=True, slots=True)
class Source:
    """One stack as Compose rendered it; see loop.ports.Rendered for the fields."""

    document: StackDocument
    model: Json
    root: str
    variables: Mapping[str, str]
    secrets: frozenset[str]


def lower(
    document: HostDocument,
    sources: Sequence[Source],
    files: Files,
    images: Mapping[str, Image],
    places: Places,
    revision: str,
) -> DesiredState:
    """The desired state of an admitted commit. `images`: ImageWant.key → image; a missing one stays unresolved."""
    built = _all_built(sources, files)
    lowered = [_Stack(document, source, files, built, images, places) for source in sources]
    stacks = tuple(_across(document, [item.lower() for item in lowered]))
    trees = {tree.digest: tree for item in lowered for tree in item.trees}
    content = digest([_content(stack) for stack in stacks])
    return DesiredState(document.name, revision, content, document.memory, stacks, tuple(trees.values()))


def wants(sources: Sequence[Source], files: Files) -> tuple[ImageWant, ...]:
    """Every image that the stacks need, built ones first, each once."""
    built = _all_built(sources, files)
    found: dict[str, ImageWant] = {}
    for want in built.values():
        found.setdefault(want.key, want)
    for source in sources:
        for name, model in _services(source).items():
            if not model.get("build") and model["image"] not in built:
                want = _pulled(source, name, model)
                found.setdefault(want.key, want)
    return tuple(found.values())


def digest(value: object) -> str:
    """sha256 (hex) of a value's canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def unresolved(want: ImageWant) -> str:
    """What stands for the id of an image that the machine does not have yet."""
    return f"unresolved:{want.key}"


def _services(source: Source) -> Mapping[str, Json]:
    return source.model.get("services") or {}


def _all_built(sources: Sequence[Source], files: Files) -> dict[str, ImageWant]:
    """By the names that users know. Services with the same build have names of their own for one image."""
    wanted = [
        _built(source, name, model, files)
        for source in sources
        for name, model in _services(source).items()
        if model.get("build")
    ]
    return {want.ref: want for want in wanted}


def _built(source: Source, name: str, model: Json, files: Files) -> ImageWant:
    stack = source.document.name
    build = _relative_build(model["build"], source.root)
    folders = [build["context"], *dict(build.get("additional_contexts") or {}).values()]
    digests = [tree_digest(files, folder) for folder in folders if "://" not in folder and ":" not in folder]
    dockerfile = posixpath.normpath(posixpath.join(build["context"], build.get("dockerfile") or "Dockerfile"))
    own = tree_digest(files, dockerfile) if dockerfile in files.entries else None
    key = digest([build, digests, own, model.get("platform")])
    ref = model.get("image") or f"{stack}-{name}"
    tag = f"reconciler/{stack}-{name}:{key[:24]}"
    return ImageWant(stack, name, ref, key, tag, model.get("platform"), model.get("pull_policy"), build)


def _pulled(source: Source, name: str, model: Json) -> ImageWant:
    ref = model["image"]
    key = digest([ref, model.get("platform")])
    return ImageWant(source.document.name, name, ref, key, ref, model.get("platform"), model.get("pull_policy"))


def _relative_build(build: Json, root: str) -> dict[str, Any]:
    relative = {**build, "context": inside(build["context"], root)}
    if build.get("additional_contexts"):
        relative["additional_contexts"] = {
            key: inside(value, root) for key, value in sorted(build["additional_contexts"].items())
        }
    return relative


def inside(path: str, root: str) -> str:
    """A path below `root` as '/'-separated relative one ('.' for the root itself); any other path as it is."""
    if path == root:
        return "."
    return path.removeprefix(root.rstrip("/") + "/")


class _Stack:
    """Lowers one stack, collecting the trees that its services mount."""

    def __init__(
        self,
        document: HostDocument,
        source: Source,
        files: Files,
        built: Mapping[str, ImageWant],
        images: Mapping[str, Image],
        places: Places,
    ) -> None:
        self.document, self.source, self.files, self.places = document, source, files, places
        self.built, self.images = built, images
        self.name = source.document.name
        self.model = source.model
        self.trees: list[Tree] = []

    def lower(self) -> Stack:
        networks = tuple(self._networks())
        services = tuple(self._service(name, model, networks) for name, model in sorted(_services(self.source).items()))
        return Stack(
            self.name,
            services,
            networks,
            tuple(self._volumes()),
            self.source.document.gate,
            self.source.document.suspended,
        )

    def _networks(self) -> Iterable[Network]:
        for key, definition in sorted((self.model.get("networks") or {}).items()):
            if not definition.get("external"):
                plain = {k: v for k, v in definition.items() if k != "name" and v not in ({}, None)}
                yield Network(self.name, key, definition["name"], plain, digest(plain))

    def _volumes(self) -> Iterable[Volume]:
        for key, definition in sorted((self.model.get("volumes") or {}).items()):
            if not definition.get("external"):
                plain = {k: v for k, v in definition.items() if k != "name" and v not in ({}, None)}
                yield Volume(self.name, key, definition["name"], plain)

    def _service(self, name: str, model: Json, networks: Sequence[Network]) -> Service:
        memory, default = service_memory(model, self.document.default_memory)
        want = self._want(name, model)
        image = self.images[want.key].id if want.key in self.images else unresolved(want)
        restart = restart_policy(model)
        trees_before = len(self.trees)
        config = self._config(model, image, memory, default)
        endpoints = tuple(self._endpoints(name, model))
        definitions = {n.name: n.digest for n in networks if n.name in {e.network for e in endpoints}}
        spec = digest([config, restart, definitions, model.get("container_name")])
        labels = {
            **dict(model.get("labels") or {}),
            LABEL_HOST: self.document.name,
            LABEL_STACK: self.name,
            LABEL_SPEC: spec,
        }
        return Service(
            stack=self.name,
            name=name,
            spec=spec,
            config={**config, "labels": labels},
            image=image,
            image_ref=want.ref,
            replicas=replicas(model),
            memory=memory,
            memory_default=default,
            grace=seconds(model["stop_grace_period"]) if model.get("stop_grace_period") else DEFAULT_GRACE,
            restart=restart,
            depends_on=tuple(self._dependencies(model)),
            endpoints=endpoints,
            shares=tuple(sorted(set(_shared_services(model)))),
            completes=self._completes(name, model),
            healthcheck=self._has_healthcheck(model, want),
            container_name=model.get("container_name"),
            ports=tuple(_ports(model)),
            trees=tuple(sorted({tree.digest for tree in self.trees[trees_before:]})),
        )

    def _want(self, name: str, model: Json) -> ImageWant:
        ref = model.get("image") or f"{self.name}-{name}"
        return self.built[ref] if ref in self.built else _pulled(self.source, name, model)

    def _config(self, model: Json, image: str, memory: int, default: bool) -> dict[str, Any]:
        config: dict[str, Any] = {
            key: value for key, value in model.items() if key not in _DROPPED and value is not None
        }
        config |= {"image": image, "restart": "no", "labels": dict(model.get("labels") or {})}
        resources = (model.get("deploy") or {}).get("resources")
        if resources:
            config["deploy"] = {"resources": resources}
        if default:
            config["mem_limit"] = str(memory)
        if "memswap_limit" not in config:
            config["memswap_limit"] = str(memory)
        volumes = [*self._mounts(model), *self._files_of("configs", model), *self._files_of("secrets", model)]
        if volumes:
            config["volumes"] = volumes
        attached = self._attached(model)
        if attached:
            config["networks"] = attached
        return config

    def _attached(self, model: Json) -> dict[str, Any]:
        names = self.model.get("networks") or {}
        return {
            names[key]["name"]: _with_links(options or {}, self._aliases_from_links(model, key))
            for key, options in (model.get("networks") or {}).items()
        }

    def _aliases_from_links(self, model: Json, network: str) -> list[str]:
        """`links: [db:database]` anywhere in the stack gives `db` the alias `database` on the networks they share."""
        own = next(name for name, item in _services(self.source).items() if item is model)
        aliases = set()
        for other in _services(self.source).values():
            for link in other.get("links") or ():
                target, _, alias = link.partition(":")
                if target == own and alias and alias != own and network in (other.get("networks") or {}):
                    aliases.add(alias)
        return sorted(aliases)

    def _endpoints(self, name: str, model: Json) -> Iterable[Endpoint]:
        for network, options in self._attached(model).items():
            yield Endpoint(
                network=network,
                aliases=(name, *options.get("aliases", ())),
                ipv4=options.get("ipv4_address"),
                ipv6=options.get("ipv6_address"),
                link_local=tuple(options.get("link_local_ips") or ()),
                mac=options.get("mac_address"),
                priority=int(options.get("priority") or 0),
                driver_opts=dict(options.get("driver_opts") or {}),
            )

    def _mounts(self, model: Json) -> Iterable[dict[str, Any]]:
        volumes = self.model.get("volumes") or {}
        for mount in model.get("volumes") or ():
            if mount["type"] == "bind":
                yield self._bind(mount, model)
            elif mount["type"] == "volume" and mount.get("source"):
                yield {**mount, "source": volumes[mount["source"]]["name"]}
            else:
                yield dict(mount)

    def _bind(self, mount: Json, model: Json) -> dict[str, Any]:
        path = inside(mount["source"], self.source.root)
        options = {k: v for k, v in (mount.get("bind") or {}).items() if k != "create_host_path"}
        bind = {**mount, "bind": {**options, "create_host_path": False}}
        if path.startswith("/"):
            return {**bind, "source": self._granted(path)}
        if self._in_commit(path):
            tree = self._tree(self._folder(path, mount["target"], model))
            return {**bind, "source": f"{self.places.trees}/{tree.digest}", "read_only": True}
        return {**bind, "source": f"{self.places.data}/{self.name}/{path}"}

    def _folder(self, path: str, target: str, model: Json) -> Tree:
        """A file or folder of the commit, with the places at which the service mounts something else in it."""
        plain = tree_digest(self.files, path)
        places = mountpoints(target, below(self.files, path), self._mounted(model))
        if path in self.files.entries or not places:
            return Tree(plain, path=path)
        empty_folders = tuple(place for place, is_file in places.items() if not is_file)
        empty_files = tuple(place for place, is_file in places.items() if is_file)
        key = digest([plain, empty_folders, empty_files])
        return Tree(key, path=path, empty_folders=empty_folders, empty_files=empty_files)

    def _mounted(self, model: Json) -> dict[str, bool]:
        """Where a service has something mounted → whether that is a file, as far as the commit can tell."""
        mounted = {str(item).partition(":")[0]: False for item in model.get("tmpfs") or ()}
        for mount in model.get("volumes") or ():
            is_bind = mount["type"] == "bind"
            mounted[mount["target"]] = is_bind and inside(mount["source"], self.source.root) in self.files.entries
        for kind in ("configs", "secrets"):
            mounted |= {_target(kind, use): True for use in model.get(kind) or ()}
        return mounted

    def _granted(self, path: str) -> str:
        for grant in self.places.binds:
            if path == grant.path or path.startswith(grant.path.rstrip("/") + "/"):
                return grant.host + path[len(grant.path.rstrip("/")) :]
        return path

    def _in_commit(self, path: str) -> bool:
        prefix = "" if path == "." else path + "/"
        return path in self.files.entries or any(entry.startswith(prefix) for entry in self.files.entries)

    def _files_of(self, kind: str, model: Json) -> Iterable[dict[str, Any]]:
        """Configs and secrets, whatever their source, as read-only binds."""
        definitions = self.model.get(kind) or {}
        for use in model.get(kind) or ():
            yield {
                "type": "bind",
                "source": self._file(definitions[use["source"]]),
                "target": _target(kind, use),
                "read_only": True,
                "bind": {"create_host_path": False},
            }

    def _file(self, definition: Json) -> str:
        if definition.get("file"):
            path = inside(definition["file"], self.source.root)
            if path.startswith("/"):
                return path
            return f"{self.places.trees}/{self._tree(Tree(tree_digest(self.files, path), path=path)).digest}"
        variable = definition.get("environment")
        if variable in self.source.secrets:
            value = self.source.variables[variable]
            self._tree(Tree(content_digest(value), secret=variable, stack=self.name))
            return f"{self.places.secrets}/.mounts/{content_digest(value)}"
        text = definition.get("content") if variable is None else self.source.variables.get(variable, "")
        return f"{self.places.trees}/{self._tree(Tree(content_digest(text or ''), content=text or '')).digest}"

    def _tree(self, tree: Tree) -> Tree:
        self.trees.append(tree)
        return tree

    def _dependencies(self, model: Json) -> Iterable[Dependency]:
        known = _services(self.source)
        for name, options in sorted((model.get("depends_on") or {}).items()):
            if name in known:
                condition = Condition(options.get("condition") or Condition.STARTED)
                yield Dependency(self.name, name, condition, bool(options.get("restart")))

    def _completes(self, name: str, model: Json) -> bool:
        """Whether exit 0 is a proper end: somebody waits for it, or nothing says that it is to go on."""
        waits = [
            (item.get("depends_on") or {})[name].get("condition")
            for item in _services(self.source).values()
            if name in (item.get("depends_on") or {})
        ]
        if Condition.COMPLETED in waits:
            return True
        policy = restart_policy(model).partition(":")[0]
        explicit = "restart" in model or bool((model.get("deploy") or {}).get("restart_policy"))
        serves = bool(model.get("ports")) or _healthcheck(model) is True
        return policy in ("no", "on-failure") and not serves and (explicit or not waits)

    def _has_healthcheck(self, model: Json, want: ImageWant) -> bool:
        own = _healthcheck(model)
        image = self.images.get(want.key)
        return own if own is not None else bool(image and image.healthcheck)


def restart_policy(model: Json) -> str:
    """The restart policy that Compose would give the container: no, always, unless-stopped or on-failure[:N]."""
    if model.get("restart"):
        return str(model["restart"])
    policy = (model.get("deploy") or {}).get("restart_policy")
    if not policy:
        return "no"
    attempts = f":{policy['max_attempts']}" if policy.get("max_attempts") else ""
    # Without a condition Compose gives no policy at all (2.26 and 2.40), though the specification says "any".
    by_condition = {"any": "always", "always": "always", "unless-stopped": "unless-stopped"}
    by_condition["on-failure"] = f"on-failure{attempts}"
    return by_condition.get(policy.get("condition") or "none", "no")


def _healthcheck(model: Json) -> bool | None:
    """True or False where the file says so; None where the image decides."""
    check = model.get("healthcheck")
    if not check:
        return None
    if check.get("disable") or (check.get("test") or ["x"])[0] == "NONE":
        return False
    return True if check.get("test") else None


def _shared_services(model: Json) -> Iterable[str]:
    for key in _SHARED:
        if str(model.get(key) or "").startswith("service:"):
            yield str(model[key]).removeprefix("service:")
    for source in model.get("volumes_from") or ():
        if not source.startswith("container:"):
            yield source.partition(":")[0]


def _target(kind: str, use: Json) -> str:
    """Where a service finds a config or secret."""
    folder = "/run/secrets/" if kind == "secrets" else "/"
    target: str = use.get("target") or use["source"]
    return target if target.startswith("/") else folder + target


def _ports(model: Json) -> Iterable[tuple[str, int, str]]:
    for port in model.get("ports") or ():
        published = str(port.get("published") or "")
        if re.fullmatch(r"\d+", published) and int(published):
            yield (port.get("host_ip") or "0.0.0.0", int(published), port.get("protocol") or "tcp")  # noqa: S104 - Compose's default address


def _with_links(options: Json, aliases: Sequence[str]) -> dict[str, Any]:
    if not aliases:
        return dict(options)
    return {**options, "aliases": [*(options.get("aliases") or ()), *aliases]}


def _across(document: HostDocument, stacks: Sequence[Stack]) -> Iterable[Stack]:
    """Dependencies between stacks become dependencies on each of the other stack's services."""
    by_name = {stack.name: stack for stack in stacks}
    for stack in stacks:
        source = next(item for item in document.stacks if item.name == stack.name)
        extra = tuple(
            Dependency(name, service.name, _strongest(service))
            for name in source.depends_on
            for service in by_name[name].services
        )
        yield replace(
            stack,
            services=tuple(replace(service, depends_on=(*service.depends_on, *extra)) for service in stack.services),
        )


def _strongest(service: Service) -> Condition:
    return Condition.HEALTHY if service.healthcheck else Condition.STARTED


def _content(stack: Stack) -> object:
    services = [
        [s.name, s.spec, s.replicas, [[d.stack, d.service, d.condition, d.restart] for d in s.depends_on]]
        for s in stack.services
    ]
    gate = stack.gate
    gates = [gate.min_healthy_time, gate.healthy_deadline, gate.progress_deadline, gate.unhealthy_grace]
    networks = [[n.name, n.digest] for n in stack.networks]
    return [stack.name, stack.suspended, services, gates, networks, [[v.name, v.definition] for v in stack.volumes]]
