"""What GitHub and GitLab publish of the requests that we send: method, path, body, as facts of their OpenAPI
descriptions (api.github.com 2022-11-28; GitLab API v4). Gitea's are its own structs, of which it checks almost nothing.
"""

from __future__ import annotations

import re
from typing import Any

import jsonschema

Schema = dict[str, Any]
TEXT: Schema = {"type": "string"}


def _body(required: list[str], **properties: Schema) -> Schema:
    return {"type": "object", "required": required, "properties": properties, "additionalProperties": False}


NONE: Schema = {"type": "null"}
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
    ("GET", rf"/repos/[\w.-]+/[\w.-]+/commits/{SHA}/statuses", NONE),
    ("GET", rf"/repos/[\w.-]+/[\w.-]+/commits/{SHA}/comments", NONE),
    (
        "POST",
        rf"/repos/[\w.-]+/[\w.-]+/commits/{SHA}/comments",
        _body(["body"], body=TEXT, path=TEXT, position={"type": "integer"}, line={"type": "integer"}),
    ),
    ("PATCH", r"/repos/[\w.-]+/[\w.-]+/comments/(?P<id>\d+)", _body(["body"], body=TEXT)),
    ("GET", r"/repos/[\w.-]+/[\w.-]+/deployments", NONE),
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
    ("GET", rf"/projects/[\w.%-]+/repository/commits/{SHA}/statuses", NONE),
    ("GET", rf"/projects/[\w.%-]+/repository/commits/{SHA}/discussions", NONE),
    ("POST", rf"/projects/[\w.%-]+/repository/commits/{SHA}/discussions", _body(["body"], body=TEXT)),
    (
        "PUT",
        rf"/projects/[\w.%-]+/repository/commits/{SHA}/discussions/(?P<discussion>\w+)/notes/(?P<id>\d+)",
        _body([], body=TEXT),
    ),
    ("GET", r"/projects/[\w.%-]+/deployments", NONE),
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
    ("GET", rf"/repos/[\w.-]+/[\w.-]+/commits/{SHA}/statuses", NONE),
    ("GET", rf"/repos/[\w.-]+/[\w.-]+/commits/{SHA}/pull", NONE),
    ("GET", r"/repos/[\w.-]+/[\w.-]+/issues/(?P<issue>\d+)/comments", NONE),
    ("POST", r"/repos/[\w.-]+/[\w.-]+/issues/(?P<issue>\d+)/comments", _body(["body"], body=TEXT)),
    ("PATCH", r"/repos/[\w.-]+/[\w.-]+/issues/comments/(?P<id>\d+)", _body(["body"], body=TEXT)),
]

CONTRACTS = {"github": GITHUB, "gitlab": GITLAB, "gitea": GITEA}


def fault(kind: str, method: str, path: str, body: object) -> str | None:
    """What is wrong with a request by what the forge publishes; None: nothing."""
    for known, pattern, schema in CONTRACTS[kind]:
        if known == method and re.fullmatch(pattern, path):
            errors = [error.message for error in jsonschema.Draft202012Validator(schema).iter_errors(body)]
            return "; ".join(errors) or None
    return f"no such request: {method} {path}"
