"""The Host document: its meaning, what is implied without one, and all mistakes at once with their places."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.decide.read.parse import host_document
from reconciler.decide.read.paths import case_collisions
from reconciler.formats.compose_names import NAMES
from reconciler.model.alerts import RULES, AlertRule
from reconciler.model.documents import Gate, HostDocument, LogBounds, Memory, StackDocument
from reconciler.model.outcome import Reason, Violation
from tests.commits import CommitFiles

HEAD = "apiVersion: reconciler/v1\nkind: Host\nmetadata: {name: mini}\n"
COMPOSE = "services:\n  web: {image: nginx}\n"


def host(spec: str, *more: str, modes: dict[str, str] | None = None) -> CommitFiles:
    """A commit with a document of this spec, shop's Compose file and other files."""
    paths = {"desired-state/mini.yaml": HEAD + spec, "compose/shop/compose.yaml": COMPOSE}
    return CommitFiles(paths | dict.fromkeys(more, COMPOSE), modes or {})


def stacks(*lines: str) -> str:
    return "spec:\n  stacks:\n" + "".join(f"    - {line}\n" for line in lines)


SHOP = "{name: shop, files: [compose/shop/compose.yaml]}"


def told(files: CommitFiles, base: str = "") -> list[tuple[str, int | None, int | None]]:
    document, violations = host_document(files, "mini", base)
    assert document is None
    assert all(item.message and item.hint for item in violations)
    return [(item.rule, item.line, item.column) for item in violations]


def only(files: CommitFiles, base: str = "") -> Violation:
    document, violations = host_document(files, "mini", base)
    assert document is None
    assert len(violations) == 1
    return violations[0]


def test_the_least_document_has_documented_defaults() -> None:
    document, violations = host_document(host(stacks(SHOP)), "mini")

    assert violations == ()
    assert document == HostDocument(
        name="mini",
        stacks=(StackDocument("shop", ("compose/shop/compose.yaml",), line=6),),
        memory=Memory(budget=14 << 30, steady=0.8, reserve=512 << 20),
        default_memory=512 << 20,
        path="desired-state/mini.yaml",
    )


def test_every_key_is_read_and_gates_are_merged() -> None:
    spec = """spec:
  memory: {budget: 6GiB, steady: 50%, reserve: 1073741824}
  defaults: {memory: 128m, gate: {min_healthy_time: 2s, healthy_deadline: 1m}}
  stacks:
    - {name: db, files: [compose/db.yaml], suspended: true}
    - name: shop
      files: [compose/shop/compose.yaml, ./compose/shop/more.yaml]
      profiles: [metrics]
      env: {TAG: 1.10, PORT: 0800, ON: yes, TRUE: true, EMPTY: ""}
      depends_on: [db]
      gate: {healthy_deadline: 15m, progress_deadline: 1h30m}
"""
    document, violations = host_document(host(spec, "compose/db.yaml", "compose/shop/more.yaml"), "mini")

    assert violations == ()
    assert document is not None
    assert document.memory == Memory(6 << 30, 0.5, 1 << 30)
    assert document.default_memory == 128 << 20
    assert document.stacks[0] == StackDocument(
        "db", ("compose/db.yaml",), suspended=True, gate=Gate(2, 60, 600, 30), line=8
    )
    assert document.stacks[1] == StackDocument(
        "shop",
        ("compose/shop/compose.yaml", "compose/shop/more.yaml"),
        profiles=("metrics",),
        env={"TAG": "1.10", "PORT": "0800", "ON": "yes", "TRUE": "true", "EMPTY": ""},
        depends_on=("db",),
        gate=Gate(2, 900, 5400, 30),
        line=9,
    )


def test_paths_count_from_the_source_path() -> None:
    files = CommitFiles(
        {
            "machines/desired-state/mini.yaml": HEAD + stacks("{name: a, files: [a/b.yaml]}"),
            "machines/a/b.yaml": COMPOSE,
        }
    )

    document, violations = host_document(files, "mini", "machines")

    assert violations == ()
    assert document is not None
    assert document.stacks[0].files == ("machines/a/b.yaml",)
    assert document.path == "machines/desired-state/mini.yaml"


# ------------------------------------------------------------------------------------------ without a document


@pytest.mark.parametrize("number", range(len(NAMES)))
def test_a_plain_compose_repository_is_one_stack(number: int) -> None:
    files = CommitFiles(dict.fromkeys(NAMES[number:], COMPOSE) | {"README.md": "x"})

    document, violations = host_document(files, "mini")

    assert violations == ()
    assert document == HostDocument("mini", (StackDocument("mini", (NAMES[number],), line=1),))
    assert document.path is None


@pytest.mark.parametrize(
    ("text", "stack", "name"),
    [
        ("name: shop\n" + COMPOSE, "", "shop"),
        ("name: shop\n" + COMPOSE, "other", "other"),
        ("name: ${NAME}\n" + COMPOSE, "", "mini"),
        ("name: Not Valid\n" + COMPOSE, "", "mini"),
        ("[", "", "mini"),
        ("x: " + "[" * 50_000, "", "mini"),
    ],
)
def test_the_implied_stack_takes_the_files_own_name(text: str, stack: str, name: str) -> None:
    document, _ = host_document(CommitFiles({"compose.yaml": text}), "mini", "", stack)

    assert document is not None
    assert document.stacks[0].name == name


