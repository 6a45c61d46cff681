"""Whether containers see folders of this machine, on the real engine."""

from __future__ import annotations

from pathlib import Path

import docker
import pytest

from reconciler.act.visibility import seen

pytestmark = pytest.mark.engine


def test_what_containers_see(engine: docker.APIClient, images: dict[str, str], tmp_path: Path) -> None:
    own, file, gone = tmp_path / "state", tmp_path / "film.mkv", tmp_path / "gone"
    own.mkdir()
    file.write_text("x")
    before = {item["Id"] for item in engine.containers(all=True, filters={"name": "reconciler-doctor-"})}
    found = seen(engine, [own], [tmp_path, file, gone])
    assert found == {str(own): True, str(tmp_path): True, str(file): True, str(gone): False}
    assert list(own.iterdir()) == [], "nothing stays in the folder"
    after = engine.containers(all=True, filters={"name": "reconciler-doctor-"})
    assert {item["Id"] for item in after} <= before, "no container stays"
    assert seen(engine, [], [gone]) == {str(gone): False}
