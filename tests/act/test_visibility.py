"""Whether containers see folders of this machine, on the real engine."""

from __future__ import annotations

import time
import uuid
from io import BytesIO
from pathlib import Path

import docker
import pytest
from docker.errors import NotFound

from reconciler.act import visibility
from reconciler.act.visibility import seen
from tests.conftest import project_labels

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


def test_the_container_belongs_to_no_stack_and_to_no_agent(engine: docker.APIClient, tmp_path: Path) -> None:
    """Images of `docker commit` have all labels of the container, and the smallest image is used."""
    labels = {**project_labels("shop", service="web"), "dev.reconciler.host": "mini"}
    text = "FROM scratch\n" + "".join(f"LABEL {name}={value}\n" for name, value in labels.items())
    name = f"reconciler-test/{uuid.uuid4().hex}"
    list(engine.build(fileobj=BytesIO(text.encode()), tag=name, rm=True, decode=True))
    try:
        began = int(time.time())
        assert seen(engine, [], [tmp_path]) == {str(tmp_path): True}
        filters = {"type": "container", "event": "create", "image": engine.inspect_image(name)["Id"]}
        made = list(engine.events(since=began, until=int(time.time()) + 1, filters=filters, decode=True))
    finally:
        engine.remove_image(name, force=True)
    assert made
    for event in made:
        assert {event["Actor"]["Attributes"][label] for label in labels} == {""}


def test_what_a_killed_process_left_is_removed(
    engine: docker.APIClient, images: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"{uuid.uuid4().hex}-"
    monkeypatch.setattr(visibility, "_NAME", name)  # so that those of other tests stay
    left = engine.create_container(images["actor"], ["true"], name=f"{name}0123abcd")["Id"]
    assert seen(engine, [], [tmp_path]) == {str(tmp_path): True}
    engine.inspect_container(left)  # it is young: another process may need it
    monkeypatch.setattr(visibility, "ABANDONED", -1.0)
    assert seen(engine, [], [tmp_path]) == {str(tmp_path): True}
    with pytest.raises(NotFound):
        engine.inspect_container(left)
