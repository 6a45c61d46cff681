"""What forges are documented, or were seen, to answer: each answer leads to what its forge means by it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reconciler.report.answers import Broken, ForgeError, Refused, Unreachable, remedy
from reconciler.report.channels import channels
from reconciler.report.forge import connect, listed
from reconciler.report.web import Web
from reconciler.settings import ForgeSettings
from tests.report.attempts import GOOD, good, history
from tests.report.fake_forge import TOKEN, Reply, serving
from tests.report.outboxes import Sender

INVALID = {
    "message": "Validation Failed",
    "errors": [{"resource": "Status", "field": "context", "code": "custom", "message": "too many"}],
    "documentation_url": "https://docs.github.com/rest",
}
SCOPE = "token does not have at least one of required scope(s), required=[write:repository], token scope=read:user"


@pytest.mark.parametrize(
    ("kind", "status", "body", "headers", "meant", "said"),
    [
        ("github", 401, {"message": "Bad credentials"}, {}, Refused, "not valid"),
        ("github", 403, {"message": "Resource not accessible by personal access token"},
         {"X-Accepted-GitHub-Permissions": "statuses=write"}, Refused, "(statuses=write)"),
        ("github", 403, {"message": "API rate limit exceeded for user ID 1."},
         {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "9999999999"}, Unreachable, "rate limit"),
        ("github", 403, {"message": "You have exceeded a secondary rate limit. Please wait a few minutes."}, {},
         Unreachable, "rate limit"),
        ("github", 429, {"message": "You have exceeded a secondary rate limit."}, {"Retry-After": "60"}, Unreachable,
         "rate limit"),
        ("github", 404, {"message": "Not Found", "status": "404"}, {}, Refused, "may not see it"),
        ("github", 422, INVALID, {}, Refused, "too many"),
        ("github", 409, {"message": "Conflict: Commit status checks failed for main."}, {}, Broken, "409"),
        ("gitlab", 401, {"message": "401 Unauthorized"}, {}, Refused, "not valid"),
        ("gitlab", 403, {"error": "insufficient_scope", "scope": "api",
                         "error_description": "The request requires higher privileges than provided by the token."},
         {}, Refused, "`api`"),
        ("gitlab", 404, {"message": "404 Project Not Found"}, {}, Refused, "404 Project Not Found"),
        ("gitlab", 400, {"message": {"description": ["is too long (maximum is 255 characters)"]}}, {}, Refused,
         "is too long"),
        ("gitlab", 409, {"message": "Another update to this commit status is in progress"}, {}, Broken, "progress"),
        ("gitlab", 429, b"Retry later\n", {"Retry-After": "30", "RateLimit-Remaining": "0"}, Unreachable, "rate limit"),
        ("gitea", 401, {"message": "token is required", "url": ""}, {}, Refused, "not valid"),
        ("gitea", 403, {"message": SCOPE, "url": ""}, {}, Refused, "`write:repository`"),
        ("gitea", 404, {"message": "not found", "errors": None}, {}, Refused, "may not see it"),
        ("gitea", 423, {"message": "Repo is archived"}, {}, Refused, "Repo is archived"),
        ("gitea", 500, {"message": "", "url": "http://localhost/api/swagger"}, {}, Broken, "answers 500"),
    ],
)  # fmt: skip
def test_an_error_is_understood(
    kind: str, status: int, body: Any, headers: dict[str, str], meant: type[ForgeError], said: str, tmp_path: Path
) -> None:
    with serving(kind) as forge:
        forge.faults.append(Reply(status, body, headers))
        client = connect(ForgeSettings(kind, forge.api, "me/home"), TOKEN, str, "main")
        with pytest.raises(ForgeError) as caught:
            client.look()
        assert type(caught.value) is meant
        told = caught.value.message
        if isinstance(caught.value, Refused):
            told += remedy(caught.value, "statuses", client.scopes["statuses"])
        assert said in told


def test_an_archived_repository_is_told_and_tried_again_when_the_config_changes(tmp_path: Path) -> None:
    with serving("gitea") as forge:
        sender = Sender(forge, tmp_path, replace(Sender.policy, deployments=False, comments="none"), now=50.0)
        forge.faults.extend(Reply(423, {"message": "Repo is archived"}) for _ in range(8))
        told = history(good())
        for _ in range(8):
            sender.now += sender.tell(told) or 0.0
        (channel,) = channels(told, sender.policy, sender.delivery.box)
        assert "Repo is archived" in (channel.error or "")
        assert len(forge.requests) == 8, "four times for the host, four for its stack"
        sender.settings = ForgeSettings("gitea", forge.api, "me/home", ca_file="/etc/ssl/certs/ca-certificates.crt")
        sender.tell_all(told)
        assert forge.states(GOOD, "reconciler/mini") == ["success"]


@pytest.mark.parametrize(
    ("kind", "headers"),
    [
        ("github", {"Link": '<https://api.github.com/repositories/1/commits/x/statuses?page=2>; rel="next"'}),
        ("gitlab", {"X-Page": "1", "X-Next-Page": "2", "X-Per-Page": "100"}),
        ("gitea", {"X-Total-Count": "130", "Link": '<http://localhost/api/v1/x?page=2>; rel="next"'}),
    ],
)
def test_pages_are_asked_for_by_number_whatever_their_headers_name(kind: str, headers: dict[str, str]) -> None:
    """No address of an answer is followed: it could lead anywhere."""
    with serving(kind) as forge:
        pages = [[{"id": n} for n in range(first, first + 50)] for first in (0, 50)] + [[{"id": 100}], []]
        forge.faults.extend(Reply(200, page, headers) for page in pages)
        web = Web(forge.api, {}, str)
        assert [item["id"] for item in listed(web, "/repos/me/home")] == list(range(101))
        assert len(forge.requests) == 4
