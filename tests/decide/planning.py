"""Compact texts of desired and observed states, and a plan as text, for the tests of the planner."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from reconciler.decide.plan import planner
from reconciler.formats.quantities import size
from reconciler.model.desired import (
    Condition,
    Dependency,
    DesiredState,
    Endpoint,
    Network,
    Service,
    Stack,
    Trial,
    Update,
    Volume,
)
from reconciler.model.documents import Memory
from reconciler.model.observed import (
    COMPOSE_PROJECT,
    LABEL_HOST,
    Container,
    Foreign,
    Mount,
    ObservedNetwork,
    ObservedState,
    ObservedVolume,
)
from reconciler.model.outcome import Intent
from reconciler.model.plan import Action, Change, Downtime, Plan, Step

Json = Mapping[str, Any]
HOST = "mini"
MEMORY = "64MiB"
ANONYMOUS = "f" * 64
"""A name that the engine has given to a volume."""


def desired(text: Json, revision: str = "new") -> DesiredState:
    """`stacks`: name → services, networks (key → definition), volumes, suspended. `memory`: budget, reserve."""
    memory = text.get("memory") or {}
    return DesiredState(
        HOST,
        revision,
        f"content of {revision}",
        Memory(size(memory.get("budget", "1GiB")), 0.8, size(memory.get("reserve", "128MiB"))),
        tuple(_stack(name, item or {}) for name, item in text["stacks"].items()),
    )


def _stack(name: str, text: Json) -> Stack:
    networks = {key: str(value) for key, value in {"default": "a", **(text.get("networks") or {})}.items()}
    services = tuple(
        _service(name, key, item or {}, networks) for key, item in sorted((text.get("services") or {}).items())
    )
    used = {endpoint.network for service in services for endpoint in service.endpoints}
    made = tuple(Network(name, key, f"{name}_{key}", {}, value) for key, value in sorted(networks.items()))
    volumes = tuple(
        Volume(name, key, f"{name}_{key}", item or {}) for key, item in sorted((text.get("volumes") or {}).items())
    )
    kept = tuple(network for network in made if network.name in used)
    return Stack(name, services, kept, volumes, suspended=bool(text.get("suspended")))


def _service(stack: str, name: str, text: Json, networks: Mapping[str, str]) -> Service:
    """As `decide.lower` would make it: the spec covers the definitions of its networks."""
    shares = tuple(text.get("shares", ()))
    keys = [] if shares else list(text.get("networks", ["default"]))
    version = str(text.get("version", 1))
    odd = "".join(f"+{key}={networks[key]}" for key in keys if networks[key] != "a")
    return Service(
        stack=stack,
        name=name,
        spec=f"{name}@{version}{odd}",
        config=_config(stack, name, version, text),
        image=f"sha256:{name}{version}",
        image_ref=f"{name}:{version}",
        replicas=int(text.get("replicas", 1)),
        memory=size(text.get("memory", MEMORY)),
        memory_default=False,
        grace=10.0,
        restart=text.get("restart", "no" if text.get("completes") else "always"),
        depends_on=tuple(_dependencies(stack, text)),
        endpoints=tuple(Endpoint(f"{stack}_{key}", (name,), ipv4=text.get("address")) for key in keys),
        shares=shares,
        completes=bool(text.get("completes")),
        healthcheck=bool(text.get("health")),
        container_name=text.get("container_name"),
        ports=tuple(("0.0.0.0", number, "tcp") for number in text.get("ports", ())),
        update=_update(text.get("update", {})),
    )


def _update(text: Json) -> Update:
    trial = text.get("trial")
    return Update(**{**text, "trial": None if trial is None else Trial(**trial)})


def _config(stack: str, name: str, version: str, text: Json) -> dict[str, Any]:
    """`mounts`: volumes by key, `:ro` if they are only read. The keys named below are as in Compose files."""
    config: dict[str, Any] = {"image": f"{name}:{version}"}
    mounts = (item.partition(":") for item in text.get("mounts", ()))
    volumes = [
        {"type": "volume", "source": f"{stack}_{key}" if key else "", "target": f"/{key}", "read_only": mode == "ro"}
        for key, _, mode in mounts
    ]
    return (
        config
        | ({"volumes": volumes} if volumes else {})
        | {key: text[key] for key in ("labels", "network_mode", "hostname", "devices") if key in text}
    )


def _dependencies(stack: str, text: Json) -> Iterable[Dependency]:
    """`after`: service → started, healthy or completed; `stack/service` names one of another stack; `!` restarts."""
    words = {
        "started": Condition.STARTED,
        "healthy": Condition.HEALTHY,
        "completed": Condition.COMPLETED,
    }
    for name, word in (text.get("after") or {}).items():
        other, _, service = name.rpartition("/")
        yield Dependency(other or stack, service, words[word.rstrip("!")], word.endswith("!"))


def observed(text: Json) -> ObservedState:
    """`containers`: name → `stack/service@version state` and more; `networks`, `volumes`, `foreign`: by name."""
    containers = tuple(_container(name, item) for name, item in (text.get("containers") or {}).items())
    networks = {name: _network(name, item or {}) for name, item in (text.get("networks") or {}).items()}
    volumes = {name: _volume(name, item or {}) for name, item in (text.get("volumes") or {}).items()}
    foreign = tuple(Foreign(name, name, size(item)) for name, item in (text.get("foreign") or {}).items())
    total = size(text.get("memory_total", "16GiB"))
    ordered = sorted(containers, key=lambda item: (item.stack, item.service, item.number))
    return ObservedState(tuple(ordered), foreign, networks, volumes, total, True)


def _container(name: str, text: Json) -> Container:
    service, _, state = text["is"].partition(" ")
    stack, _, service = service.partition("/")
    service, _, version = service.partition("@")
    digits = name.removesuffix(".standby").rpartition("-")[2]
    state, _, code = state.partition("=")
    shared = frozenset(f"id-{item}" for item in text.get("shares", ()))
    networks = frozenset(text.get("networks", () if shared else [f"{stack}_default"]))
    return Container(
        id=f"id-{text.get('id', name)}",
        name=name,
        stack=stack,
        service=service,
        number=int(text.get("number", digits if digits.isdigit() else 1)),
        state=state,
        health=text.get("health", "none"),
        spec=f"{service}@{version}",
        host=HOST,
        networks=networks,
        started_at="" if state == "created" else "2026-01-01T00:00:00Z",
        exit_code=int(code or 0),
        restart=text.get("restart", "always" if state == "running" else "no"),
        memory=size(text.get("memory", MEMORY)),
        shares=shared,
        detailed=True,
        facts=_facts(text, networks),
        mounts=tuple(Mount("volume", ANONYMOUS, f"/{key}") for key in text.get("anonymous", ())),
    )


def _facts(text: Json, networks: frozenset[str]) -> dict[str, Any]:
    """`aliases`: those in each of its networks; unknown if the text has none."""
    if "aliases" not in text:
        return {}
    endpoint = {"aliases": frozenset(text["aliases"]), "ipv4": "", "ipv6": "", "mac": None}
    return {"networks": dict.fromkeys(networks, endpoint)}


def _network(name: str, text: Json) -> ObservedNetwork:
    labels = {COMPOSE_PROJECT: name.partition("_")[0], LABEL_HOST: text.get("host", HOST)}
    digest = text.get("is", "a")
    return ObservedNetwork(f"id-{name}", name, labels, None if digest == "somebody's" else digest)


def _volume(name: str, text: Json) -> ObservedVolume:
    return ObservedVolume(text.get("driver", "local"), text.get("options", {}))


def plan_of(wanted: Json, there: Json) -> Plan:
    """The plan of a case. `base`, `intent`, `ran_once` (stack/service) and `images` stand in the wanted text."""
    target = desired(wanted)
    base = desired(wanted["base"], "old") if wanted.get("base") else None
    known = {service.key: service.spec for service in target.services().values()}
    once = frozenset(known[tuple(key.split("/"))] for key in wanted.get("ran_once", ()))
    return planner.plan(
        target,
        observed(there),
        intent=Intent(wanted.get("intent", "Advance")),
        base=base,
        ran_once=once,
        images=[
            Step(0, Action(action), *key.split("/", 1), ref, "the machine does not have it", 0)  # type: ignore[call-arg]  # two parts
            for action, key, ref in wanted.get("images", ())
        ],
        stacks=wanted.get("were", ()),
    )


def text_of(plan: Plan) -> str:
    """The plan as a golden text for people: one line for each step, the verdict, then what follows it."""
    width = max((len(_what(step)) for step in plan.steps), default=0)
    lines = [f"{plan.intent} from {plan.base or 'nothing'} to {plan.revision}", ""]
    first_closing = len(plan.steps) - plan.closing
    for position, step in enumerate(plan.steps):
        if position == first_closing:
            lines.append("   -- the verdict is durable --")
        lines.append(f"{step.n:2} {_what(step):{width}}  {step.memory_after >> 20:4} MiB  {step.cause}")
    lines += [] if plan.steps else ["nothing to do"]
    lines += ["", f"peak {plan.peak >> 20} of {plan.bound >> 20} MiB"]
    lines += [
        f"down: {item.stack}/{item.service} {item.order} ≤ {item.at_most:g} s{_why(item)}" for item in plan.downtime
    ]
    lines += [f"{item.level} {item.rule}: {item.message}" for item in plan.violations]
    return "\n".join(lines) + "\n"


def _why(item: Downtime) -> str:
    told = f", because {item.why}" if item.why else ""
    return told + (f"; no trial: {item.untried}" if item.untried else "")


def _what(step: Step) -> str:
    of = "/".join(part for part in (step.stack, step.service) if part)
    target = step.container or ""
    if step.action is Action.WAIT_HEALTHY:
        return f"{step.action} {of or 'all'}" + (f" ({step.condition})" if step.condition else "")
    if step.action is Action.JOIN_ALIAS:
        target = f"{target} to {step.name}"
    elif step.name and step.name != target:
        target = f"{target} → {step.name}"
    elif step.change is Change.APART:
        target = f"{target} apart" + (f" (was {step.id.removeprefix('id-')})" if step.id else "")
    elif step.action in (Action.START_CONTAINER, Action.RUN_ONCE) and step.id and step.id != f"id-{target}":
        target = f"{target} (was {step.id.removeprefix('id-')})"
    return f"{step.action} {target}" + (f", after {step.pause:g} s" if step.pause else "")
