"""What `uninstall --level state` removes, and what stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.act.removal import remove_empty, remove_state
from reconciler.errors import Transient

OURS = (
    "journal.jsonl", "journal.jsonl.new", "lock", "status.json", "status.12-34", "samples.12", "turn.json",
    "outbox.json", "notifications.json", "preview.json", "preview.lock", "mark.json", "seal.json", ".seal-x1_y",
    "grants.json", "read.json", "samples.json", "alerts.json", "alerts-test.json", "deploy_key", "deploy_key.pub",
)  # fmt: skip
DIGEST = "0123456789abcdef" * 4
FOLDERS = {
    "mirror.git": "file", "mirror.git.broken": "file", "rendered": DIGEST, "render": "in-use-x1", "build": "in-use-x1",
    "trees": f".new-{DIGEST}", "requests": ".20261129T180000.000000001Z-retry.7", "logs": "shop%2Fweb",
    "engine": "engine-read", "preview": "in-use-x1",
}  # fmt: skip
"""Each with something that the agent makes in it."""
THEIRS = ("photos", "status.txt", "logs-of-mine", "my.json", ".ssh", "lockfile", "trees.txt", "key-mine")


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    for name, made in FOLDERS.items():
        (folder / name / made).mkdir(parents=True)
        (folder / name / made / "file").touch(mode=0o400)
    for name in OURS:
        (folder / name).touch()
    return folder


def test_everything_of_the_agent_is_removed(state: Path) -> None:
    assert remove_state(state) == ()
    assert not state.exists()
    assert remove_state(state) == ()  # again


def test_a_folder_that_somebody_fills_meanwhile_is_no_defect(state: Path) -> None:
    with pytest.raises(Transient, match="cannot be removed"):
        remove_empty(state)
    assert state.exists()


def test_data_and_files_of_others_stay(state: Path) -> None:
    """A clumsy owner has named a folder with other things in it, such as a home folder."""
    (state / "data/shop").mkdir(parents=True)
    for name in THEIRS:
        (state / name).mkdir()
        (state / name / "mine").touch()
    assert set(remove_state(state)) == {"data", *THEIRS}
    assert {path.name for path in state.iterdir()} == {"data", *THEIRS}
    assert all((state / name / "mine").exists() for name in THEIRS)


def test_files_of_others_stay_in_folders_that_the_agent_has_used(state: Path) -> None:
    for name in FOLDERS:
        (state / name / "mine").mkdir()
    named = {name for name in FOLDERS if not name.startswith("mirror")}
    assert set(remove_state(state)) == named
    assert [[path.name for path in (state / name).iterdir()] for name in named] == [["mine"]] * len(named)


def test_a_link_is_removed_and_its_target_stays(state: Path, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere"
    target.mkdir()
    (target / "mine").touch()
    (state / "data").symlink_to(target)
    (state / "logs").rename(state / "preview/in-use-x1/logs")
    (state / "logs").symlink_to(target)
    assert remove_state(state) == ("data",)
    assert (target / "mine").exists()