def test_a_folder_for_desired_state_without_documents_implies_nothing() -> None:
    files = CommitFiles({"desired-state/README.md": "x", "compose.yaml": COMPOSE})

    document, _ = host_document(files, "mini")

    assert document is not None
    assert document.path is None


@pytest.mark.parametrize("other", ["desired-state/maxi.yaml", "desired-state/mini.yml"])
def test_a_missing_document_beside_others_is_told_apart(other: str) -> None:
    found = only(CommitFiles({other: "x", "compose.yaml": COMPOSE}))

    assert (found.rule, found.reason) == ("host-file-missing", Reason.FILE_MISSING)
    assert other.rpartition("/")[2] in found.message
    assert found.path == "desired-state/mini.yaml"
    assert ("Rename" in found.hint) == other.endswith("mini.yml")


@pytest.mark.parametrize("base", ["", "machines"])
def test_an_empty_repository_says_what_could_be_there(base: str) -> None:
    found = only(CommitFiles({"README.md": "x"}), base)

    assert (found.rule, found.reason) == ("nothing-desired", Reason.FILE_MISSING)
    assert "compose.yaml" in found.hint


# -------------------------------------------------------------------------------------------------- mistakes


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file() -> None:
    spec = """spec:
  memory: {budget: much, stedy: 50%}
  defaults: {gate: {min_healthy_time: 10}}
  stacks:
    - {name: Shop, files: []}
    - {name: shop, files: [compose/shop/compose.yaml], depends_on: [shopp], env: {A: [hunter2]}}
    - {files: [compose/shop/compos.yaml]}
extra: 1
"""
    _, violations = host_document(host(spec), "mini")

    assert [(item.rule, item.line, item.pointer) for item in violations] == [
        ("wrong-value", 5, "/spec/memory/budget"),
        ("unknown-key", 5, "/spec/memory/stedy"),
        ("wrong-type", 6, "/spec/defaults/gate/min_healthy_time"),
        ("wrong-value", 8, "/spec/stacks/0/name"),
        ("empty-value", 8, "/spec/stacks/0/files"),
        ("depends-on-unknown", 9, "/spec/stacks/1/depends_on/0"),
        ("wrong-type", 9, "/spec/stacks/1/env/A"),
        ("missing-key", 10, "/spec/stacks/2"),
        ("file-missing", 10, "/spec/stacks/2/files/0"),
        ("unknown-key", 11, "/extra"),
    ]
    assert "Did you mean 'steady'?" in violations[1].hint
    assert "Did you mean 'shop'?" in violations[5].hint
    assert "Did you mean 'compose/shop/compose.yaml'?" in violations[8].hint
    assert violations[5].stack == "shop"
    assert "hunter2" not in str(violations)


def test_env_values_are_never_repeated() -> None:
    _, violations = host_document(
        host(stacks("{name: a, files: [x], env: {'hunter3': {k: hunter2}, N: null}}")), "mini"
    )

    assert "hunter2" not in str(violations)
    assert "/spec/stacks/0/env/N" in {item.pointer for item in violations}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("spec: {stacks: [], memory: {budget: 1GiB, reserve: 1GiB}}\n", ("memory-order", 4, 52)),
        ("spec: {stacks: [], memory: {steady: 0%}}\n", ("out-of-range", 4, 37)),
        ("spec: {stacks: [], defaults: {memory: 1m}}\n", ("out-of-range", 4, 39)),
        ("spec: {stacks: [], defaults: {gate: {min_healthy_time: 10m}}}\n", ("gate-order", 4, 37)),
        ("spec: {stacks: [], defaults: {gate: {healthy_deadline: 11m}}}\n", ("gate-order", 4, 37)),
        ("spec: {stacks: [], alerts: {disk-lo: {}}}\n", ("wrong-value", 4, 29)),
        ("spec: {stacks: [], logs: {size: 1KiB}}\n", ("out-of-range", 4, 33)),
        ("spec: {stacks: [], logs: {size: 1GiB}}\n", ("out-of-range", 4, 33)),
        ("spec: {stacks: [], alerts: {disk-low: {threshold: 1h}}}\n", ("alert-threshold", 4, 51)),
        ("spec: {stacks: [], alerts: {disk-filling: {threshold: 9%}}}\n", ("alert-threshold", 4, 55)),
        ("spec: {stacks: [], alerts: {agent-silent: {threshold: 9%}}}\n", ("alert-threshold", 4, 55)),
        ("spec: {stacks: [], alerts: {disk-low: {threshold: 200%}}}\n", ("out-of-range", 4, 51)),
        (stacks(SHOP.replace(": shop", ": s2"), SHOP[:-1] + ", gate: {progress_deadline: 1m}}"), ("gate-order", 7, 62)),
        (stacks(SHOP, SHOP), ("stack-name", 7, 14)),
        (stacks("{name: shop, files: [/etc/passwd]}"), ("path-outside", 6, 28)),
        (stacks("{name: shop, files: [../x.yaml]}"), ("path-outside", 6, 28)),
        (stacks("{name: shop, files: [a/../compose/shop/compose.yaml]}"), ("path-outside", 6, 28)),
        (stacks("{name: shop, files: ['https://x/c.yaml']}"), ("path-outside", 6, 28)),
        (stacks("{name: shop, files: [compose/shop]}"), ("not-a-file", 6, 28)),
        (stacks("{name: shop, files: [compose/gone.yaml]}"), ("file-missing", 6, 28)),
        (stacks("{name: \"shop\\n\", files: [compose/shop/compose.yaml]}"), ("wrong-value", 6, 14)),
    ],
)  # fmt: skip
def test_each_rule_names_its_place(spec: str, expected: tuple[str, int, int]) -> None:
    assert told(host(spec)) == [expected]


