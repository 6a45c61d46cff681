"""Scans a stack's Compose files before Compose reads them: sizes, references, and places of values.

It judges references that the canonical model does not show (files that are read in), and files that would overload
Compose (bombs). Everything else is judged on the model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field, replace

from reconciler.decide.read.complexity import too_complex
from reconciler.decide.read.compose_files import ComposeFiles
from reconciler.decide.read.inputs import Inputs
from reconciler.decide.read.judged import judged
from reconciler.decide.read.parse import in_order
from reconciler.decide.read.places import Locator, Place
from reconciler.decide.read.references import Reference
from reconciler.decide.read.variables import inactive, unset
from reconciler.formats.nodes import Node
from reconciler.model.documents import StackDocument
from reconciler.model.files import Files
from reconciler.model.needs import Variable
from reconciler.model.outcome import Level, Violation
from reconciler.values import dataclass


@dataclass(frozen=True)
class Scan:
    """The result. `files` are the Compose and dotenv files of the commit that were read, in Compose's order; `named`:
    with everything else of the commit that Compose reads for this stack, folders with a `/` at the end. `invalid`: path
    of an env file → why Compose cannot read it."""

    files: tuple[str, ...]
    named: tuple[str, ...]
    references: tuple[Reference, ...]
    violations: tuple[Violation, ...]
    invalid: Mapping[str, Violation] = field(default_factory=dict, compare=False)
    _locator: Locator = field(default_factory=Locator, repr=False, compare=False)

    def locate(self, *pointer: str | int) -> Place:
        """The place in the files of a pointer of the canonical model, like ("services", "web", "privileged").

        The exact key if a file has it (later files win; anchors, merge keys, includes and extends are followed), else
        its deepest ancestor, else the beginning of the first file.
        """
        return self._locator.locate(pointer) or Place(self.files[0] if self.files else "", 1, 1)

    def nodes(self, *pointer: str | int) -> Iterator[Node]:
        """Each file's value there, the one that wins first."""
        return self._locator.nodes(pointer)

    def holding(self, text: str) -> Place | None:
        """The place of the only value that contains the text; None if none does, or several do."""
        return self._locator.holding(text)

    def written(self, *pointer: str | int) -> str | None:
        """The text of the value there, with its variables; None if no file has one."""
        return self._locator.written(pointer)


def scan(
    files: Files,
    stack: StackDocument,
    variables: Mapping[str, str],
    inputs: Inputs | None = None,
    strict: bool = False,
) -> Scan:
    """Scan a stack's files. `variables`: the host's variables for it.

    The stack's `env` and a committed `.env` beside its first file are added with lower priority. Every violation has
    its place. Those of reason PolicyViolation are a matter of policy (paths out of the commit, unset variables, several
    documents in a file); the others prevent Compose from reading the stack at all. `inputs`: files read for the host's
    other stacks. `strict`: an unset variable is denied at any place: the operator keeps values on the host, and a
    missing one must not empty a running service's variable.
    """
    read = ComposeFiles(files, stack, inputs or Inputs())
    read.load({**stack.env, **variables, "COMPOSE_PROJECT_NAME": stack.name})
    idle = inactive(read.units, stack.profiles)
    lacking = list(unset(read, stack.name, idle, strict))
    names = {item.need.name for item in lacking if isinstance(item.need, Variable) and item.level is Level.DENY}
    known = (item for item in read.references if not names.intersection(item.unset))  # where others lead is not known
    violations = [*read.violations, *judged(files, known, idle), *lacking]
    locator = Locator(tuple(read.units), read.extends)
    invalid = {path: file.invalid[0] for path, file in read.env_files.items() if file.invalid}
    found = Scan(tuple(read.files), tuple(read.named), tuple(read.references), (), invalid, locator)
    if not read.violations:
        violations += too_complex(read, stack.name, found.locate)
    return replace(found, violations=in_order(violations))
