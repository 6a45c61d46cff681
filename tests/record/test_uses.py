"""The file behind `policy unused`, and the verb from outside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from reconciler.model.uses import Use, Uses
from reconciler.record.uses import UseFile

SOME = Uses("abc", {"{policy: ipc}": Use(1_700_000_000.0), "{path: /a}": Use(1_700_000_000.0, 1_700_000_001.5, True)})


def test_what_was_saved_is_read_again_and_nobody_else_can(tmp_path: Path) -> None:
    file = UseFile(tmp_path / "grants.json")
    file.save(SOME)
    file.save(SOME)
    assert file.load() == SOME
    assert [path.name for path in tmp_path.iterdir()] == ["grants.json"]


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"basis": 1, "entries": []}', '{"basis": "", "entries": {"a": {}}}', "[" * 100_000,
     '{"basis": "", "entries": {"a": {"firstSeen": 7, "lastUsed": null, "inUse": true}}}',
     '{"basis": "", "entries": {"a": {"firstSeen": "soon", "lastUsed": null, "inUse": true}}}'],
    ids=lambda text: text[:60],
)  # fmt: skip
def test_a_damaged_file_is_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "grants.json"
    path.write_text(text)
    assert UseFile(path).load() == Uses()


def test_a_disk_that_refuses_is_no_error(tmp_path: Path) -> None:
    UseFile(tmp_path / "missing" / "grants.json").save(SOME)
    (tmp_path / "grants.json").mkdir()
    UseFile(tmp_path / "grants.json").save(SOME)
    assert UseFile(tmp_path / "grants.json").load() == Uses()


def asked(config: Path, output: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "reconciler", "policy", "--output", output, "unused", "--config", str(config)]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RECONCILER_")}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=kept | {"DOCKER_HOST": "unix:///no"})
    assert done.stderr == ""
    return done.returncode, done.stdout


def test_the_verb_needs_neither_an_agent_nor_an_engine(tmp_path: Path) -> None:
    long = "it was asked for in the spring, when the tunnel to the cabin was new, and nobody remembers why"
    (tmp_path / "state").mkdir(mode=0o700)
    settings: dict[str, Any] = {
        "host": "mini", "source": {"url": "/srv/home.git"}, "state": str(tmp_path / "state"),
        "grants": [
            {"bundle": "media", "stack": "cinema-of-the-house", "service": "jellyfin", "reason": "films"},
            {"policy": "capability", "values": ["SYS_TIME", "SYS_NICE", "NET_RAW"], "reason": long},
        ],
        "binds": [{"path": "/srv/a-rather-long/path/to/some/films", "stack": "cinema-of-the-house", "reason": "x"}],
    }  # fmt: skip
    config = tmp_path / "reconciler.yaml"
    config.write_text(json.dumps(settings))
    config.chmod(0o600)
    code, shown = asked(config, "text")
    assert (code, shown) == (0, "no grant or bind of 3 has been unused for 30 days\n")
    never, long_ago = {"lastUsed": None, "inUse": False}, "2025-01-02T03:04:05.000Z"
    entries = {
        "{bundle: media, stack: cinema-of-the-house, service: jellyfin}": {**never, "firstSeen": long_ago},
        "{policy: capability, values: [SYS_TIME, SYS_NICE, NET_RAW], stack: '*', service: '*'}": {
            "firstSeen": long_ago, "lastUsed": "2025-03-04T03:04:05.000Z", "inUse": False,
        },
        "{path: /srv/a-rather-long/path/to/some/films, stack: cinema-of-the-house, service: '*', read_only: true}": {
            **never, "firstSeen": long_ago, "inUse": True,
        },
    }  # fmt: skip
    (tmp_path / "state" / "grants.json").write_text(json.dumps({"basis": "", "entries": entries}))
    code, shown = asked(config, "text")
    assert code == 1
    assert all(len(line) <= 80 for line in shown.splitlines()), shown
    words = " ".join(shown.split())
    for said in (
        "bundle media",
        "never, since 2025-01-02",
        "2025-03-04",
        "spring",
        "2 entries of 3 unused for 30 days",
    ):
        assert said in words
    code, shown = asked(config, "json")
    document = json.loads(shown)
    assert (code, document["kind"], document["entries"]) == (1, "PolicyUse", 3)
    found = [(item["bundle"], item["policy"], item["path"], item["lastUsedAt"]) for item in document["unused"]]
    assert found == [("media", None, None, None), (None, "capability", None, "2025-03-04T03:04:05.000Z")]
