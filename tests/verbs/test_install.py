"""`install` and `uninstall` as people call them. Tests with real service managers are in tests/target/."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from reconciler.errors import Usage
from reconciler.model.service import Platform
from reconciler.record import summary_service
from reconciler.record.text.layout import Style
from reconciler.record.text.service import install as text_of
from reconciler.wiring.service import platform_of
from tests.conftest import ROOT
from tests.hooks.tool import Ran, command, reconciler, script
from tests.repository import Repository


@dataclass(frozen=True)
class Place:
    """An agent config, and a service manager that only records its calls."""

    folder: Path

    def run(self, *arguments: str, **environment: str) -> Ran:
        kept = {"HOME": str(self.folder), "XDG_CONFIG_HOME": str(self.folder / "config")}
        path = f"{self.folder / 'bin'}:{os.environ['PATH']}"
        config = ("--config", str(self.folder / "reconciler.yaml"))
        return reconciler(self.folder, *config, *arguments, PATH=path, **kept, **environment)

    def json(self, *arguments: str, **environment: str) -> tuple[int, dict[str, Any]]:
        done = self.run("--output", "json", *arguments, "--platform", "systemd-user", **environment)
        return done.code, json.loads(done.stdout)

    @property
    def unit(self) -> Path:
        return self.folder / "config/systemd/user/reconciler.service"

    def calls(self) -> list[str]:
        log = self.folder / "calls"
        found = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return found


@pytest.fixture
def place(tmp_path: Path) -> Place:
    Repository(tmp_path / "home.git").push({"compose.yaml": "services: {}\n"})
    (tmp_path / "reconciler.yaml").write_text(
        f"host: mini\nsource: {{url: {tmp_path}/home.git}}\nstate: {tmp_path}/state\n"
        f"engine: unix://{tmp_path}/no-engine.sock\n"
    )
    for name in ("systemctl", "loginctl"):
        script(tmp_path / "bin" / name, f'echo "{name} $*" >> {tmp_path}/calls; test ! -e {tmp_path}/{name}-fails')
    return Place(tmp_path)


@pytest.mark.parametrize("platform", ["systemd", "systemd-user", "launchd"])
def test_print_shows_every_file_and_changes_nothing(place: Place, platform: str) -> None:
    before = sorted(place.folder.rglob("*"))
    done = place.run("install", "--print", "--platform", platform, "--output", "json")
    (file,) = done.document["files"]
    assert (done.code, file["state"], file["mode"]) == (0, "shown", "0644")
    assert f"{place.folder}/reconciler.yaml" in file["content"]
    assert done.document["commands"]
    text = place.run("install", "--print", "--platform", platform).stdout
    assert file["content"].splitlines()[-1] in text.splitlines()
    assert "[Install]" in text.splitlines() or platform == "launchd"
    assert "# then called: " in text
    assert sorted(place.folder.rglob("*")) == before
    assert place.calls() == []


def test_install_writes_starts_and_can_be_repeated(place: Place) -> None:
    code, document = place.json("install")
    assert (code, document["files"][0]["state"]) == (0, "written")
    assert f"--config {place.folder}/reconciler.yaml run" in place.unit.read_text()
    calls = place.calls()
    assert calls[0] == "systemctl --user daemon-reload"
    assert calls[-1] == "systemctl --user restart reconciler.service"
    assert any(item.startswith("loginctl enable-linger") for item in calls)
    assert (place.folder / "state").stat().st_mode & 0o777 == 0o700
    code, document = place.json("install", "--no-start")
    assert (code, document["files"][0]["state"]) == (0, "unchanged")
    assert not any("restart" in item for item in place.calls())


def test_an_older_file_of_ours_is_replaced_and_a_foreign_one_stays(place: Place) -> None:
    place.json("install")
    place.unit.write_text(place.unit.read_text().replace("RestartSec=10", "RestartSec=1"))
    assert place.json("install")[1]["files"][0]["state"] == "written"
    assert "RestartSec=10" in place.unit.read_text()
    place.calls()
    place.unit.write_text("[Service]\nExecStart=/usr/bin/something-else\n")
    code, document = place.json("install")
    assert (code, document["files"][0]["state"]) == (1, "foreign")
    assert "somebody else's file" in document["messages"][0]
    code, document = place.json("uninstall", "--yes")
    assert (code, document["files"]) == (0, [])
    assert place.unit.exists()
    assert place.calls() == []


MORE = (
    "monitor: {}\ngrants:\n  - {policy: engine-read, stack: web, service: proxy, reason: finds its routes in labels}\n"
)


def test_verbs_that_the_config_asks_for_are_services_beside_the_agent(place: Place) -> None:
    config = place.folder / "reconciler.yaml"
    plain = config.read_text()
    config.write_text(plain + MORE)
    beside = [place.unit.with_name(f"reconciler-{verb}.service") for verb in ("monitor", "engine-read")]
    code, document = place.json("install")
    assert code == 0
    assert [Path(item["path"]) for item in document["files"]] == [place.unit, *beside]
    assert [path.read_text().count(f"/reconciler.yaml {verb}\n") for path, verb in zip(
        [place.unit, *beside], ("run", "monitor", "engine-read"), strict=True
    )] == [1, 1, 1]  # fmt: skip
    names = [path.name for path in (place.unit, *beside)]
    calls = place.calls()
    assert f"systemctl --user enable {' '.join(names)}" in calls
    assert [item for item in calls if "restart" in item] == [f"systemctl --user restart {name}" for name in names]
    config.write_text(plain)
    code, document = place.json("install")
    assert [item["state"] for item in document["files"]] == ["removed", "removed", "unchanged"]
    assert [path.exists() for path in (place.unit, *beside)] == [True, False, False]
    assert place.calls()[0] == f"systemctl --user disable --now {names[1]} {names[2]}"


def test_uninstall_removes_the_services_beside_the_agent(place: Place) -> None:
    config = place.folder / "reconciler.yaml"
    config.write_text(config.read_text() + MORE)
    place.json("install")
    config.write_text(config.read_text().replace(MORE, ""))
    place.calls()
    code, document = place.json("uninstall", "--yes")
    assert (code, len(document["files"])) == (0, 3)
    assert list(place.unit.parent.iterdir()) == []
    assert place.calls()[0].count(".service") == 3


def test_self_update_needs_versions_beside_each_other(place: Place) -> None:
    config = place.folder / "reconciler.yaml"
    config.write_text(config.read_text() + "upgrade: {self_update: true}\n")
    done = place.run("install", "--print", "--platform", "systemd-user")
    assert (done.code, "self_update needs commits that are signed" in done.stderr) == (2, True), done.stderr
    config.write_text(config.read_text().replace("home.git}", f"home.git, allowed_signers: {place.folder}/signers}}"))
    code, document = place.json("install")
    assert (code, len(document["files"])) == (0, 1)
    assert "no version beside others" in document["messages"][0]
    for arguments, says in (
        (("upgrade", "--self-update", "9.9"), "--self-update takes no WHEEL"),
        (("upgrade", "--self-update"), "no version beside others"),
    ):
        done = place.run(*arguments)
        assert (done.code, says in done.stderr) == (2, True), done.stderr
    done = place.run("upgrade", "--self-update", "--print", "--output", "json")
    assert (done.code, done.document["outcome"], done.document["message"]) == (0, "Unchanged", "no commit is good yet")


def test_a_foreign_unit_of_the_monitor_stays(place: Place) -> None:
    config = place.folder / "reconciler.yaml"
    config.write_text(config.read_text() + MORE)
    own = place.unit.with_name("reconciler-monitor.service")
    own.parent.mkdir(parents=True)
    own.write_text("[Service]\nExecStart=/usr/bin/reconciler monitor\n")
    code, document = place.json("install")
    assert (code, [item["state"] for item in document["files"]]) == (0, ["written", "foreign", "written"])
    assert f"{own} is somebody else's file" in document["messages"][0]
    assert not any("monitor" in item for item in place.calls())
    place.json("uninstall", "--yes")
    assert [path.name for path in own.parent.iterdir()] == [own.name]


def test_the_monitor_without_its_libraries_is_not_installed_as_a_service(place: Place) -> None:
    config = place.folder / "reconciler.yaml"
    config.write_text(config.read_text() + "monitor: {}\n")
    (place.folder / "lacking").mkdir()
    (place.folder / "lacking/sitecustomize.py").write_text("import sys\nsys.modules['starlette'] = None\n")
    argv = (sys.executable, "-m", "reconciler", "--config", str(config), "--output", "json", "install", "--print")
    done = command(
        place.folder, *argv, "--platform", "systemd", HOME=str(place.folder),
        PYTHONPATH=f"{place.folder / 'lacking'}:{ROOT}",
    )  # fmt: skip
    assert [Path(item["path"]).name for item in done.document["files"]] == ["reconciler.service"]
    assert f"{sys.executable} -m pip install 'reconciler[monitor]'" in done.document["messages"][0]


def test_on_a_mac_only_the_monitor_runs_beside_the_agent(place: Place) -> None:
    config = place.folder / "reconciler.yaml"
    config.write_text(config.read_text() + MORE)
    done = place.run("install", "--print", "--platform", "launchd", "--output", "json")
    assert [Path(item["path"]).name for item in done.document["files"]] == [
        "dev.reconciler.plist", "dev.reconciler.monitor.plist",
    ]  # fmt: skip
    assert "on a Mac, containers cannot reach its sockets" in done.document["messages"][0]
    assert "on a Mac" in place.run("install", "--print", "--platform", "launchd").stdout


def test_the_error_of_a_service_manager_is_shown_in_its_own_words(place: Place) -> None:
    (place.folder / "systemctl-fails").touch()
    code, document = place.json("install")
    assert (code, document["reason"]) == (3, "ServiceFailed")
    assert document["message"].startswith("`systemctl --user daemon-reload` failed")


def test_variables_of_the_installing_user_are_kept_without_secrets(place: Place) -> None:
    secret = {"HTTPS_PROXY": "http://me:hunter22@proxy:3128", "RECONCILER_REPORT_FORGE_TOKEN": "canary-token"}
    done = place.run(
        "install", "--print", "--platform", "systemd", DOCKER_HOST="unix:///run/user/7/docker.sock", **secret
    )
    assert "Environment=DOCKER_HOST=unix:///run/user/7/docker.sock" in done.stdout
    assert "hunter22" not in done.stdout + done.stderr
    assert "canary-token" not in done.stdout + done.stderr
    assert "HTTPS_PROXY is left out" in done.stderr


def test_nothing_is_removed_before_a_person_agrees(place: Place) -> None:
    place.json("install")
    place.calls()
    code, document = place.json("uninstall")
    assert (code, document["messages"]) == (1, ["nobody could be asked: add --yes"])
    code, document = place.json("uninstall", "--print", "--level", "state")
    assert (code, document["files"][0]["state"]) == (0, "shown")
    assert document["messages"] == [f"would remove the agent's files in {place.folder}/state, but not data/"]
    assert place.unit.exists()
    assert place.calls() == []
    code, document = place.json("uninstall", "--yes")
    assert (code, document["files"][0]["state"]) == (0, "removed")
    assert not place.unit.exists()
    assert (place.folder / "state").is_dir()
    assert place.calls()[0] == "systemctl --user disable --now reconciler.service"


def test_a_second_uninstall_says_what_it_did(place: Place) -> None:
    done = place.run("uninstall", "--yes", "--platform", "systemd-user")
    assert (done.code, done.stdout) == (0, "no service of reconciler is installed here\n")
    for made, told in ((True, "removed container web-1"), (False, "would remove container web-1")):
        document = summary_service.install("uninstall", made, Platform.SYSTEMD, [], [], ["web-1"], [], [])
        assert text_of(document, Style(), 0) == [told]


def test_without_a_service_manager_the_containers_and_the_state_can_be_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(os.path, "isdir", lambda path: False)
    with pytest.raises(Usage, match="neither systemd nor launchd"):
        platform_of("auto")
    assert platform_of("auto", require=False) in (Platform.SYSTEMD, Platform.SYSTEMD_USER)


def test_an_account_without_a_systemd_of_its_own_needs_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the account that bootstrap makes: it never logs in."""
    there = {"/run/systemd/system", "/run/user/54321"}
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(os.path, "isdir", lambda path: path in there)
    for account, platform in ((54321, Platform.SYSTEMD_USER), (54322, Platform.SYSTEMD), (0, Platform.SYSTEMD)):
        monkeypatch.setattr(os, "geteuid", lambda account=account: account)
        assert platform_of("auto") is platform


def test_without_an_engine_the_state_is_not_removed(place: Place) -> None:
    place.json("install")
    (place.folder / "state/journal.jsonl").touch(mode=0o600)
    code, document = place.json("uninstall", "--yes", "--level", "state")
    assert (code, document["reason"]) == (3, "EngineUnavailable")
    assert (place.folder / "state/journal.jsonl").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ("install", "--platform", "systemd", "--user", "nobody-by-this-name"),
            "there is no account nobody-by-this-name",
        ),
        (("uninstall", "--level", "volumes"), "--level: invalid choice: 'volumes'"),
        (("install", "--platform", "openrc"), "--platform: invalid choice: 'openrc'"),
    ],
)
def test_wrong_usage_is_an_error(place: Place, arguments: tuple[str, ...], told: str) -> None:
    done = place.run(*arguments)
    assert (done.code, told in done.stderr) == (2, True), done.stderr


def test_without_an_agent_config_there_is_no_service(place: Place) -> None:
    (place.folder / "reconciler.yaml").unlink()
    assert place.run("install", "--print", "--platform", "systemd").code == 2
