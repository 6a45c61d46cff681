"""`key`: a deploy key is made once, shown, and registered with the forge as read-only."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from reconciler.errors import Transient, Usage
from reconciler.record import text
from reconciler.reference import output_schema
from reconciler.report.answers import Unreachable
from reconciler.report.deploy_keys import register
from reconciler.settings import ForgeSettings
from reconciler.verbs import Answer
from reconciler.verbs.key import key
from tests.report.fake_forge import TOKEN, FakeForge, Reply, serving


def made(path: Path, *steps: str) -> Answer:
    code, document = answer = key(path, "mini", os.environ, list(steps), None)
    Draft202012Validator(output_schema()).validate(document)
    assert code == 0
    return answer


def test_a_key_is_made_once_and_shown_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "keys/deploy_key"
    _, first = made(path, "Let the forge know it.")
    kind, _, comment = first["publicKey"].split()
    assert (kind, comment, first["made"], first["registered"]) == ("ssh-ed25519", "reconciler@mini", True, None)
    assert path.stat().st_mode & 0o777 == 0o600
    assert [item.name for item in path.parent.iterdir()] == ["deploy_key"]
    _, second = made(path)
    assert (second["publicKey"], second["made"]) == (first["publicKey"], False)
    lines = text.render(first, text.Style(False, 80), 0.0).splitlines()
    assert lines[0] == first["publicKey"]
    assert "PRIVATE" not in "\n".join(lines)
    signed = subprocess.run(["ssh-keygen", "-l", "-f", str(path)], capture_output=True, text=True, check=True)
    assert "ED25519" in signed.stdout


def test_calls_at_the_same_time_make_and_show_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        shown = list(pool.map(lambda n: made(tmp_path / "deploy_key")[1]["publicKey"], range(4)))
    assert len(set(shown)) == 1


def test_a_key_that_others_could_read_is_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "deploy_key"
    made(path)
    path.chmod(0o640)
    with pytest.raises(Usage, match="can be read by other users") as caught:
        made(path)
    assert caught.value.hint == f"chmod 0600 {path}"


def test_a_file_that_is_no_key_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "deploy_key"
    path.write_text("no key\n")
    path.chmod(0o600)
    with pytest.raises(Transient, match="ssh-keygen cannot use"):
        made(path)
    with pytest.raises(Usage, match="cannot be made"):
        made(tmp_path / "deploy_key/below")


# -- the forge -------------------------------------------------------------------------------------------------------

PUBLIC = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGh reconciler@mini"


@pytest.fixture(params=["github", "gitlab", "gitea"])
def forge(request: pytest.FixtureRequest) -> Iterator[FakeForge]:
    with serving(request.param) as made:
        yield made
        assert made.wrong == []


def told(forge: FakeForge, token: str = TOKEN) -> tuple[bool, str]:
    settings = ForgeSettings(forge.kind, forge.api, "me/home")
    return register(settings, token, str, "reconciler on mini", PUBLIC)


def test_the_key_is_registered_once_and_as_read_only(forge: FakeForge) -> None:
    forge.keys += [{"id": n, "title": "other", "key": f"ssh-rsa AAAA{n}", "read_only": True} for n in range(60)]
    assert told(forge) == (True, "")
    assert told(forge) == (True, "")
    (ours,) = [item for item in forge.keys if item["title"] == "reconciler on mini"]
    assert ours["key"] == PUBLIC
    assert ours.get("read_only") is True or ours.get("can_push") is False


def test_an_existing_key_that_may_write_is_reported_and_stays(forge: FakeForge) -> None:
    may_write = {"can_push": True} if forge.kind == "gitlab" else {"read_only": False}
    forge.keys.append({"id": 1, "title": "by hand", "key": PUBLIC.rpartition(" ")[0], **may_write})
    assert told(forge)[0] is False
    assert "may write" in told(forge)[1]
    assert len(forge.keys) == 1


def test_the_missing_scope_of_the_token_is_named(forge: FakeForge) -> None:
    forge.scopes.discard("keys")
    done, message = told(forge)
    scope = {"github": "Administration", "gitlab": "Maintainer", "gitea": "administrator"}[forge.kind]
    assert not done
    assert "lacks a scope" in message
    assert scope in message
    assert "not valid" in told(forge, "wrong")[1]
    forge.scopes.add("keys")
    forge.faults += [None, Reply(422, {"message": "key is already in use"})]
    assert "key is already in use" in told(forge)[1]
    forge.faults.append(Reply(503, {"message": "later"}, {"Retry-After": "7"}))
    with pytest.raises(Unreachable):
        told(forge)


# -- as people call it -----------------------------------------------------------------------------------------------


def called(folder: Path, source: str, *arguments: str, report: str = "{}") -> tuple[int, dict[str, Any]]:
    config = folder / "reconciler.yaml"
    config.write_text(f"host: mini\nsource: {source}\nstate: {folder}/state\nreport: {report}\n")
    command = [sys.executable, "-m", "reconciler", "--config", str(config), "--output", "json", "key", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert "PRIVATE KEY" not in done.stdout + done.stderr
    return done.returncode, json.loads(done.stdout)


def test_the_command_makes_the_configured_key_and_registers_it(tmp_path: Path) -> None:
    (tmp_path / "token").touch(0o600)
    (tmp_path / "token").write_text(TOKEN)
    source = f"{{url: 'git@git.example.org:me/home.git', key_file: {tmp_path}/deploy_key}}"
    with serving("gitea") as forge:
        report = f"{{forge: {{kind: gitea, api: '{forge.api}', token_file: {tmp_path}/token}}}}"
        code, document = called(tmp_path, source, "--register", report=report)
        assert (code, document["registered"], document["next"]) == (0, True, [])
        assert [item["key"] for item in forge.keys] == [document["publicKey"]]
        forge.keys.clear()
        forge.scopes.discard("keys")
        code, document = called(tmp_path, source, "--register", report=report)
        assert (code, document["registered"]) == (1, False)
        forge.faults.append(Reply(502, b""))
        code, document = called(tmp_path, source, "--register", report=report)
        assert (code, document["kind"]) == (3, "Error")
        assert forge.wrong == []


def test_without_key_file_in_the_config_the_key_is_in_the_state_folder(tmp_path: Path) -> None:
    code, document = called(tmp_path, "{url: 'ssh://git@git.example.org/me/home.git'}")
    assert (code, document["path"], document["registered"]) == (0, f"{tmp_path}/state/deploy_key", None)
    assert f"key_file: {tmp_path}/state/deploy_key" in document["next"][0]
    code, document = called(tmp_path, "{url: 'ssh://git@git.example.org/me/home.git'}", "--register")
    assert (code, document["kind"]) == (2, "Error")
    assert "report: {forge:" in document["hint"]
