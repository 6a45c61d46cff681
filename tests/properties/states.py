"""Strategies for desired states, and for observed states that the planner may meet."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

NAMES = ("a", "b", "c", "d")
STATES = ("running", "running", "running", "exited=0", "exited=1", "created", "paused", "restarting")
Json = dict[str, Any]
UPDATES = st.sampled_from([{}, {"parallelism": 2}, {"parallelism": 0}]) | st.fixed_dictionaries(
    {
        "order": st.just("start-first"),
        "parallelism": st.sampled_from([1, 1, 2, 0]),
        "delay": st.sampled_from([0.0, 3.0]),
    }
)


@st.composite
def services(draw: st.DrawFn) -> Json:
    """Up to four services; each may depend on earlier ones, or live in the namespaces of one."""
    found: Json = {}
    for name in sorted(draw(st.sets(st.sampled_from(NAMES), min_size=1))):
        earlier = sorted(found)
        lone = [other for other in earlier if found[other]["replicas"] == 1 and not found[other]["completes"]]
        mostly: bool = bool(lone) and draw(st.booleans())
        shares: list[str] = draw(st.lists(st.sampled_from(lone), max_size=1)) if mostly else []
        words = st.sampled_from(["started", "healthy", "healthy!"])
        after = {other: draw(words) for other in earlier if draw(st.booleans())}
        after |= {other: "completed" for other in after if found[other]["completes"]}
        single = bool(shares) or draw(st.booleans())
        found[name] = {
            "version": draw(st.integers(1, 2)),
            "replicas": 1 if single else draw(st.integers(1, 3)),
            "completes": not shares and single and draw(st.sampled_from([False, False, True])),
            "memory": f"{draw(st.sampled_from([16, 32, 64]))}MiB",
            "health": draw(st.booleans()),
            "after": after,
            "shares": shares,
            "networks": draw(st.sampled_from([["default"], ["default", "back"], ["back"]])),
            "update": draw(UPDATES),
        }
        if single and draw(st.sampled_from([False, False, True])):
            found[name]["container_name"] = f"the-{draw(st.sampled_from('xyz'))}-{name}"
    return found


@st.composite
def wanted(draw: st.DrawFn) -> Json:
    """`base` is what ran before, mostly; the memory is tight, now and then."""
    networks = {"default": draw(st.sampled_from("ab")), "back": draw(st.sampled_from("aab"))}
    stack = {"services": draw(services()), "networks": networks, "volumes": {"data": None}}
    text: Json = {"stacks": {"shop": stack}, "intent": draw(st.sampled_from(["Advance", "Repair", "Revert"]))}
    text["memory"] = {"budget": draw(st.sampled_from(["256MiB", "1GiB"])), "reserve": "32MiB"}
    if draw(st.booleans()):
        before = {"services": draw(services()), "networks": {"default": "a", "back": "a"}}
        text["base"] = {"stacks": {"shop": before}}
    return text


@st.composite
def there(draw: st.DrawFn, text: Json) -> Json:
    """Containers of the wanted, of the earlier and of unknown versions, wherever a crash may have left them."""
    containers: Json = {}
    known = text["stacks"]["shop"]["services"]
    for name in draw(st.sets(st.sampled_from([*NAMES, "gone"]))):
        for number in range(1, draw(st.integers(1, 4))):
            item = _container(draw, name, number, known.get(name, {}), containers)
            stable = known.get(name, {}).get("container_name") if number == 1 else None
            called = stable if stable and draw(st.booleans()) else f"shop-{name}-{number}"
            containers[called + draw(st.sampled_from(["", "", ".standby"]))] = item
    networks = {
        f"shop_{key}": {"is": draw(st.sampled_from("ab"))} for key in ("default", "back") if draw(st.booleans())
    }
    attached = {key for item in containers.values() for key in item.get("networks", ())}
    for key in attached - networks.keys():
        networks[key] = {"is": "a"}
    foreign = {"hog": "64MiB"} if draw(st.booleans()) else {}
    return {"containers": containers, "networks": networks, "volumes": {"kept": None}, "foreign": foreign}


def _container(draw: st.DrawFn, name: str, number: int, service: Json, others: Json) -> Json:
    shares = [_any_of(draw, others, namespace_owner) for namespace_owner in service.get("shares", ())]
    kept = [namespace_owner for namespace_owner in shares if namespace_owner]
    odd = draw(st.sampled_from(["", "", "+default=b", "+back=b", "+default=b+back=b"]))
    version = f"{draw(st.sampled_from([1, 1, 2, 2, 3]))}{'' if kept else odd}"
    made: Json = {
        "is": f"shop/{name}@{version} {draw(st.sampled_from(STATES))}",
        "number": number,
        "id": f"{name}{number}",
        "memory": "16MiB",
        "health": draw(st.sampled_from(["none", "starting", "healthy", "unhealthy"])),
        "restart": draw(st.sampled_from(["no", "always"])),
    }
    if kept:
        return made | {"shares": kept}
    return made | {"networks": [f"shop_{key}" for key in service.get("networks", ["default"])]}


def _any_of(draw: st.DrawFn, others: Json, namespace_owner: str) -> str | None:
    found = [item["id"] for item in others.values() if item["is"].startswith(f"shop/{namespace_owner}@")]
    return draw(st.sampled_from(found)) if found else None
