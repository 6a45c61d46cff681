"""What a Dockerfile reads from outside of its context, and how it is given to the builder without another frontend.

The builder decides in the end: its source policy refuses every source that is not admitted (`act/build_input.py`). This
parser reports such sources before anything is built, with the line.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator, Mapping

from reconciler.values import dataclass

FRONTEND, REMOTE_ADD = "build-frontend", "build-remote-add"
"""The rules that a Dockerfile may break, and that an operator may lift."""

SYNTAX = "BUILDKIT_SYNTAX"
"""The build argument that names a frontend."""

BUILTIN = re.compile(r"(docker\.io/)?docker/dockerfile(-upstream)?(:[^@\s]*)?(@\S*)?")
"""Frontends that the engine's own one can replace."""

_DIRECTIVE = re.compile(r"(?:#|//)\s*([A-Za-z][A-Za-z0-9]*)\s*=\s*(.+?)\s*")
_ABOVE = re.compile(r"\s*(#|//)")
_INSTRUCTION = re.compile(r"\s*([A-Za-z]+)(?:\s+|$)(.*)", re.DOTALL)
_FLAG = re.compile(r"--([a-z.-]+)(?:=((?:\"[^\"]*\"|'[^']*'|\S)*))?\s*")
_HEREDOC = re.compile(r"(?:^|\s)\d*<<-?([\"']?)([A-Za-z_][A-Za-z0-9_.-]*)\1")
_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)(?:(:?[-+])([^{}$]*))?\})")
_REMOTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|github\.com/|[^/]*@[^/]*:")


@dataclass(frozen=True, slots=True)
class Source:
    """A name in a Dockerfile, and its line. `base`: it stands after FROM."""

    line: int
    name: str
    base: bool = False


@dataclass(frozen=True, slots=True)
class Dockerfile:
    """`frontend`: the value of `syntax`. `remotes`: what `ADD` fetches, or could fetch with a variable.

    `images`: names in FROM, `COPY --from` and mounts as written, with variables replaced; without stages, scratch, and
    names that contain a variable of a stage.
    """

    frontend: Source | None
    remotes: tuple[Source, ...]
    images: tuple[Source, ...]


def read(text: str, args: Mapping[str, object]) -> Dockerfile:
    """`args`: the build's own arguments, which win over the defaults of `ARG`."""
    text = _plain(text)
    remotes, images = [], []
    stages, known, staged = set[str](), dict[str, str](), False
    for line, name, rest in _instructions(text, _escape(text)):
        if name == "ONBUILD" and (inner := _INSTRUCTION.fullmatch(rest)):
            name, rest = inner[1].upper(), inner[2]
        flags, words = _split(rest)
        if name == "ARG" and not staged:
            for word in words:
                key, _, default = _unquoted(word).partition("=")
                known[key] = str(args[key]) if args.get(key) is not None else _expand(default, known)
        elif name == "FROM" and words:
            staged = True
            images.append(Source(line, _expand(_unquoted(words[0]), known), base=True))
            if len(words) == 3 and words[1].upper() == "AS":
                stages.add(words[2].lower())
        elif name == "ADD":
            remotes += [Source(line, word) for word in words[:-1] if _may_be_remote(word)]
        images += [Source(line, item) for item in _froms(name, flags)]
    named = [item for item in images if "$" not in item.name and item.name.lower() not in {*stages, "scratch", ""}]
    return Dockerfile(_frontend(text), tuple(remotes), tuple(item for item in named if not item.name.isdigit()))


def copied(text: str) -> Iterator[str]:
    """What a Dockerfile reads of its context, as patterns of paths; a variable may stand for anything."""
    text = _plain(text)
    for _, name, rest in _instructions(text, _escape(text)):
        if name == "ONBUILD" and (inner := _INSTRUCTION.fullmatch(rest)):
            name, rest = inner[1].upper(), inner[2]
        flags, words = _split(rest)
        if name in ("COPY", "ADD") and "from" not in dict(flags):
            yield from (_in_context(_unquoted(word)) for word in words[:-1] if not word.startswith("<<"))
        elif name == "RUN":
            for options in (_options(value) for flag, value in flags if flag == "mount"):
                if options.get("type", "bind") == "bind" and "from" not in options:
                    yield _in_context(options.get("source", options.get("src", ".")))


def _in_context(source: str) -> str:
    path = posixpath.normpath(f"/{source}").lstrip("/")
    return "**" if "$" in source or not path else path


def _options(value: str) -> dict[str, str]:
    parts = (part.strip().partition("=") for part in value.split(","))
    return {key.lower(): item for key, _, item in parts}


