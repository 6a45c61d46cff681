"""Which version a commit may choose (`upgrade --self-update`). On a real machine: tests/target/test_service.py."""

from __future__ import annotations

import argparse
import subprocess
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reconciler import __version__
from reconciler.act.versions import COMPLETE, Versions
from reconciler.decide.redact import Redactor
from reconciler.effects import Effects
from reconciler.errors import Transient, Usage
from reconciler.model.service import Failure
from reconciler.settings import Settings, SourceSettings
from reconciler.wiring import upgrading
from reconciler.wiring.reading import Reading
from reconciler.wiring.self_update import wanted, wish
from tests.repository import ENVIRONMENT, Repository

NEWER = "99.1.0"
HOST = "apiVersion: reconciler/v1\nkind: Host\nmetadata: {name: mini}\nspec:\n  stacks: []\n"
NOW = 1_800_000_000.0


class Host:
    """A watched repository, a key that may sign, one that may not, and the state folder of an agent."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.repository = folder, Repository(folder / "home.git")
        for name in ("operator", "outsider"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
        key = (folder / "operator.pub").read_text()
        (folder / "signers").write_text(f'* namespaces="git" {key}')
        (folder / "state").mkdir(mode=0o700)
        source = SourceSettings(str(folder / "home.git"), allowed_signers=str(folder / "signers"))
        self.settings = Settings("mini", source, str(folder / "state"), self_update=True)
        self.attempts = 0

    @property
    def parts(self) -> Reading:
        return Reading(self.settings, Redactor(), ENVIRONMENT, Effects())

    def push(self, version: str, key: str | None = "operator") -> str:
        """A commit that asks for this version; it is fetched, and not judged yet."""
        agent = f"  agent: {{version: {version}}}\n" if version else ""
        tree = self.repository.tree({"desired-state/mini.yaml": HOST + agent})
        sign = ["-c", "gpg.format=ssh", "-c", f"user.signingKey={self.folder / key}"] if key else []
        sha = self.repository.git(*sign, "commit-tree", tree, *(["-S"] if key else []), "-m", "change")
        self.repository.set(sha)
        self.parts.source.fetch()
        return sha

    def record(self, kind: str, **fields: Any) -> None:
        self.parts.journal.append(kind, at=NOW + self.attempts, **fields)

    def good(self, sha: str, **changes: Any) -> None:
        """The commit passed its gate."""
        self.attempts += 1
        told = {"outcome": "Succeeded", "reason": "ReconciliationSucceeded", "state": "success", **changes}
        name = f"a{self.attempts}"
        self.record(
            "ended",
            attempt=name,
            revision=sha,
            intent="Advance",
            message="",
            final=True,
            content="c",
            good=True,
            **told,
        )


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_a_signed_good_commit_chooses_a_newer_version(host: Host) -> None:
    assert wish(host.parts).message == "no commit is good yet"
    sha = host.push(NEWER)
    assert wish(host.parts).version == ""  # not good yet
    host.good(sha)
    code, document = wanted(host.parts)
    assert (code, document["outcome"], document["to"]) == (0, "Shown", NEWER)
    assert document["from"] == __version__
    host.push("99.2.0")  # nobody has judged it
    assert wish(host.parts).version == NEWER


@pytest.mark.parametrize(
    ("version", "key", "outcome", "says"),
    [
        (NEWER, None, "Refused", "is not signed"),
        (NEWER, "outsider", "Refused", "a signature that is not accepted"),
        ("0.0.1", "operator", "Refused", "is older than"),
        (__version__, "operator", "Unchanged", "runs already"),
        ("", "operator", "Unchanged", "asks for no version"),
    ],
)
def test_other_commits_choose_nothing(host: Host, version: str, key: str | None, outcome: str, says: str) -> None:
    host.good(host.push(version, key))
    found = wish(host.parts)
    assert (found.outcome, says in found.message) == (outcome, True), found


def test_nothing_is_taken_during_a_rollout_or_a_suspension(host: Host) -> None:
    host.good(host.push(NEWER))
    host.record("requested", request="r", verb="suspend", why="works on it", done=True, message="")
    assert "suspended" in wish(host.parts).message
    host.record("requested", request="s", verb="resume", done=True, message="")
    host.record("started", attempt="b", revision="b" * 40, intent="Advance", base=None)
    assert "rollout" in wish(host.parts).message


def test_an_agent_config_that_does_not_allow_it_is_named(host: Host) -> None:
    host.good(host.push(NEWER))
    host.settings = replace(host.settings, self_update=False)
    with pytest.raises(Usage, match="does not allow --self-update"):
        wanted(host.parts)
    host.settings = replace(host.settings, self_update=True, source=replace(host.settings.source, allowed_signers=None))
    assert wish(host.parts).outcome == "Refused"


@pytest.mark.parametrize(
    "version", ["../1.0", "--index-url=http://x/", "git+https://x/y", "1.0; id", "1", "v1.0", "1.0\n"]
)
def test_only_numbers_are_a_version(host: Host, version: str) -> None:
    from reconciler.decide.read.parse import host_document
    from reconciler.observe.source import files_at

    sha = host.push(repr(version).replace("'", '"'))
    document, found = host_document(files_at(host.repository.folder, sha, ENVIRONMENT), "mini")
    assert document is None
    assert found[0].pointer == "/spec/agent/version"


@pytest.mark.parametrize("answer", ["0.0.1", "../../etc", "-r/etc/passwd", __version__ + "/x"])
def test_what_the_agents_account_says_is_not_trusted(host: Host, answer: str) -> None:
    said = {"kind": "Upgrade", "outcome": "Shown", "to": answer, "message": ""}
    with pytest.raises(Transient, match="no newer version"):
        upgrading._asked_for(host.parts, host.folder, lambda *words: said)


def test_a_version_that_was_taken_back_is_not_tried_again(tmp_path: Path) -> None:
    made = tmp_path / NEWER
    (made / "bin").mkdir(parents=True)
    (made / "bin/reconciler").touch()
    (made / COMPLETE).touch()
    shelf = Versions(tmp_path, "current", {}, index=False)
    assert upgrading._hindrance(shelf, made, NOW) == ""
    shelf.note(made, Failure("TakenBack", "no good turn", NOW))
    assert "no good turn" in upgrading._hindrance(shelf, made, NOW + 1e6)
    shelf.note(made, Failure("Refused", "doctor: disk", NOW))
    assert "doctor: disk" in upgrading._hindrance(shelf, made, NOW + 60)
    assert upgrading._hindrance(shelf, made, NOW + upgrading.AGAIN + 1) == ""
    shelf.note(made, None)
    assert upgrading._hindrance(shelf, made, NOW) == ""


def test_a_wheel_that_others_can_change_is_not_taken(tmp_path: Path) -> None:
    shelf, wheels = Versions(tmp_path, "current", {}), tmp_path / "wheels"
    wheels.mkdir()
    wheel = wheels / f"reconciler-{NEWER}-py3-none-any.whl"
    wheel.touch()
    wheel.chmod(0o644)
    shelf.require_own(wheel)
    library = wheels / "other-1.0-py3-none-any.whl"
    library.touch()
    library.chmod(0o666)
    with pytest.raises(Usage, match="can be changed"):
        shelf.require_own(wheel)
    library.unlink()
    wheels.chmod(0o777)
    with pytest.raises(Usage):
        shelf.require_own(wheel)
    wheels.chmod(0o755)
    wheel.rename(tmp_path / "elsewhere")
    wheel.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Usage, match="symbolic link"):
        shelf.require_own(wheel)


def test_self_update_names_what_it_needs(host: Host) -> None:
    host.good(host.push(NEWER))
    typed = argparse.Namespace(self_update=True, print=False, WHEEL=None, platform="systemd")
    with pytest.raises(Usage, match="no version beside others"):
        upgrading.upgrade(typed, host.parts, threading.Event(), lambda line: None)
