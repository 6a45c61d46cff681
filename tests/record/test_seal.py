"""Digests that depend on secrets: always the same on one machine, and useless for guesses."""

from __future__ import annotations

import hashlib
import hmac
import json
import stat
import threading
from collections.abc import Iterable
from pathlib import Path

import pytest

from reconciler.decide.redact import Redactor
from reconciler.effects import Effects
from reconciler.errors import Corrupt, Transient
from reconciler.record.seal import Seal
from reconciler.settings import Settings, SourceSettings
from reconciler.wiring.reading import Reading

DIGEST, OTHER = (hashlib.sha256(word).hexdigest() for word in (b"1234", b"1235"))


def seal(path: Path, *known: str) -> Seal:
    return Seal(path / "seal.json", lambda: known)


def test_a_guess_cannot_be_tested_without_the_key(tmp_path: Path) -> None:
    sealed = seal(tmp_path)(DIGEST)
    assert sealed not in (DIGEST, hmac.new(b"", DIGEST.encode(), hashlib.sha256).hexdigest())
    assert len(sealed) == 64
    assert sealed != seal(tmp_path)(OTHER)
    (tmp_path / "another").mkdir()
    assert sealed != seal(tmp_path / "another")(DIGEST)


def test_it_is_the_same_in_every_process_and_only_ours_to_read(tmp_path: Path) -> None:
    first = seal(tmp_path)(DIGEST)
    assert seal(tmp_path)(DIGEST) == first
    assert [path.name for path in tmp_path.iterdir()] == ["seal.json"]
    assert stat.S_IMODE((tmp_path / "seal.json").stat().st_mode) == 0o600


def test_what_an_older_version_used_stays(tmp_path: Path) -> None:
    assert seal(tmp_path, DIGEST)(DIGEST) == DIGEST
    later = seal(tmp_path, DIGEST, OTHER)
    assert (later(DIGEST), later(OTHER) == OTHER) == (DIGEST, False)


def test_of_several_that_make_it_at_once_one_counts(tmp_path: Path) -> None:
    gate, found = threading.Barrier(4), []

    def known() -> Iterable[str]:
        gate.wait()
        return ()

    def ask() -> None:
        found.append(Seal(tmp_path / "seal.json", known)(DIGEST))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(found), len(set(found))) == (4, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["seal.json"]


@pytest.mark.parametrize("text", ["", "{}", '{"key": "abcd", "plain": []}', '{"key": "no hex", "plain": []}', "[]"])
def test_a_damaged_file_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "seal.json").write_text(text)
    with pytest.raises(Corrupt, match=r"seal\.json") as damaged:
        seal(tmp_path)(DIGEST)
    assert "Delete it" in damaged.value.hint


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(Transient, match=r"seal\.json"):
        seal(tmp_path / "absent")(DIGEST)


def test_the_list_of_older_digests_may_be_emptied(tmp_path: Path) -> None:
    seal(tmp_path, DIGEST)(DIGEST)
    stored = json.loads((tmp_path / "seal.json").read_text())
    (tmp_path / "seal.json").write_text(json.dumps({**stored, "plain": []}))
    assert seal(tmp_path)(DIGEST) != DIGEST


def test_an_upgrade_renames_nothing(tmp_path: Path) -> None:
    """Contents of the journal, specs of kept states, and names of mounted secrets."""
    names = ("content", "spec", "network", "mount", "adopted")
    digests = {name: hashlib.sha256(name.encode()).hexdigest() for name in names}
    state, secrets = tmp_path / "state", tmp_path / "secrets"
    (state / "rendered" / digests["content"]).mkdir(parents=True)
    state.chmod(0o700)
    (secrets / ".mounts").mkdir(parents=True)
    secrets.chmod(0o700)
    (secrets / ".mounts").chmod(0o700)
    (secrets / ".mounts" / digests["mount"]).write_text("1234")
    services, networks = [{"spec": digests["spec"]}], [{"digest": digests["network"]}]
    stored = {"fingerprint": "", "desired": {"stacks": [{"services": services, "networks": networks}]}}
    (state / "rendered" / digests["content"] / "create.json").write_text(json.dumps(stored))
    reading = Reading(
        Settings("mini", SourceSettings("/x"), str(state), secrets_dir=str(secrets)), Redactor(), {}, Effects()
    )
    reading.journal.append("started", at=1.0, attempt="1", revision="c" * 40, intent="Advance")
    reading.journal.append("prepared", at=1.0, attempt="1", content=digests["adopted"], stacks=[], images={})
    assert [reading.sealed(digest) for digest in digests.values()] == list(digests.values())
    assert reading.sealed(DIGEST) != DIGEST
