"""The scan of Compose files: which files they read, where paths lead, and the places of values."""

from __future__ import annotations

import base64

import pytest

from reconciler.decide.read.scan import Scan, scan
from reconciler.formats.events import MOST_PROBLEMS
from reconciler.model.documents import StackDocument
from reconciler.model.outcome import Level, Reason
from tests.commits import CommitFiles

Told = list[tuple[str, str | None, int | None, int | None]]


def look(
    files: dict[str, str],
    *paths: str,
    modes: dict[str, str] | None = None,
    profiles: tuple[str, ...] = (),
    **variables: str,
) -> Scan:
    first = paths or ("app/compose.yaml",)
    return scan(CommitFiles(files, modes or {}), StackDocument("shop", first, profiles=profiles), variables)


def told(found: Scan) -> Told:
    assert all(item.message and item.hint and item.stack == "shop" for item in found.violations)
    return [(item.rule, item.path, item.line, item.column) for item in found.violations]


def led(found: Scan) -> set[tuple[str, str, str | None]]:
    return {(item.kind, item.value, item.resolved) for item in found.references}


def service(*lines: str) -> dict[str, str]:
    return {"app/compose.yaml": "services:\n  web:\n" + "".join(f"    {line}\n" for line in ["image: x", *lines])}


def test_every_path_is_resolved_from_where_it_counts() -> None:
    files = {
        "app/compose.yaml": """
include:
  - inc/compose.yaml
  - {path: [sub/inc.yaml, sub/more.yaml], project_directory: other, env_file: env/inc.env}
services:
  a:
    extends: {file: base/base.yaml, service: b}
    env_file: [own.env, {path: ../shared.env, required: true}]
    label_file: labels
    build: {context: ./ctx, dockerfile: docker/File, additional_contexts: {x: ../ctx2, y: 'service:z'}}
    volumes: ['./data:/d', 'named:/n', '/abs:/a:ro', {type: bind, source: "${DIR}/x", target: /x}]
configs: {c: {file: conf/c.ini}}
secrets: {s: {file: ../secret.txt}}
""",
        "app/inc/compose.yaml": "services: {i: {image: 'i${V}', env_file: inc.env, build: ctx}}",
        "app/inc/.env": "V=1\n",
        "app/inc/inc.env": "",
        "app/sub/inc.yaml": "services: {j: {image: '${W}', env_file: sub.env}}",
        "app/sub/more.yaml": "services: {j: {env_file: more.env}}",
        "app/env/inc.env": "W=2\n",
        "app/other/sub.env": "",
        "app/other/more.env": "",
        "app/base/base.yaml": "services: {b: {extends: {file: ../../far/o.yaml, service: c}, env_file: base.env}}",
        "app/base/base.env": "",
        "far/o.yaml": "services: {c: {env_file: c.env, build: {additional_contexts: [k=../app]}}, d: {env_file: gone}}",
        "far/c.env": "",
        "app/own.env": "",
        "app/labels": "",
        "shared.env": "",
    }
    found = look(files, DIR="./mnt")

    assert told(found) == []
    assert led(found) == {
        ("include", "inc/compose.yaml", "app/inc/compose.yaml"),
        ("include", "sub/inc.yaml", "app/sub/inc.yaml"),
        ("include", "sub/more.yaml", "app/sub/more.yaml"),
        ("include.project_directory", "other", "app/other"),
        ("include.env_file", "env/inc.env", "app/env/inc.env"),
        ("env_file", "inc.env", "app/inc/inc.env"),
        ("build.context", "ctx", "app/inc/ctx"),
        ("env_file", "sub.env", "app/other/sub.env"),
        ("env_file", "more.env", "app/other/more.env"),
        ("extends", "base/base.yaml", "app/base/base.yaml"),
        ("extends", "../../far/o.yaml", "far/o.yaml"),
        ("env_file", "base.env", "app/base/base.env"),
        ("env_file", "c.env", "far/c.env"),
        ("additional_context", "../app", "app"),
        ("env_file", "own.env", "app/own.env"),
        ("env_file", "../shared.env", "shared.env"),
        ("label_file", "labels", "app/labels"),
        ("build.context", "./ctx", "app/ctx"),
        ("build.dockerfile", "docker/File", "app/ctx/docker/File"),
        ("additional_context", "../ctx2", "ctx2"),
        ("additional_context", "service:z", "app/service:z"),
        ("bind", "./data", "app/data"),
        ("bind", "/abs", None),
        ("bind", "./mnt/x", "app/mnt/x"),
        ("config.file", "conf/c.ini", "app/conf/c.ini"),
        ("secret.file", "../secret.txt", "secret.txt"),
    }
    assert found.files == (
        "app/compose.yaml",
        "app/inc/.env",
        "app/inc/compose.yaml",
        "app/env/inc.env",
        "app/sub/inc.yaml",
        "app/sub/more.yaml",
        "app/base/base.yaml",
        "far/o.yaml",
    )


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        ("/etc/os-release", "outside-commit"),
        ("../../etc/passwd", "outside-commit"),
        ("~/x.env", "outside-commit"),
        ("'${DIR}/x.env'", "outside-commit"),
        ("https://x.example.org/x.env", "remote-file"),
        ("git@x.example.org:a/b.git", "remote-file"),
        ("oci://x.example.org/a", "remote-file"),
        ("github.com/a/b.git", "remote-file"),
        ("link.env", "symlink"),
        ("linked/x.env", "symlink"),
        ("module/x.env", "submodule"),
        ("gone.env", "file-missing"),
        ("folder", "not-a-file"),
    ],
)
@pytest.mark.parametrize(
    "form",
    ["env_file: {}", "env_file: [{{path: {}}}]", "label_file: [{}]", "extends: {{file: {}, service: a}}"],
)
def test_files_that_are_read_in_must_lie_in_the_commit(form: str, value: str, rule: str) -> None:
    odd = {"app/link.env": "120000", "app/linked": "120000", "app/module": "160000"}
    files = service(form.format(value)) | dict.fromkeys(odd, "target") | {"app/folder/x": ""}

    found = look(files, modes=odd, DIR="/etc")

    column = 5 + form.format("@@").index("@@")
    assert told(found) == [(rule, "app/compose.yaml", 4, column)]
    assert found.violations[0].service == "web"
    missing = rule in ("file-missing", "not-a-file")
    assert found.violations[0].reason is (Reason.FILE_MISSING if missing else Reason.POLICY_VIOLATION)


