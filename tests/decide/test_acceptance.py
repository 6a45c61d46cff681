"""The moment as of which a commit's signature is judged."""

from __future__ import annotations

from reconciler.decide.history.acceptance import moment_of

START = 1767225600.0


def record(kind: str, seconds: int, revision: str | None = None, **more: object) -> dict[str, object]:
    return {"kind": kind, "at": f"2026-01-01T00:00:{seconds:02}.000000Z", "revision": revision, **more}


def test_it_is_now_until_the_commit_is_accepted_and_then_stays() -> None:
    assert moment_of("a", [], START) == START
    seen = [record("seen", 1, "a"), record("ended", 2, "a", good=False)]
    assert moment_of("a", seen, START + 9) == START + 9
    begun = [*seen, record("started", 3, "a"), record("ended", 4, "a", good=True), record("started", 8, "a")]
    assert moment_of("a", begun, START + 9) == START + 3
    assert moment_of("b", begun, START + 9) == START + 9
    assert moment_of("a", [record("ended", 4, "a", good=True)], START + 9) == START + 4


def test_a_clock_that_was_set_back_brings_no_expired_key_back() -> None:
    assert moment_of("a", [record("fetched", 50)], START - 86400) == START + 50
