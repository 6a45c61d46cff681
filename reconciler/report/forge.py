"""The forge in the agent config, and the functions that all clients share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from reconciler.report.answers import Refused
from reconciler.report.delivery import Forge
from reconciler.report.messages import Message
from reconciler.report.web import Clean, Web
from reconciler.settings import ForgeSettings

PAGES = 10
"""Number of pages that are searched for our comment: a thousand comments on one commit."""
PAGE = 100
LONGEST_ID = 100
"""Characters of a forge's id; ids are kept on the disk."""


def web_of(settings: ForgeSettings, token: str, clean: Clean) -> Web:
    """HTTP to the forge, with the token in its header."""
    from reconciler.report.gitea import Gitea
    from reconciler.report.github import GitHub
    from reconciler.report.gitlab import GitLab

    kinds = {"github": GitHub.headers, "gitlab": GitLab.headers, "gitea": Gitea.headers, "forgejo": Gitea.headers}
    return Web(settings.api, kinds[settings.kind](token), clean, settings.ca_file)


def connect(settings: ForgeSettings, token: str, clean: Clean, branch: str) -> Forge:
    """`branch`: the watched one, which GitLab needs."""
    from reconciler.report.gitea import Gitea
    from reconciler.report.github import GitHub
    from reconciler.report.gitlab import GitLab

    web = web_of(settings, token, clean)
    if settings.kind == "github":
        return GitHub(web, settings.repository)
    if settings.kind == "gitlab":
        return GitLab(web, settings.repository, branch)
    return Gitea(web, settings.repository)


def listed(
    web: Web, path: str, query: Mapping[str, str] | None = None, size: str = "per_page"
) -> Iterator[Mapping[str, Any]]:
    """The entries of a list, page by page. A forge may have shorter pages than we ask for, or only one page."""
    last: object = None
    for page in range(1, PAGES + 1):
        body = web.ask("GET", path, query={**(query or {}), size: str(PAGE), "page": str(page)}).body
        found = [item for item in body if isinstance(item, dict)] if isinstance(body, list) else []
        if not found or found[0] == last:
            return
        yield from found
        last = found[0]


def stands(found: Iterable[Mapping[str, Any]], name: str, message: Message, said: tuple[str, str]) -> str:
    """'there' if the newest status with the message's context has the state and description `said`, else ''. `name`:
    the field that has the context."""
    ours = [item for item in found if item.get(name) == message.subject and isinstance(item.get("id"), int)]
    newest = max(ours, key=lambda item: int(item["id"]), default={})
    state = newest.get("status") or newest.get("state")
    return "there" if (state, newest.get("description")) == said else ""


@contextmanager
def vanished(remote: str) -> Iterator[None]:
    """Around a change of the object `remote`: KeyError if it no longer exists."""
    try:
        yield
    except Refused as error:
        raise (KeyError(remote) if error.status in (404, 410) else error) from None


def text_of(item: Mapping[str, Any], key: str) -> str:
    found = item.get(key)
    return found if isinstance(found, str) else ""


def id_of(body: Any) -> str:
    """The id of the new object. ValueError if the answer has none."""
    found = body.get("id") if isinstance(body, dict) else None
    if not isinstance(found, int | str) or isinstance(found, bool) or not 0 < len(str(found)) <= LONGEST_ID:
        raise ValueError("the answer names no id")
    return str(found)
