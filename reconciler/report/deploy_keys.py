"""Registers a deploy key, which may only read one repository.

GitHub, Gitea and Forgejo: `/repos/{owner}/{repo}/keys`; GitLab: `/projects/{id}/deploy_keys`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from reconciler.report.answers import Refused
from reconciler.report.forge import listed, text_of, web_of
from reconciler.report.web import Clean
from reconciler.settings import ForgeSettings

_GITEA = "`write:repository`, of an administrator of the repository"
SCOPES: Mapping[str, str] = {
    "github": "`repo`, of an administrator of the repository (fine-grained: Administration, write)",
    "gitlab": "`api`, and the role Maintainer",
    "gitea": _GITEA,
    "forgejo": _GITEA,
}
"""The scope that the token needs for it, from each forge's documentation."""


def register(settings: ForgeSettings, token: str, clean: Clean, title: str, public: str) -> tuple[bool, str]:
    """Register the key as read-only. Returns whether the forge has it so now, and else why not. An existing key stays.

    Raises ForgeError if the forge does not answer.
    """
    web = web_of(settings, token, clean)
    gitlab = settings.kind == "gitlab"
    name = quote(settings.repository, safe="" if gitlab else "/")
    path = f"/projects/{name}/deploy_keys" if gitlab else f"/repos/{name}/keys"
    size = "per_page" if settings.kind in ("github", "gitlab") else "limit"
    try:
        for item in listed(web, path, size=size):
            if _same(text_of(item, "key"), public):
                return _found(item, gitlab)
        rights: dict[str, Any] = {"can_push": False} if gitlab else {"read_only": True}
        web.ask("POST", path, {"title": title, "key": public, **rights})
    except Refused as error:
        return False, f"{error.message}. {_remedy(error, SCOPES[settings.kind])}"
    finally:
        web.close()
    return True, ""


def _same(one: str, other: str) -> bool:
    """Compares type and key, not the comment."""
    return one.split()[:2] == other.split()[:2]


def _found(item: Mapping[str, Any], gitlab: bool) -> tuple[bool, str]:
    if item.get("can_push") is True if gitlab else item.get("read_only") is False:
        return False, "the forge has this key already, as one that may write: remove it there, then register it again"
    return True, ""


def _remedy(error: Refused, scope: str) -> str:
    if error.status == 401:
        return "The token is not valid (any more): write a new one"
    if error.status in (403, 404):
        accepts = f" ({error.hint})" if error.hint else ""
        return f"The token lacks a scope, or its user the right: deploy keys need {scope}{accepts}"
    return error.hint or "A forge takes a key for one repository only: make another one for this host"