@pytest.mark.parametrize(
    "form",
    [
        "[{}]",
        "[{{path: [{}]}}]",
        "[{{path: in.yaml, env_file: [{}]}}]",
        "[{{path: in.yaml, project_directory: {}}}]",
    ],
)
@pytest.mark.parametrize("value", ["/etc/x", "../../x", "https://x.example.org/c.yaml", "git@x.example.org:a.git"])
def test_includes_must_lie_in_the_commit(form: str, value: str) -> None:
    text = f"services: {{a: {{image: x}}}}\ninclude: {form.format(value)}\n"

    found = look({"app/compose.yaml": text, "app/in.yaml": "services: {b: {image: y}}"})

    assert [(item.rule, item.line, item.reason) for item in found.violations] == [
        ("remote-file" if ":" in value else "outside-commit", 2, Reason.POLICY_VIOLATION)
    ]


@pytest.mark.parametrize("folder", ["gone/x", "inc.yaml", "inc.yaml/x"])
def test_the_folder_of_an_include_is_one_of_the_commit(folder: str) -> None:
    """Compose 2.26 and 2.40 take the folder above instead, and `../../shop.env` lies outside of the commit there."""
    main = "include: [{path: inc.yaml, project_directory: FOLDER}]\nservices: {b: {image: x}}"
    inner = "services: {a: {image: x, env_file: [{path: ../../shop.env, required: false}]}}"
    found = look({"app/compose.yaml": main.replace("FOLDER", folder), "app/inc.yaml": inner})
    assert "not-a-folder" in [item.rule for item in found.violations]
    there = look({"app/compose.yaml": main.replace("FOLDER", "in/x"), "app/inc.yaml": inner, "app/in/x/y": ""})
    assert told(there) == []


