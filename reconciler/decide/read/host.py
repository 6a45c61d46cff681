"""Interprets a schema-valid Host document: values, defaults, and rules between fields."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from typing import Any

from reconciler.decide.read.paths import file_violation, resolve
from reconciler.formats.nodes import shorten
from reconciler.formats.quantities import QuantityError, fraction, seconds, shown, size
from reconciler.formats.schemas import suggestion
from reconciler.formats.yamls import Document, Pointer, json_pointer
from reconciler.model.alerts import RULES, AlertRule
from reconciler.model.documents import MIB, STOP_FIRST, Exports, Gate, HostDocument, LogBounds, Memory, StackDocument
from reconciler.model.files import Files
from reconciler.model.outcome import Reason, Violation
from reconciler.values import dataclass

ENGINE_LEAST = 6 * MIB
"""The engine refuses containers with a smaller limit."""

MOST_CYCLES = 20
"""Number of stacks in dependency cycles that are named."""

LEAST_LOG = MIB
MOST_LOG = 256 * MIB
"""Bytes that a kept log may be limited to."""

_DEFAULT_MEMORY = HostDocument("", ()).default_memory


@dataclass(frozen=True, slots=True)
class _Place:
    """Makes violations at a pointer of one document."""

    document: Document

    def violation(
        self, pointer: Pointer, rule: str, message: str, hint: str, reason: Reason = Reason.SCHEMA_INVALID
    ) -> Violation:
        line, column = self.document.place(pointer)
        return Violation(
            reason,
            rule,
            message,
            hint,
            path=self.document.path,
            line=line,
            column=column,
            pointer=json_pointer(pointer),
            stack=_stack_name(self.document.value, pointer),
        )


def value(document: Document, base: str) -> HostDocument:
    """The HostDocument of a document without violations. Paths are relative to the folder `base`."""
    spec: Mapping[str, Any] = document.value["spec"]
    defaults: Mapping[str, Any] = spec.get("defaults") or {}
    gate = _gate(Gate(), defaults.get("gate", {}))
    return HostDocument(
        name=document.value["metadata"]["name"],
        stacks=tuple(_stack(document, index, gate, base) for index in range(len(spec["stacks"]))),
        memory=_memory(spec.get("memory", {})),
        default_memory=size(defaults.get("memory", _DEFAULT_MEMORY)),
        path=document.path,
        default_order=defaults.get("order", STOP_FIRST),
        alerts={name: _alert(RULES[name], raw) for name, raw in spec.get("alerts", {}).items()},
        logs=_logs(spec.get("logs", {})),
        agent_version=spec.get("agent", {}).get("version", ""),
    )


def _logs(raw: Mapping[str, Any]) -> LogBounds:
    usual = LogBounds()
    return LogBounds(raw.get("keep", usual.keep), size(raw["size"]) if "size" in raw else usual.size)


def _alert(usual: AlertRule, raw: Mapping[str, Any]) -> AlertRule:
    """A setting that the document leaves out has its usual value."""
    lasting = seconds(raw["for"]) if "for" in raw else usual.lasting
    bound = _threshold(raw["threshold"]) if "threshold" in raw else usual.threshold
    return AlertRule(lasting, bound, raw.get("enabled", True))


def _threshold(text: str) -> float:
    return fraction(text) if text.endswith("%") else seconds(text)


def _stack(document: Document, index: int, gate: Gate, base: str) -> StackDocument:
    raw: Mapping[str, Any] = document.value["spec"]["stacks"][index]
    pointer: Pointer = ("spec", "stacks", index)
    return StackDocument(
        name=raw["name"],
        files=tuple(resolve(base, path) or "" for path in raw["files"]),
        profiles=tuple(raw.get("profiles", ())),
        env={name: document.texts[(*pointer, "env", name)] for name in raw.get("env", {})},
        depends_on=tuple(raw.get("depends_on", ())),
        exports=Exports(*(tuple((raw.get("exports") or {}).get(kind, ())) for kind in ("networks", "volumes"))),
        suspended=raw.get("suspended", False),
        gate=_gate(gate, raw.get("gate", {})),
        line=document.place(pointer)[0],
    )


def _gate(under: Gate, raw: Mapping[str, str]) -> Gate:
    return replace(under, **{name: seconds(text) for name, text in raw.items()})


def _memory(raw: Mapping[str, Any]) -> Memory:
    plain = Memory()
    return Memory(
        budget=size(raw.get("budget", plain.budget)),
        steady=fraction(raw["steady"]) if "steady" in raw else plain.steady,
        reserve=size(raw.get("reserve", plain.reserve)),
    )


def rules(document: Document, host: str, files: Files, base: str) -> tuple[Violation, ...]:
    """Every violation that no schema can express. Parts of the wrong type are left to the schema."""
    place = _Place(document)
    root = _mapping(document.value)
    spec = _mapping(root.get("spec"))
    stacks = [_mapping(item) for item in _sequence(spec.get("stacks"))]
    found = [
        *_named(place, _mapping(root.get("metadata")).get("name"), host),
        *_quantities(place, spec),
        *_gates(place, spec, stacks),
        *_alerts(place, spec),
        *_log_size(place, spec),
        *_names(place, stacks),
        *_dependencies(place, stacks),
        *_files(place, stacks, files, base),
    ]
    return tuple(found)


def _named(place: _Place, name: object, host: str) -> Iterator[Violation]:
    if isinstance(name, str) and name != host:
        message = f"the document is for the host '{shorten(name)}', but this is '{host}'"
        hint = f"Write {host}, or name the file after its host."
        yield place.violation(("metadata", "name"), "host-name", message, hint)


def _quantities(place: _Place, spec: Mapping[str, Any]) -> Iterator[Violation]:
    try:
        memory = _memory(_mapping(spec.get("memory")))
        default = size(_mapping(spec.get("defaults")).get("memory", _DEFAULT_MEMORY))
    except (QuantityError, TypeError):
        return  # the schema has reported it, or the next check does
    if memory.reserve >= memory.budget:
        message, hint = "the reserve leaves nothing of the budget", "Lower the reserve or raise the budget."
        yield place.violation(("spec", "memory", "reserve"), "memory-order", message, hint)
    if memory.steady == 0:
        message, hint = "a steady share of 0% leaves no room for any service", "Write a share like 80%."
        yield place.violation(("spec", "memory", "steady"), "out-of-range", message, hint)
    if default < ENGINE_LEAST:
        message, hint = "the engine refuses limits under 6 MiB", "Write a larger size, like 512MiB."
        yield place.violation(("spec", "defaults", "memory"), "out-of-range", message, hint)


def _alerts(place: _Place, spec: Mapping[str, Any]) -> Iterator[Violation]:
    """A threshold is a share for some alerts, a time for another, and the others have none."""
    for name, raw in _mapping(spec.get("alerts")).items():
        usual, text = RULES.get(name), _mapping(raw).get("threshold")
        if usual is None or not isinstance(text, str):
            continue  # the schema has named it
        kind = "none" if usual.threshold is None else "a share like 85%" if usual.threshold <= 1 else "a time like 12h"
        if usual.threshold is None or text.endswith("%") != (usual.threshold <= 1):
            message, hint = f"the threshold of {name} is {kind}", "Remove it." if kind == "none" else f"Write {kind}."
            yield place.violation(("spec", "alerts", name, "threshold"), "alert-threshold", message, hint)
        elif text.endswith("%") and (_share(text) or 0) > 1:
            message, hint = f"a share of {text} is never reached", "Write a share up to 100%."
            yield place.violation(("spec", "alerts", name, "threshold"), "out-of-range", message, hint)


def _log_size(place: _Place, spec: Mapping[str, Any]) -> Iterator[Violation]:
    """Violation of a log size that is too small (a log would have a few lines) or too large (one service would fill the
    space of all logs)."""
    raw = _mapping(spec.get("logs")).get("size")
    if not isinstance(raw, str | int):
        return  # the schema has named it
    try:
        bound = size(raw)
    except QuantityError:
        return  # likewise
    if not LEAST_LOG <= bound <= MOST_LOG:
        message = f"a log may have {shown(LEAST_LOG)} to {shown(MOST_LOG)}, compressed"
        yield place.violation(("spec", "logs", "size"), "out-of-range", message, "Write a size between them.")


def _share(text: str) -> float | None:
    try:
        return fraction(text)
    except QuantityError:
        return 2.0


def _gates(place: _Place, spec: Mapping[str, Any], stacks: list[Mapping[str, Any]]) -> Iterator[Violation]:
    defaults = _mapping(_mapping(spec.get("defaults")).get("gate"))
    default = _readable_gate(Gate(), defaults)
    yield from _gate_order(place, ("spec", "defaults", "gate"), default)
    for index, stack in enumerate(stacks):
        if stack.get("gate"):
            gate = _readable_gate(default, _mapping(stack["gate"]))
            yield from _gate_order(place, ("spec", "stacks", index, "gate"), gate)


def _readable_gate(under: Gate, raw: Mapping[str, Any]) -> Gate:
    known = {item.name for item in fields(Gate)}
    try:
        return _gate(under, {name: text for name, text in raw.items() if name in known})
    except (QuantityError, TypeError):
        return under


def _gate_order(place: _Place, pointer: Pointer, gate: Gate) -> Iterator[Violation]:
    if not 0 <= gate.min_healthy_time < gate.healthy_deadline <= gate.progress_deadline:
        message = "no service can ever pass this gate"
        hint = "It must hold: 0 ≤ min_healthy_time < healthy_deadline ≤ progress_deadline."
        yield place.violation(pointer, "gate-order", message, hint)


def _names(place: _Place, stacks: list[Mapping[str, Any]]) -> Iterator[Violation]:
    first: dict[object, int] = {}
    for index, stack in enumerate(stacks):
        name = stack.get("name")
        if isinstance(name, str) and first.setdefault(name, index) != index:
            line = place.document.place(("spec", "stacks", first[name], "name"))[0]
            message = f"a stack named '{shorten(name)}' stands already in line {line}"
            pointer: Pointer = ("spec", "stacks", index, "name")
            yield place.violation(pointer, "stack-name", message, "Give each stack a name of its own.")


def _dependencies(place: _Place, stacks: list[Mapping[str, Any]]) -> Iterator[Violation]:
    names = [stack["name"] for stack in stacks if isinstance(stack.get("name"), str)]
    edges: dict[str, list[str]] = {}
    for index, stack in enumerate(stacks):
        wanted = [item for item in _sequence(stack.get("depends_on")) if isinstance(item, str)]
        if isinstance(stack.get("name"), str):
            edges.setdefault(stack["name"], []).extend(wanted)
        for number, name in enumerate(_sequence(stack.get("depends_on"))):
            if isinstance(name, str) and name not in names:
                pointer: Pointer = ("spec", "stacks", index, "depends_on", number)
                message = f"there is no stack '{shorten(name)}' on this host"
                hint = suggestion(name, names) or "depends_on names stacks of this document, not services."
                yield place.violation(pointer, "depends-on-unknown", message, hint)
    caught = _on_cycles(edges)
    for index, stack in enumerate(stacks):
        if stack.get("name") in caught:
            message = f"'{stack['name']}' depends on itself: {caught[stack['name']]}"
            pointer = ("spec", "stacks", index, "depends_on")
            yield place.violation(pointer, "depends-on-cycle", message, "Remove one of these dependencies.")


def _on_cycles(edges: Mapping[str, list[str]]) -> dict[str, str]:
    """Each stack that can reach itself, with the path; no more than a report shows."""
    found: dict[str, str] = {}
    for start in edges:
        came: dict[str, str] = {}
        queue = deque([start])
        while queue and start not in came and len(found) < MOST_CYCLES:
            here = queue.popleft()
            for following in edges.get(here, ()):
                if following not in came:
                    came[following] = here
                    queue.append(following)
        if start in came:
            found[start] = " → ".join(_way(came, start))
    return found


def _way(came: Mapping[str, str], start: str) -> list[str]:
    way = [start]
    here = came[start]
    while here != start:
        way.append(here)
        here = came[here]
    return [start, *reversed(way[1:]), start]


def _files(place: _Place, stacks: list[Mapping[str, Any]], files: Files, base: str) -> Iterator[Violation]:
    for index, stack in enumerate(stacks):
        for number, path in enumerate(_sequence(stack.get("files"))):
            if not isinstance(path, str) or not path:
                continue
            pointer: Pointer = ("spec", "stacks", index, "files", number)
            if refused := _file(place, pointer, path, files, base):
                yield refused


def _file(place: _Place, pointer: Pointer, path: str, files: Files, base: str) -> Violation | None:
    resolved = resolve(base, path)
    if resolved is None or ".." in path.split("/") or "\\" in path:
        message = f"'{shorten(path)}' is not a path inside the repository"
        hint = "Write it relative to the repository's root, with '/' and without '..'."
        return place.violation(pointer, "path-outside", message, hint, Reason.POLICY_VIOLATION)
    found = file_violation(files, resolved)
    if found is None:
        return None
    return place.violation(pointer, found.rule, found.message, found.hint, found.reason)


def _stack_name(document: Any, pointer: Pointer) -> str | None:
    if pointer[:2] != ("spec", "stacks") or len(pointer) < 3:
        return None
    index = pointer[2]
    stacks = _sequence(_mapping(_mapping(document).get("spec")).get("stacks"))
    name = _mapping(stacks[index]).get("name") if isinstance(index, int) and index < len(stacks) else None
    return name if isinstance(name, str) else None


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _sequence(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
