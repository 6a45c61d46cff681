"""Reads dotenv files as data, in the same way as Compose (its dotenv package)."""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import Mapping
from dataclasses import replace

from reconciler.formats.interpolation import TemplateError, TooLongError, interpolate
from reconciler.formats.nodes import shorten
from reconciler.formats.steering import FILES, PROFILES, PROJECT, SEPARATOR, steers
from reconciler.model.outcome import Level, Reason, Violation
from reconciler.values import dataclass

_SPACE = " \t\v\f\r\x85\xa0"
_EXPORT = re.compile(r"export\s+")
_KEY = re.compile(r"(?P<key>[\w.\-\[\]" + _SPACE + r"]*)(?P<end>[=:\n]|\Z)")
_ESCAPE = re.compile(r"\\(?:[abcfnrtv$\"\\]|0\d{0,3})")
_PLAIN = dict(zip('abfnrtv"\\', '\a\b\f\n\r\t\v"\\', strict=True)) | {"$": "$$"}
_ALIEN = re.compile("[\0\udc80-\udcff]")
"""NUL, or a byte that is not UTF-8 in its decoded form."""

_QUOTED = {
    "'": re.compile(r"'([^\\']*(?:\\.[^\\']*)*)'", re.DOTALL),
    '"': re.compile(r'"([^\\"]*(?:\\.[^\\"]*)*)"', re.DOTALL),
}
_LARGEST = 1 << 20
_LONGEST_VALUE = 1 << 16
_LONGEST_TOGETHER = 4 << 20
_MOST_ALIEN = 200
"""Number of values that are no text, after which the rest of a file is not read: it is refused anyway."""

UNCLOSED = "the quoted value is not closed"

_LITERAL = "If the $ belongs to the value, put the value into single quotes ('a$b') or write $$"
_INVALID = "invalid-dotenv"
_IGNORED = "ignored-variable"
_TAKEN_HINT = "Remove it: the repository must not steer the tools that read it."


def dotenv(
    data: bytes, path: str, variables: Mapping[str, str] | None = None
) -> tuple[dict[str, str], tuple[Violation, ...]]:
    """Names and values of a dotenv file, and every violation in it.

    `variables` are known from elsewhere: values may refer to them before the file's own (as in Compose). Keys that
    steer Compose, Docker or the reconciler are violations and left out.
    """
    if len(data) > _LARGEST:
        message = f"the file has more than {_LARGEST} bytes"
        return {}, (_violation(path, 1, "too-large", message, "Shorten it."),)
    # In comments, bytes of an old editor's encoding do no harm; in names and values they are violations, see below.
    reader = _Reader(data.decode("utf-8-sig", "surrogateescape"), path, variables or {})
    reader.read()
    return reader.values, tuple(reader.violations)


def names_files(found: Violation) -> bool:
    """Whether this warning is about COMPOSE_FILE, which counts if there is no Host document."""
    return found.rule == _IGNORED and found.message.startswith((FILES, SEPARATOR))


@dataclass(frozen=True, slots=True)
class EnvFile:
    """A service's env_file or label_file. `names`: the variables that it sets; `unset`: variables that cut a value
    short, with the violation; `unusable`: violations of values that Compose would change, and of a file that is too
    large; `invalid`: violations that explain an error of Compose."""

    names: frozenset[str]
    unset: tuple[tuple[str, Violation], ...]
    unusable: tuple[Violation, ...]
    invalid: tuple[Violation, ...] = ()


def env_file(data: bytes, path: str, variables: Mapping[str, str]) -> EnvFile:
    """Only the container uses its values, so only values that Compose would cut or change are violations."""
    if len(data) > _LARGEST:
        return EnvFile(frozenset(), (), dotenv(data, path)[1])
    reader = _Reader(data.decode("utf-8-sig", "surrogateescape"), path, variables)
    reader.read()
    too_large = tuple(found for found in reader.violations if found.rule == "too-large")
    invalid = tuple(found for found in reader.violations if found.rule == _INVALID)
    unset = () if too_large else tuple(reader.unset)
    return EnvFile(frozenset(reader.values), unset, (*reader.alien, *too_large), invalid)


