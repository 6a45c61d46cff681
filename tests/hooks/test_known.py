"""What `validate` remembers about contents that it has judged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.hooks.test_gate import COMPOSE, GOOD, PRIVILEGED
from tests.hooks.tool import Ran, clone, command, git, reconciler, write


@pytest.fixture
def made(tmp_path: Path) -> Path:
    folder = clone(tmp_path)
    write(folder, GOOD)
    return folder


def validate(folder: Path, *arguments: str) -> Ran:
    return reconciler(folder, "validate", "--output", "json", *arguments, HOME=str(folder.parent))


def remembered(folder: Path) -> list[Path]:
    return list((folder.parent / ".cache/reconciler/validate").glob("*"))


def test_what_is_known_must_be_answered_the_same(made: Path) -> None:
    first = validate(made)
    kept = remembered(made)
    assert (first.code, len(kept)) == (0, 1)
    assert kept[0].parent.stat().st_mode & 0o077 == kept[0].stat().st_mode & 0o077 == 0
    assert validate(made).document == first.document
    assert remembered(made) == kept
    kept[0].write_text(json.dumps({"code": 1, "document": first.document}))
    assert validate(made).code == 1  # so it was not judged again
    kept[0].write_text("{")
    assert validate(made).document == first.document


def test_every_change_must_be_judged(made: Path) -> None:
    validate(made)
    write(made, PRIVILEGED)
    assert validate(made).code == 1
    write(made, GOOD)
    assert validate(made).code == 0
    assert validate(made, "--policies", "off").code == 0
    (made / "compose/compose.yaml").chmod(0o755)
    validate(made)
    assert len(remembered(made)) == 4


def test_nothing_must_be_taken_from_a_folder_that_others_can_write_to(made: Path) -> None:
    validate(made)
    kept = remembered(made)[0]
    kept.write_text(json.dumps({"code": 1, "document": {}}))
    kept.parent.chmod(0o777)
    assert validate(made).code == 0


def test_what_follows_from_secrets_must_not_be_kept(made: Path) -> None:
    secrets, config = made.parent / "secrets", made.parent / "agent.yaml"
    secrets.mkdir(mode=0o700)
    (secrets / "shop.env").write_text("PASSWORD=hunter2hunter2\n")
    (secrets / "shop.env").chmod(0o600)
    state = made.parent / "state"
    config.write_text(f"host: mini\nsource: {{url: {made}}}\nstate: {state}\nsecrets_dir: {secrets}\n")
    write(made, {"compose/compose.yaml": COMPOSE + "    environment: {A: '${PASSWORD}'}\n"})
    assert validate(made, "--config", str(config)).code == 0
    assert remembered(made) == []


def test_the_hooks_must_remember_what_was_valid(made: Path) -> None:
    home = {"HOME": str(made.parent)}
    reconciler(made, "hooks", "install")
    git(made, "add", "-A")
    assert command(made, "git", "commit", "-m", "good", **home).code == 0
    kept = remembered(made)
    assert len(kept) == 1
    kept[0].write_text(json.dumps({"code": 1, "document": {}}))
    git(made, "init", "-q", "--bare", "../there.git")
    assert command(made, "git", "push", "../there.git", "main", **home).code != 0  # the same content
    kept[0].unlink()
    assert command(made, "git", "push", "../there.git", "main", **home).code == 0