def without_frontend(text: str) -> str:
    """The Dockerfile for the engine's own frontend: the lines above the first instruction name no frontend. Line
    numbers and the directive `escape` stay.
    """
    text = _plain(text)
    lines = text.split("\n")
    above = next((n for n, line in enumerate(lines) if not _ABOVE.match(line)), len(lines))
    if above:
        lines[:above] = [f"# escape={_escape(text)}", *["#"] * (above - 1)]
    elif text and not text[0].isalpha():
        lines[0] = f"#\n{lines[0]}"
    return "\n".join(lines)


def is_builtin(frontend: str) -> bool:
    return BUILTIN.fullmatch(frontend.split(" ")[0]) is not None


def _plain(text: str) -> str:
    return text.removeprefix("\ufeff")


def _directives(text: str) -> Iterator[tuple[int, str, str]]:
    """Finds more directives than the builder, which stops at a comment."""
    for number, line in enumerate(text.split("\n"), 1):
        found = _DIRECTIVE.fullmatch(line.strip())
        if found:
            yield number, found[1].lower(), found[2]
        elif line.strip() and not _ABOVE.match(line):
            return


def _escape(text: str) -> str:
    """As the builder reads it: only at the very top, one directive a line."""
    for line in text.split("\n"):
        found = _DIRECTIVE.fullmatch(line.rstrip("\r")) if line.startswith("#") else None
        if found is None:
            break
        if found[1].lower() == "escape":
            return "`" if found[2] == "`" else "\\"
    return "\\"


def _frontend(text: str) -> Source | None:
    for line, key, value in _directives(text):
        if key == "syntax":
            return Source(line, value)
    try:
        found = json.loads(text)
    except ValueError:
        return None
    named = [str(value) for key, value in found.items() if key.lower() == "syntax"] if isinstance(found, dict) else []
    return Source(1, named[0]) if named else None


def _instructions(text: str, escape: str) -> Iterator[tuple[int, str, str]]:
    """(first line, NAME, the rest with its lines joined). Heredocs are left out."""
    lines = [line.rstrip() for line in text.split("\n")]
    at = 0
    while at < len(lines):
        first, whole = at + 1, ""
        while at < len(lines):
            line, at = lines[at], at + 1
            if line.lstrip().startswith("#") or not line.strip():
                if whole:
                    continue
                break
            whole += line.removesuffix(escape)
            if not line.endswith(escape):
                break
        found = _INSTRUCTION.fullmatch(whole)
        if found is None:
            continue
        yield first, found[1].upper(), found[2]
        if found[1].upper() in ("RUN", "COPY", "ADD", "ONBUILD"):
            for _, end in _HEREDOC.findall(found[2]):
                at = next((n for n in range(at, len(lines)) if lines[n].strip() == end), len(lines)) + 1


def _split(rest: str) -> tuple[list[tuple[str, str]], list[str]]:
    flags = []
    rest = rest.lstrip()
    while found := _FLAG.match(rest):
        flags.append((found[1], _unquoted(found[2] or "")))
        rest = rest[found.end() :]
    if rest.startswith("["):
        try:
            return flags, [str(word) for word in json.loads(rest)]
        except ValueError:
            pass
    return flags, rest.split()


def _froms(name: str, flags: list[tuple[str, str]]) -> Iterator[str]:
    for flag, value in flags:
        if flag == "from" and name in ("COPY", "ADD"):
            yield value
        elif flag == "mount" and name == "RUN":
            yield from (item for key, item in _options(value).items() if key == "from")


def _may_be_remote(word: str) -> bool:
    """True, too, if a variable could make it remote. A text that starts like a path stays a path."""
    plain = _unquoted(word)
    fixed, variable, _ = plain.partition("$")
    return bool(_REMOTE.match(plain)) or bool(variable and "/" not in fixed and not fixed.startswith("."))


def _unquoted(word: str) -> str:
    """Without quotes and escapes, which the builder removes like a shell."""
    return re.sub(r"[\"'\\`]", "", word)


def _expand(word: str, known: Mapping[str, str]) -> str:
    """A variable without a value stays as written."""

    def value(found: re.Match[str]) -> str:
        name, operator, other = found[1] or found[2], found[3] or "", found[4] or ""
        there = known.get(name, "") != "" if operator.startswith(":") else name in known
        if operator.endswith("+"):
            return other if there else ""
        return known[name] if there else (other if operator else found[0])

    return _VARIABLE.sub(value, word)
