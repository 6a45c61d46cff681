"""`logs` on the real engine: through a rollout, and of removed containers."""

from __future__ import annotations

import gzip
import json
from typing import Any

from tests.e2e.host import Host, eventually
from tests.e2e.services import FOREVER, service

CANARY = "canary-4711-secret"


def rows(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def talker(version: str, **more: Any) -> dict[str, Any]:
    """A service that prints its version and its secret. The pause is needed because the engine reads both streams at
    the same time, and may note the second line first."""
    return service(f'echo "begin {version} $SECRET"\nsleep 0.1\necho "to stderr {version}" >&2\n{FOREVER}', **more)


def shown(host: Host, *arguments: str) -> list[dict[str, Any]]:
    done = host._start(host.command("logs", *arguments), {})
    assert done.returncode == 0, done.stderr
    return rows(done.stdout)


def test_logs_continue_through_a_rollout_and_stay_after_the_container_is_removed(host: Host) -> None:
    (host.secrets / f"{host.stack}.env").write_text(f"SECRET={CANARY}\n")
    (host.secrets / f"{host.stack}.env").chmod(0o600)
    secret = {"environment": {"SECRET": "${SECRET}"}}
    host.push({"talk": talker("one", **secret), "quiet": service()})
    assert host.once().code == 0
    first = host.container("talk")["Id"]
    eventually(lambda: len(shown(host)) == 2)
    found = shown(host, f"{host.stack}/talk")
    assert {row["line"] for row in found} == {"begin one ***", "to stderr one"}
    assert {(row["stack"], row["service"], row["container"]) for row in found} == {(host.stack, "talk", first)}
    assert {row["stream"] for row in found} == {"stdout", "stderr"}

    with host.started("logs", "-f", f"{host.stack}/talk") as process:
        log = host.folder / f"output-{len(host.outputs) - 1}"
        eventually(lambda: len(log.read_text().splitlines()) == 2)
        host.push({"talk": talker("two", **secret), "quiet": service()})
        assert host.once().code == 0
        eventually(lambda: len(log.read_text().splitlines()) == 4)
        followed = rows(log.read_text())
        assert process.poll() is None
    second = host.container("talk")["Id"]
    assert [row["container"] for row in followed] == [first, first, second, second]
    assert {row["line"] for row in followed[2:]} == {"begin two ***", "to stderr two"}

    assert {row["line"] for row in shown(host)} == {"begin two ***", "to stderr two"}
    assert {row["container"] for row in shown(host, "--previous")} == {first}
    whole = shown(host, "--since", "1h", host.stack)
    assert [row["container"] for row in whole] == [first, first, second, second]
    assert [row["time"] for row in whole] == sorted(row["time"] for row in whole)
    assert [row["line"] for row in shown(host, "--since", "1h", "--grep", "begin one")] == ["begin one ***"]
    [kept] = host.state.rglob("*.gz")
    assert "begin one ***" in gzip.decompress(kept.read_bytes()).decode()
    text = host.text("logs", "--tail", "1")
    assert f"{host.stack}/talk |" in text


def test_failed_commit_leaves_its_log(host: Host) -> None:
    host.push({"web": service()})
    assert host.once().code == 0
    host.push({"web": service("echo why it fails >&2; exit 7", restart="no")})
    assert host.once().code == 1
    assert [row["line"] for row in shown(host, "--previous", f"{host.stack}/web")] == ["why it fails"]

    assert host.run("logs", "--since", "5s", "--until", "1h").code == 2
    answer = host.run("logs", f"{host.stack}/wbe")
    assert (answer.code, answer["kind"]) == (1, "Error")
    assert f"{host.stack}/web" in answer["hint"]
