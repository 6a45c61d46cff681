"""The create-file is read back: by the configured Compose, once, and without an engine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from reconciler.observe.read_back import ReadBack


def project(**body: Any) -> dict[str, Any]:
    return {"services": {"web": {"image": "sha256:" + "1" * 64, **body}}, "networks": {}, "volumes": {}}


GOOD = {
    "networks": {"default": {}},
    "environment": {"COST": "5$", "EMPTY": ""},
    "volumes": [{"type": "bind", "source": "/x", "target": "/y", "bind": {"create_host_path": False}}],
    "memswap_limit": -1,
}


class Counting:
    """The real Compose, behind a script that counts its calls; with `broken` it refuses what comes by stdin."""

    def __init__(self, folder: Path, compose: Path) -> None:
        self.path, self._calls, self._broken = folder / "docker-compose", folder / "calls", folder / "broken"
        self.path.write_text(
            f'#!/bin/sh\necho x >>"{self._calls}"\n'
            f'case " $* " in *" -f - "*) [ ! -e "{self._broken}" ] || {{ echo "web.x is odd" >&2; exit 15; }};; esac\n'
            f'exec "{compose}" "$@"\n'
        )
        self.path.chmod(0o755)

    def breaks(self) -> None:
        self._broken.touch()

    @property
    def calls(self) -> int:
        return len(self._calls.read_text().splitlines()) if self._calls.exists() else 0


def test_what_is_read_as_it_is_written_is_no_fault(compose_binary: Path) -> None:
    assert ReadBack(str(compose_binary))("shop", project(**GOOD)) == ("", ())


def test_every_character_is_read_as_it_is_written(compose_binary: Path) -> None:
    """JSON writes those beyond 16 bits as pairs that YAML does not know."""
    texts = {
        "EMOJI": "\U0001f680 \U0010ffff", "SLASHES": "\\ud83d\\ude80 \\\\ud83d",
        "LINES": "a\u2028b\u0085c\r\n\td", "BOM": "\ufeffx",
        "QUOTED": "a \"b\" 'c' # d: ${e}", "NUMBER": "010", "WORD": "yes", "BLANK": " x ",
    }  # fmt: skip
    written = project(environment=texts, labels={"\U0001f680": "\U0001f680$"}, command=["echo", "\U0001f680"])
    assert ReadBack(str(compose_binary))("shop", written) == ("", ())


def test_what_compose_refuses_is_told_in_its_words(compose_binary: Path) -> None:
    refused, differing = ReadBack(str(compose_binary))("shop", project(memswap_limit="-1"))
    assert "memswap_limit" in refused
    assert differing == ()


def test_what_compose_reads_in_another_way_is_told(compose_binary: Path) -> None:
    read = ReadBack(str(compose_binary))("shop", project(mem_limit="1g", command="echo hi", user="1"))
    assert read == ("", (("web", "command"), ("web", "mem_limit")))


def test_the_same_content_is_read_once_and_another_compose_reads_anew(compose_binary: Path, tmp_path: Path) -> None:
    counting, cache = Counting(tmp_path, compose_binary), tmp_path / "read.json"
    for _ in range(2):
        assert ReadBack(str(counting.path), cache)("shop", project(**GOOD)) == ("", ())
    assert counting.calls == 1
    ReadBack(str(counting.path), cache)("shop", project(**GOOD, user="1"))
    assert counting.calls == 2
    os.utime(counting.path, ns=(0, 0))
    ReadBack(str(counting.path), cache)("shop", project(**GOOD))
    assert counting.calls == 3


@pytest.mark.parametrize("content", [b"", b"{", b"7", b"[" * 100_000])
def test_a_damaged_memory_is_none(compose_binary: Path, tmp_path: Path, content: bytes) -> None:
    cache = tmp_path / "read.json"
    cache.write_bytes(content)
    assert ReadBack(str(compose_binary), cache)("shop", project(**GOOD)) == ("", ())
    assert len(json.loads(cache.read_bytes())) == 1


def test_no_room_for_it_is_no_fault(compose_binary: Path, tmp_path: Path) -> None:
    assert ReadBack(str(compose_binary), tmp_path / "gone" / "read.json")("shop", project(**GOOD)) == ("", ())


def validate(folder: Path, compose: Path) -> tuple[int, dict[str, Any]]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "RECONCILER_COMPOSE": str(compose)}
    done = subprocess.run(
        [sys.executable, "-m", "reconciler", "validate", str(folder), "--output", "json"],
        env=environment | {"DOCKER_HOST": "unix:///nonexistent"}, capture_output=True, text=True,
    )  # fmt: skip
    return done.returncode, json.loads(done.stdout)


def test_validate_tells_a_fault_of_ours_as_one_and_needs_no_engine(compose_binary: Path, tmp_path: Path) -> None:
    folder, counting = tmp_path / "home", Counting(tmp_path, compose_binary)
    folder.mkdir()
    (folder / "compose.yaml").write_text(
        "services:\n  web: {image: 'web:1', build: ., secrets: [one], volumes: [./data:/data]}\n"
        "secrets: {one: {file: ./missing}}\n"
    )
    (folder / "Dockerfile").write_text("FROM scratch\n")
    assert validate(folder, counting.path)[0] == 0
    counting.breaks()
    code, document = validate(folder, counting.path)
    (fault,) = [item for item in document["violations"] if item["level"] == "deny"]
    assert (code, fault["rule"], fault["reason"], fault["stack"]) == (1, "create-file", "InternalError", "local")
    assert fault["message"].endswith("does not read what is to be created: web.x is odd")
    assert "defect of reconciler" in fault["hint"]
