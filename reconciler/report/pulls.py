"""Open pull requests of a forge (GitLab: merge requests), and the one comment that we keep on each."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any
from urllib.parse import quote

from reconciler.report.answers import Closed, Refused
from reconciler.report.forge import id_of, listed, text_of, vanished
from reconciler.report.web import Web
from reconciler.values import dataclass

MOST = 20
"""Largest number of open pull requests that are judged, the most recently updated ones."""

_SHA = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class Pull:
    """An open pull request. `branch`: its own branch, in the repository itself. `revision`: that branch's head, as the
    forge knows it."""

    number: int
    branch: str
    revision: str


class Pulls:
    """GitHub's pull requests, and our comments on them. Errors as in `report.answers`."""

    size = "per_page"

    def __init__(self, web: Web, repository: str) -> None:
        self._web, self._repository = web, f"/repos/{quote(repository)}"
        self._requests = f"{self._repository}/pulls"

    def open(self, branch: str) -> list[Pull]:
        """Open pull requests into `branch` from a branch of the same repository, the most recently updated first."""
        found = listed(self._web, self._requests, self._query(branch), self.size)
        return list(islice(filter(None, (self._pull(item, branch) for item in found)), MOST))

    def find(self, number: int, marker: str) -> str:
        """The id of the comment that begins with `marker`; '' if there is none."""
        for item in self._comments(number):
            if text_of(item, "body").replace("\r\n", "\n").startswith(marker):
                return id_of(item)
        return ""

    def add(self, number: int, text: str) -> str:
        """Add a comment; returns its id."""
        try:
            return id_of(self._web.ask("POST", self._path(number), {"body": text}).body)
        except Refused as error:
            raise (Closed(error) if error.status == 403 and self._is_locked(error.message) else error) from None

    def edit(self, number: int, remote: str, text: str) -> None:
        """Replace the text of comment `remote`. KeyError if it is gone."""
        with vanished(remote):
            self._edit(number, remote, text)

    def close(self) -> None:
        self._web.close()

    def _query(self, branch: str) -> dict[str, str]:
        return {"state": "open", "base": branch, "sort": "updated", "direction": "desc"}

    def _path(self, number: int) -> str:
        return f"{self._repository}/issues/{number}/comments"

    def _comments(self, number: int) -> Iterable[Mapping[str, Any]]:
        return listed(self._web, self._path(number), size=self.size)

    def _is_locked(self, message: str) -> bool:
        return "locked" in message.lower()

    def _edit(self, number: int, remote: str, text: str) -> None:
        self._web.ask("PATCH", f"{self._repository}/issues/comments/{quote(remote)}", {"body": text})

    def _pull(self, item: Mapping[str, Any], branch: str) -> Pull | None:
        head, base = item.get("head"), item.get("base")
        if not isinstance(head, dict) or not isinstance(base, dict) or text_of(base, "ref") != branch:
            return None
        own = _repository(head)
        if own is None or own != _repository(base):
            return None
        return _made(item.get("number"), text_of(head, "ref"), text_of(head, "sha"))


class GiteaPulls(Pulls):
    """Pull requests of Gitea and Forgejo, whose API is similar to GitHub's."""

    size = "limit"

    def _query(self, branch: str) -> dict[str, str]:
        return {"state": "open", "sort": "recentupdate"}

    def _comments(self, number: int) -> Iterable[Mapping[str, Any]]:
        found = self._web.ask("GET", self._path(number)).body  # this endpoint has no pages
        return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else ()

    def _is_locked(self, message: str) -> bool:
        return "scope" not in message


class MergeRequests(Pulls):
    """GitLab's merge requests."""

    def __init__(self, web: Web, repository: str) -> None:
        super().__init__(web, repository)
        self._requests = f"/projects/{quote(repository, safe='')}/merge_requests"

    def _query(self, branch: str) -> dict[str, str]:
        return {"state": "opened", "target_branch": branch, "order_by": "updated_at", "sort": "desc"}

    def _path(self, number: int) -> str:
        return f"{self._requests}/{number}/notes"

    def _edit(self, number: int, remote: str, text: str) -> None:
        self._web.ask("PUT", f"{self._path(number)}/{quote(remote)}", {"body": text})

    def _pull(self, item: Mapping[str, Any], branch: str) -> Pull | None:
        own = item.get("source_project_id")
        if not isinstance(own, int) or own != item.get("target_project_id") or text_of(item, "target_branch") != branch:
            return None
        return _made(item.get("iid"), text_of(item, "source_branch"), text_of(item, "sha"))


def pulls_of(kind: str, web: Web, repository: str) -> Pulls:
    """The client for a forge of this kind."""
    kinds = {"github": Pulls, "gitlab": MergeRequests}
    return kinds.get(kind, GiteaPulls)(web, repository)


def _repository(side: Mapping[str, Any]) -> int | None:
    """The id of the repository of one side (head or base) of a pull request; None if it was deleted."""
    found = side.get("repo")
    number = found.get("id") if isinstance(found, dict) else None
    return number if isinstance(number, int) and not isinstance(number, bool) else None


def _made(number: object, branch: str, revision: str) -> Pull | None:
    if not isinstance(number, int) or number <= 0 or not branch or not _SHA.fullmatch(revision):
        return None
    return Pull(number, branch, revision)
