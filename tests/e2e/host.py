"""A host for tests, used as an operator uses it: by a repository, an agent config, the command line and the engine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker

from reconciler.engine import connect
from tests.conftest import engine_address, sweep
from tests.repository import Repository

Json = Mapping[str, Any]

GATE = {"min_healthy_time": "1s", "healthy_deadline": "12s", "progress_deadline": "30s", "unhealthy_grace": "3s"}
MEMORY = {"budget": "16GiB", "steady": "90%", "reserve": "64MiB"}
COMPOSE_FILE = "compose/stack/compose.yaml"
KILLED = -9
BUSY = 4
SAID = "that is all"


@dataclass(frozen=True)
class Answer:
    """The answer of one command. `document` is the one JSON document on its stdout."""

    code: int
    document: dict[str, Any]
    stdout: str
    stderr: str

    def __getitem__(self, key: str) -> Any:
        return self.document[key]


@dataclass(frozen=True)
class Note:
    """A commit's note. `first` is its first line; `trailers` its last paragraph without the prefix."""

    text: str

    @property
    def first(self) -> str:
        return self.text.splitlines()[0]

    @property
    def trailers(self) -> dict[str, str]:
        lines = self.text.strip().rpartition("\n\n")[2].splitlines()
        pairs = (line.partition(": ") for line in lines)
        return {key.removeprefix("Reconciler-"): value for key, _, value in pairs}


