"""GitLab: commit statuses, commit discussions, deployments (REST API v4)."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from reconciler.report.answers import Refused
from reconciler.report.forge import id_of, listed, stands, text_of, vanished
from reconciler.report.messages import COMMENTS, DEPLOYMENTS, STATUSES, Message, State
from reconciler.report.web import Web

_WORDS = {State.FAILURE: "failed", State.ERROR: "failed", State.SUPERSEDED: "canceled"}
_ALREADY = "cannot transition status via"
"""The answer to a state that the context has already."""


class GitLab:
    description = 255
    scopes: Mapping[str, str] = dict.fromkeys((STATUSES, COMMENTS, DEPLOYMENTS), "`api`, and the role Developer")

    def __init__(self, web: Web, repository: str, branch: str) -> None:
        self._web, self._project, self._branch = web, f"/projects/{quote(repository, safe='')}", branch

    @staticmethod
    def headers(token: str) -> dict[str, str]:
        return {"PRIVATE-TOKEN": token}

    def look(self) -> str:
        self._web.ask("GET", self._project)
        return ""

    def find_status(self, message: Message, text: str) -> str:
        path = f"{self._project}/repository/commits/{message.revision}/statuses"
        return stands(listed(self._web, path, {"name": message.subject}), "name", message, (_word(message), text))

    def set_status(self, message: Message, text: str) -> None:
        body = {"state": _word(message), "description": text, "name": message.subject, "ref": self._branch}
        try:
            self._web.ask("POST", f"{self._project}/statuses/{message.revision}", body)
        except Refused as error:
            if error.status != 400 or _ALREADY not in error.message.lower():
                raise

    def find_comment(self, revision: str, marker: str) -> str:
        for item in listed(self._web, f"{self._discussions(revision)}"):
            notes = item.get("notes")
            for note in notes if isinstance(notes, list) else ():
                if isinstance(note, dict) and text_of(note, "body").replace("\r\n", "\n").startswith(marker):
                    return f"{id_of(item)} {id_of(note)}"
        return ""

    def add_comment(self, revision: str, text: str) -> str:
        made = self._web.ask("POST", self._discussions(revision), {"body": text}).body
        notes = made.get("notes") if isinstance(made, dict) else None
        if not isinstance(notes, list) or not notes:
            raise ValueError("the answer names no note")
        return f"{id_of(made)} {id_of(notes[0])}"

    def edit_comment(self, revision: str, remote: str, text: str) -> None:
        discussion, _, note = remote.partition(" ")
        path = f"{self._discussions(revision)}/{quote(discussion)}/notes/{quote(note)}"
        with vanished(remote):
            self._web.ask("PUT", path, {"body": text})

    def find_deployment(self, message: Message) -> str:
        query = {"environment": message.subject, "order_by": "id", "sort": "desc"}
        for item in listed(self._web, f"{self._project}/deployments", query):
            if item.get("sha") == message.revision:
                return id_of(item)
        return ""

    def add_deployment(self, message: Message, text: str) -> str:
        body = {
            "environment": message.subject,
            "sha": message.revision,
            "ref": self._branch,
            "tag": False,
            "status": "running",
        }
        return id_of(self._web.ask("POST", f"{self._project}/deployments", body).body)

    def set_deployment(self, message: Message, remote: str, text: str) -> None:
        if message.state is State.RUNNING:
            return  # `add_deployment` has set this state
        try:
            self._web.ask("PUT", f"{self._project}/deployments/{quote(remote)}", {"status": _word(message)})
        except Refused as error:
            if error.status != 400 or _ALREADY not in error.message.lower():
                raise

    def quiet(self) -> float:
        return self._web.quiet

    def close(self) -> None:
        self._web.close()

    def _discussions(self, revision: str) -> str:
        return f"{self._project}/repository/commits/{revision}/discussions"


def _word(message: Message) -> str:
    return _WORDS.get(message.state, message.state.value)