def test_no_file_is_suggested_in_its_own_place() -> None:
    found = look({"app/compose.yaml": "include: [compos.yaml]\nservices: {a: {image: x}}"})
    assert [item.hint for item in found.violations] == ["Commit the file, or correct the path."]


def test_a_missing_file_is_none_where_it_may_be_missing_or_is_not_read() -> None:
    optional = service("env_file: [{path: gone.env, required: false}]")
    idle = service("profiles: ['${P}']", "env_file: gone.env")

    assert told(look(optional)) == []
    assert told(look(idle, P="debug")) == []
    assert [item[0] for item in told(look(idle, P="debug", profiles=("debug",)))] == ["file-missing"]
    assert [item[0] for item in told(look(service("env_file: [{path: /gone.env, required: false}]")))] == [
        "outside-commit"
    ]


def test_what_a_later_file_takes_back_is_not_asked_for() -> None:
    files = service("env_file: gone.env", "label_file: gone") | {
        "app/over.yaml": "services:\n  web:\n    env_file: !reset []\n    label_file: !override [there]\n",
        "app/there": "",
    }
    assert told(look(files, "app/compose.yaml", "app/over.yaml")) == []
    assert len(told(look(files, "app/compose.yaml"))) == 2


@pytest.mark.parametrize(
    ("first", "taken_back"),
    [
        ("include: [/etc/compose.yaml]", "include: !reset []"),
        ("include: [{path: inc.yaml, env_file: /etc/secret.env}]", "include: !override [inc.yaml]"),
        ("include: [{path: inc.yaml, project_directory: /etc}]", "include: !reset null"),
        ("services: {web: {image: x, extends: {file: /etc/compose.yaml, service: a}}}",
         "services: {web: {extends: !reset null}}"),
        ("services: {web: {image: x, extends: {file: /etc/compose.yaml, service: a}}}", "services: {web: !reset null}"),
    ],
)  # fmt: skip
def test_what_compose_reads_at_once_no_later_file_takes_back(first: str, taken_back: str) -> None:
    """Compose 2.26 and 2.40 include and extend while they load a file, before they merge it with the next."""
    files = {"app/compose.yaml": first, "app/over.yaml": taken_back, "app/inc.yaml": "services: {i: {image: x}}"}
    found = look(files, "app/compose.yaml", "app/over.yaml")
    assert [item[0] for item in told(found)] == ["outside-commit"]


KEY = base64.b64encode(b"env_file").decode()
PATH = base64.b64encode(b"/etc/x.env").decode()


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        ("tag-not-allowed", f"{{web: {{image: x, env_file: [{{path: !!binary {PATH}, required: false}}]}}}}"),
        ("tag-not-allowed", f"{{web: {{image: x, !!binary {KEY}: /etc/x.env}}}}"),
        ("tag-not-allowed", f"{{web: {{image: x, !<tag:yaml.org,2002:binary> {KEY}: /etc/x.env}}}}"),
        ("tag-not-allowed", '{web: {image: x, !!merge "<<": {env_file: /etc/x.env}}}'),
        ("tag-not-allowed", f"{{web: {{image: x, !<!!binary> {KEY}: /etc/x.env}}}}"),
        ("reset-value", "!override {web: {image: x, env_file: !reset [/etc/x.env]}}"),
        ("reset-value", "{web: {image: x, extends: !reset {file: /etc/x.yaml, service: a}}}"),
        ("reset-value", "{web: {image: x, env_file: !reset /etc/x.env}}"),
    ],
)
def test_tags_cannot_hide_a_path_from_the_scan(rule: str, text: str) -> None:
    """Compose 2.26 and 2.40 read the file of the host in the first six of them."""
    assert rule in [item[0] for item in told(look({"app/compose.yaml": f"services: {text}\n"}))]


