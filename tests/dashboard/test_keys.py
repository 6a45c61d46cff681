"""The actions of keys; above all, nothing is changed without a yes."""

from __future__ import annotations

from typing import Any

import pytest
from textual.events import Key
from textual.widgets import Input

from reconciler.dashboard.lines import Rows
from reconciler.dashboard.view import View
from tests.dashboard.conftest import Person, Stage, log_row
from tests.dashboard.test_looks import DOCTOR, many, rolled_back
from tests.monitor.conftest import HEAD, snapshot

DONE = {
    "kind": "Request", "verb": "retry", "outcome": "Done", "message": "tried at the next turn", "hint": "",
    "reason": None, "revision": HEAD, "until": None,
}  # fmt: skip


@pytest.mark.parametrize(
    ("key", "words"),
    [("t", ["retry", HEAD]), ("a", ["accept", HEAD]), ("u", ["resume"])],
)
def test_a_verb_that_changes_something_runs_only_after_a_yes(stage: Stage, key: str, words: list[str]) -> None:
    async def answers(person: Person) -> None:
        for no in ("n", "escape", "enter", "space", "Y", key, "q"):
            assert "y  yes" in await person.press(key)
            assert "y  yes" not in await person.press(no)
            assert stage.asked == []
        assert "tried at the next turn" in await person.press(key, "y")

    stage.answers = {words[0]: {**DONE, "verb": words[0]}}
    stage.play(answers)
    assert stage.asked == [words]


def test_suspension_needs_a_reason_and_a_yes(stage: Stage) -> None:
    async def answers(person: Person) -> None:
        for keys in (["s", "escape"], ["s", "enter"], ["s", "space", "enter"], ["s", "disk", "enter", "n"]):
            await person.press(*keys)
            assert stage.asked == []
        assert "reason: disk" in await person.press("s", "disk", "enter")
        await person.press("y")

    stage.answers = {"suspend": {**DONE, "verb": "suspend", "revision": None, "reason": "disk"}}
    stage.play(answers)
    assert stage.asked == [["suspend", "--reason", "disk"]]


def test_retry_in_the_list_of_commits_is_about_the_chosen_commit(stage: Stage) -> None:
    async def answers(person: Person) -> None:
        assert "retry ccccccc?" in await person.press("h", "t")
        await person.press("y")

    stage.show(rolled_back())
    stage.answers = {"retry": DONE}
    stage.play(answers)
    assert stage.asked == [["retry", "c" * 40]]


def test_retry_without_a_known_head_is_refused(stage: Stage) -> None:
    stage.show(source={**(snapshot().status or {})["source"], "head": None})
    assert "not known yet" in stage.screen("t")


@pytest.mark.parametrize(
    "answer",
    [
        {"kind": "Error", "reason": "Locked", "message": "somebody else acts", "hint": "wait", "details": []},
        {**DONE, "outcome": "Refused", "message": "somebody else acts", "hint": "wait"},
    ],
)
def test_message_and_hint_of_a_refusal_are_shown(stage: Stage, answer: dict[str, Any]) -> None:
    stage.answers = {"retry": answer}
    shown = stage.screen("t", "y")
    assert "somebody else acts" in shown
    assert "wait" in shown


def test_defect_of_a_verb_does_not_end_the_program(stage: Stage) -> None:
    async def looks(person: Person) -> None:
        assert "KeyError" in await person.press("p")
        assert "shop/web" in await person.press("escape")

    stage.play(looks)


def test_doctor_is_run_once_and_leaves_by_escape_or_q(stage: Stage) -> None:
    async def looks(person: Person) -> None:
        for leave in ("escape", "q"):
            assert "10 s behind" in await person.press("d")
            assert "SERVICE" in await person.press(leave)

    stage.answers = {"doctor": DOCTOR}
    stage.play(looks)
    assert stage.asked == [["doctor"], ["doctor"]]


def test_filter_narrows_while_typing_and_escape_ends_it(stage: Stage) -> None:
    async def filters(person: Person) -> None:
        assert "1 of 60 services" in await person.press("slash", "degraded")
        assert "60 services, 1 to" in await person.press("escape")
        kept = await person.press("slash", "service-07", "enter")
        assert "filter: service-07" in kept
        assert "service-08" not in kept
        assert "60 services, 1 to" in await person.press("escape")
        assert "0 of 60 services" in await person.press("slash", "nothing[/red]", "enter")
        await person.press("enter")
        assert stage.followed == []

    stage.show(many(60))
    stage.play(filters)


