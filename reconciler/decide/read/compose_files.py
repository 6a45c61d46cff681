"""Reads a stack's Compose files and all files that they include and extend, inside the commit and under limits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial

from reconciler.decide.read import violations
from reconciler.decide.read.copies import first_over
from reconciler.decide.read.inputs import Inputs
from reconciler.decide.read.keys import OVERRIDE, RESET, Pair, find, items, pairs
from reconciler.decide.read.parse import read_compose
from reconciler.decide.read.paths import content, file_violation, folder_of, is_readable, resolve
from reconciler.decide.read.places import ServiceIn, Unit
from reconciler.decide.read.references import (
    Include,
    Named,
    Reference,
    extended,
    includes,
    service_paths,
    top_paths,
)
from reconciler.decide.read.stored_forms import unreadable
from reconciler.formats import nodes
from reconciler.formats.dotenv import EnvFile, dotenv, env_file
from reconciler.formats.interpolation import TemplateError, interpolate
from reconciler.formats.nodes import Node, Scalar
from reconciler.formats.yamls import Pointer
from reconciler.model.documents import StackDocument
from reconciler.model.files import Files, is_folder
from reconciler.model.outcome import Violation

MOST_UNITS = 200
"""Number of files that one stack may use; each include or extend counts again."""

MOST_NODES = 200_000
"""Nodes of all of them, counted in the same way."""


_AT_ONCE = ("extends", "include", "include.env_file", "include.project_directory")
"""Keys that Compose reads at once: no later file can remove them."""


Order = tuple[int, ...]
"""Position of a unit: the index of its file in its list, after the indexes of the files and includes that led to it.
Empty for a unit that others extend."""


class ComposeFiles:
    """`files`: read files, in order; `named`: these, the env files and label files of services, which Compose reads,
    and the folders that it looks for (with a `/` at the end). `units`: each use of a Compose file; `used`: its services
    that count.

    `env_files`: those of services, by path; `reads_env`: service → the ones that it has read with variables replaced.
    `extends`: which service of which unit a service builds upon. `violations`: faults that prevent reading the files;
    `decide.read.judged` judges `references`.
    """

    def __init__(self, source: Files, stack: StackDocument, inputs: Inputs) -> None:
        """`inputs`: files that were read for this host before."""
        self.files: dict[str, None] = {}
        self.named: dict[str, None] = {}
        self.units: list[Unit] = []
        self.used: list[dict[str, Node]] = []
        self.extends: dict[ServiceIn, ServiceIn] = {}
        self.references: list[Reference] = []
        self.violations: list[Violation] = []
        self.env_files: dict[str, EnvFile] = {}
        self.reads_env: list[tuple[ServiceIn, str]] = []
        self._source = source
        self._stack = stack
        self._trees: dict[str, nodes.Tree] = {}
        self._sections: list[dict[str, Pair]] = []
        self._orders: list[Order] = []
        self._extended: dict[tuple[str, int], int] = {}
        self._resets: list[tuple[Order, Pointer]] = []
        self._inputs = inputs
        self._nodes = 0

    def load(self, variables: Mapping[str, str]) -> None:
        """Read everything. `variables` win over the committed `.env` files."""
        base = folder_of(self._stack.files[0])
        known = {**self._dotenv(base, variables), **variables}
        try:
            for index, path in enumerate(self._stack.files):
                self._load(path, base, known, (), None, (index,))
            self._resets = [found for number in range(len(self.units)) for found in self._reset_in(number)]
            for number in range(len(self.units)):
                self._services(number)
            self._bound_extends()
        except _TooMuchError:
            return

    # ---------------------------------------------------------------- files

    def _load(
        self,
        path: str,
        base: str,
        variables: Mapping[str, str],
        above: tuple[str, ...],
        why: Reference | None,
        order: Order,
    ) -> None:
        """Use a Compose file and what it includes. `above`: the files whose includes led here."""
        numbers = [self._add(Unit(path, base, root, variables), why, order) for root in self._roots(path, why)]
        for number in numbers:
            for index, include in enumerate(includes(self.units[number].root)):
                self._include(number, include, (*above, path), (*order, index))

    def _roots(self, path: str, why: Reference | None) -> list[Node]:
        missing = file_violation(self._source, path) or unreadable(self._source, path)
        if missing is not None:
            if why is None:  # the reference to it is judged with the others
                self._complain(missing)
            return []
        if path not in self._trees:
            self._take(path, why)
            self.files[path] = None
            self._trees[path] = read_compose(self._source, path)
            for found in violations.file_violations(path, self._trees[path]):
                self._complain(found)
        return [root for root in self._trees[path].documents if isinstance(root, nodes.Mapping)]

    def _take(self, path: str, why: Reference | None) -> None:
        """A file will be read, by us and then by Compose; each use repeats the work."""
        self.named[path] = None
        if not self._inputs.take(self._source, path):
            self._complain(violations.too_large(path, why, self._inputs))
            raise _TooMuchError

    def _add(self, unit: Unit, why: Reference | None, order: Order = ()) -> int:
        self._nodes += unit.root.size
        if len(self.units) >= MOST_UNITS or self._nodes > MOST_NODES:
            self._complain(violations.too_much(unit.path, why, MOST_UNITS, MOST_NODES))
            raise _TooMuchError
        self.units.append(unit)
        self.used.append({})
        self._orders.append(order)
        self._sections.append(_section(unit.root, "services"))
        return len(self.units) - 1

    # ------------------------------------------------------------- includes

    def _include(self, number: int, include: Include, above: tuple[str, ...], order: Order) -> None:
        named = [self._reference(number, Named("include", node, include.pointer)) for node in include.paths]
        found = [(item, item.resolved) for item in named if item is not None and item.resolved is not None]
        folder = self._folder(number, include)
        if not found:
            return
        base = folder_of(found[0][1]) if folder is None else folder
        variables = {**self._include_variables(number, include, base), **self.units[number].variables}
        for index, (item, path) in enumerate(found):
            if path in above:
                self._complain(violations.includes_itself(item, above))
            else:
                self._load(path, base, variables, above, item, (*order, index))

    def _folder(self, number: int, include: Include) -> str | None:
        if include.folder is None:
            return None
        found = self._reference(number, Named("include.project_directory", include.folder, include.pointer))
        if found and found.resolved and is_folder(self._source, found.resolved):
            self.named[found.resolved + "/"] = None
        return found.resolved if found else None

    def _include_variables(self, number: int, include: Include, base: str) -> dict[str, str]:
        outer = self.units[number].variables
        if not include.env_files:
            return self._dotenv(base, outer)
        known: dict[str, str] = {}
        for node in include.env_files:
            found = self._reference(number, Named("include.env_file", node, include.pointer))
            path = found.resolved if found else None
            if path is not None and self._is_text(path):
                known |= self._read_dotenv(path, {**known, **outer}, found)
        return known

    def _dotenv(self, folder: str, variables: Mapping[str, str]) -> dict[str, str]:
        """The committed `.env` of a folder, if there is one."""
        path = f"{folder}/.env" if folder else ".env"
        if path not in self._source.entries:
            return {}
        odd = file_violation(self._source, path) or unreadable(self._source, path, env=self._stack.name)
        if odd is not None:
            hint = (
                f"Remove it, and put its values into <secrets_dir>/{self._stack.name}.env on the host; or: {odd.hint}"
            )
            self._complain(replace(odd, hint=hint) if odd.rule == "symlink" else odd)
            return {}
        return self._read_dotenv(path, variables)

    def _read_dotenv(self, path: str, variables: Mapping[str, str], why: Reference | None = None) -> dict[str, str]:
        self._take(path, why)
        known, found = dotenv(content(self._source, path), path, variables)
        if path not in self.files:
            self.files[path] = None
            for item in found:
                self._complain(item)
        return known

    # ------------------------------------------------------------- services

    def _services(self, number: int) -> None:
        for named in top_paths(self.units[number].root):
            self._reference(number, named)
        for name in self._sections[number]:
            self._service((number, name))

    def _service(self, here: ServiceIn | None) -> None:
        """References of a service and of all that it builds upon."""
        chain: set[ServiceIn] = set()
        while here is not None:
            number, name = here
            if here in chain:
                self._complain(
                    violations.extends_itself(self.units[number].path, self._sections[number][name][0], name)
                )
                return
            if name in self.used[number] or name not in self._sections[number]:
                return
            chain.add(here)
            node = self._sections[number][name][1]
            self.used[number][name] = node
            unit = self.units[number]
            for named in service_paths(name, node, unit.base, partial(expand, unit)):
                found = self._reference(number, named)
                if found is not None and found.kind in ("env_file", "label_file"):
                    self._bounded(found, unit.variables)
                    if found.resolved and not named.raw:
                        self.reads_env.append((here, found.resolved))
            here = self._origin(number, name, node)

    def _bounded(self, why: Reference, variables: Mapping[str, str]) -> None:
        """Whether Compose can read an env_file or label_file at little cost, and which values it would cut."""
        path = why.resolved
        if path is None or path in self.named or not self._is_text(path):
            return
        self._take(path, why)
        self.env_files[path] = env_file(content(self._source, path), path, variables)
        for found in self.env_files[path].unusable:
            self._complain(found)

    def _is_text(self, path: str) -> bool:
        return is_readable(self._source, path) and unreadable(self._source, path) is None

    def _bound_extends(self) -> None:
        over = first_over(self.extends, self._size, MOST_NODES)
        if over is not None:
            key = self._sections[over[0]][over[1]][0]
            self._complain(violations.copies(self.units[over[0]].path, key, MOST_NODES))

    def _size(self, service: ServiceIn) -> int:
        pair = self._sections[service[0]].get(service[1])
        return pair[1].size if pair else 0

    def _origin(self, number: int, name: str, node: Node) -> ServiceIn | None:
        """The service that a service extends, after reading its file."""
        base = extended(node)
        if base is None:
            return None
        service = expand(self.units[number], base[0]) or ""
        origin: int | None = number
        if base[1] is not None:
            pointer: Pointer = ("services", name, "extends", "file")
            found = self._reference(number, Named("extends", base[1], pointer, name))
            origin = self._extended_unit(number, found)
        if origin is None:
            return None
        self.extends[(number, name)] = (origin, service)
        return origin, service

    def _extended_unit(self, number: int, found: Reference | None) -> int | None:
        if found is None or found.resolved is None:
            return None
        variables = self.units[number].variables
        known = (found.resolved, id(variables))
        if known not in self._extended:
            roots = self._roots(found.resolved, found)
            if not roots:
                return None
            folder = folder_of(found.resolved)
            unit = Unit(found.resolved, folder, roots[0], variables, whole=False)
            self._extended[known] = self._add(unit, found)
        return self._extended[known]

    # ----------------------------------------------------------- references

    def _reference(self, number: int, named: Named) -> Reference | None:
        """Record a reference; None if its text cannot be computed, or a later file removes it."""
        unit = self.units[number]
        if named.kind not in _AT_ONCE and self._taken_back(number, named.pointer):
            return None
        value = expand(unit, named.node)
        if value is None or (named.kind == "include.env_file" and value == "/dev/null"):
            return None
        reference = Reference(
            kind=named.kind,
            value=value,
            resolved=resolve(unit.base if named.base is None else named.base, value),
            path=unit.path,
            line=named.node.line,
            column=named.node.column,
            stack=self._stack.name,
            service=named.service,
            pointer=named.pointer,
            required=named.required,
            unset=tuple(interpolate(named.node.text, unit.variables).unset),
        )
        self.references.append(reference)
        return reference

    def _taken_back(self, number: int, pointer: Pointer) -> bool:
        order = self._orders[number]
        return any(pointer[: len(gone)] == gone and _is_merged(order, later) for later, gone in self._resets)

    def _reset_in(self, number: int) -> Iterator[tuple[Order, Pointer]]:
        """Places of `!reset` and `!override` in this unit, at which values of earlier files do not count. Each counts
        only where it is written: Compose does not see those below an alias."""
        seen: set[int] = set()
        todo: list[tuple[Pointer, Node]] = [((), self.units[number].root)]
        while todo:
            pointer, node = todo.pop()
            if id(node) in seen:
                continue
            seen.add(id(node))
            if node.tag in (RESET, OVERRIDE):
                yield self._orders[number], pointer
            if isinstance(node, nodes.Mapping):
                below = [((*pointer, key.text), value) for key, value in node.pairs if isinstance(key, Scalar)]
            else:
                below = [((*pointer, index), item) for index, item in enumerate(items(node))]
            todo += reversed(below)

    def _complain(self, found: Violation) -> None:
        self.violations.append(replace(found, stack=self._stack.name))


class _TooMuchError(Exception):
    """The stack is over a limit: stop reading."""


def _is_merged(order: Order, later: Order) -> bool:
    """Whether Compose merges the unit at `later` into the one at `order`. It loads included files separately, so an
    included file changes nothing of the file that includes it, nor of another include."""
    depth = len(later) - 1
    return order[:depth] == later[:depth] and depth < len(order) and order[depth] < later[depth]


def _section(root: Node, name: str) -> dict[str, Pair]:
    held = find(root, name)
    return pairs(held[1] if held else None)


def expand(unit: Unit, node: Scalar) -> str | None:
    """A text with its variables filled in; None if that is not possible."""
    try:
        return interpolate(node.text, unit.variables).text
    except TemplateError:
        return None  # reported with the check of all values
