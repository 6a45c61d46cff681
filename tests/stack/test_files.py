"""Checks of the files of the Blackbox stack: valid, confined, sized, documented; migrations only add."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.stack.blackbox import FOLDER, SECRETS, compose_document
from tests.stack.confined import confined, looked_after

STACK = ROOT / FOLDER
SERVICES: dict[str, Any] = compose_document()["services"]
STAYING = {name: item for name, item in SERVICES.items() if item["restart"] != "no"}
VARIABLES = dict(re.findall(r"^([A-Z][A-Z0-9_]*)=(.*)$", (STACK / ".env").read_text(), re.MULTILINE))
TAKES_AWAY = re.compile(
    r"\b(DROP|RENAME|TRUNCATE|DELETE\s+FROM|UPDATE\s+\w+\s+SET|SET\s+NOT\s+NULL|DETACH|REMOVE|ALTER\s+COLUMN\s+\w+\s+"
    r"(SET\s+DATA\s+)?TYPE)\b",
    re.IGNORECASE,
)


def validated(tmp_path: Path, secrets: bool) -> tuple[int, list[dict[str, Any]]]:
    folder = tmp_path / "secrets" / "blackbox"
    folder.mkdir(mode=0o700, parents=True)
    folder.parent.chmod(0o700)
    for name in (*SECRETS, "BRAIN_API_KEYS") if secrets else ():
        (folder / name).touch(mode=0o600)
        (folder / name).write_text(f"not a real {name}\n")
    config = tmp_path / "reconciler.yaml"
    text = f"host: mini\nsource: {{url: {ROOT}}}\nstate: {tmp_path}/state\nsecrets_dir: {folder.parent}\n"
    config.write_text(text)
    command = [sys.executable, "-m", "reconciler", "--config", str(config), "--output", "json", "validate", str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    return done.returncode, json.loads(done.stdout)["violations"]


def test_the_stack_is_valid_without_a_warning(tmp_path: Path) -> None:
    assert validated(tmp_path, secrets=True) == (0, [])


def test_validate_names_every_secret_that_is_missing(tmp_path: Path) -> None:
    code, violations = validated(tmp_path, secrets=False)
    told = " ".join(item["message"] for item in violations)
    assert code == 1
    assert all(name in told for name in (*SECRETS, "BRAIN_API_KEYS")), told


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_confined(name: str) -> None:
    """An exception needs its reason in the Compose file, and an entry here."""
    confined(SERVICES[name])


def test_networks_connect_only_services_that_need_each_other() -> None:
    """Services that a browser or a model controls share no network with a database; brain-api's clients are named."""
    on = {
        network: {name for name, item in SERVICES.items() if network in item["networks"]}
        for network in compose_document()["networks"]
    }
    databases = {"migrate", "brain-api"}
    assert on["postgres"] == {"postgres", *databases}
    assert on["neo4j"] == {"neo4j", *databases}
    assert on["brain"] == {"brain-api", "file-watcher"}
    assert on["outside"] == {"brain-api"}
    assert on["mcp"] == {"claude-runtime", "mcp-filesystem", "mcp-playwright", "mcp-supabase"}
    assert on["web"] == {"mcp-playwright"}
    assert on["supabase"] == {"mcp-supabase"}
    assert on["agents-metrics"] == {"ralph-agent", "claude-runtime"}
    networks = compose_document()["networks"]
    internal = {name for name, item in networks.items() if item.get("internal")}
    assert internal == {"postgres", "neo4j", "brain", "mcp", "agents-metrics"}


def test_services_that_only_read_files_mount_them_read_only() -> None:
    mounts = SERVICES["file-watcher"]["volumes"]
    assert mounts[0] == "watcher-state:/state"
    assert all(mount.endswith(":ro") for mount in mounts[1:])
    assert SERVICES["mcp-filesystem"]["volumes"] == ["workspace:/workspace"]
    assert "volumes" not in SERVICES["mcp-playwright"]
    assert "--read-only" in SERVICES["mcp-supabase"]["command"]


@pytest.mark.parametrize("name", STAYING)
def test_every_service_that_keeps_running_has_restart_policy_and_health_check(name: str) -> None:
    looked_after(STAYING[name])


@pytest.mark.parametrize("path", sorted(STACK.glob("*/Dockerfile")), ids=lambda path: path.parent.name)
def test_images_are_made_of_packages_and_do_not_run_as_root(path: Path) -> None:
    text = path.read_text()
    stages = set(re.findall(r"^FROM \S+ AS (\S+)", text, re.MULTILINE))
    bases = re.findall(r"^FROM (\S+)", text, re.MULTILINE)
    assert {base for base in bases if base not in stages} == {"debian:trixie-slim"}
    users = re.findall(r"^USER (\S+)", text, re.MULTILINE)
    assert users
    assert users[-1] != "root"
    installs = [line for line in text.replace("\\\n", " ").splitlines() if "pip install" in line]
    assert all("--require-hashes" in part for line in installs for part in line.split("&&") if "pip install" in part)
    assert not re.search(r"^[^#\n]*npm install", text, re.MULTILINE), "npm ci takes what the lock file says"