def test_no_more_tags_are_told_than_other_problems() -> None:
    tags = "".join("  - !!binary eA==\n" for _ in range(2 * MOST_PROBLEMS))
    found = look({"app/compose.yaml": f"services: {{web: {{image: x}}}}\nx-a:\n{tags}"})
    assert [item[0] for item in told(found)] == ["tag-not-allowed"] * MOST_PROBLEMS


def test_tags_that_people_write_are_read_as_compose_reads_them() -> None:
    text = """
x-base: &base {image: x, labels: !override {a: b}}
services:
  web:
    !!merge <<: *base
    environment: {A: !!str 010, B: !!int "1", C: !reset null}
    ports: !reset []
    healthcheck: !reset {}
    command: ! [run]
    read_only: !reset false
"""
    assert told(look({"app/compose.yaml": text})) == []


@pytest.mark.parametrize("taken_back", ["{web: !reset null, b: {image: x}}", "!override {b: {image: x}}"])
def test_an_included_file_takes_nothing_back_from_the_file_that_includes_it(taken_back: str) -> None:
    """Compose merges the included services afterwards, and reads the env_file."""
    inner = {"app/inc.yaml": f"services: {taken_back}"}
    main = "include: [inc.yaml]\nservices: {web: {image: x, env_file: /etc/x.env}}"
    assert [item[0] for item in told(look({"app/compose.yaml": main, **inner}))] == ["outside-commit"]
    beside = {
        "app/compose.yaml": "include: [a.yaml, inc.yaml]",
        "app/a.yaml": "services: {web: {env_file: /etc/x.env}}",
    }
    assert [item[0] for item in told(look({**beside, **inner}))] == ["outside-commit"]
    listed = {"app/compose.yaml": "include: [{path: [a.yaml, inc.yaml]}]", "app/a.yaml": beside["app/a.yaml"]}
    assert told(look({**listed, **inner})) == [], "Compose merges the files of one include in their order"
    later = {
        "app/compose.yaml": "include: [a.yaml]",
        "app/a.yaml": beside["app/a.yaml"],
        "app/z.yaml": f"services: {taken_back}",
    }
    assert told(look(later, "app/compose.yaml", "app/z.yaml")) == [], "a later file of the stack takes it back"


@pytest.mark.parametrize("form", ["x-a: &a {body}\nservices: *a", "x-a: [&a {body}]\nservices: *a"])
def test_a_reset_below_an_alias_takes_nothing_back(form: str) -> None:
    later = form.replace("{body}", "{web: {env_file: !reset null, command: x}}")
    files = {"app/compose.yaml": "services: {web: {image: x, env_file: /etc/x.env}}", "app/z.yaml": later}
    assert [item[0] for item in told(look(files, "app/compose.yaml", "app/z.yaml"))] == ["outside-commit"]


def test_anchors_and_merge_keys_are_followed() -> None:
    text = """
x-base: &base {env_file: base.env, build: {context: ../../out}}
x-more: &more {label_file: /etc/labels}
services:
  web: {<<: [*base, *more], image: x, env_file: own.env}
"""
    found = look({"app/compose.yaml": text, "app/own.env": ""})

    assert [item[0] for item in told(found)] == ["outside-commit"]
    assert ("build.context", "../../out", None) in led(found)
    assert not any(item.value == "base.env" for item in found.references)


# -------------------------------------------------------------------------------------------------- variables


