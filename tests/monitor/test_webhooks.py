"""A push wakes the agent; nothing else does."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import AsyncIterator

import pytest

from reconciler.monitor.webhooks import LARGEST
from tests.monitor.conftest import Site

SECRET = "hook-secret"


def push(n: int = 0) -> bytes:
    return json.dumps({"ref": "refs/heads/main", "n": n}).encode()


def headers(forge: str, body: bytes, secret: str = SECRET, event: str = "") -> dict[str, str]:
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    if forge == "github":
        return {"x-hub-signature-256": f"sha256={digest}", "x-github-event": event or "push"}
    if forge == "gitea":
        return {"x-gitea-signature": digest, "x-gitea-event": event or "push"}
    return {"x-gitlab-token": secret, "x-gitlab-event": event or "Push Hook", "x-gitlab-event-uuid": digest}


@pytest.mark.parametrize("forge", ["github", "gitea", "gitlab"])
def test_push_wakes_the_agent_once(site: Site, forge: str) -> None:
    body = push()
    sent = site.client.post(f"/hooks/{forge}", content=body, headers=headers(forge, body))
    assert (sent.status_code, site.woken) == (202, 1)
    site.now = 100.0
    again = site.client.post(f"/hooks/{forge}", content=body, headers=headers(forge, body) | {"x-github-delivery": "2"})
    assert (again.status_code, site.woken) == (200, 1)


@pytest.mark.parametrize("forge", ["github", "gitea", "gitlab"])
def test_forged_push_wakes_nobody(site: Site, forge: str) -> None:
    body, other = push(), push(1)
    tries = [{}, headers(forge, body, "guess"), dict.fromkeys(headers(forge, body), "")]
    tries += [] if forge == "gitlab" else [headers(forge, other), headers(forge, body, "")]
    tries += [{**headers(forge, body, "x"), "x-hub-signature": "sha1=x"}]
    for made in tries:
        assert site.client.post(f"/hooks/{forge}", content=body, headers=made).status_code == 401
    assert site.woken == 0


@pytest.mark.parametrize("event", ["ping", "pull_request", "Tag Push Hook"])
@pytest.mark.parametrize("forge", ["github", "gitea", "gitlab"])
def test_other_events_wake_nobody(site: Site, forge: str, event: str) -> None:
    body = push()
    sent = site.client.post(f"/hooks/{forge}", content=body, headers=headers(forge, body, event=event))
    assert (sent.status_code, site.woken) == (200, 0)


def test_hook_of_a_forge_that_is_not_configured_answers_404(site: Site) -> None:
    body = push()
    assert site.client.post("/hooks/bitbucket", content=body, headers=headers("github", body)).status_code == 404
    assert site.client.get("/hooks/github").status_code == 405


def test_large_request_is_refused_whatever_length_it_announces(site: Site) -> None:
    body = b"x" * (LARGEST + 1)
    made = headers("github", body)
    assert site.client.post("/hooks/github", content=body, headers=made).status_code == 413

    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(body), 65536):
            yield body[at : at + 65536]

    assert site.client.post("/hooks/github", content=pieces(), headers=made).status_code == 413
    assert site.client.post("/hooks/github", content=b"", headers=made | {"content-length": "-1"}).status_code == 413
    assert site.woken == 0


def test_many_pushes_wake_once_a_second(site: Site) -> None:
    for n in range(50):
        body = push(n)
        assert site.client.post("/hooks/github", content=body, headers=headers("github", body)).status_code == 202
    assert site.woken == 1
    site.now = 1.0
    site.client.post("/hooks/github", content=push(99), headers=headers("github", push(99)))
    assert site.woken == 2


def test_hook_needs_no_token(site: Site) -> None:
    site.token = "t"
    body = push()
    assert site.client.post("/hooks/github", content=body, headers=headers("github", body)).status_code == 202