def test_both_agents_are_built_on_the_same_layers() -> None:
    """From the same bytes the engine makes the same layers, and stores them once."""
    ralph, claude = (
        (STACK / name / "Dockerfile").read_text().split("# -- the mark\n") for name in ("ralph-agent", "claude-runtime")
    )
    assert ralph[0] == claude[0]
    assert [len(ralph), len(claude)] == [2, 2]


@pytest.mark.parametrize("path", sorted(STACK.glob("*/package-lock.json")), ids=lambda path: path.parent.name)
def test_lock_files_pin_the_bytes_of_npm_packages_from_any_registry(path: Path) -> None:
    packages = json.loads(path.read_text())["packages"]
    assert len(packages) > 1
    assert {name for name, item in packages.items() if name and "integrity" not in item} == set()
    assert {name for name, item in packages.items() if "resolved" in item} == set()
    assert "://" not in path.read_text()


def test_lock_files_pin_the_bytes_of_npm_programs_on_both_architectures() -> None:
    packages = json.loads((STACK / "claude/package-lock.json").read_text())["packages"]
    programs = [item for path, item in packages.items() if path]
    assert {item["cpu"][0] for item in programs} == {"x64", "arm64"}
    assert len({item["version"] for item in programs}) == 1
    for item in programs:
        assert item["integrity"].startswith("sha512-")
        assert "resolved" not in item


def test_migrations_only_add_and_can_run_again() -> None:
    """A rollback needs it: the programs of the commit before must work with the new tables."""
    for path in [*(STACK / "migrate").glob("postgres/*.sql"), *(STACK / "migrate").glob("neo4j/*.cypher")]:
        text = re.sub(r"(--|//).*", "", path.read_text()).replace("ON DELETE", "")
        assert not TAKES_AWAY.search(text), path.name
        for statement in filter(None, map(str.strip, text.split(";"))):
            assert "IF NOT EXISTS" in statement or statement.startswith("GRANT"), (path.name, statement)


def test_statements_that_remove_something_are_detected() -> None:
    for text in ("ALTER TABLE a DROP COLUMN b", "alter table a rename to b", "ALTER TABLE a ALTER COLUMN b TYPE int"):
        assert TAKES_AWAY.search(text), text


def test_every_variable_is_used_and_every_used_one_has_a_value() -> None:
    text = (STACK / "compose.yaml").read_text()
    used = set(re.findall(r"\$\{([A-Z0-9_]+)", text))
    secrets = {item["environment"] for item in compose_document()["secrets"].values()}
    assert used <= set(VARIABLES)
    assert set(VARIABLES) <= used | secrets


def test_every_secret_is_documented_with_the_command_that_makes_it() -> None:
    manual = (STACK / "secrets.example/README.md").read_text()
    for secret in compose_document()["secrets"].values():
        name = secret["environment"]
        assert f"]({name})" in manual
        assert f">{name}" in (STACK / "secrets.example" / name).read_text()


def test_the_sizes_of_the_databases_fit_their_limits() -> None:
    def mib(name: str) -> int:
        return int(re.sub(r"\D", "", VARIABLES[name]))

    connections = mib("POSTGRES_CONNECTIONS") * (5 + 2 * mib("POSTGRES_WORK_MEM"))
    workers = mib("POSTGRES_MAINTENANCE_MEM") + 2 * 64
    assert mib("POSTGRES_SHARED_BUFFERS") + connections + workers < mib("POSTGRES_MEMORY")
    assert mib("NEO4J_HEAP") + mib("NEO4J_PAGE_CACHE") <= 0.6 * mib("NEO4J_MEMORY")
    assert mib("BRAIN_API_POOL") + 5 < mib("POSTGRES_CONNECTIONS")


SHELLS = [shell for shell in ("bash", "zsh") if shutil.which(shell)]


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("name", ["ralph", "task"])
def test_the_manuals_commands_keep_words_together_over_ssh(tmp_path: Path, name: str, shell: str) -> None:
    """ssh passes its arguments as one line to the shell of the other machine."""
    manual = (ROOT / "docs/stack.md").read_text()
    function = re.findall(rf"^{name}\(\) \{{.*$", manual, re.MULTILINE)
    assert len(function) == 1
    for program, does in (("ssh", 'shift; exec bash -c "$*"'), ("docker", 'printf "%s\\n" "$@"; cat')):
        (tmp_path / program).write_text(f"#!/bin/sh\n{does}\n")
        (tmp_path / program).chmod(0o755)
    script = f"{function[0]}\n{name} verb --reason 'two words' \"it's \\$HOME; *\"\n"
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(
        [shell, "-c", script], input="given", capture_output=True, text=True, env=environment, check=True
    )
    assert done.stdout.splitlines()[-5:] == ["verb", "--reason", "two words", "it's $HOME; *", "given"]
