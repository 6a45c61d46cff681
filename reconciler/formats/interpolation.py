"""Replaces `${VAR}` exactly as Compose does (its template package), without its unbounded recursion."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import field

from reconciler.values import dataclass

_NAME = re.compile(r"[_a-zA-Z][_a-zA-Z0-9]*")
_OPERATOR = re.compile(r":?[-+?]")
_BRACE = re.compile(r"\{[\s\S]?|[}\n]")
_DEEPEST = 8


class Opaque(str):
    """The value of a variable that is set and cannot be part of a text: no UTF-8, or a NUL in it. In a text it counts
    as unset."""

    __slots__ = ()


class TemplateError(ValueError):
    """Compose would reject this text. The message says why."""


class TooLongError(TemplateError):
    """The text becomes longer than the reader accepts."""


@dataclass(slots=True)
class Expansion:
    """`text` is Compose's result; `unset` the missing variables in order.

    `required`: those without which Compose rejects the file (`${X:?text}`), with the file's text for it.
    """

    text: str = ""
    unset: dict[str, None] = field(default_factory=dict)
    required: dict[str, str] = field(default_factory=dict)


def interpolate(template: str, variables: Mapping[str, str], longest: int = 1 << 20) -> Expansion:
    """Replace the variables of one value. TemplateError for what Compose rejects and for more than `longest`."""
    expansion = Expansion()
    if "$" not in template:
        expansion.text = template
        return expansion
    expansion.text = _Replacer(variables, expansion, longest, 4 * len(template) + 4096).replace(template, 0)
    return expansion


class _Replacer:
    """`work`: characters that may be read to find closing braces. `idle`: depth of unused branches."""

    def __init__(self, variables: Mapping[str, str], expansion: Expansion, longest: int, work: int) -> None:
        self._variables = variables
        self._expansion = expansion
        self._longest = longest
        self._work = work
        self._idle = 0

    def replace(self, text: str, depth: int) -> str:
        if depth > _DEEPEST:
            raise TemplateError(f"more than {_DEEPEST} variables are nested in each other")
        parts: list[str] = []
        length = position = 0
        while (dollar := text.find("$", position)) >= 0:
            value, after = self._token(text, dollar, depth)
            length += dollar - position + len(value)
            if length > self._longest:
                raise TooLongError(f"the value is longer than {self._longest} characters")
            parts += (text[position:dollar], value)
            position = after
        return "".join(parts) + text[position:]

    def _token(self, text: str, dollar: int, depth: int) -> tuple[str, int]:
        """The replacement of the token at `dollar`, and the place where the text continues."""
        start = dollar + 1
        if text.startswith("$", start):
            return "$", start + 1
        if text.startswith("{", start):
            return self._braced(text, dollar, depth)
        name = _NAME.match(text, start)
        if name is None:
            return "$", start
        return self._value(name[0]), name.end()

    def _braced(self, text: str, dollar: int, depth: int) -> tuple[str, int]:
        name = _NAME.match(text, dollar + 2)
        if name is None:
            raise TemplateError("'${' must be followed by a variable's name and '}'; a plain $ is written $$")
        if text.startswith("}", name.end()):
            return self._value(name[0]), name.end() + 1
        operator = _OPERATOR.match(text, name.end())
        if operator is None:
            raise TemplateError(f"'${{{name[0]}' must end with '}}'; a plain $ is written $$")
        end = _closing(text, dollar, operator.end())
        self._work -= end - dollar
        if self._work < 0:
            raise TemplateError("too many braces are nested in each other")
        return self._operate(name[0], operator[0], text[operator.end() : end], depth), end + 1

    def _operate(self, name: str, operator: str, word: str, depth: int) -> str:
        value = self._get(name)
        there = value is not None and (operator[0] != ":" or value != "")
        word = self._word(word, depth, used=operator[-1] == ("+" if there else "-"))
        if operator[-1] == "+":
            return word if there else value or ""
        if there or operator[-1] == "-":
            return value or "" if there else word
        self._expansion.unset[name] = None
        self._expansion.required.setdefault(name, word)
        return ""

    def _word(self, word: str, depth: int, used: bool) -> str:
        """The text after the operator. Compose always computes it, and rejects a fault in it even if it is not used."""
        self._idle += not used
        expanded = self.replace(word, depth + 1) if "$" in word else word
        self._idle -= not used
        return expanded

    def _get(self, name: str) -> str | None:
        value = self._variables.get(name)
        return None if isinstance(value, Opaque) else value

    def _value(self, name: str) -> str:
        value = self._get(name)
        if value is None and not self._idle:
            self._expansion.unset[name] = None
        return value or ""


def _closing(text: str, dollar: int, least: int) -> int:
    """Place of the brace that closes the one at `dollar`: balanced on this line, else its last brace (as Compose).

    The character after an opening brace is not checked; Compose does not check it either.
    """
    depth = 0
    for brace in _BRACE.finditer(text, dollar):
        if brace[0] == "\n":
            break
        depth += -1 if brace[0] == "}" else 1
        if depth == 0:
            return brace.start()
    line_end = text.find("\n", dollar)
    last = text.rfind("}", least, line_end if line_end >= 0 else len(text))
    if last < 0:
        raise TemplateError("'${' is not closed by '}' on the same line; a plain $ is written $$")
    return last
