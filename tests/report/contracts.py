"""What forges publish of the requests that we send: method, path, query, body, as facts of their OpenAPI descriptions
(api.github.com 2022-11-28; GitLab 19.5, API v4; Gitea API v1, of which Gitea itself checks almost nothing).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import jsonschema

Schema = dict[str, Any]
TEXT: Schema = {"type": "string"}


def _body(required: list[str], **properties: Schema) -> Schema:
    return {"type": "object", "required": required, "properties": properties, "additionalProperties": False}


def _query(*names: str, **others: Schema) -> Schema:
    """What may stand behind the `?` of a GET, which has no body."""
    return _body([], **dict.fromkeys(names, TEXT), **others)


NONE = _query()
PAGES: dict[str, Schema] = {"page": {"pattern": "^[1-9][0-9]*$"}, "per_page": {"pattern": "^([1-9][0-9]?|100)$"}}
SHA = "(?P<sha>[0-9a-f]{40})"
GITHUB: list[tuple[str, str, Schema]] = [
    ("GET", r"/repos/[\w.-]+/[\w.-]+", NONE),
    (
        "POST",
        rf"/repos/[\w.-]+/[\w.-]+/statuses/{SHA}",
        _body(
            ["state"],
            state={"enum": ["error", "failure", "pending", "success"]},
            target_url={"type": ["string", "null"]},
            description={"type": ["string", "null"], "maxLength": 140},
            context=TEXT,
        ),
    ),
    ("GET", rf"/repos/[\w.-]+/[\w.-]+/commits/{SHA}/statuses", _query(**PAGES)),
    ("GET", rf"/repos/[\w.-]+/[\w.-]+/commits/{SHA}/comments", _query(**PAGES)),
    (
        "POST",
        rf"/repos/[\w.-]+/[\w.-]+/commits/{SHA}/comments",
        _body(["body"], body=TEXT, path=TEXT, position={"type": "integer"}, line={"type": "integer"}),
    ),
    ("PATCH", r"/repos/[\w.-]+/[\w.-]+/comments/(?P<id>\d+)", _body(["body"], body=TEXT)),
    ("GET", r"/repos/[\w.-]+/[\w.-]+/deployments", _query("sha", "ref", "task", "environment", **PAGES)),
    (
        "POST",
        r"/repos/[\w.-]+/[\w.-]+/deployments",
        _body(
            ["ref"],
            ref=TEXT,
            task=TEXT,
            auto_merge={"type": "boolean"},
            required_contexts={"type": "array", "items": TEXT},
            payload={"type": ["object", "string"]},
            environment=TEXT,
            description={"type": ["string", "null"]},
            transient_environment={"type": "boolean"},
            production_environment={"type": "boolean"},
        ),
    ),
    (
        "POST",
        r"/repos/[\w.-]+/[\w.-]+/deployments/(?P<id>\d+)/statuses",
        _body(
            ["state"],
            state={"enum": ["error", "failure", "inactive", "in_progress", "queued", "pending", "success"]},
            target_url=TEXT,
            log_url=TEXT,
            description={"type": "string", "maxLength": 140},
            environment=TEXT,
            environment_url=TEXT,
            auto_inactive={"type": "boolean"},
        ),
    ),
]
_KEY = _body(["key"], title=TEXT, key=TEXT, read_only={"type": "boolean"})
GITHUB += [
    ("GET", r"/repos/[\w.-]+/[\w.-]+/keys", _query(**PAGES)),
    ("POST", r"/repos/[\w.-]+/[\w.-]+/keys", _KEY),
]

_TALK = r"/repos/[\w.-]+/[\w.-]+/issues/(?P<issue>\d+)/comments"
_EDIT = ("PATCH", r"/repos/[\w.-]+/[\w.-]+/issues/comments/(?P<id>\d+)", _body(["body"], body=TEXT))
GITHUB += [
    (
        "GET",
        r"/repos/[\w.-]+/[\w.-]+/pulls",
        _query(
            "head",
            "base",
            state={"enum": ["open", "closed", "all"]},
            sort={"enum": ["created", "updated", "popularity", "long-running"]},
            direction={"enum": ["asc", "desc"]},
            **PAGES,
        ),
    ),
    ("GET", _TALK, _query("since", **PAGES)),
    ("POST", _TALK, _body(["body"], body=TEXT)),
    _EDIT,
]

_STATES = ["pending", "running", "success", "failed", "canceled", "skipped"]
_DEPLOYED = ["running", "success", "failed", "canceled"]
GITLAB: list[tuple[str, str, Schema]] = [
    ("GET", r"/projects/[\w.%-]+", NONE),
    (
        "POST",
        rf"/projects/[\w.%-]+/statuses/{SHA}",
        _body(
            ["state"],
            state={"enum": _STATES},
            ref=TEXT,
            name=TEXT,
            context=TEXT,
            target_url=TEXT,
            description={"type": "string", "maxLength": 255},
            coverage={"type": "number"},
            pipeline_id={"type": "integer"},
        ),
    ),
    (
        "GET",
        rf"/projects/[\w.%-]+/repository/commits/{SHA}/statuses",
        _query(
            "ref",
            "stage",
            "name",
            "pipeline_id",
            "all",
            order_by={"enum": ["id", "pipeline_id"]},
            sort={"enum": ["asc", "desc"]},
            **PAGES,
        ),
    ),
    ("GET", rf"/projects/[\w.%-]+/repository/commits/{SHA}/discussions", _query(**PAGES)),
    ("POST", rf"/projects/[\w.%-]+/repository/commits/{SHA}/discussions", _body(["body"], body=TEXT)),
    (
        "PUT",
        rf"/projects/[\w.%-]+/repository/commits/{SHA}/discussions/(?P<discussion>\w+)/notes/(?P<id>\d+)",
        _body([], body=TEXT),
    ),
    (
        "GET",
        r"/projects/[\w.%-]+/deployments",
        _query(
            "updated_after",
            "updated_before",
            "finished_after",
            "finished_before",
            "environment",
            "status",
            order_by={"enum": ["id", "iid", "created_at", "updated_at", "finished_at"]},
            sort={"enum": ["asc", "desc"]},
            **PAGES,
        ),
    ),
    (
        "POST",
        r"/projects/[\w.%-]+/deployments",
        _body(
            ["environment", "sha", "ref", "tag", "status"],
            environment=TEXT,
            sha=TEXT,
            ref=TEXT,
            tag={"type": "boolean"},
            status={"enum": _DEPLOYED},
        ),
    ),
    (
        "GET",
        r"/projects/[\w.%-]+/merge_requests",
        _query(
            "source_branch",
            "target_branch",
            state={"enum": ["opened", "closed", "locked", "merged", "all"]},
            order_by={"enum": ["created_at", "updated_at", "merged_at", "title", "priority"]},
            sort={"enum": ["asc", "desc"]},
            **PAGES,
        ),
    ),
    ("GET", r"/projects/[\w.%-]+/merge_requests/(?P<iid>\d+)/notes", _query("sort", "order_by", **PAGES)),
    ("POST", r"/projects/[\w.%-]+/merge_requests/(?P<iid>\d+)/notes", _body(["body"], body=TEXT)),
    ("PUT", r"/projects/[\w.%-]+/merge_requests/(?P<iid>\d+)/notes/(?P<id>\d+)", _body([], body=TEXT)),
    ("GET", r"/projects/[\w.%-]+/deploy_keys", _query(**PAGES)),
    (
        "POST",
        r"/projects/[\w.%-]+/deploy_keys",
        _body(["key", "title"], key=TEXT, title=TEXT, can_push={"type": "boolean"}, expires_at=TEXT),
    ),
    ("PUT", r"/projects/[\w.%-]+/deployments/(?P<id>\d+)", _body(["status"], status={"enum": _DEPLOYED})),
]

GITEA: list[tuple[str, str, Schema]] = [
    ("GET", r"/repos/[\w.-]+/[\w.-]+", NONE),
    (
        "POST",
        rf"/repos/[\w.-]+/[\w.-]+/statuses/{SHA}",
        _body(
            [],
            state={"enum": ["pending", "success", "error", "failure", "warning", "skipped"]},
            target_url=TEXT,
            description=TEXT,
            context=TEXT,
        ),
    ),
    (
        "GET",
        rf"/repos/[\w.-]+/[\w.-]+/commits/{SHA}/statuses",
        _query("sort", "state", page=PAGES["page"], limit=PAGES["per_page"]),
    ),
    (
        "GET",
        r"/repos/[\w.-]+/[\w.-]+/keys",
        _query("key_id", "fingerprint", page=PAGES["page"], limit=PAGES["per_page"]),
    ),
    ("POST", r"/repos/[\w.-]+/[\w.-]+/keys", _KEY),
    ("GET", rf"/repos/[\w.-]+/[\w.-]+/commits/{SHA}/pull", NONE),
    (
        "GET",
        r"/repos/[\w.-]+/[\w.-]+/pulls",
        _query(
            "milestone",
            "labels",
            "poster",
            "base_branch",
            state={"enum": ["open", "closed", "all"]},
            sort={"enum": ["oldest", "recentupdate", "recentclose", "leastupdate", "mostcomment", "leastcomment"]},
            page=PAGES["page"],
            limit=PAGES["per_page"],
        ),
    ),
    ("GET", _TALK, _query("since", "before")),  # no pages
    ("POST", _TALK, _body(["body"], body=TEXT)),
    _EDIT,
]

CONTRACTS = {"github": GITHUB, "gitlab": GITLAB, "gitea": GITEA}


def fault(kind: str, method: str, path: str, query: Mapping[str, Sequence[str]], body: object) -> str | None:
    """What is wrong with a request by what the forge publishes; None: nothing."""
    for known, pattern, schema in CONTRACTS[kind]:
        if known == method and re.fullmatch(pattern, path):
            asks = method == "GET"
            if (body is not None) if asks else query:
                return f"{method} {path} has {'a body' if asks else 'a query'}"
            told = {name: values[0] for name, values in query.items()} if asks else body
            errors = [error.message for error in jsonschema.Draft202012Validator(schema).iter_errors(told)]
            return "; ".join(errors) or None
    return f"no such request: {method} {path}"
