"""Finds variables that a stack's files need and that are not set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import replace
from typing import TYPE_CHECKING

from reconciler.decide.read.keys import RESET, find, items, pairs, words
from reconciler.decide.read.places import ServiceIn, Unit
from reconciler.formats import nodes
from reconciler.formats.interpolation import Opaque, TemplateError, interpolate
from reconciler.formats.nodes import Node, Scalar, shorten
from reconciler.formats.yamls import Pointer, json_pointer
from reconciler.model.needs import Variable
from reconciler.model.outcome import Level, Reason, Violation
from reconciler.values import dataclass

if TYPE_CHECKING:
    from reconciler.decide.read.compose_files import ComposeFiles

MAY_BE_EMPTY = ("environment", "labels")
"""Keys of a service below which an unset variable is a warning: its program sees an empty value, as with Compose."""

LONGEST = 8 << 20
"""Characters of all values of one file with their variables replaced."""


@dataclass(frozen=True, slots=True)
class Use:
    """An unset variable that a value needs. `told` is the file's own text for it (`${X:?text}`).

    `opaque`: it is set, but is no text.
    """

    name: str
    told: str
    path: str
    node: Scalar
    pointer: Pointer
    level: Level = Level.DENY
    opaque: bool = False


def profiles_of(units: Sequence[Unit]) -> dict[str, set[str]]:
    """Service → its profiles; services without profiles are left out."""
    named: dict[str, set[str]] = {}
    for unit in (unit for unit in units if unit.whole):
        for name, (_, service) in _section(unit.root, "services").items():
            held = pairs(service).get("profiles")
            for word in words(held[1] if held else None):
                named.setdefault(name, set()).add(_text(word, unit.variables))
    return named


def inactive(units: Sequence[Unit], profiles: tuple[str, ...]) -> frozenset[str]:
    """Services that no active profile names: Compose leaves them out."""
    if "*" in profiles:
        return frozenset()
    return frozenset(name for name, found in profiles_of(units).items() if not found & set(profiles))


def unset(read: ComposeFiles, stack: str, idle: Set[str], strict: bool = False) -> Iterator[Violation]:
    """Violations for values that cannot be computed: unset variables (each once, where it matters most), and text that
    Compose rejects. In MAY_BE_EMPTY an unset variable is a warning, unless the file says `${NAME:?…}` or `strict` is
    set.

    Values that nothing needs (an unused `x-…`, services in `idle`, the other services of an extended file) may have
    unset variables, unless the text says that it must not (`${NAME:?…}`). Keys are not interpolated, `$$` is a plain $.
    """
    missing: dict[str, Use] = {}
    needed = _needed(read, idle)
    for number, unit in enumerate(read.units):
        walk = _Walk(unit, stack, missing, strict)
        services = {name: node for name, node in read.used[number].items() if (number, name) in needed}
        for name, node in services.items():
            walk.visit(node, ("services", name))
        for section, (_, node) in pairs(unit.root).items():
            if section != "services" and not section.startswith("x-"):
                walk.visit(node, (section,))
        walk.bare_names(services)
        walk.visit_rest()
        yield from walk.violations
    yield from (_unset(use, stack) for use in missing.values())
    yield from _cut(read, stack, needed, strict)


def _cut(read: ComposeFiles, stack: str, needed: Set[ServiceIn], strict: bool) -> Iterator[Violation]:
    """Values of env files that an unset variable cuts short, usually a `$` in a password, and lines with the bare name
    of an unset variable. Each once."""
    told: set[tuple[str, str]] = set()
    named = frozenset().union(*(file.names for file in read.env_files.values()))
    for here, path in read.reads_env:
        for name, found in read.env_files[path].unset if here in needed and path in read.env_files else ():
            if name not in named and (path, name) not in told:
                told.add((path, name))
                level = Level.DENY if strict and found.level is Level.DENY else Level.WARN
                yield replace(found, stack=stack, service=here[1], level=level)


def _needed(read: ComposeFiles, idle: Set[str]) -> set[ServiceIn]:
    """The services that are not idle, and all services that they extend."""
    todo = [(number, name) for number, used in enumerate(read.used) for name in used if name not in idle]
    needed: set[ServiceIn] = set()
    while todo:
        here = todo.pop()
        if here not in needed:
            needed.add(here)
            todo += [read.extends[here]] if here in read.extends else []
    return needed


class _Walk:
    """Visits a node once, however many aliases lead to it; its size counts each time.

    Once as a value that may be empty and once as one that must not: an alias can be used for both.
    """

    def __init__(self, unit: Unit, stack: str, missing: dict[str, Use], strict: bool) -> None:
        self.violations: list[Violation] = []
        self._unit = unit
        self._stack, self._strict = stack, strict
        self._missing = missing
        self._weights: dict[tuple[int, Level], int] = {}
        self._total = 0
        self._needed = True

    def visit(self, node: Node, pointer: Pointer) -> None:
        before = self._total
        self._total += self._weigh(node, pointer)
        if before <= LONGEST < self._total:
            message = f"the file has more than {LONGEST} characters once its variables are replaced"
            self._add(node, pointer, "too-large", message, "Use shorter values.", Reason.PARSE_FAILED)

    def visit_rest(self) -> None:
        """Nodes that were not visited: only errors of Compose count there."""
        self._needed = False
        self._weigh(self._unit.root, ())

    def _weigh(self, node: Node, pointer: Pointer) -> int:
        key = (id(node), self._level(pointer))
        if key not in self._weights:
            self._weights[key] = self._measure(node, pointer)
        return self._weights[key]

    def _measure(self, node: Node, pointer: Pointer) -> int:
        if node.tag == RESET:
            return 0
        if isinstance(node, Scalar):
            return self._expanded(node, pointer)
        if isinstance(node, nodes.Mapping):
            for key, (written, _) in pairs(node).items():
                self._check_text(written, (*pointer, key))
            return sum(self._weigh(value, (*pointer, name)) for name, (_, value) in pairs(node).items())
        return sum(self._weigh(item, (*pointer, index)) for index, item in enumerate(items(node)))

    def _check_text(self, node: Scalar, pointer: Pointer) -> None:
        if "\0" in node.text:
            message = "the text has a NUL in it, which no program can be given"
            self._add(node, pointer, "invalid-variable", message, "Correct the value.", Reason.PARSE_FAILED)

    def _expanded(self, node: Scalar, pointer: Pointer) -> int:
        self._check_text(node, pointer)
        try:
            expansion = interpolate(node.text, self._unit.variables)
        except TemplateError as error:
            message = f"the value cannot be used: {error}"
            self._add(node, pointer, "invalid-variable", message, "Correct the value.", Reason.PARSE_FAILED)
            return 0
        nameless = expansion.text.startswith("=")  # ["${KEY}=x"]: the engine refuses it
        for name in expansion.unset if self._needed else expansion.required:
            level = Level.DENY if nameless or name in expansion.required else self._level(pointer)
            self._miss(name, node, pointer, level, expansion.required.get(name, ""))
        return len(expansion.text)

    def bare_names(self, services: Mapping[str, Node]) -> None:
        """`environment: [NAME]` and `environment: NAME` of secrets and configs take the variable itself."""
        for name, service in services.items():
            held = pairs(service).get("environment")
            for index, word in enumerate(words(held[1]) if held else ()):
                pointer: Pointer = ("services", name, "environment", index)
                value = self._unit.variables.get(word.text)
                if "=" not in word.text and (value is None or isinstance(value, Opaque)):
                    self._miss(word.text, word, pointer, Level.WARN)
        for section in ("secrets", "configs"):
            for name, (_, node) in _section(self._unit.root, section).items():
                held = pairs(node).get("environment")
                if held and isinstance(held[1], Scalar) and held[1].text not in self._unit.variables:
                    pointer = (section, name, "environment")
                    self._miss(held[1].text, held[1], pointer)

    def _level(self, pointer: Pointer) -> Level:
        soft = len(pointer) > 2 and pointer[0] == "services" and pointer[2] in MAY_BE_EMPTY
        return Level.WARN if soft and not self._strict else Level.DENY

    def _miss(self, name: str, node: Scalar, pointer: Pointer, level: Level = Level.DENY, told: str = "") -> None:
        opaque = isinstance(self._unit.variables.get(name), Opaque)
        use = Use(name, told, self._unit.path, node, pointer, Level.DENY if opaque else level, opaque)
        known = self._missing.get(name)
        if known is None or (known.level is Level.WARN and use.level is Level.DENY):
            self._missing[name] = use

    def _add(self, node: Node, pointer: Pointer, rule: str, message: str, hint: str, reason: Reason) -> None:
        self.violations.append(_violation(self._unit.path, node, pointer, self._stack, (rule, message, hint), reason))


def _unset(use: Use, stack: str) -> Violation:
    name = shorten(use.name)
    if use.opaque:
        said = (
            "unset-variable",
            f"the secret {name} is no UTF-8 text, or has a NUL in it, and cannot stand in a text",
            f"Mount its bytes: `secrets: {{{name}: {{environment: {name}}}}}` at the top, `secrets: [{name}]` here.",
        )
        return _violation(use.path, use.node, use.pointer, stack, said)
    told = f": {shorten(use.told)}" if use.told else ""
    bare = use.level is Level.WARN and "$" not in use.node.text
    empty = ", and the container does not get it" if bare else " and becomes empty" if use.level is Level.WARN else ""
    message = f"the variable {name} is not set{empty}{told}"
    where = f"Write {name}=… into <secrets_dir>/{stack}.env on the host, set it in the stack's env, or"
    if bare:
        hint = f"{where} write {name}=VALUE here, or drop the line."
    elif use.name == "PWD":
        hint = "Write ./ instead: relative paths count from the folder of the stack's first file."
    elif use.level is Level.WARN:
        hint = f"{where}, where it may be empty, write ${{{name}:-}}."
    else:
        hint = f"{where} give it a default: ${{{name}:-…}}."
    if f"${use.name}" in use.node.text:
        hint += " If the $ belongs to the text, write $$."
    found = _violation(use.path, use.node, use.pointer, stack, ("unset-variable", message, hint))
    # Nobody should set PWD, and a text that is no name could add lines where it is pasted.
    proper = use.name != "PWD" and use.name.isascii() and use.name.isidentifier()
    return replace(found, level=use.level, need=Variable(stack, use.name) if proper else None)


def _violation(
    path: str,
    node: Node,
    pointer: Pointer,
    stack: str,
    said: tuple[str, str, str],
    reason: Reason = Reason.POLICY_VIOLATION,
) -> Violation:
    """`said`: rule, message and hint."""
    return Violation(
        reason,
        *said,
        path=path,
        line=node.line,
        column=node.column,
        pointer=json_pointer(pointer),
        stack=stack,
        service=str(pointer[1]) if pointer[0] == "services" and len(pointer) > 1 else None,
    )


def _section(root: Node, name: str) -> dict[str, tuple[Scalar, Node]]:
    held = find(root, name)
    return pairs(held[1] if held else None)


def _text(node: Scalar, variables: Mapping[str, str]) -> str:
    try:
        return interpolate(node.text, variables).text
    except TemplateError:
        return node.text