def test_unset_variables_are_named_once_with_the_file_to_create() -> None:
    text = """services:
  web:
    image: "x:${TAG}"
    command: ["$$NOT", "${A:-$B}", "${C:+$D}", "${E?say so}", "${TAG}"]
    environment: {F: "${F-}"}
"""
    found = look({"app/compose.yaml": text})

    assert told(found) == [
        ("unset-variable", "app/compose.yaml", 3, 12),
        ("unset-variable", "app/compose.yaml", 4, 24),
        ("unset-variable", "app/compose.yaml", 4, 48),
    ]
    assert [item.message.split(" is ")[0] for item in found.violations] == [
        "the variable TAG",
        "the variable B",
        "the variable E",
    ]
    assert "<secrets_dir>/shop.env" in found.violations[0].hint
    assert "say so" in found.violations[2].message
    assert {item.reason for item in found.violations} == {Reason.POLICY_VIOLATION}
    assert told(look({"app/compose.yaml": text}, TAG="1", B="", E="x")) == []


def test_what_nothing_uses_may_have_unset_variables() -> None:
    text = """
x-used: &used {A: "${USED}"}
x-unused: {A: "${UNUSED}"}
services:
  web: {image: x, environment: *used, labels: {"${KEY}": v}}
  idle: {image: "${IDLE}", profiles: [debug]}
"""
    found = look({"app/compose.yaml": text})

    assert [item.message.split()[2] for item in found.violations] == ["USED"]
    assert found.violations[0].line == 2


def test_below_environment_and_labels_an_unset_variable_is_a_warning() -> None:
    text = """
x-both: &both "${BOTH}"
x-more: &more {A: "${MORE}"}
services:
  web:
    image: x
    environment: {A: "${SOFT}", B: *both, C: "${HARD:?say}", D: "${TAG}"}
    labels: ["l=${LABEL}"]
    command: *both
  next: {image: "x:${TAG}", environment: *more, labels: ["${KEY}=x"]}
  more: {image: x, build: {context: ., args: {V: "${ARG}"}}, volumes: ["${PWD}/d:/d"], x-a: *more}
secrets: {s: {environment: SECRET}}
"""
    found = {item.message.split()[2]: item for item in look({"app/compose.yaml": text}).violations}
    levels = {name: item.level.value for name, item in found.items()}

    assert levels == {
        **dict.fromkeys(("SOFT", "LABEL"), "warn"),
        **dict.fromkeys(("BOTH", "HARD", "TAG", "KEY", "ARG", "PWD", "SECRET", "MORE"), "deny"),
    }
    assert (found["BOTH"].line, found["TAG"].line) == (2, 10)
    files = CommitFiles({"app/compose.yaml": text})
    kept = scan(files, StackDocument("shop", ("app/compose.yaml",)), {}, strict=True)
    assert {item.level.value for item in kept.violations} == {"deny"}, "the operator keeps values on this host"
    assert found["TAG"].hint.endswith("${TAG:-…}.")
    bare = look({"app/compose.yaml": 'services: {web: {image: x, command: "a$bc"}}'})
    assert bare.violations[0].hint.endswith("If the $ belongs to the text, write $$.")
    assert found["SOFT"].message == "the variable SOFT is not set and becomes empty"
    assert "${SOFT:-}" in found["SOFT"].hint
    assert "${ARG:-…}" in found["ARG"].hint
    assert found["PWD"].hint.startswith("Write ./ instead")