@dataclass(frozen=True, slots=True)
class Steering:
    """The settings for Compose itself in a `.env`: COMPOSE_PROJECT_NAME, COMPOSE_PROFILES and COMPOSE_FILE; empty if
    not set."""

    project: str = ""
    profiles: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


def steering(data: bytes) -> Steering:
    """Those settings for Compose in a `.env` beside a Compose file that we follow."""
    if len(data) > _LARGEST:
        return Steering()
    reader = _Reader(data.decode("utf-8-sig", "surrogateescape"), "", {})
    reader.read()
    told = reader.steering
    files = told.get(FILES, "").split(told.get(SEPARATOR) or ":")
    profiles = (word.strip() for word in told.get(PROFILES, "").split(","))
    return Steering(told.get(PROJECT, ""), tuple(filter(None, profiles)), tuple(filter(None, files)))


class _Reader:
    def __init__(self, text: str, path: str, variables: Mapping[str, str]) -> None:
        self.values: dict[str, str] = {}
        self.violations: list[Violation] = []
        self.steering: dict[str, str] = {}
        self.alien: list[Violation] = []
        self.unset: list[tuple[str, Violation]] = []
        self._text = text
        self._path = path
        self._known = dict(variables)
        self._position = 0
        self._line = 1
        self._left = _LONGEST_TOGETHER

    def read(self) -> None:
        while self._next_statement():
            if not self._statement():
                return

    def _statement(self) -> bool:
        """Read one `KEY=value`; False if the rest of the file cannot be understood."""
        line = self._line
        key, inherited = self._key()
        if key is None:
            return False
        value = self._known.get(key) if inherited else self._value()
        if value is not None and _ALIEN.search(value):
            message = f"the value of {key} is not UTF-8 text, or has a NUL in it"
            self._refuse(line, _INVALID, message, "Save the file as UTF-8.")
            self.alien.append(self.violations[-1])
            if len(self.alien) >= _MOST_ALIEN:
                return False
        elif steers(key):
            self._note_steering(key, value, line)
        elif value is not None:
            self.values[key] = value
            self._left -= len(value)
        elif inherited:
            hint = (
                f"Write {shorten(key)}=VALUE, set the variable in the stack's env or in secrets_dir, or drop the line."
            )
            message = f"the variable {shorten(key)} is not set, and this line sets nothing"
            found = _violation(self._path, line, "unset-variable", message, hint, Reason.POLICY_VIOLATION)
            self.unset.append((key, replace(found, level=Level.WARN)))
        if self._left < 0:
            message = f"the values have more than {_LONGEST_TOGETHER} characters together"
            self._refuse(line, "too-large", message, "Use shorter values.")
        return self._left >= 0

    def _note_steering(self, key: str, value: str | None, line: int) -> None:
        """Names that many public `.env` files contain, and that do no harm there, are only warnings."""
        self.steering[key] = value or ""
        if key == PROFILES or (key == PROJECT and value == self._known.get(PROJECT)):
            return
        if key == PROJECT:
            message, hint = f"{key} is ignored: the stack's name is the project's", "Drop the line, or leave it."
        elif key in (FILES, SEPARATOR):
            message = f"{key} counts only in a repository without desired-state/"
            hint = "With desired-state/, list the files in `files:` of the stack; then drop the line, or leave it."
        else:
            message = f"'{key}' must not be set by a committed dotenv file"
            self._refuse(line, "reserved-variable", message, _TAKEN_HINT, Reason.POLICY_VIOLATION)
            return
        self._refuse(line, _IGNORED, message, hint, Reason.POLICY_VIOLATION, Level.WARN)

    def _next_statement(self) -> bool:
        text = self._text
        while self._position < len(text):
            char = text[self._position]
            if char == "#":
                end = text.find("\n", self._position)
                self._position = end if end >= 0 else len(text)
            elif not char.isspace() and char not in _SPACE:
                return True
            else:
                self._line += char == "\n"
                self._position += 1
        return False

    def _key(self) -> tuple[str | None, bool]:
        export = _EXPORT.match(self._text, self._position)
        start = export.end() if export else self._position
        match = _KEY.match(self._text, start)
        key = match["key"].rstrip() if match else ""
        if match is None or not key or " " in key:
            rest = shorten(self._text[self._position :].split("\n", 1)[0].split("=", 1)[0], 30)
            rest = _ALIEN.sub("\N{REPLACEMENT CHARACTER}", rest)
            self._refuse(
                self._line,
                _INVALID,
                f"'{rest}' is no variable's name",
                "Write NAME=value; a name has letters, digits, '_', '.' and '-'.",
            )
            return None, False
        self._position = match.end()
        inherited = match["end"] in ("\n", "")
        self._line += match["end"] == "\n"
        while self._position < len(self._text) and self._text[self._position] in _SPACE:
            self._position += 1
        return key, inherited

    def _value(self) -> str | None:
        quote = self._text[self._position : self._position + 1]
        if quote in ("'", '"'):
            return self._quoted(quote)
        end = self._text.find("\n", self._position)
        end = end if end >= 0 else len(self._text)
        line, raw = self._line, self._text[self._position : end]
        self._position, self._line = min(end + 1, len(self._text)), self._line + 1
        return self._expand(raw.split(" #", 1)[0].rstrip(), line)

    def _quoted(self, quote: str) -> str | None:
        line, start = self._line, self._position
        match = _QUOTED[quote].match(self._text, start)
        if match is None:
            hint = f"Add the closing {quote}."
            self._refuse(line, _INVALID, UNCLOSED, hint)
            self._position = len(self._text)
            return None
        self._position = match.end()
        self._line += match[1].count("\n")
        value = match[1].replace(f"\\{quote}", quote)
        return self._expand(_ESCAPE.sub(_unescape, value), line) if quote == '"' else value

    def _expand(self, value: str, line: int) -> str | None:
        try:
            expansion = interpolate(value, ChainMap(self._known, self.values), _LONGEST_VALUE)
        except TemplateError as error:
            long = isinstance(error, TooLongError)
            hint = "Correct the value." if long else f"{_LITERAL}."
            self._refuse(line, "too-large" if long else _INVALID, f"the value cannot be used: {error}", hint)
            return None
        for name in expansion.unset:
            hint = f"{_LITERAL}; else set the variable before this line, or give it a default: ${{{shorten(name)}:-}}."
            message = f"the variable {shorten(name)} is not set, and the value would be cut there"
            self._refuse(line, "unset-variable", message, hint, Reason.POLICY_VIOLATION)
            self.unset.append((name, self.violations[-1]))
        return expansion.text

    def _refuse(
        self,
        line: int,
        rule: str,
        message: str,
        hint: str,
        reason: Reason = Reason.PARSE_FAILED,
        level: Level = Level.DENY,
    ) -> None:
        found = _violation(self._path, line, rule, message, hint, reason)
        self.violations.append(replace(found, level=level))


def _unescape(match: re.Match[str]) -> str:
    letter = match[0][1:]
    if letter.startswith("0"):
        code = int(letter[1:], 8) if len(letter) == 4 and not set(letter) & {"8", "9"} else -1
        return chr(code) if 0 <= code < 256 else match[0]
    return _PLAIN.get(letter, match[0])


def _violation(
    path: str, line: int, rule: str, message: str, hint: str, reason: Reason = Reason.PARSE_FAILED
) -> Violation:
    return Violation(reason, rule, message, hint, path=path, line=line, column=1)
