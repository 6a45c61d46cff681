"""Generates pages from the code and its data, and publishes the schemas of reconciler/data in schemas/.

Run `python -m reconciler.reference` at the top of the repository; a test fails if that was forgotten.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from reconciler.commands import EXIT_CODES, GLOBAL, VERBS, Option, Verb
from reconciler.decide.admit.policies import manual as policies
from reconciler.decide.history import folding
from reconciler.formats import manual, schemas

Json = Mapping[str, Any]

SCHEMAS = ("agent", "host", "hosts", "output", "service")


def commands_page() -> str:
    """docs/commands.md: every verb and option."""
    codes = [f"| {code} | {text} |" for code, text in EXIT_CODES.items()]
    parts = [
        "# Commands",
        "`reconciler [OPTION…] VERB [ARGUMENT…]`; the options for all verbs may stand before or after the verb. "
        "`reconciler VERB --help` shows the same.",
        "\n".join(_options(GLOBAL, "Options for all verbs")),
        "\n".join(["| exit code | meaning |", "|---|---|", *codes]),
        *("\n".join(_verb(verb)) for verb in VERBS),
        _LOGS,
    ]
    return "\n\n".join(parts) + "\n"


def json_page() -> str:
    """docs/json.md: every document and field of `--output json`."""
    schema = output_schema()
    kinds = [_name(item) for item in schema["oneOf"]]
    others = [name for name in schema["$defs"] if name not in kinds]
    parts = ["# JSON output", schema["description"], _JSON_REMARKS]
    parts += ["\n".join(_section(name, schema["$defs"][name])) for name in [*kinds, *others]]
    return "\n\n".join(parts) + "\n"


def journal_page() -> str:
    """docs/journal.md: every kind of record."""
    table = (folding.__doc__ or "").partition("\n\n")[2]
    return f"# The journal\n\n{_JOURNAL}\n\n{table}"


def output_schema() -> Json:
    """The JSON Schema (2020-12) of everything that `--output json` prints."""
    return schemas.load("output")


def pages() -> dict[str, str]:
    """Path in the repository → its content."""
    return {
        "docs/commands.md": commands_page(),
        "docs/json.md": json_page(),
        "docs/journal.md": journal_page(),
        "docs/policies.md": policies.manual(),
        **{path: manual.page(name) for name, path in manual.PAGES.items()},
        **{f"schemas/{name}.schema.json": schemas.text(name) for name in SCHEMAS},
    }


def main() -> None:
    for path, content in pages().items():
        Path(path).parent.mkdir(exist_ok=True)
        Path(path).write_text(content, "utf-8")


_LOGS = (
    "## Environment\n\n"
    "`RECONCILER_CONFIG`, `RECONCILER_STATE` and the twins of the other settings (docs/agent-config.md), "
    "`RECONCILER_LOG_LEVEL` (DEBUG, INFO, WARNING …; INFO for `run`, WARNING for the other verbs), `NO_COLOR`, "
    "`DOCKER_HOST`. Logs always go to stderr; text for people and progress to stdout."
)

_JOURNAL = (
    "`<state>/journal.jsonl` is the agent's memory: one JSON object a line, oldest first, synced to the disk before "
    "anybody relies on it. `v` is the format's version, `at` the time (RFC 3339, UTC), `kind` one of the kinds below. "
    "`reconciler history` tells the same for people. Beyond 4 MiB it is shortened: old attempts lose their details, "
    "never a commit's final state."
)

_JSON_REMARKS = (
    "The schema is `schemas/output.schema.json` (also in the package). Times are RFC 3339 UTC, durations seconds, "
    "memory bytes, revisions full shas. Secrets are masked in all of it."
)


def _verb(verb: Verb) -> Iterator[str]:
    yield f"## {verb.name}"
    yield ""
    yield f"{verb.help}."
    if verb.kind:
        no = f"; 1: {verb.one}" if verb.one else ""
        yield f"Exit code 0: {verb.zero}{no}. JSON: `{verb.kind}`."
    if verb.options:
        yield ""
        yield from _options(verb.options, "Option")


def _options(options: Sequence[Option], title: str) -> Iterator[str]:
    yield from (f"| {title} | | default |", "|---|---|---|")
    for option in options:
        names = f"{option.short}, {option.name}" if option.short else option.name
        typed = f"{names} {option.value}".strip().replace("|", "\\|")
        yield f"| `{typed}` | {option.help} | {option.default} |"


def _section(name: str, schema: Json) -> Iterator[str]:
    yield f"## {name}"
    yield ""
    yield schema["description"]
    if "enum" in schema:
        yield ""
        yield ", ".join(f"`{value}`" for value in schema["enum"])
    if "properties" in schema:
        yield ""
        yield from ("| field | type | meaning |", "|---|---|---|")
        yield from _rows("", schema)


def _rows(prefix: str, schema: Json) -> Iterator[str]:
    for name, field in schema["properties"].items():
        meaning = field.get("description", "")
        words = [f"`{value}`" for value in field.get("enum", ()) if value is not None]
        yield f"| `{prefix}{name}` | {_type(field)} | {' '.join([meaning, *words])} |"
        inner = field.get("items", field)
        if "properties" in inner:
            yield from _rows(f"{prefix}{name}{'[]' if inner is not field else ''}.", inner)


def _type(field: Json) -> str:
    if "$ref" in field:
        return f"[{_name(field)}](#{_name(field).lower()})"
    if "oneOf" in field:
        return " or ".join(_type(item) for item in field["oneOf"])
    if "const" in field:
        return f"`{field['const']}`"
    if "enum" in field:
        return "string or null" if None in field["enum"] else "string"
    kinds = [field["type"]] if isinstance(field["type"], str) else field["type"]
    return " or ".join(f"array of {_type(field['items'])}" if kind == "array" else kind for kind in kinds)


def _name(reference: Json) -> str:
    return str(reference["$ref"]).rpartition("/")[2]


if __name__ == "__main__":
    main()
