"""The ways to write one setting of a service. Each makes a commit with all cases, each at a marked line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from tests.hostile.cases import Case

MAIN, OTHER = "stack/compose.yaml", "stack/other.yaml"
ALWAYS = "volumes: {v0: {}}\nsecrets: {tok: {environment: TOK}}\n"
"""Objects that some cases use."""


@dataclass(frozen=True)
class Written:
    contents: Mapping[str, str]
    files: tuple[str, ...] = (MAIN,)
    profiles: tuple[str, ...] = ()


@dataclass
class Cases:
    """Cases with the names of their services (s0, s1, …) and objects (o0, o1, …)."""

    named: Mapping[str, Case]
    numbers: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        self.numbers = {name: number for number, name in enumerate(self.named)}

    def service(self, name: str) -> str:
        return f"s{self.numbers[name]}"

    def marker(self, name: str) -> str:
        return f"# case {self.numbers[name]}."

    def lines(self, name: str) -> list[str]:
        """Lines of the service."""
        case, key = self.named[name], f"o{self.numbers[name]}"
        if case.section:
            return [case.use.replace("NAME", key)]
        return [f"{case.line}  {self.marker(name)}"]

    def objects(self) -> str:
        """The top-level sections."""
        sections: dict[str, list[str]] = {"volumes": ["v0: {}"], "secrets": ["tok: {environment: TOK}"]}
        for name, case in self.named.items():
            if case.section:
                line = f"{case.line.replace('NAME', f'o{self.numbers[name]}')}  {self.marker(name)}"
                sections.setdefault(case.section, []).append(line)
        return "".join(f"{section}:\n{_indented(lines, 2)}" for section, lines in sections.items())


def _indented(lines: Iterable[str], depth: int) -> str:
    return "".join(f"{' ' * depth}{line}\n" for line in lines)


def _services(cases: Cases, lines: Callable[[str], Iterable[str]], prefix: str = "") -> str:
    return "".join(f"  {prefix}{cases.service(name)}:\n{_indented(lines(name), 4)}" for name in cases.named)


def _whole(cases: Cases) -> Callable[[str], list[str]]:
    return lambda name: ["image: x:1", *cases.lines(name)]


def direct(cases: Cases) -> Written:
    return Written({MAIN: "services:\n" + _services(cases, _whole(cases)) + cases.objects()})


def extends_here(cases: Cases) -> Written:
    bases = _services(cases, _whole(cases), "b")
    heirs = _services(cases, lambda name: [f"extends: b{cases.service(name)}"])
    return Written({MAIN: "services:\n" + bases + heirs + cases.objects()})


def extends_file(cases: Cases) -> Written:
    heirs = _services(cases, lambda name: [f"extends: {{file: other.yaml, service: {cases.service(name)}}}"])
    return Written(
        {MAIN: "services:\n" + heirs + cases.objects(), OTHER: "services:\n" + _services(cases, _whole(cases))}
    )


def extends_chain(cases: Cases) -> Written:
    made = extends_file(cases).contents
    middle = _services(cases, lambda name: [f"extends: {{file: other.yaml, service: {cases.service(name)}}}"])
    heirs = _services(cases, lambda name: [f"extends: {{file: middle.yaml, service: {cases.service(name)}}}"])
    main = "services:\n" + heirs + cases.objects()
    return Written({**made, MAIN: main, "stack/middle.yaml": "services:\n" + middle})


def include(cases: Cases) -> Written:
    return Written({MAIN: "include: [other.yaml]\n", OTHER: direct(cases).contents[MAIN]})


def include_two(cases: Cases) -> Written:
    made = override(cases).contents
    main = "include: [{path: [base.yaml, override.yaml]}]\n"
    return Written({MAIN: main, "stack/base.yaml": made[MAIN], "stack/override.yaml": made["stack/override.yaml"]})


def anchors(cases: Cases) -> Written:
    held = "".join(f"x-{cases.service(name)}: &{cases.service(name)}\n{_indented(_whole(cases)(name), 2)}"
                   for name in cases.named)  # fmt: skip
    used = "".join(f"  {cases.service(name)}: *{cases.service(name)}\n" for name in cases.named)
    return Written({MAIN: held + "services:\n" + used + cases.objects()})


def merge(cases: Cases) -> Written:
    made = anchors(cases).contents[MAIN]
    for name in cases.named:
        made = made.replace(f"  {cases.service(name)}: *", f"  {cases.service(name)}:\n    <<: *")
    return Written({MAIN: made})


def merge_list(cases: Cases) -> Written:
    made = merge(cases).contents[MAIN]
    for name in cases.named:
        made = made.replace(f"<<: *{cases.service(name)}\n", f"<<: [*nothing, *{cases.service(name)}]\n")
    return Written({MAIN: "x-nothing: &nothing {stdin_open: false}\n" + made})


def override(cases: Cases) -> Written:
    plain = _services(cases, lambda name: ["image: x:1"])
    return Written(
        {
            MAIN: "services:\n" + plain + ALWAYS,
            "stack/override.yaml": "services:\n" + _services(cases, cases.lines) + cases.objects(),
        },
        (MAIN, "stack/override.yaml"),
    )


def override_tag(cases: Cases) -> Written:
    made = override(cases)
    text = "".join(
        line.replace(": ", ": !override ", 1) if "# case" in line and line.startswith("    ") else line
        for line in made.contents["stack/override.yaml"].splitlines(keepends=True)
    )
    return Written({**made.contents, "stack/override.yaml": text}, made.files)


def profile(cases: Cases) -> Written:
    lines = _services(cases, lambda name: ["profiles: [on]", *_whole(cases)(name)])
    return Written({MAIN: "services:\n" + lines + cases.objects()}, profiles=("on",))


FORMS: Mapping[str, Callable[[Cases], Written]] = {
    made.__name__: made
    for made in (
        direct, extends_here, extends_file, extends_chain, include, include_two, anchors, merge, merge_list, override,
        override_tag, profile,
    )
}  # fmt: skip
