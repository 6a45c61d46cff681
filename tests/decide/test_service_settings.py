"""What a service says below `x-reconciler`, which Compose leaves out of its canonical model."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.decide.lower.updates import update_of
from reconciler.decide.read.scan import scan
from reconciler.decide.read.service_settings import with_settings
from reconciler.model.desired import AS_USUAL, Trial, Update
from reconciler.model.documents import StackDocument
from reconciler.model.outcome import Level, Violation
from tests.commits import CommitFiles


def read(**files: str) -> tuple[Any, tuple[Violation, ...]]:
    """The settings of the service web."""
    commit = CommitFiles({f"{name}.yaml": text for name, text in files.items()}, {})
    found = scan(commit, StackDocument("shop", tuple(name for name in commit.entries if name != "base.yaml")), {})
    assert not found.violations
    model, violations = with_settings({"services": {"web": {"image": "x"}}}, found, "shop")
    return model["services"]["web"].get("x-reconciler"), violations


def test_a_service_without_settings_stays_as_it_is() -> None:
    assert read(a="services: {web: {image: x, x-other: {drain: 1}}}") == (None, ())


def test_later_files_win_key_by_key() -> None:
    first = "services: {web: {image: x, x-reconciler: {drain: 1s, shared_volumes: true}}}"
    assert read(a=first, b="services: {web: {x-reconciler: {drain: 3s}}}") == (
        {"drain": "3s", "shared_volumes": True},
        (),
    )


def test_anchors_merge_keys_and_extends_are_followed() -> None:
    anchored = """
x-usual: &usual {drain: 4s}
services:
  web: {image: x, x-reconciler: {<<: *usual, shared_volumes: yes}}
"""
    settings, violations = read(a=anchored.replace("yes", "true"))
    assert (settings, violations) == ({"drain": "4s", "shared_volumes": True}, ())
    base = "services: {b: {image: x, x-reconciler: {drain: 9s}}}"
    extending = "services: {web: {extends: {file: base.yaml, service: b}, x-reconciler: {shared_volumes: true}}}"
    assert read(a=extending, base=base)[0] == {"shared_volumes": True, "drain": "9s"}


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("{drian: 2s}", "unknown key 'drian' in x-reconciler", "Did you mean 'drain'?"),
        ("{drain: 2}", "x-reconciler.drain must be text (2)", "5s"),
        (
            "{drain: soon}",
            'x-reconciler.drain must be a number with ms, s, m or h; several may follow each other ("soon")',
            "",
        ),
        ('{drain: "${DRAIN:-2s}"}', "x-reconciler.drain must be a number with", ""),
        ("{drain: 11m}", "x-reconciler.drain is longer than 10m (11m)", "5s"),
        ("{shared_volumes: 1}", "x-reconciler.shared_volumes must be true or false (1)", "true"),
        ("{trial: 1}", "x-reconciler.trial must be true or false or a map (1)", ""),
        ("{trial: {tiem: 5s}}", "unknown key 'tiem' in x-reconciler.trial", "Did you mean 'time'?"),
        ("{trial: {time: 1h}}", "x-reconciler.trial.time is longer than 10m (1h)", ""),
        ("{trial: {volumes: none}}", 'x-reconciler.trial.volumes must be "empty" or "shared" ("none")', ""),
        ("{endpoint: 8080}", "x-reconciler.endpoint must be text (8080)", "http://localhost:8080/health"),
        *(
            (f"{{endpoint: '{address}'}}", "x-reconciler.endpoint must be an address like", "")
            for address in (
                "localhost:8080",
                "ftp://localhost/",
                "file:///etc/passwd",
                "http://",
                "http://u:p@localhost/",
                "http://localhost:0/",
                "tcp://localhost",
                "tcp://localhost:1/x",
                "http://localhost/#x",
                "http://ex ample/",
                "http://localhost/\u0394",
                "unix:///var/run/docker.sock",
                "javascript:alert(1)",
                "http://${HOST:-x}/",
            )
        ),
        ('{endpoint: "http://localhost/a\\r\\nHost: x"}', "x-reconciler.endpoint must be an address like", ""),
        ("{endpoint: 'http://localhost:70000/'}", "x-reconciler.endpoint is no address: Port out of range", ""),
        ("{endpoint: 'http://[1:2]/'}", "x-reconciler.endpoint is no address: ", ""),
        ("true", "x-reconciler must be a map", ""),
        ("", "x-reconciler must be a map", ""),
        ("[drain]", "x-reconciler must be a map", ""),
    ],
)
def test_what_is_wrong_is_told_at_its_line(text: str, message: str, hint: str) -> None:
    settings, violations = read(a=f"services:\n  web:\n    image: x\n    x-reconciler: {text}\n")
    assert settings is None
    [found] = violations
    assert found.message.startswith(f"service web: {message}")
    assert hint in found.hint
    assert (found.path, found.line, found.stack, found.service) == ("a.yaml", 4, "shop", "web")
    assert found.level is Level.DENY


def test_a_trial_with_volumes_is_answered_with_a_warning() -> None:
    commit = CommitFiles({"a.yaml": "services:\n  web:\n    image: x\n    x-reconciler: {trial: true}\n"}, {})
    found = scan(commit, StackDocument("shop", ("a.yaml",)), {})
    volumes = [{"type": "volume", "target": "/data"}, {"type": "bind", "target": "/conf", "read_only": True}]
    _, [warning] = with_settings({"services": {"web": {"volumes": volumes}}}, found, "shop")
    assert (warning.rule, warning.level, warning.line) == ("trial-volumes", Level.WARN, 4)
    assert warning.message == "service web: its trial finds nothing at /data"


@pytest.mark.parametrize("address", ["", "http://localhost", "https://[::1]:8443/a?b=c&d", "tcp://db.example.org:5432"])
def test_an_address_of_an_endpoint(address: str) -> None:
    written = f"services:\n  web:\n    image: x\n    x-reconciler: {{endpoint: '{address}'}}\n"
    assert read(a=written) == ({"endpoint": address}, ())


def test_how_a_service_is_replaced() -> None:
    assert update_of({}, "stop-first") == AS_USUAL
    assert update_of({}, "start-first").order == "start-first"
    asked = {"order": "stop-first", "parallelism": 0, "delay": "1m30s"}
    model = {"deploy": {"update_config": asked}, "x-reconciler": {"drain": "0s", "shared_volumes": True}}
    assert update_of(model, "start-first") == Update("stop-first", 0, 90.0, 0.0, True)
    for trial, made in ((True, Trial()), (False, None), ({"time": "3s", "volumes": "shared"}, Trial(3.0, True))):
        assert update_of({"x-reconciler": {"trial": trial}}, "stop-first").trial == made
