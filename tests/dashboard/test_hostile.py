"""Names, messages and log lines are text, whatever is in them; and no colours means none."""

from __future__ import annotations

import re

import pytest
from textual.events import Paste

from reconciler.dashboard.lines import painted
from tests.dashboard.conftest import Person, Stage, log_row, screen
from tests.monitor.conftest import HEAD, attempt, container, snapshot

MARKUP = "[red]x[/] [@click=app.quit]x[/] [/nothing] $text :smile:"
STEERING = "\x1b]0;taken\x07\x1b[2J\x1b[31mred\x9b2J\u202egnp.exe\u2066\x00\r\x08\t|"
WIDE = "日本語のログ" * 30 + "👩‍👩‍👧‍👦é̷̛"


def test_only_our_colours_have_an_effect() -> None:
    made = painted(f"\x1b[32mgood\x1b[0m {MARKUP} {STEERING}")
    assert made.plain.startswith(f"good {MARKUP} ")
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u202e\u2066]", made.plain)
    assert made.plain.count("\ufffd") >= 6
    assert [str(span.style) for span in made.spans] == ["green", "red"]


@pytest.mark.parametrize("text", [MARKUP, STEERING, WIDE, "\ud800", "x" * 100_000])
def test_hostile_texts_stay_on_their_line(stage: Stage, text: str) -> None:
    async def looks(person: Person) -> None:
        first = await person.look()
        assert "after" in first
        assert "[red]x[/] [@click=app.quit]" in first or text != MARKUP
        for shown in (
            first,
            await person.press("enter"),
            await person.press("escape", "h"),
            await person.press("enter"),
        ):
            lines = shown.splitlines()
            assert len(lines) <= 24
            assert lines[0].startswith(("mini", "──"))

    shown = snapshot([attempt(1, message=text, revision=HEAD)], [container(text, stack="shop")])
    stage.show(shown, message=text, reason="Held", suspended={"reason": text, "until": None})
    stage.lines = [log_row(text), log_row("after", second=30), log_row(text, service=text, second=31)]
    stage.play(looks)


def test_pasted_markup_has_no_effect(stage: Stage) -> None:
    async def pastes(person: Person) -> None:
        await person.press("slash")
        person.pilot.app.screen.focused.post_message(Paste(f"{MARKUP}{STEERING}"))  # type: ignore[union-attr]
        assert "0 of 1 service" in await person.look()

    stage.play(pastes)


@pytest.mark.parametrize("colour", [True, False])
def test_without_colour_no_colour_code_is_sent(stage: Stage, colour: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    async def draws(person: Person) -> None:
        nonlocal found
        for keys in (["down"], ["t"], ["n"], ["slash", "x"], ["escape", "enter"]):
            await person.press(*keys)
            found += screen(person.pilot.app, ansi=True)

    if colour:
        monkeypatch.delenv("NO_COLOR", raising=False)
    else:
        monkeypatch.setenv("NO_COLOR", "1")
    stage.show(stalled=True)
    found = ""
    stage.play(draws, colour=colour)
    codes = {code for codes in re.findall(r"\x1b\[([0-9;]*)m", found) for code in codes.split(";")}
    coloured = {code for code in codes if re.fullmatch(r"3[0-8]|4[0-8]|9[0-7]|10[0-7]", code)}
    assert "7" in codes  # the chosen service is visible without colours
    assert bool(coloured) == colour
