"""The note about an attempt, and what never leaves the machine if the operator says so."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.model.history import Attempt
from reconciler.model.outcome import CommitState, Failure, Intent, Outcome, Reason
from reconciler.observe.remote import on_public_forge, parse_remote
from reconciler.record.reporter import report

SAID = "0002retnuh"
FAILED = Attempt(
    id="1-aaaaaaaa",
    revision="a" * 40,
    intent=Intent.ADVANCE,
    started_at=0.0,
    outcome=Outcome.ROLLED_BACK,
    state=CommitState.FAILURE,
    reason=Reason.CRASHED,
    message="shop/web exited with code 3",
    failure=Failure(Reason.CRASHED, "it exited", "shop", "web", 3, f"check {SAID}", (f"log {SAID}",)),
)
BUILT = replace(
    FAILED,
    reason=Reason.BUILD_FAILED,
    message=f"the image of shop/web cannot be built: failed to solve: {SAID}",
    failure=Failure(Reason.BUILD_FAILED, "x", log=(SAID,)),
)


@pytest.mark.parametrize("attempt", [FAILED, BUILT], ids=["container", "build"])
def test_output_of_programs_is_told_or_not(attempt: Attempt) -> None:
    assert SAID in str(report("mini", attempt, 20))
    told = report("mini", attempt, 20, output=False)
    assert SAID not in str(told)
    assert "reconciler history aaaaaaaaaaaa" in "\n".join(told.lines)
    assert told.message in ("shop/web exited with code 3", "the image of shop/web cannot be built")


@pytest.mark.parametrize(
    ("url", "public"),
    [
        ("https://github.com/me/home.git", True),
        ("https://token-token-token@GitHub.com/me/home", True),
        ("git@gitlab.com:me/home.git", True),
        ("ssh://git@ssh.github.com:443/me/home", True),
        ("https://me@dev.azure.com/me/home", True),
        ("git@codeberg.org.:me/home.git", True),
        ("/srv/git/github.com/home.git", False),
        ("https://git.example.org/github.com/home.git", False),
        ("git@notgithub.com:me/home.git", False),
        ("https://github.com.example.org/me/home.git", False),
    ],
)
def test_which_sources_everybody_may_read(url: str, public: bool) -> None:
    assert on_public_forge(parse_remote(url)) is public