def test_a_value_of_an_env_file_that_an_unset_variable_cuts_is_told_like_any_other() -> None:
    text = """
services:
  web: {image: x, env_file: [a.env, b.env, {path: raw.env, format: raw}]}
  next: {image: x, env_file: a.env}
  idle: {image: x, env_file: idle.env, profiles: [debug]}
"""
    files = {
        "app/compose.yaml": text,
        "app/a.env": "A=1\nPW=s3cret$Pa55\nB='x$y'\nC=$$z\nD=${OTHER}${SET}\nE=${DEFAULT:-}\n",
        "app/b.env": 'OTHER=1\nF="x$quoted"\nSET\nHOME\n',
        "app/raw.env": "G=$raw\n",
        "app/idle.env": "H=$idle\n",
    }
    found = [item for item in look(files, SET="1").violations if item.rule == "unset-variable"]

    assert [(item.path, item.line, item.level.value, item.message.split()[2]) for item in found] == [
        ("app/a.env", 2, "warn", "Pa55"),
        ("app/b.env", 2, "warn", "quoted"),
        ("app/b.env", 4, "warn", "HOME"),
    ]
    assert "single quotes" in found[0].hint
    assert "$$" in found[0].hint
    kept = scan(CommitFiles(files), StackDocument("shop", ("app/compose.yaml",)), {"SET": "1"}, strict=True)
    assert [item.level.value for item in kept.violations] == ["deny", "deny", "warn"], "a bare name may be unset"


@pytest.mark.parametrize(
    ("key", "data", "said"),
    [
        (
            "label_file",
            b"A=1\nB=a$gone\n",
            ("unset-variable", 2, "the variable gone is not set, and the value"),
        ),
        ("env_file", b"# Gr\xfc\xdfe\nA=Gr\xfc\xdfe\n", ("invalid-dotenv", 2, "the value of A is not UTF-8")),
        ("env_file", b"A=1\nB=x\0y\n", ("invalid-dotenv", 2, "the value of B is not UTF-8 text, or has a NUL in it")),
    ],
)
def test_values_that_compose_would_change_are_told(key: str, data: bytes, said: tuple[str, int, str]) -> None:
    text = f"services: {{web: {{image: x, {key}: [read.env]}}}}"
    files: dict[str, bytes | str] = {"app/compose.yaml": text, "app/read.env": data}
    (found,) = scan(CommitFiles(files), StackDocument("shop", ("app/compose.yaml",)), {}, strict=True).violations

    assert (found.path, found.level) == ("app/read.env", Level.DENY)
    assert (found.rule, found.line, found.message[: len(said[2])]) == said


@pytest.mark.parametrize("text", ['environment: {A: "x\\0y"}', 'labels: {"x\\0y": A}', 'command: ["\\0"]'])
def test_a_nul_is_refused_with_its_place(text: str) -> None:
    found = look({"app/compose.yaml": f"services:\n  web:\n    image: x\n    {text}\n"}).violations

    assert [(item.rule, item.line, item.level) for item in found] == [("invalid-variable", 4, Level.DENY)]


@pytest.mark.parametrize(
    ("missing", "there", "hint"),
    [
        (".env", ["app/docker-compose.yml", "wiki/.env", "app/.env.example"], "<secrets_dir>/shop.env"),
        ("app.env", ["app/app.yaml", "app/app.md"], "<secrets_dir>/shop.env"),
        ("app.env", ["app/apps.env", "app/app.yaml"], "Did you mean 'app/apps.env'?"),
    ],
)
def test_a_missing_env_file_is_answered_with_the_secrets_folder(missing: str, there: list[str], hint: str) -> None:
    files = {"app/compose.yaml": f"services: {{web: {{image: x, env_file: {missing}}}}}"} | dict.fromkeys(there, "x")

    assert [hint in item.hint for item in look(files).violations] == [True]


def test_what_compose_refuses_anywhere_is_told_everywhere() -> None:
    text = 'services:\n  web: {image: x}\n  idle: {image: "${GONE:?no}", profiles: [p]}\nx-y: "${"\n'

    assert told(look({"app/compose.yaml": text})) == [
        ("unset-variable", "app/compose.yaml", 3, 17),
        ("invalid-variable", "app/compose.yaml", 4, 6),
    ]


