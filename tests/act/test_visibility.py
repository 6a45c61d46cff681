"""Whether containers see folders of this machine, on the real engine."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import docker
import pytest
from docker.errors import ImageNotFound, NotFound

from reconciler.act import visibility
from reconciler.act.visibility import seen
from tests.conftest import BASE, project_labels

pytestmark = pytest.mark.engine


def test_what_containers_see(engine: docker.APIClient, images: dict[str, str], tmp_path: Path) -> None:
    own, file, gone = tmp_path / "state", tmp_path / "film.mkv", tmp_path / "gone"
    own.mkdir()
    file.write_text("x")
    found = seen(engine, [own], [tmp_path, file, gone])
    assert found == {str(own): True, str(tmp_path): True, str(file): True, str(gone): False}
    assert list(own.iterdir()) == [], "nothing stays in the folder"
    mounts = [mount["Source"] for item in engine.containers(all=True) for mount in item["Mounts"]]
    assert str(own) not in mounts, "no container stays"
    assert seen(engine, [], [gone]) == {str(gone): False}


LABELS = {**project_labels("shop", service="web"), "dev.reconciler.host": "mini"}


@pytest.fixture
def labelled(engine: docker.APIClient, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The id of an image with LABELS, which is the smallest one: other tests may have smaller ones for a moment."""
    name = f"reconciler-test/{uuid.uuid4().hex}"
    text = "FROM scratch\n" + "".join(f"LABEL {key}={value}\n" for key, value in {**LABELS, "of": name}.items())
    list(engine.build(fileobj=BytesIO(text.encode()), tag=name, rm=True, decode=True))
    [listed] = engine.images(name)
    others = engine.images(BASE)
    monkeypatch.setattr(engine, "images", lambda: [*others, listed])
    yield str(listed["Id"])
    with suppress(ImageNotFound):
        engine.remove_image(name, force=True)


def test_the_container_belongs_to_no_stack_and_to_no_agent(
    engine: docker.APIClient, labelled: str, tmp_path: Path
) -> None:
    """Images of `docker commit` have all labels of the container, and the smallest image is used."""
    began = int(time.time())
    assert seen(engine, [], [tmp_path]) == {str(tmp_path): True}
    filters = {"type": "container", "event": "create", "image": labelled}
    made = list(engine.events(since=began, until=int(time.time()) + 1, filters=filters, decode=True))
    assert made
    for event in made:
        assert {event["Actor"]["Attributes"][label] for label in LABELS} == {""}


def test_an_image_that_is_removed_meanwhile_is_not_needed(
    engine: docker.APIClient, labelled: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inspect = engine.inspect_image

    def inspected(image: str) -> object:
        found = inspect(image)
        if image == labelled:
            engine.remove_image(image, force=True)
        return found

    monkeypatch.setattr(engine, "inspect_image", inspected)
    assert seen(engine, [], [tmp_path]) == {str(tmp_path): True}


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
