"""A push wakes the agent; nothing else does."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
import tracemalloc
from collections.abc import AsyncIterator
from typing import Any

import pytest

from reconciler.errors import Usage
from reconciler.model.outcome import Reason
from reconciler.monitor.webhooks import LARGEST, SELDOM, Webhooks
from tests.monitor.conftest import Client, Site

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


def test_a_push_soon_after_another_wakes_the_agent_at_the_end_of_the_second() -> None:
    woken: list[float] = []
    hooks = Webhooks({"github": lambda: SECRET}, lambda: woken.append(time.monotonic()))
    client = Client(hooks)

    async def pushed() -> None:
        for n in range(20):
            body = push(n)
            answer = await client.asked("POST", "/hooks/github", content=body, headers=headers("github", body))
            assert answer.status_code == 202
        while len(woken) < 2:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)

    asyncio.run(asyncio.wait_for(pushed(), 60))
    assert len(woken) == 2
    assert woken[1] - woken[0] >= SELDOM - 0.01


def test_the_secret_is_read_again_after_a_second_and_a_fault_of_its_file_is_said() -> None:
    now, secrets = [0.0], ["first"]

    def secret() -> str:
        if not secrets:
            raise Usage(Reason.USAGE_INVALID, "/etc/hook is readable by others", "chmod 600")
        return secrets[-1]

    client = Client(Webhooks({"github": secret}, lambda: None, lambda: now[0]))

    def status(key: str, n: int) -> int:
        return client.post("/hooks/github", content=push(n), headers=headers("github", push(n), key)).status_code

    assert status("first", 1) == 202
    secrets[0] = "second"
    assert (status("first", 2), status("second", 3)) == (202, 401)
    now[0] = SELDOM
    assert (status("first", 4), status("second", 5)) == (401, 202)
    secrets.clear()
    now[0] = 2 * SELDOM
    answer = client.post("/hooks/github", content=push(6), headers=headers("github", push(6), "second"))
    assert (answer.status_code, "/etc/hook" in answer.text) == (503, False)


def test_a_body_is_not_kept_and_a_broken_one_is_refused() -> None:
    """Pieces of a body go through the hash one by one: the next one is asked for only when the last one is done."""
    body = b"x" * LARGEST
    client = Webhooks({"github": lambda: SECRET}, lambda: None)
    sent: list[Any] = []

    async def post(messages: list[dict[str, Any]]) -> None:
        async def send(message: Any) -> None:
            sent.append(message)

        async def receive() -> Any:
            return messages.pop(0)

        raw = [(name.encode(), value.encode()) for name, value in headers("github", body).items()]
        await client({"type": "http", "method": "POST", "path": "/hooks/github", "headers": raw}, receive, send)

    pieces = [{"type": "http.request", "body": body[at : at + 65536], "more_body": True}
              for at in range(0, len(body), 65536)]  # fmt: skip
    tracemalloc.start()
    asyncio.run(post([*pieces, {"type": "http.request"}]))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (sent[0]["status"], peak < LARGEST // 2) == (202, True)
    asyncio.run(post([pieces[0], {"type": "http.disconnect"}]))
    assert sent[2]["status"] == 408


def test_hook_needs_no_token(site: Site) -> None:
    site.token = "t"
    body = push()
    assert site.client.post("/hooks/github", content=body, headers=headers("github", body)).status_code == 202