class Host:
    """One agent with one stack, `stack`, unless a test pushes other files; all of `stacks` are removed at the end.

    `settings` are further keys of the agent config.
    """

    patience = 300.0
    """Most seconds of one command."""

    def __init__(self, folder: Path, compose: Path, **settings: Any) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.compose = folder, compose
        self.name = f"e{uuid.uuid4().hex[:8]}"
        self.stack = f"{self.name}-s"
        self.stacks = [self.stack]
        self.engine = connect(engine_address())
        self.repository = Repository(folder / "home.git")
        self.state, self.secrets, self.config = folder / "state", folder / "secrets", folder / "reconciler.yaml"
        self.outputs: list[str] = []
        self.secrets.mkdir(mode=0o700)
        self.configure(**settings)

    def configure(self, **settings: Any) -> None:
        """Write the agent config."""
        source = {"url": str(self.repository.folder), "interval": "1s", **settings.pop("source", {})}
        usual = {
            "host": self.name, "source": source, "state": str(self.state), "secrets_dir": str(self.secrets),
            "compose": str(self.compose),
        }  # fmt: skip
        self.config.write_text(json.dumps({**usual, **settings}))

    # -- the repository ----------------------------------------------------------------------------------------

    def push(self, services: Json, files: Mapping[str, str | bytes] | None = None, **document: Any) -> str:
        """Commit the stack; returns the sha. `services` and `document` make its Compose file, `files` are beside it."""
        return self.push_files(self.files(services, files, **document))

    def files(
        self, services: Json, files: Mapping[str, str | bytes] | None = None, **document: Any
    ) -> dict[str, str | bytes]:
        """All files that `push` commits. `stack` in `document`: further keys of the stack in the Host document;
        `memory`: instead of the default budget."""
        stack, memory = document.pop("stack", {}), document.pop("memory", MEMORY)
        folder = COMPOSE_FILE.rpartition("/")[0]
        return {
            f"desired-state/{self.name}.yaml": self.host_document(stack, memory),
            COMPOSE_FILE: json.dumps({"services": services, **document}, indent=1),
            **{f"{folder}/{path}": content for path, content in (files or {}).items()},
        }

    def host_document(self, stack: Json | None = None, memory: Json = MEMORY, **spec: Any) -> str:
        stacks = [{"name": self.stack, "files": [COMPOSE_FILE], **(stack or {})}]
        defaults = {"memory": "32MiB", "gate": GATE}
        body = {"memory": memory, "defaults": defaults, "stacks": stacks, **spec}
        document = {"apiVersion": "reconciler/v1", "kind": "Host", "metadata": {"name": self.name}, "spec": body}
        return json.dumps(document, indent=1)

    def push_files(self, files: Mapping[str, str | bytes]) -> str:
        return self.repository.push(files)

    def revert(self, to: str) -> str:
        """A new commit with the files of `to`, as `git revert` of all commits after it would make. Returns the sha."""
        tree = self.repository.git("rev-parse", f"{to}^{{tree}}")
        return self.repository.set(self.repository.commit_tree(tree, "revert", self.repository.head()))

    def note(self, sha: str) -> Note | None:
        """The commit's note in the host's repository, or None."""
        ref = f"refs/notes/reconciler/{self.name}"
        if not self.repository.git("for-each-ref", ref):
            return None
        listed = self.repository.git("notes", f"--ref={ref}", "list").splitlines()
        if not any(line.endswith(sha) for line in listed):
            return None
        return Note(self.repository.git("notes", f"--ref={ref}", "show", sha))

    # -- the command line --------------------------------------------------------------------------------------

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "reconciler", "--config", str(self.config), "--output", "json", *arguments]

    def environment(self, **changes: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("RECONCILER_")}
        return {**kept, **changes}

    def run(self, *arguments: str, **environment: str) -> Answer:
        done = self._start(self.command(*arguments), environment)
        return self._answer(done.returncode, done.stdout, done.stderr)

    def text(self, *arguments: str) -> str:
        """The text that a command prints to stdout."""
        done = self._start([*self.command(*arguments), "--output", "text"], {})
        self.outputs += [done.stdout, done.stderr]
        return done.stdout

    def _start(self, command: list[str], environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, capture_output=True, text=True, timeout=self.patience, cwd=self.folder,
            env=self.environment(**environment), stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def _answer(self, code: int, stdout: str, stderr: str) -> Answer:
        self.outputs += [stdout, stderr]
        assert "Traceback" not in stderr, stderr
        if code == KILLED:
            return Answer(code, {}, stdout, stderr)
        document = json.loads(stdout)
        assert document["apiVersion"] == "reconciler/v1"
        return Answer(code, document, stdout, stderr)

    def once(self, **environment: str) -> Answer:
        return self.run("once", **environment)

    def plan(self, *arguments: str) -> Answer:
        return self.run("plan", *arguments)

    def validate(self, sha: str) -> Answer:
        return self.run("validate", "--commit", sha, "--git-dir", str(self.repository.folder))

    def status(self) -> Answer:
        return self.run("status")

    def history(self, *arguments: str) -> list[dict[str, Any]]:
        attempts: list[dict[str, Any]] = self.run("history", *arguments)["attempts"]
        return attempts

    def crash(self, n: int) -> Answer:
        """One turn that is killed at its n-th effect."""
        return self.once(RECONCILER_CRASH_AT=str(n))

    @contextmanager
    def started(self, *arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
        """A command in the background; killed at the end, if it still runs."""
        log = self.folder / f"output-{len(self.outputs)}"
        self.outputs.append("")
        with log.open("w") as out:
            process = subprocess.Popen(
                self.command(*arguments), stdout=out, stderr=out, stdin=subprocess.DEVNULL, text=True,
                env=self.environment(**environment), cwd=self.folder,
            )  # fmt: skip
            try:
                yield process
            finally:
                process.kill()
                process.wait()
        self.outputs.append(log.read_text())

    # -- the engine --------------------------------------------------------------------------------------------

    def containers(self) -> dict[str, dict[str, Any]]:
        """Name → inspected container of every stack of this host, stopped ones too."""
        listed = self.engine.containers(all=True, filters={"label": f"com.docker.compose.project={self.stack}"})
        found = {}
        for item in listed:
            try:
                answer = self.engine.inspect_container(item["Id"])
            except docker.errors.NotFound:
                continue
            found[answer["Name"].lstrip("/")] = answer
        return dict(sorted(found.items()))

    def container(self, service: str, number: int = 1) -> dict[str, Any]:
        return self.containers()[f"{self.stack}-{service}-{number}"]

    def ids(self) -> dict[str, str]:
        return {name: item["Id"] for name, item in self.containers().items()}

    def states(self) -> dict[str, str]:
        """Name of the container, without the stack's name → its state in the engine's words."""
        prefix = f"{self.stack}-"
        return {name.removeprefix(prefix): item["State"]["Status"] for name, item in self.containers().items()}

    def networks(self) -> dict[str, dict[str, Any]]:
        listed = self.engine.networks(filters={"label": f"com.docker.compose.project={self.stack}"})
        return {item["Name"]: self.engine.inspect_network(item["Id"]) for item in listed}

    def volumes(self) -> set[str]:
        listed = self.engine.volumes(filters={"label": f"com.docker.compose.project={self.stack}"})["Volumes"] or ()
        return {item["Name"] for item in listed}

    def machine(self) -> str:
        """Everything that the engine reports about this stack, as one text. Use services without health checks: their
        logs change by themselves."""
        return json.dumps([self.containers(), self.networks(), sorted(self.volumes())], sort_keys=True)

    def exec(self, container: str, script: str, user: str = "") -> str:
        """The output of a shell script inside a running container, named without the stack; it must exit 0.

        It may run twice: a busy engine sometimes closes the stream before it has sent the output.
        """
        command = ["sh", "-c", f"trap 'echo {SAID}' EXIT\n{script}"]
        for _ in range(5):
            made = self.engine.exec_create(f"{self.stack}-{container}", command, user=user)
            output = str(self.engine.exec_start(made["Id"]).decode()).rstrip()
            code = self.engine.exec_inspect(made["Id"])["ExitCode"]
            if output.endswith(SAID):
                break
        assert code == 0, f"exit {code}: {output}"
        assert output.endswith(SAID), "the engine lost what was said, five times"
        return output.removesuffix(SAID).strip()

    def close(self) -> None:
        """Remove everything that this host has made on the engine."""
        for stack in self.stacks:
            sweep(self.engine, stack)
        for repository in (f"{self.stack}-*", f"reconciler/{self.stack}-*"):
            for image in self.engine.images(filters={"reference": repository}):
                for tag in image["RepoTags"] or ():
                    self.engine.remove_image(tag, force=True)
        self.engine.close()


@contextmanager
def new_host(folder: Path, compose: Path, **settings: Any) -> Iterator[Host]:
    """A host with a name of its own, cleaned up afterwards."""
    host = Host(folder, compose, **settings)
    try:
        yield host
    finally:
        host.close()


def eventually(what: Callable[[], Any], seconds: float = 15.0, every: float = 0.05) -> Any:
    """The first true answer. `seconds`: on an idle machine; a busy one gets four times that."""
    deadline = time.monotonic() + BUSY * seconds
    while True:
        answer = what()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"not within {BUSY * seconds:g} s"
        time.sleep(every)
