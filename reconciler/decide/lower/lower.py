"""From Compose's canonical model to the form in which it is applied. Pure; every rule has a golden case.

Compose has nothing left to decide: images by id, networks and volumes by the engine's name, files as read-only binds of
content-addressed trees, no order, no build, no restart policy before the verdict.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, replace
from typing import Any

from reconciler.decide.admit.budget import ending, replicas, service_memory
from reconciler.decide.lower.mounts import Mounts
from reconciler.decide.lower.updates import update_of
from reconciler.decide.lower.wanted_images import Built, unresolved
from reconciler.decide.mounts.canonical import healthcheck, published_ports, restart_policy, shared_services
from reconciler.decide.mounts.digests import digest
from reconciler.decide.mounts.sources import Json, Places, Source, services_of, texts_of
from reconciler.formats.compose_names import SETTINGS
from reconciler.formats.quantities import seconds
from reconciler.formats.readable import readable
from reconciler.model.desired import (
    AS_USUAL,
    DEFAULT_GRACE,
    Condition,
    Dependency,
    DesiredState,
    Endpoint,
    Network,
    Service,
    Stack,
    Volume,
)
from reconciler.model.documents import HostDocument
from reconciler.model.files import Files
from reconciler.model.images import Image, ImageWant
from reconciler.model.observed import LABEL_HOST, LABEL_SPEC, LABEL_STACK

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
} | {"volumes", "networks", "restart", "deploy", "labels", "image", "develop", "attach", SETTINGS}


def lower(
    document: HostDocument,
    sources: Sequence[Source],
    files: Files,
    images: Mapping[str, Image],
    places: Places,
    revision: str,
) -> DesiredState:
    """The desired state of an admitted commit. `images`: ImageWant.key → image; a missing one stays unresolved."""
    built = Built(sources, files)
    lowered = [_Stack(document, source, files, built, images, places) for source in sources]
    stacks = tuple(_across(document, [item.lower() for item in lowered]))
    trees = {tree.digest: tree for item in lowered for tree in item.mounts.trees}
    content = places.seal(digest([_content(stack) for stack in stacks]))
    return DesiredState(document.name, revision, content, document.memory, stacks, tuple(trees.values()))


class _Stack:
    """Lowers one stack, collecting the trees that its services mount."""

    def __init__(
        self,
        document: HostDocument,
        source: Source,
        files: Files,
        built: Built,
        images: Mapping[str, Image],
        places: Places,
    ) -> None:
        self.document, self.source = document, source
        self.built, self.images = built, images
        self.name = source.document.name
        self.model = source.model
        self.mounts = Mounts(source, files, places)
        self.seal = places.seal

    def lower(self) -> Stack:
        networks = tuple(self._networks())
        services = tuple(
            self._service(name, model, networks) for name, model in sorted(services_of(self.source).items())
        )
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
                yield Network(self.name, key, definition["name"], plain, self._sealed(digest(plain), plain))

    def _volumes(self) -> Iterable[Volume]:
        for key, definition in sorted((self.model.get("volumes") or {}).items()):
            if not definition.get("external"):
                plain = {k: v for k, v in definition.items() if k != "name" and v not in ({}, None)}
                yield Volume(self.name, key, definition["name"], plain)

    def _sealed(self, digest: str, value: Json) -> str:
        """The digest in the form for a label. Monitoring shows labels to people who may not know the secrets in
        `value`."""
        texts = list(texts_of(value))
        return self.seal(digest) if self.source.conceals(*texts, " ".join(texts)) else digest

    def _service(self, name: str, model: Json, networks: Sequence[Network]) -> Service:
        memory, default = service_memory(model, self.document.default_memory)
        want = self.built.of(self.source, name, model)
        image = self.images[want.key].id if want.key in self.images else unresolved(want)
        restart = restart_policy(model)
        config = self._config(name, model, image, memory, default)
        endpoints = tuple(self._endpoints(name, model))
        definitions = {n.name: n.digest for n in networks if n.name in {e.network for e in endpoints}}
        spec = self._sealed(digest([config, restart, definitions, model.get("container_name")]), config)
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
            # After the digest, so that a change in the form of Compose's file replaces no container.
            config=readable({**config, "labels": labels}),
            image=image,
            image_ref=want.ref,
            replicas=replicas(model),
            memory=memory,
            memory_default=default,
            grace=seconds(model["stop_grace_period"]) if model.get("stop_grace_period") else DEFAULT_GRACE,
            restart=restart,
            depends_on=tuple(self._dependencies(model)),
            endpoints=endpoints,
            shares=tuple(sorted(set(shared_services(model)))),
            completes=self._completes(name, model),
            healthcheck=self._has_healthcheck(model, want),
            container_name=model.get("container_name"),
            ports=tuple(published_ports(model)),
            update=update_of(model, self.document.default_order),
            endpoint=(model.get(SETTINGS) or {}).get("endpoint", ""),
        )

    def _config(self, name: str, model: Json, image: str, memory: int, default: bool) -> dict[str, Any]:
        config: dict[str, Any] = {
            key: value for key, value in model.items() if key not in _DROPPED and value is not None
        }
        config |= {"image": image, "restart": "no", "labels": dict(model.get("labels") or {})}
        resources = (model.get("deploy") or {}).get("resources")
        if resources:
            config["deploy"] = {"resources": resources}
        if default:
            config["mem_limit"] = str(memory)
        if str(config.get("memswap_limit") or "0") == "0":  # which would be twice the memory for the engine
            config["memswap_limit"] = str(memory)
        volumes = self.mounts.of(name, model)
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
        """`links: [db:database]` anywhere in the stack gives `db` the alias `database` on the networks that they
        share."""
        own = next(name for name, item in services_of(self.source).items() if item is model)
        aliases = set()
        for other in services_of(self.source).values():
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
                driver_opts=dict(options.get("driver_opts") or {}),
            )

    def _dependencies(self, model: Json) -> Iterable[Dependency]:
        known = services_of(self.source)
        for name, options in sorted((model.get("depends_on") or {}).items()):
            if name in known:
                condition = Condition(options.get("condition") or Condition.STARTED)
                yield Dependency(self.name, name, condition, bool(options.get("restart")))

    def _completes(self, name: str, model: Json) -> bool:
        """Whether exit 0 is the intended end: somebody waits for it, or nothing says that the service keeps running."""
        services = services_of(self.source)
        if name in ending(services):
            return True
        waits = any(name in (item.get("depends_on") or {}) for item in services.values())
        policy = restart_policy(model).partition(":")[0]
        explicit = "restart" in model or bool((model.get("deploy") or {}).get("restart_policy"))
        serves = bool(model.get("ports")) or healthcheck(model) is True
        return policy in ("no", "on-failure") and not serves and (explicit or not waits)

    def _has_healthcheck(self, model: Json, want: ImageWant) -> bool:
        own = healthcheck(model)
        image = self.images.get(want.key)
        return own if own is not None else bool(image and image.healthcheck)


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
        [
            s.name,
            s.spec,
            s.replicas,
            [[d.stack, d.service, d.condition, d.restart] for d in s.depends_on],
            # Only where the file says something, so that the identity of other contents stays as it was.
            *([astuple(s.update)] if s.update != AS_USUAL else []),
            *([{"endpoint": s.endpoint}] if s.endpoint else []),
        ]
        for s in stack.services
    ]
    gate = stack.gate
    gates = [gate.min_healthy_time, gate.healthy_deadline, gate.progress_deadline, gate.unhealthy_grace]
    networks = [[n.name, n.digest] for n in stack.networks]
    return [stack.name, stack.suspended, services, gates, networks, [[v.name, v.definition] for v in stack.volumes]]
