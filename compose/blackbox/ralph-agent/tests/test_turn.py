"""Real outputs of Claude Code (shortened), and the turns that are read from them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ralph.turn import Turn, read, signature

WENT_WELL: dict[str, Any] = {
    "type": "result", "subtype": "success", "is_error": False, "api_error_status": None, "session_id": "s",
    "total_cost_usd": 0.2119, "usage": {"input_tokens": 69675, "output_tokens": 191}, "permission_denials": [],
    "result": "Done a bit.\n\n---RALPH_STATUS---\nSTATUS: IN_PROGRESS\nEXIT_SIGNAL: false\n---END_RALPH_STATUS---",
}  # fmt: skip
DENIED = {"tool_name": "Write", "tool_use_id": "t", "tool_input": {"file_path": "/etc/stub", "content": "no"}}


def printed(**changes: Any) -> str:
    return json.dumps({**WENT_WELL, **changes})


def test_a_turn_that_went_well() -> None:
    assert read(printed(), "", 0, "") == Turn(output=191, usd=0.2119, session="s")


def test_warnings_before_the_result_are_passed_over() -> None:
    assert read(f"[a warning] {{}}\n{printed()}\n", "", 0, "").usd == 0.2119


def test_denials_are_counted() -> None:
    assert read(printed(permission_denials=[DENIED, DENIED]), "", 0, "").denials == 2


@pytest.mark.parametrize(
    ("status", "text", "limited"),
    [
        (400, "API Error: 400 messages.0: no", False),
        (429, "API Error: Request rejected (429) · this key's limit of requests is reached", True),
        (500, "API Error: 500 internal server error.", False),
        (None, "API Error: JSON Parse error: Unterminated string", False),
        (None, "Claude AI usage limit reached|1795291817", True),
    ],
)
def test_rate_and_usage_limits_are_distinguished_from_other_errors(
    status: int | None, text: str, limited: bool
) -> None:
    turn = read(printed(is_error=True, api_error_status=status, result=text, total_cost_usd=0), "", 1, "")
    assert (turn.error, turn.limited, turn.usd) == (text, limited, 0)


def test_the_obstacle_that_a_turn_reports_is_its_error() -> None:
    text = "---RALPH_STATUS---\nSTATUS: BLOCKED\nERROR: no module named x\nEXIT_SIGNAL: false\n---END_RALPH_STATUS---"
    turn = read(printed(result=text), "", 0, "")
    assert (turn.error, turn.result, turn.signal) == ("no module named x", "error", False)


@pytest.mark.parametrize("state", ["COMPLETE", "IN_PROGRESS"])
def test_exit_signal_and_completion_are_recognized(state: str) -> None:
    text = f"---RALPH_STATUS---\nSTATUS: {state}\nEXIT_SIGNAL: true\n---END_RALPH_STATUS---"
    turn = read(printed(result=text), "", 0, "")
    assert (turn.signal, turn.complete) == (True, state == "COMPLETE")
    assert read(printed(result="All tasks are complete."), "", 0, "").complete


def test_a_missing_result_is_an_error_of_unknown_cost() -> None:
    turn = read("", "claude: out of memory\n", -9, "")
    assert (turn.error, turn.usd) == ("exit -9: claude: out of memory", None)
    assert read("", "", 1, "").error == "exit 1: nothing was printed"
    assert read('{"type": "res', "", 0, "").usd is None


def test_an_ended_turn_is_an_error_unless_the_loop_itself_ends() -> None:
    assert read(printed(), "", -15, "no end within 900 s").result == "error"
    assert read("", "", -15, "stopping").result == "interrupted"


def test_signatures_leave_out_what_changes() -> None:
    one = signature("Error in /home/a/x.py line 12: object 0x7f3a at 1795291817")
    assert one == signature("Error in /srv/b.py line 9:  object 0x11 at 3".replace("  ", " "))
    assert one != signature("Another error")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("req_011CSHoEeqs5C35K2UUqR7Fy", "req_011CVmxQzWbTnLk4fYdPaGhJ"),
        ("toolu_01A09q90qw90lq917835lq9", "toolu_01Zb7sdkjKJHsdkKJHSDkj"),
        ("550e8400-e29b-41d4-a716-446655440000", "6ba7b810-9dad-11d1-80b4-00c04fd430c8"),
    ],
)
def test_signatures_leave_out_identifiers(one: str, other: str) -> None:
    said = 'API Error: 500 {"message":"no","request_id":"%s"}'
    assert signature(said % one) == signature(said % other)