def test_bare_names_are_variables_too() -> None:
    text = """services:
  web: {image: x, environment: [GIVEN, GONE, SET=1]}
secrets: {s: {environment: SECRET}}
"""
    found = look({"app/compose.yaml": text}, GIVEN="1")

    assert [(item.message.split()[2], item.level) for item in found.violations] == [
        ("GONE", Level.WARN),
        ("SECRET", Level.DENY),
    ]
    assert found.violations[0].message == "the variable GONE is not set, and the container does not get it"
    assert found.violations[0].hint.endswith("write GONE=VALUE here, or drop the line.")


def test_values_come_from_the_host_then_the_stack_then_the_committed_dotenv() -> None:
    files = {
        "app/compose.yaml": """services:
  web: {image: x, env_file: ["${A}", "${B}", "${C}", "${COMPOSE_PROJECT_NAME}"]}
""",
        "app/.env": "A=dotenv\nB=dotenv\nC=$A-c\n",
        "app/host": "", "app/stack": "", "app/host-c": "", "app/shop": "",
    }  # fmt: skip
    stack = StackDocument("shop", ("app/compose.yaml",), env={"A": "stack", "B": "stack"})

    found = scan(CommitFiles(files), stack, {"A": "host"})

    assert [item.value for item in found.references] == ["host", "stack", "host-c", "shop"]
    assert found.violations == ()


def test_a_committed_dotenv_cannot_steer_compose() -> None:
    files = service() | {"app/.env": "A=1\nDOCKER_HOST=tcp://evil\n"}

    assert told(look(files)) == [("reserved-variable", "app/.env", 2, 1)]


# ------------------------------------------------------------------------------------------------------ files


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("services: {a: {image: x, image: y}}\n", ("duplicate-key", 1, 26)),
        ("services:\n  a: {image: x}\n---\nservices:\n  b: {image: y}\n", ("several-documents", 4, 1)),
        ("services: [\n", ("invalid-yaml", 2, 1)),
        ("services:\n\ta: 1\n", ("invalid-yaml", 2, 1)),
        ("services: {a: {image: *x}}\n", ("invalid-yaml", 1, 23)),
        ("a: &a {b: *a}\n", ("invalid-yaml", 1, 11)),
        ("", ("not-compose", 1, 1)),
        ("[1]\n", ("not-compose", 1, 1)),
        ("services: {a: {extends: a}}\n", ("extends-cycle", 1, 12)),
        ("services: {a: {extends: b}, b: {extends: {service: a}}}\n", ("extends-cycle", 1, 12)),
        ("include: [compose.yaml]\nservices: {}\n", ("include-cycle", 1, 11)),
        ("include: [in.yaml]\nservices: {}\n", ("include-cycle", 1, 11)),
    ],
)
def test_files_that_cannot_be_read_are_told_with_their_place(text: str, expected: tuple[str, int, int]) -> None:
    found = look({"app/compose.yaml": text, "app/in.yaml": "include: [compose.yaml]\n"})

    assert [(item.rule, item.line, item.column) for item in found.violations] == [expected]
    several = expected[0] == "several-documents"
    assert found.violations[0].reason is (Reason.POLICY_VIOLATION if several else Reason.PARSE_FAILED)


@pytest.mark.parametrize(
    "text",
    [
        "services: {a: {image: !foo x}}",
        "x-a: &a {init: true}\nx-b: &a {tty: true}\nservices: {a: {<<: *a, image: x}}",
        "services: {a: {image: x, environment: !reset null}}",
        "services: {a: {extends: gone}}",
        "\ufeffservices: {a: {image: x}}",
    ],
)
def test_what_compose_accepts_is_left_to_compose(text: str) -> None:
    assert told(look({"app/compose.yaml": text})) == []


def test_a_stack_whose_file_is_gone_says_so() -> None:
    assert told(look({"x": ""}, "app/gone.yaml")) == [("file-missing", "app/gone.yaml", None, None)]


# ----------------------------------------------------------------------------------------------------- places

