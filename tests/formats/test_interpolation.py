"""Variables: the rules, their limits, and that Compose gives the same result for every text."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.formats.interpolation import TemplateError, interpolate

VARIABLES = {"A": "alpha", "B": "$A", "EMPTY": "", "N_1": "1"}

TEXTS = {
    "plain": "plain",
    "$A": "alpha",
    "${A}": "alpha",
    "$A$A": "alphaalpha",
    "$B": "$A",
    "$$A": "$A",
    "$$$A": "$alpha",
    "$N_1x": "",
    "a$": "a$",
    "a$ b": "a$ b",
    "$1": "$1",
    "${GONE}": "",
    "${GONE:-d}": "d",
    "${GONE-d}": "d",
    "${EMPTY:-d}": "d",
    "${EMPTY-d}": "",
    "${A:+d}": "d",
    "${GONE:+d}": "",
    "${EMPTY+d}": "d",
    "${EMPTY:+d}": "",
    "${A?m}": "alpha",
    "${GONE:-${A}}": "alpha",
    "${GONE:-${GONE:-x}}y": "xy",
    "${GONE:-a-b:?c}": "a-b:?c",
    "${GONE-x}${A}": "xalpha",
    "${GONE:-{}}": "{}",
    "${GONE:-}}": "}",
    "${GONE-a b}": "a b",
    "${GONE:-$$}": "$",
    "${A:-${": "error",
    "${A-${}": "error",
    "${A+${}": "error",
    "${A?${}": "error",
    "${GONE+${}": "error",
    "${A-${GONE?x}}": "error",
    "${GONE+${GONE?x}}": "error",
    "${A?$GONE}": "alpha",
    "${A-$GONE}": "alpha",
    "${": "error",
    "${}": "error",
    "${A b}": "error",
    "${1}": "error",
    "${A:x}": "error",
    "${GONE:-x\ny}": "error",
    "${GONE:?say so}": "error",
}


@pytest.mark.parametrize(("text", "expected"), TEXTS.items())
def test_a_text_becomes_what_compose_makes_of_it(text: str, expected: str) -> None:
    try:
        expansion = interpolate(text, VARIABLES)
    except TemplateError:
        assert expected == "error"
    else:
        assert ("error" if expansion.required else expansion.text) == expected


def model(binary: Path, texts: list[str], folder: Path) -> list[str] | None:
    """Compose's result for the texts; None if it rejects them."""
    service = {"image": "x", "labels": {f"l{number}": text for number, text in enumerate(texts)}}
    (folder / "compose.json").write_text(json.dumps({"services": {"a": service}}))
    done = subprocess.run(
        [binary, "-p", "t", "-f", "compose.json", "--env-file", "/dev/null", "config", "--format", "json"],
        cwd=folder,
        env=VARIABLES,
        capture_output=True,
        timeout=60,
        check=False,
    )
    if done.returncode:
        return None
    labels = json.loads(done.stdout)["services"]["a"].get("labels", {})
    return [labels[f"l{number}"].replace("$$", "$") for number in range(len(texts))]


def test_compose_agrees_on_every_text(compose_binary: Path, tmp_path: Path) -> None:
    good = [text for text, expected in TEXTS.items() if expected != "error"]

    assert model(compose_binary, good, tmp_path) == [TEXTS[text] for text in good]
    for text in (text for text, expected in TEXTS.items() if expected == "error"):
        assert model(compose_binary, [text], tmp_path) is None, text


PIECES = st.sampled_from(
    ["$", "{", "}", "A", "GONE", "EMPTY", ":", "-", "+", "?", "x", " ", "$$", "${", "${A", "${GONE:-"]
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(PIECES, max_size=9).map("".join), min_size=1, max_size=30))
def test_compose_agrees_on_texts_that_nobody_thought_of(compose_binary: Path, tmp_path: Path, texts: list[str]) -> None:
    made = {text: ours(text) for text in texts}
    good = [text for text, result in made.items() if result is not None]
    bad = [text for text, result in made.items() if result is None]

    assert model(compose_binary, good, tmp_path) == [made[text] for text in good]
    if bad:
        assert model(compose_binary, bad[:1], tmp_path) is None, bad[0]


def ours(text: str) -> str | None:
    """Our result for a text; None if Compose should reject it."""
    try:
        expansion = interpolate(text, VARIABLES)
    except TemplateError:
        return None
    return None if expansion.required else expansion.text


def test_missing_variables_are_named_in_order_and_only_where_they_matter() -> None:
    expansion = interpolate("$ONE ${TWO:-$THREE} ${FOUR:+x} ${FIVE:?write it down} ${A:-$SIX} $ONE", VARIABLES)

    assert list(expansion.unset) == ["ONE", "THREE", "FIVE"]
    assert expansion.required == {"FIVE": "write it down"}


HOSTILE = {
    "many": "$A" * 500_000,
    "unclosed": "${A-" * 250_000,
    "nested": "${GONE-" * 150_000 + "}" * 150_000,
    "unbalanced": "${GONE-{}}" * 100_000,
    "side by side": "${GONE-x}" * 110_000,
    "long tail": "${GONE-x}" * 50_000 + "x" * 600_000,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_costs_less_than_a_second(text: str) -> None:
    assert any(cost(text) < 1 for _ in range(3)), "three times, for a busy machine is a slow one"


def cost(text: str) -> float:
    """Seconds of processor time."""
    began = time.process_time()
    with contextlib.suppress(TemplateError):
        interpolate(text, {"A": "a"})
    return time.process_time() - began


def test_values_do_not_multiply_without_end() -> None:
    with pytest.raises(TemplateError, match="longer than 1000 characters"):
        interpolate("$BIG" * 100, {"BIG": "x" * 100}, longest=1000)
