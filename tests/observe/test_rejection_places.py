"""The places in Compose's messages, in the forms of both versions."""

from __future__ import annotations

import pytest

from reconciler.observe.rejections import rejections

ROOT = "/render/commit"


@pytest.mark.parametrize(
    ("said", "pointer", "service"),
    [
        (f"validating {ROOT}/compose.yaml: (root) Additional property web is not allowed", "/web", None),
        (f"validating {ROOT}/compose.yaml:  additional properties 'web' not allowed", "/web", None),
        (f"validating {ROOT}/compose.yaml: services additional properties 'a b' not allowed", "/services/a b", "a b"),
        (f"validating {ROOT}/compose.yaml: services.a additional properties 'x' not allowed", "/services/a/x", "a"),
        (f"validating {ROOT}/compose.yaml: version must be a string", "/version", None),
        ("services must be a mapping", "/services", None),
        ("`include` must be a list, got b.yaml", "/include", None),
        ("non-string key in services: 1", "/services", None),
        ("non-string key in services.a.labels: <nil>", "/services/a/labels", "a"),
        ("service a declares mutually exclusive `network_mode` and `networks`", "/services/a", "a"),
        ('service "a" depends on undefined service "db": invalid compose project', "/services/a", "a"),
        (f'cannot extend service "a" in {ROOT}/compose.yaml: service "b" not found', "/services/a", "a"),
        ("Invalid hostPort: http", None, None),
    ],
)
def test_a_message_points_at_what_it_names(said: str, pointer: str | None, service: str | None) -> None:
    (found,) = rejections(said, "shop", ROOT, ["compose.yaml"])
    assert (found.pointer, found.service, found.path) == (pointer, service, "compose.yaml")
