"""file-watcher with the real brain-api: whatever happens to files or to one of the two, no change is lost."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.host import eventually
from tests.stack.blackbox import FOLDER, Blackbox, blackbox, environment

pytestmark = [pytest.mark.stack, pytest.mark.engine, pytest.mark.timeout(1800)]

SERVICES = ("postgres", "neo4j", "migrate", "brain-api", "file-watcher", "mcp-filesystem")
OFTEN = {"RESCAN_SECONDS": "3", "QUIET_SECONDS": "1"}
FILES = 1000


class Watched:
    """The stack, the watched folder on this machine, and the files that brain-api knows."""

    def __init__(self, stack: Blackbox) -> None:
        self.stack, self.host = stack, stack.host
        self.folder = self.host.state / "data" / self.host.stack / FOLDER / "watched"

    def write(self, files: dict[str, str]) -> None:
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)

    def known(self) -> dict[str, str]:
        """Path → id of each file in brain-api."""
        found: dict[str, str] = {}
        cursor = ""
        while True:
            status, page = self.stack.ask("GET", f"/api/v1/artifacts?kind=file&limit=200{cursor}")
            assert status == 200, page
            found |= {item["path"]: item["id"] for item in page["artifacts"]}
            if not page["next"]:
                return found
            cursor = f"&cursor={page['next']}"

    def content(self, path: str) -> str:
        return str(self.stack.ask("GET", f"/api/v1/artifacts/{self.known()[path]}")[1]["content"])

    def becomes(self, true: Callable[[set[str]], bool], seconds: float = 20) -> None:
        eventually(lambda: true(set(self.known())), seconds, every=0.3)

    def container(self, service: str) -> str:
        return f"{self.host.stack}-{service}-1"

    def stop(self, service: str) -> float:
        """Stop the service. Returns how many seconds that took."""
        begun = time.monotonic()
        self.host.engine.stop(self.container(service), timeout=60)
        return time.monotonic() - begun

    def start(self, service: str) -> None:
        self.host.engine.start(self.container(service))

    def health(self, service: str) -> str:
        return str(self.host.container(service)["State"]["Health"]["Status"])

    def metric(self, name: str) -> float:
        script = "import urllib.request as r; print(r.urlopen('http://localhost:8001/metrics').read().decode())"
        told = self.host.exec("file-watcher-1", f'python -c "{script}"')
        return float(next(line.split()[-1] for line in told.splitlines() if line.startswith(f"{name} ")))


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory, compose: Path) -> Iterator[Watched]:
    with blackbox(tmp_path_factory.mktemp("watched"), compose) as stack:
        stack.push(only=SERVICES, services={"file-watcher": {"environment": OFTEN}})
        turn = stack.once()
        assert (turn.code, turn["outcome"]) == (0, "Succeeded"), turn.stdout
        yield Watched(stack)


@pytest.fixture(autouse=True)
def emptied(watched: Watched) -> Iterator[None]:
    """Before each test both programs run, and the folder has only the one file that stays."""
    watched.write({"stays.md": "This file is here all the time."})
    watched.becomes(lambda paths: "files/stays.md" in paths)
    yield
    for entry in watched.folder.iterdir():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def test_changes_reach_brain_api_while_both_run(watched: Watched) -> None:
    texts = {name: f"About {name}." for name in ("a.md", "deep/b.md", "moved.md", "gone.md", ".git/config")}
    watched.write(texts)
    expected = {f"files/{name}" for name in texts if not name.startswith(".git")}
    watched.becomes(lambda paths: expected <= paths)
    assert watched.content("files/deep/b.md") == "About deep/b.md."
    watched.write({"a.md": "About apples that nobody expected."})
    (watched.folder / "moved.md").rename(watched.folder / "deep/moved.md")
    (watched.folder / "gone.md").unlink()
    watched.becomes(lambda paths: paths == {"files/a.md", "files/deep/b.md", "files/deep/moved.md", "files/stays.md"})
    eventually(lambda: watched.content("files/a.md") == "About apples that nobody expected.")
    status, found = watched.stack.ask("POST", "/api/v1/search/hybrid", {"query": "unexpected apples", "kind": "file"})
    assert (status, found["hits"][0]["path"]) == (200, "files/a.md")


def test_changes_while_the_watcher_is_down_reach_brain_api_later(watched: Watched) -> None:
    watched.write({"a.md": "a", "b.md": "b"})
    watched.becomes(lambda paths: {"files/a.md", "files/b.md"} <= paths)
    took = watched.stop("file-watcher")
    print(f"\nstopped in {took:.1f} s")
    assert took < 5
    assert watched.host.container("file-watcher")["State"]["ExitCode"] == 0
    watched.write({"a.md": "A", "c.md": "c"})
    (watched.folder / "b.md").rename(watched.folder / "d.md")
    watched.start("file-watcher")
    watched.becomes(lambda paths: paths == {"files/a.md", "files/c.md", "files/d.md", "files/stays.md"})
    assert watched.content("files/a.md") == "A"


def test_changes_while_brain_api_is_down_reach_it_later(watched: Watched) -> None:
    watched.write({"a.md": "a", "b.md": "b"})
    watched.becomes(lambda paths: {"files/a.md", "files/b.md"} <= paths)
    watched.stop("brain-api")
    watched.write({"a.md": "A", "c.md": "c"})
    (watched.folder / "b.md").unlink()
    eventually(lambda: watched.metric("watcher_brain_up") == 0, 20, every=0.5)
    assert watched.health("file-watcher") == "healthy"
    # Also if the watcher restarts during the outage.
    watched.host.engine.kill(watched.container("file-watcher"))
    watched.start("file-watcher")
    watched.start("brain-api")
    eventually(lambda: watched.health("brain-api") == "healthy", 60, every=0.5)
    watched.becomes(lambda paths: paths == {"files/a.md", "files/c.md", "files/stays.md"}, 60)
    assert watched.content("files/a.md") == "A"


def test_old_content_and_changes_of_others_in_brain_api_are_corrected(watched: Watched) -> None:
    watched.write({"a.md": "older", "b.md": "b"})
    watched.becomes(lambda paths: {"files/a.md", "files/b.md"} <= paths)
    known = watched.known()
    _, made = watched.stack.ask("GET", f"/api/v1/artifacts/{known['files/a.md']}")
    older = {name: made[name] for name in ("path", "kind", "title", "content", "tags", "metadata")}
    watched.write({"a.md": "newer"})
    eventually(lambda: watched.content("files/a.md") == "newer")
    watched.stop("file-watcher")
    assert watched.stack.ask("POST", "/api/v1/artifacts/batch", {"artifacts": [older]})[0] == 200
    assert watched.stack.ask("PATCH", f"/api/v1/artifacts/{known['files/b.md']}", {"metadata": {}})[0] == 200
    watched.start("file-watcher")
    eventually(lambda: watched.content("files/a.md") == "newer")
    told = watched.stack.ask("GET", f"/api/v1/artifacts/{known['files/b.md']}")[1]["metadata"]
    assert told["file"] == "files/b.md"
    assert watched.host.container("file-watcher")["RestartCount"] == 0


def test_a_thousand_files_and_a_kill_in_the_middle(watched: Watched) -> None:
    text = "The {0}th document speaks of subject {0}, of its neighbours and of what follows from them. " * 4
    before = watched.metric("watcher_ingested_total")
    watched.write({f"many/{number}.md": text.format(number) for number in range(FILES)})
    begun = time.monotonic()
    watched.becomes(lambda paths: len(paths) >= FILES / 5, 120)
    watched.host.engine.kill(watched.container("file-watcher"))
    watched.start("file-watcher")
    expected = {f"files/many/{number}.md" for number in range(FILES)} | {"files/stays.md"}
    watched.becomes(lambda paths: paths == expected, 240)
    took = time.monotonic() - begun
    peak = watched.host.exec("file-watcher-1", "grep VmHWM /proc/[0-9]*/status")
    print(f"\n{FILES} files in {took:.1f} s, a kill among them; {peak}; before: {before}")
    shutil.rmtree(watched.folder / "many")
    begun = time.monotonic()
    watched.becomes(lambda paths: paths == {"files/stays.md"}, 240)
    print(f"all of them gone in {time.monotonic() - begun:.1f} s")


def test_files_of_an_unreadable_folder_are_not_deleted(watched: Watched) -> None:
    watched.write({"closed/a.md": "a"})
    watched.becomes(lambda paths: "files/closed/a.md" in paths)
    (watched.folder / "closed").chmod(0o700)
    watched.write({"after.md": "Looked at after that."})
    watched.becomes(lambda paths: "files/after.md" in paths)
    eventually(lambda: watched.metric("watcher_unread_folders") == 1)
    time.sleep(8)
    assert "files/closed/a.md" in watched.known()


def test_files_that_agents_write_through_mcp_are_found(watched: Watched) -> None:
    arguments: dict[str, Any] = {"path": "/workspace/plan.md", "content": "The plan is to plant quinces in autumn."}
    call = json.dumps({"name": "write_file", "arguments": arguments})
    watched.host.exec("mcp-filesystem-1", f"node ask.mjs 8932 tools/call '{call}'")
    watched.becomes(lambda paths: "workspace/plan.md" in paths)
    assert watched.content("workspace/plan.md") == "The plan is to plant quinces in autumn."


def test_a_folder_of_the_machine_is_watched_when_the_operator_grants_it(tmp_path: Path, compose: Path) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "a.md").write_text("a")
    with blackbox(tmp_path / "host", compose) as stack:
        changes = {f"{FOLDER}/.env": environment(WATCHED_FOLDER=str(folder))}
        sha = stack.push(changes, only=("file-watcher",))
        assert [item["rule"] for item in stack.host.validate(sha)["violations"]] == ["absolute-bind"]
        stack.host.configure(binds=[{"path": str(folder), "reason": "what is read"}])
        turn = stack.once()
        assert turn["outcome"] == "Succeeded", turn.stdout
        assert stack.host.exec("file-watcher-1", "cat /watched/files/a.md") == "a"
        assert stack.host.exec("file-watcher-1", "touch /watched/files/b.md 2>&1 || true").endswith(
            "Read-only file system"
        )
