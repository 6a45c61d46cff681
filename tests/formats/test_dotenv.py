"""Dotenv files: every form that people use, read as Compose reads it, and nothing that steers Compose."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

import pytest

from reconciler.formats.dotenv import Steering, dotenv, env_file, steering
from reconciler.model.outcome import Level, Reason

FILE = r"""# a comment
PLAIN=value
SPACES = around the word
EMPTY=
NOTHING_QUOTED=""
SINGLE='single $PLAIN #not a comment'
DOUBLE="double $PLAIN #not a comment"
export EXPORTED=yes
COMMENTED=value # gone
HASH=va#lue
COLON: as in yaml
ESCAPES="line\nnext\ttab \"quoted\" back\\slash \$PLAIN \101"
ESCAPED_SINGLE='it\'s \n raw'
MULTI="first
second"
REFERS=${PLAIN}/${MISSING:-fallback}
BRACED=${PLAIN}
DOLLAR=a$$b
dotted.name-x=1
UNICODE=grüße
TRAILING=blanks@@@
QUOTES_INSIDE=a"b"c
    INDENTED=yes
LAST=without newline""".replace("@", " ")


def test_every_usual_form_is_read() -> None:
    values, violations = dotenv(FILE.encode(), ".env")

    assert violations == ()
    assert values["SINGLE"] == "single $PLAIN #not a comment"
    assert values["DOUBLE"] == "double value #not a comment"
    assert values["MULTI"] == "first\nsecond"
    assert values["ESCAPED_SINGLE"] == "it's \\n raw"
    assert values["LAST"] == "without newline"
    assert values["COMMENTED"] == "value"
    assert values["EMPTY"] == values["NOTHING_QUOTED"] == ""


def test_compose_reads_the_same_values(compose_binary: Path, tmp_path: Path) -> None:
    values, _ = dotenv(FILE.encode(), ".env")
    names = sorted(name for name in values if name.isidentifier())
    (tmp_path / "file.env").write_text(FILE, "utf-8")
    service = {"image": "x", "labels": {name: f"${{{name}}}" for name in names}}
    (tmp_path / "compose.json").write_text(json.dumps({"services": {"a": service}}))

    done = subprocess.run(
        [compose_binary, "-p", "t", "-f", "compose.json", "--env-file", "file.env", "config", "--format", "json"],
        cwd=tmp_path,
        env={},
        capture_output=True,
        timeout=60,
        check=True,
    )

    labels = json.loads(done.stdout)["services"]["a"]["labels"]
    assert {name: text.replace("$$", "$") for name, text in labels.items()} == {name: values[name] for name in names}


def test_values_may_refer_to_what_is_known_elsewhere_before_the_file_itself() -> None:
    values, _ = dotenv(b"A=file\nB=$A $C\nD", ".env", {"A": "host", "C": "host too", "D": "host as well"})

    assert values == {"A": "file", "B": "host host too", "D": "host as well"}


@pytest.mark.parametrize("line", ["PW=s3cret$Pa55", 'PW="s3cret$Pa55"', "PW=a${Pa55}b"])
def test_an_unset_variable_is_named_with_its_line(line: str) -> None:
    _, (found,) = dotenv(f"A=1\n{line}\n".encode(), "app.env")

    assert (found.rule, found.path, found.line) == ("unset-variable", "app.env", 2)
    assert "Pa55 is not set" in found.message
    assert "single quotes" in found.hint


@pytest.mark.parametrize("line", ["PW='s3cret$Pa55'", "PW=s3cret$$Pa55", "PW=${Pa55:-}", 'PW="s3cret\\$Pa55"'])
def test_a_dollar_of_its_own_is_none(line: str) -> None:
    assert dotenv(f"{line}\n".encode(), "app.env")[1] == ()


@pytest.mark.parametrize("name", ["DOCKER_REGISTRY", "DOCKER_SOCKET_LOCATION", "COMPOSE_NETWORK_SUBNET"])
def test_names_that_only_begin_like_ours_are_ordinary(name: str) -> None:
    assert dotenv(f"{name}=x\n".encode(), ".env") == ({name: "x"}, ())


def test_the_project_and_its_profiles_are_no_variables_and_no_mistakes() -> None:
    data = b"COMPOSE_PROJECT_NAME=blog\nCOMPOSE_PROFILES=web, db\nA=1\n"
    values, (found,) = dotenv(data, ".env")
    assert values == {"A": "1"}
    assert (found.rule, found.level, found.line) == ("ignored-variable", Level.WARN, 1)
    assert steering(data + b"COMPOSE_FILE=a.yml:b/c.yml") == Steering("blog", ("web", "db"), ("a.yml", "b/c.yml"))
    assert dotenv(data, ".env", {"COMPOSE_PROJECT_NAME": "blog"}) == ({"A": "1"}, ())


@pytest.mark.parametrize("name", ["COMPOSE_ENV_FILES", "DOCKER_HOST", "RECONCILER_STATE"])
def test_names_that_steer_the_tools_are_refused_with_their_line(name: str) -> None:
    values, violations = dotenv(f"A=1\n\nB='x\ny'\nexport {name}=evil\nC=2\n".encode(), "app/.env")

    assert values == {"A": "1", "B": "x\ny", "C": "2"}
    assert [(item.rule, item.reason, item.path, item.line) for item in violations] == [
        ("reserved-variable", Reason.POLICY_VIOLATION, "app/.env", 5)
    ]
    assert name in violations[0].message
    assert "evil" not in violations[0].message


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        ("A=1\nB C=2\n", 2, "'B C' is no variable's name"),
        ("A=1\n\nä{=2\n", 3, "no variable's name"),
        ("=x\n", 1, "no variable's name"),
        ("A=1\nB='open\nC=2\n", 2, "not closed"),
        ("A=${B\n", 1, "cannot be used"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_line(text: str, line: int, told: str) -> None:
    _, violations = dotenv(text.encode(), ".env")

    assert [(item.line, item.reason) for item in violations] == [(line, Reason.PARSE_FAILED)]
    assert told in violations[0].message


def test_bytes_that_are_no_text_are_refused() -> None:
    _, violations = dotenv(b"A=1\nB=\xff\n", ".env")

    assert [(item.rule, item.line) for item in violations] == [("invalid-dotenv", 2)]


def test_a_file_full_of_such_values_is_not_read_to_its_end() -> None:
    data = b"A=\xff\n" * 100_000
    assert len(dotenv(data, ".env")[1]) == len(env_file(data, ".env", {}).unusable) == 200


HOSTILE = {
    "doubling": b"A0=xxxxxxxxxx\n" + b"".join(b"A%d=$A%d$A%d$A%d\n" % (n, n - 1, n - 1, n - 1) for n in range(1, 40)),
    "multiplying": b"A=" + b"x" * 60_000 + b"\n" + b"".join(b"B%d=$A\n" % n for n in range(90_000)),
    "open quote": b'A="' + b"x\\" * 500_000,
    "many lines": b"A=1\n" * 260_000,
    "blank": b" \n" * 500_000,
    "long key": b"k" * 1_000_000,
    "too large": b"#" * (1 << 21),
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_hostile_files_cost_less_than_two_seconds(data: bytes) -> None:
    began = time.process_time()
    values, _ = dotenv(data, ".env")

    assert time.process_time() - began < 2
    assert sum(map(len, values.values())) < 5 << 20