def test_chosen_service_stays_chosen(stage: Stage) -> None:
    """The choice stays also if an unhealthy service moves above the chosen one."""

    async def moves(person: Person) -> None:
        rows = person.pilot.app.screen.query_one(Rows)
        await person.press("down", "down", "down")
        chosen = rows.chosen
        stacks = (many(60).status or {})["stacks"]
        stacks[0]["services"][30]["health"] = "Degraded"
        stage.show(many(60), stacks=stacks)
        await person.look()
        assert rows.chosen == chosen == "stack1/service-01"

    stage.show(many(60))
    stage.play(moves)


def test_log_is_followed_searched_and_left(stage: Stage) -> None:
    async def reads(person: Person) -> None:
        shown = await person.press("enter")
        assert "line 199" in shown
        assert "following" in shown
        found = await person.press("home", "slash", "NEEDLE", "enter")
        assert "1 of 5 with 'NEEDLE'" in found
        assert "f follows again" in found
        assert "line 007" in found
        found = await person.press("n")
        assert "2 of 5" in found
        assert "line 047" in found
        assert "5 of 5" in await person.press("N", "N")
        assert "0 of 0" in await person.press("slash", "absent", "enter")
        shown = await person.press("f")
        assert "line 199" in shown
        assert "following" in shown
        assert "f follows again" in await person.press("pageup")
        assert "SERVICE" in await person.press("escape")

    stage.lines = [log_row(f"line {n:03} {'needle' if n % 40 == 7 else ''}") for n in range(200)]
    stage.play(reads)


def test_a_key_switches_between_logs_of_present_and_replaced_containers(stage: Stage) -> None:
    async def reads(person: Person) -> None:
        assert "replaced containers" in await person.press("enter", "o")
        await person.press("f")

    stage.play(reads)
    assert stage.followed == [("shop/web", False), ("shop/web", True), ("shop/web", False)]


@pytest.mark.parametrize("how", ["q", "ctrl+c", "signal"])
def test_the_program_ends_by_key_and_by_signal(stage: Stage, how: str) -> None:
    async def ends(person: Person) -> None:
        if how == "q":
            await person.press("h", "q")
            assert not person.pilot.app._exit
        stage.ended = how == "signal"
        await person.pilot.press(*([how] if how != "signal" else []))
        for _ in range(100):
            await person.pilot.pause(0.02)
        assert person.pilot.app._exit

    stage.play(ends)


def typed(person: Person, text: str) -> None:
    """Send all keys at once, as a connection does that has hung for a moment: they are queued for the table already."""
    for letter in text:
        key = Key({"\r": "enter", " ": "space"}.get(letter, letter), letter)
        rows = next(iter(person.pilot.app.screen.query(Rows)), None)
        person.pilot.app.post_message(key) if rows is None else rows._forward_event(key)


def test_fast_typing_changes_nothing_and_is_not_lost(stage: Stage) -> None:
    async def types(person: Person) -> None:
        await person.look()
        typed(person, "smay a tray\r")
        assert "reason: may a tray" in await person.look()
        typed(person, "n")
        await person.look()
        typed(person, "tyayuy")
        await person.look()

    stage.play(types)
    assert stage.asked == []


def test_the_second_letter_does_not_replace_one_that_came_before_the_focus(stage: Stage) -> None:
    async def types(person: Person) -> None:
        await person.look()
        view = person.pilot.app.screen
        assert isinstance(view, View)
        view.type_in("why?", lambda text: None)
        assert view.late(Key("m", "m"))
        await person.look()
        await person.press("a")
        assert view.query_one(Input).value == "ma"

    stage.play(types)


@pytest.mark.parametrize("key", ["h", "t", "d"])
def test_each_fast_escape_leaves_one_screen(stage: Stage, key: str) -> None:
    async def leaves(person: Person) -> None:
        await person.press(key, "question_mark", "h", "p")
        for _ in range(4):
            person.pilot.app.post_message(Key("escape", None))
        assert "SERVICE" in await person.look()

    stage.answers = {"doctor": DOCTOR, "plan": DOCTOR}
    stage.play(leaves)


def test_the_age_of_an_old_snapshot_is_shown(stage: Stage) -> None:
    stage.now += 40
    assert "nothing new for 41 s" in stage.screen()


def test_an_unexpected_exception_prints_no_values_of_variables(stage: Stage, capfd: pytest.CaptureFixture[str]) -> None:
    """Textual's own trace would print variables, which may hold secrets."""
    stage.show(budget={**(snapshot().status or {})["budget"], "budgetBytes": "canary-0815-secret"})
    with pytest.raises(TypeError):
        stage.screen()
    assert "canary" not in "".join(capfd.readouterr())