def test_bounds_of_alerts_are_read_over_the_usual_ones() -> None:
    alerts = "{disk-low: {threshold: 5%}, disk-filling: {threshold: 12h, for: 1m}, swap-in-use: {enabled: false}}"
    document, violations = host_document(host(f"spec: {{stacks: [], alerts: {alerts}}}\n"), "mini")
    assert document is not None
    assert violations == ()
    assert document.alerts == {
        "disk-low": replace(RULES["disk-low"], threshold=0.05),
        "disk-filling": AlertRule(60.0, 43200.0),
        "swap-in-use": replace(RULES["swap-in-use"], enabled=False),
    }


def test_logs_are_kept_as_the_document_says_and_the_rest_is_as_usual() -> None:
    for raw, bounds in (("keep: 30", LogBounds(keep=30)), ("size: 50MiB", LogBounds(size=50 << 20))):
        document, violations = host_document(host(f"spec: {{stacks: [], logs: {{{raw}}}}}\n"), "mini")
        assert violations == ()
        assert document is not None
        assert document.logs == bounds


def test_the_name_must_be_the_files() -> None:
    files = CommitFiles({"desired-state/mini.yaml": HEAD.replace("mini", "maxi") + "spec: {stacks: []}\n"})

    found = only(files)

    assert (found.rule, found.line, found.column) == ("host-name", 3, 18)
    assert "'maxi'" in found.message
    assert "'mini'" in found.message


def test_dependencies_must_not_go_round() -> None:
    names = ["a", "b", "c", "d", "e"]
    wanted = {"a": "b", "b": "c", "c": "a", "d": "a", "e": "e"}
    files = host(
        stacks(*(f"{{name: {n}, files: [{n}.yaml], depends_on: [{wanted[n]}]}}" for n in names)),
        *(f"{n}.yaml" for n in names),
    )

    _, violations = host_document(files, "mini")

    assert {item.stack: item.rule for item in violations} == dict.fromkeys("abce", "depends-on-cycle")
    assert "a → b → c → a" in violations[0].message
    assert "e → e" in violations[3].message


def test_links_and_submodules_that_nothing_uses_are_no_mistake() -> None:
    """A link that is mounted, built or read through is judged in tests/hostile/test_trees.py."""
    odd = {"compose/shop/link": "120000", "compose/shop/deep/module": "160000", "docs/link": "120000"}

    document, violations = host_document(host(stacks(SHOP), *odd, modes=odd), "mini")

    assert document is not None
    assert violations == ()


@pytest.mark.parametrize("odd", ["compose/shop/compose.yaml", "compose"])
def test_a_compose_file_that_is_or_lies_behind_a_link_is_refused(odd: str) -> None:
    paths = {"desired-state/mini.yaml": HEAD + stacks(SHOP), odd: "target"}

    _, violations = host_document(CommitFiles(paths, {odd: "120000"}), "mini")

    assert {item.rule for item in violations} == {"symlink"}
    assert violations[0].line == 6


def test_a_document_that_is_a_link_is_refused() -> None:
    path = "desired-state/mini.yaml"

    assert only(CommitFiles({path: "x"}, {path: "120000"})).rule == "symlink"


@pytest.mark.parametrize(
    ("paths", "refused"),
    [
        (["docs/A.md", "docs/a.md"], ["docs/a.md"]),
        (["Docs/x", "docs/y", "docs/z"], ["docs"]),
        (["caf\u00e9", "cafe\u0301"], ["caf\u00e9"]),
        (["stra\u00dfe", "STRASSE"], ["stra\u00dfe"]),
        (["a", "b", "A/.."], None),
    ],
)
def test_paths_that_differ_only_in_case_are_found_anywhere(paths: list[str], refused: list[str] | None) -> None:
    violations = case_collisions(host(stacks(SHOP), *paths))

    assert {item.rule for item in violations} == {"case-collision"}
    assert refused is None or [item.path for item in violations] == refused


def test_a_large_document_is_not_even_read() -> None:
    assert told(CommitFiles({"desired-state/mini.yaml": "#" * (300 << 10)})) == [("too-large", 1, 1)]


def test_hundreds_of_mistakes_are_cut_to_what_fits_a_report() -> None:
    assert len(told(host("spec: {stacks: [" + "{}, " * 900 + "]}"))) == 200
