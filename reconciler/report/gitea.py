"""Gitea and Forgejo: commit statuses, and comments on the pull request that brought the commit (API v1).

They have no comments on commits and no deployments.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from reconciler.report.answers import Closed, Nowhere, Refused
from reconciler.report.forge import id_of, listed, stands, text_of, vanished
from reconciler.report.messages import COMMENTS, STATUSES, Message, State
from reconciler.report.web import Web

_WORDS = {State.RUNNING: "pending", State.SUPERSEDED: "error"}


class Gitea:
    description = 255
    scopes: Mapping[str, str] = {STATUSES: "`write:repository`", COMMENTS: "`write:issue` and `read:repository`"}

    def __init__(self, web: Web, repository: str) -> None:
        self._web, self._repository = web, f"/repos/{quote(repository)}"

    @staticmethod
    def headers(token: str) -> dict[str, str]:
        return {"Authorization": f"token {token}"}

    def look(self) -> str:
        self._web.ask("GET", self._repository)
        return ""

    def find_status(self, message: Message, text: str) -> str:
        path = f"{self._repository}/commits/{message.revision}/statuses"
        return stands(listed(self._web, path, size="limit"), "context", message, (_word(message), text))

    def set_status(self, message: Message, text: str) -> None:
        body = {"state": _word(message), "description": text, "context": message.subject}
        self._web.ask("POST", f"{self._repository}/statuses/{message.revision}", body)

    def find_comment(self, revision: str, marker: str) -> str:
        found = self._web.ask("GET", f"{self._repository}/issues/{self._pull(revision)}/comments").body  # no pages
        for item in found if isinstance(found, list) else ():
            if isinstance(item, dict) and text_of(item, "body").replace("\r\n", "\n").startswith(marker):
                return id_of(item)
        return ""

    def add_comment(self, revision: str, text: str) -> str:
        path = f"{self._repository}/issues/{self._pull(revision)}/comments"
        try:
            return id_of(self._web.ask("POST", path, {"body": text}).body)
        except Refused as error:
            # A missing scope is named in the message. Without that, the pull request may be locked, or its author has
            # blocked the token's user.
            raise (Closed(error) if error.status == 403 and "scope" not in error.message else error) from None

    def try_comment(self) -> None:
        """Comment on an issue that does not exist. Refused with 404 if the token could comment on one that does."""
        self._web.ask("POST", f"{self._repository}/issues/0/comments", {"body": "reconciler"})

    def edit_comment(self, revision: str, remote: str, text: str) -> None:
        with vanished(remote):
            self._web.ask("PATCH", f"{self._repository}/issues/comments/{quote(remote)}", {"body": text})

    def find_deployment(self, message: Message) -> str:
        raise Nowhere("Gitea and Forgejo have no deployments")

    def add_deployment(self, message: Message, text: str) -> str:
        raise Nowhere("Gitea and Forgejo have no deployments")

    def set_deployment(self, message: Message, remote: str, text: str) -> None:
        raise Nowhere("Gitea and Forgejo have no deployments")

    def quiet(self) -> float:
        return self._web.quiet

    def close(self) -> None:
        self._web.close()

    def _pull(self, revision: str) -> str:
        """The number of the pull request; Nowhere: it was pushed without one, or the number is not known yet."""
        try:
            body = self._web.ask("GET", f"{self._repository}/commits/{revision}/pull").body
        except Refused as error:
            if error.status == 404:
                raise Nowhere(f"no pull request brought {revision[:12]}") from None
            raise
        number = body.get("number") if isinstance(body, dict) else None
        if not isinstance(number, int):
            raise Nowhere(f"no pull request brought {revision[:12]}")
        return str(number)


def _word(message: Message) -> str:
    return _WORDS.get(message.state, message.state.value)
