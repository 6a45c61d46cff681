"""GitHub: commit statuses, commit comments, deployments (REST API, version 2022-11-28)."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from reconciler.report.forge import id_of, listed, stands, text_of, vanished
from reconciler.report.messages import COMMENTS, DEPLOYMENTS, STATUSES, Message, State
from reconciler.report.web import Web

_STATUS = {State.RUNNING: "pending", State.SUPERSEDED: "error"}
_DEPLOYMENT = {State.RUNNING: "in_progress", State.SUPERSEDED: "inactive"}
"""States for which a forge has another word than we do."""


class GitHub:
    description = 140
    scopes: Mapping[str, str] = {
        STATUSES: "`repo:status` (fine-grained: Commit statuses, write)",
        COMMENTS: "`repo`, or `public_repo` (fine-grained: Contents, write)",
        DEPLOYMENTS: "`repo_deployment` (fine-grained: Deployments, write)",
    }

    def __init__(self, web: Web, repository: str) -> None:
        self._web, self._repository = web, f"/repos/{quote(repository)}"

    @staticmethod
    def headers(token: str) -> dict[str, str]:
        return {
            "Authorization": f"Bearer {token}",
            "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": "2022-11-28",
        }

    def look(self) -> str:
        answer = self._web.ask("GET", self._repository)
        scopes = answer.headers.get("x-oauth-scopes")
        return "" if scopes is None else f"the token has {scopes or 'no scope'}"

    def find_status(self, message: Message, text: str) -> str:
        path = f"{self._repository}/commits/{message.revision}/statuses"
        return stands(listed(self._web, path), "context", message, (_word(message), text))

    def set_status(self, message: Message, text: str) -> None:
        body = {"state": _word(message), "description": text, "context": message.subject}
        self._web.ask("POST", f"{self._repository}/statuses/{message.revision}", body)

    def find_comment(self, revision: str, marker: str) -> str:
        for item in listed(self._web, f"{self._repository}/commits/{revision}/comments"):
            if text_of(item, "body").replace("\r\n", "\n").startswith(marker):
                return id_of(item)
        return ""

    def add_comment(self, revision: str, text: str) -> str:
        return id_of(self._web.ask("POST", f"{self._repository}/commits/{revision}/comments", {"body": text}).body)

    def edit_comment(self, revision: str, remote: str, text: str) -> None:
        with vanished(remote):
            self._web.ask("PATCH", f"{self._repository}/comments/{quote(remote)}", {"body": text})

    def find_deployment(self, message: Message) -> str:
        query = {"sha": message.revision, "environment": message.subject}
        for item in listed(self._web, f"{self._repository}/deployments", query):
            if item.get("sha") == message.revision and item.get("environment") == message.subject:
                return id_of(item)
        return ""

    def add_deployment(self, message: Message, text: str) -> str:
        body = {
            "ref": message.revision,
            "environment": message.subject,
            "description": text,
            "auto_merge": False,
            "required_contexts": [],
        }
        return id_of(self._web.ask("POST", f"{self._repository}/deployments", body).body)

    def set_deployment(self, message: Message, remote: str, text: str) -> None:
        state = _DEPLOYMENT.get(message.state, message.state.value)
        body = {"state": state, "description": text, "environment": message.subject}
        self._web.ask("POST", f"{self._repository}/deployments/{quote(remote)}/statuses", body)

    def quiet(self) -> float:
        return self._web.quiet

    def close(self) -> None:
        self._web.close()


def _word(message: Message) -> str:
    return _STATUS.get(message.state, message.state.value)