PLACES = {
    "app/compose.yaml": """name: shop
include: [inc.yaml]
x-base: &base
  privileged: true
services:
  web:
    <<: *base
    image: x
    ports: ["80:80", {target: 81}]
    environment:
      - NAME=value
    networks: [front]
    extends: {file: base.yaml, service: origin}
  api:
    extends: web
    image: y
""",
    "app/over.yaml": "services:\n  web:\n    image: z\n",
    "app/inc.yaml": "services:\n  inner:\n    image: i\n",
    "app/base.yaml": "services:\n  origin:\n    cap_add: [ALL]\n    image: o\n",
}


@pytest.mark.parametrize(
    ("pointer", "place"),
    [
        (("services", "web", "image"), ("app/over.yaml", 3, 5)),
        (("services", "web", "privileged"), ("app/compose.yaml", 4, 3)),
        (("services", "web", "ports", 1, "target"), ("app/compose.yaml", 9, 23)),
        (("services", "web", "ports", 0, "published"), ("app/compose.yaml", 9, 13)),
        (("services", "web", "ports", 7), ("app/compose.yaml", 9, 5)),
        (("services", "web", "environment", "NAME"), ("app/compose.yaml", 11, 9)),
        (("services", "web", "environment", "OTHER"), ("app/compose.yaml", 10, 5)),
        (("services", "web", "networks", "front"), ("app/compose.yaml", 12, 16)),
        (("services", "web", "cap_add", 0), ("app/base.yaml", 3, 15)),
        (("services", "web", "nothing"), ("app/over.yaml", 2, 3)),
        (("services", "api", "cap_add"), ("app/base.yaml", 3, 5)),
        (("services", "api", "privileged"), ("app/compose.yaml", 4, 3)),
        (("services", "api", "image"), ("app/compose.yaml", 16, 5)),
        (("services", "inner", "image"), ("app/inc.yaml", 3, 5)),
        (("services", "gone", "image"), ("app/over.yaml", 1, 1)),
        (("volumes", "v"), ("app/compose.yaml", 1, 1)),
        ((), ("app/compose.yaml", 1, 1)),
    ],
)
def test_a_pointer_of_the_model_leads_to_the_best_place(
    pointer: tuple[str | int, ...], place: tuple[str, int, int]
) -> None:
    found = look(PLACES, "app/compose.yaml", "app/over.yaml").locate(*pointer)

    assert (found.path, found.line, found.column) == place


def test_where_an_unset_variable_leads_is_not_told_as_a_missing_file() -> None:
    text = "include: ['compose/$HOST/x.yml', gone.yml]\nservices: {a: {image: x, env_file: '${DIR}/a.env'}}\n"
    found = look({"app/compose.yaml": text})
    assert [(item.rule, item.column) for item in found.violations] == [
        ("unset-variable", 11), ("file-missing", 34), ("unset-variable", 36),
    ]  # fmt: skip
    idle = "services: {a: {image: x, profiles: [p], extends: {file: '$X/etc/x.yml', service: a}}}"
    assert "outside-commit" in [item.rule for item in look({"app/compose.yaml": idle}).violations]


@pytest.mark.parametrize(
    ("missing", "example"),
    [(".env", ".env.example"), (".env", "env.sample"), ("a.env", "a.env-dist"), ("a.env", "a.template.env")],
)
def test_a_missing_env_file_is_told_once_with_the_names_of_its_example(missing: str, example: str) -> None:
    text = f"services:\n  a: {{image: x, env_file: {missing}}}\n  b: {{image: x, env_file: {missing}}}\n"
    found = look({"app/compose.yaml": text, f"app/{example}": "# B=\nA_NAME=x\nOTHER=$A_NAME\n"})
    assert ["OTHER" in item.hint for item in found.violations] == [True, False]
    assert found.violations[0].hint.endswith(f" app/{example} names A_NAME, OTHER.")
