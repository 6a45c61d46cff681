"""What scripts/mutation needs besides mutmut: its configuration, and the result by module."""

from __future__ import annotations

import json
import random
import sys
from collections import Counter
from pathlib import Path

TESTS = ("tests/decide", "tests/formats", "tests/loop", "tests/properties", "tests/record/test_journal.py")
SLOW = ("tests/loop/test_crashes.py", "tests/decide/test_admit_corpus.py")
TIMED = (
    "tests/decide/test_redact.py::test_hostile_texts_take_no_longer_than_others",
    "tests/decide/test_scan_limits.py::test_a_bomb_is_refused_at_once",
    "tests/decide/test_scan_limits.py::test_a_large_but_honest_file_is_read",
    "tests/decide/test_scan_limits.py::test_files_that_include_each_other_are_counted",
)
"""Mutated code is slower: each call goes through a switch."""
COPIED_ANYWAY = ("mutants", "pyproject.toml", "tests")
KILLED, SURVIVED, NO_TEST, TIMEOUT = "killed", "survived", "no test", "timeout"
MEANING = {0: SURVIVED, 5: NO_TEST, 33: NO_TEST, 24: TIMEOUT, 36: TIMEOUT, -24: TIMEOUT, 152: TIMEOUT, 255: TIMEOUT}
"""mutmut's exit codes (mutmut.constants); every other one is a test that failed."""
LEFT_OUT = 34
"""mutmut's code for a mutant that is skipped."""


def configure(pyproject: Path, modules: list[str]) -> None:
    """Add mutmut's section to the copy's pyproject.toml."""
    decide = Path("reconciler/decide")
    named = [str(path) for name in modules for path in sorted(decide.rglob(f"{name}.py"))]
    paths = named or [str(path) for path in sorted(decide.rglob("*.py"))]
    if not modules or "journal" in modules:
        paths.append("reconciler/record/journal.py")
    if modules == ["journal"]:
        paths = ["reconciler/record/journal.py"]
    section = {
        "source_paths": ["reconciler"],
        "only_mutate": paths,
        "also_copy": sorted(path.name for path in pyproject.parent.iterdir() if path.name not in COPIED_ANYWAY),
        "pytest_add_cli_args_test_selection": list(TESTS),
        "pytest_add_cli_args": [
            "-p",
            "no:cacheprovider",
            *(f"--ignore={path}" for path in SLOW),
            *(f"--deselect={test}" for test in TIMED),
        ],
    }
    lines = [f"{key} = {json.dumps(value)}" for key, value in section.items()]
    before = pyproject.read_text().partition("\n[tool.mutmut]\n")[0]
    pyproject.write_text(before + "\n[tool.mutmut]\n" + "\n".join(lines) + "\n")


def sample(mutants: Path, size: int) -> None:
    """Have at least so many mutants of each module run: to those that were run come others, chosen by chance."""
    for path in mutants.rglob("*.py.meta"):
        meta = json.loads(path.read_text())
        codes = meta["exit_code_by_key"]
        left = sorted(name for name, code in codes.items() if code in (None, LEFT_OUT))
        random.Random(path.name).shuffle(left)  # noqa: S311 - no secret
        wanted = max(0, size - (len(codes) - len(left)))
        codes |= dict.fromkeys(left[:wanted]) | dict.fromkeys(left[wanted:], LEFT_OUT)
        path.write_text(json.dumps(meta, indent=4))


def table(mutants: Path) -> str:
    """One row for each module: its mutants; those that were run; killed, survived, without a test, timed out."""
    rows = [
        "| module | mutants | run | killed | survived | no test | timeout | killed of tested |",
        "|---|---|---|---|---|---|---|---|",
    ]
    total: Counter[str] = Counter()
    many = 0
    for meta in sorted(mutants.rglob("*.py.meta")):
        codes = json.loads(meta.read_text())["exit_code_by_key"].values()
        found = Counter(MEANING.get(code, KILLED) for code in codes if code not in (None, LEFT_OUT))
        if found:
            total += found
            many += len(codes)
            rows.append(_row(str(meta.relative_to(mutants)).removesuffix(".py.meta"), len(codes), found))
    return "\n".join([*rows, _row("together", many, total)])


def _row(name: str, many: int, found: Counter[str]) -> str:
    caught = found[KILLED] + found[TIMEOUT]
    tested = caught + found[SURVIVED]
    share = f"{caught / tested:.1%}" if tested else ""
    numbers = [many, sum(found.values()), found[KILLED], found[SURVIVED], found[NO_TEST], found[TIMEOUT]]
    return f"| {name} | " + " | ".join(map(str, numbers)) + f" | {share} |"


if __name__ == "__main__":
    verb, place, *rest = sys.argv[1:]
    if verb == "configure":
        configure(Path(place), rest)
    elif verb == "sample":
        sample(Path(place), int(rest[0]))
    else:
        sys.stdout.write(table(Path(place)) + "\n")
