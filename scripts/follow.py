"""Shows one commit's rollout to a person, until its final status is known; a part of scripts/demo.

Reads only what the reconciler promises to the outside: ``status.json`` and ``reconciler history``.
Asks the page for an answer all the while, and says for how long there was none.
Ends with 0 when the commit succeeded, 1 when it did not, 3 when nothing could be found out.
"""

import argparse
import http.client
import json
import os
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

WIDTH = 80
PATIENCE_SECONDS = 15 * 60
HEARTBEAT_SECONDS = 10
WORDS = {
    "Pull": "fetch image",
    "Build": "build image",
    "CreateNetwork": "create network",
    "ReplaceNetwork": "replace network",
    "CreateVolume": "create volume",
    "CreateContainer": "create",
    "StopContainer": "stop the old one",
    "StartContainer": "start",
    "RunOnce": "run once",
    "WaitHealthy": "wait until it is healthy",
    "JoinAlias": "take over the name",
    "UpdateContainer": "set restart policy",
    "RemoveContainer": "remove the old one",
    "RemoveNetwork": "remove network",
}


class Screen:
    """Lines of at most 80 columns, with the seconds since the push before each."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._last = self._start
        coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        self._codes = {"dim": "2", "bold": "1", "good": "32", "bad": "31"} if coloured else {}

    def line(self, text: str, style: str = "") -> None:
        """One line, cut at the right edge."""
        self._last = time.monotonic()
        stamp = f"  {self._last - self._start:5.1f} s  "
        text = text if len(stamp + text) <= WIDTH else text[: WIDTH - len(stamp) - 1] + "…"
        code = self._codes.get(style)
        print(stamp + (f"\033[{code}m{text}\033[0m" if code else text), flush=True)

    def block(self, text: str, style: str = "") -> None:
        """A text of several lines."""
        for part in textwrap.wrap(text, WIDTH - 12):
            self.line(part, style)

    def heartbeat(self, text: str) -> None:
        """Says that something still goes on, when nothing was said for a while."""
        if time.monotonic() - self._last > HEARTBEAT_SECONDS:
            self.line("… " + " ".join(text.split()), "dim")


class Page(threading.Thread):
    """Asks the page again and again, and adds up how long it did not answer."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._port = port
        self._ended = threading.Event()
        self._asked = 0
        self.missed = 0
        self.away = 0.0
        self.was_there = False

    def run(self) -> None:
        """Until ``end``; the time before the first answer does not count."""
        before = time.monotonic()
        while not self._ended.wait(0.25):
            answers = self._answers()
            now = time.monotonic()
            if not self._asked:
                self.was_there = answers
            elif self.was_there and not answers:
                self.missed += 1
                self.away += now - before
            self._asked += 1
            before = now

    def end(self) -> None:
        """Stops asking."""
        self._ended.set()
        self.join(timeout=3)

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=2)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


class Agent:
    """What the reconciler says about itself."""

    def __init__(self, command: list[str], state: Path, pid: int) -> None:
        self._command, self._status, self._pid = command, state / "status.json", pid

    def runs(self) -> bool:
        """Whether the process is still there."""
        try:
            os.kill(self._pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass
        return True

    def status(self) -> dict[str, Any]:
        """The status file, or nothing while there is none."""
        try:
            found = json.loads(self._status.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def verdict(self, revision: str) -> dict[str, Any] | None:
        """The attempt with the commit's one final status, once there is one."""
        answer = subprocess.run(
            [*self._command, "history", revision, "--output", "json"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=60,
            check=False,
        )
        try:
            attempts = json.loads(answer.stdout).get("attempts") or []
        except (ValueError, AttributeError):
            return None
        return next((one for one in attempts if one.get("revision") == revision and one.get("final")), None)


class Verdict(threading.Thread):
    """Asks for the verdict beside the watching, which must not miss a step meanwhile."""

    def __init__(self, agent: Agent, revision: str) -> None:
        super().__init__(daemon=True)
        self._agent, self._revision = agent, revision
        self.found: dict[str, Any] | None = None

    def run(self) -> None:
        """Until there is one. During a rollout there is none, so nothing is asked."""
        while self.found is None:
            if not self._agent.status().get("rollout"):
                self.found = self._agent.verdict(self._revision)
            time.sleep(1)


class Steps:
    """The steps of a rollout, each once, in words."""

    def __init__(self) -> None:
        self._shown: tuple[Any, ...] = ()
        self._switching = False
        self._back = False

    def next(self, rollout: dict[str, Any]) -> tuple[str, str] | None:
        """The text of a step that has just begun and the style of its line; nothing while it goes on."""
        action, number = rollout.get("action"), rollout.get("step") or 0
        now = (rollout.get("attempt"), rollout.get("intent"), number, action, rollout.get("service"))
        before, self._shown = self._shown, now
        if not action or now == before:
            return None
        # The rollback is counted anew, in the same attempt.
        if before[:1] == now[:1] and self._switching and number < before[2]:
            self._back = True
        self._switching = self._switching or action in ("StopContainer", "StartContainer")
        return self._words(rollout, action), "bad" if self._back else ""

    def _words(self, rollout: dict[str, Any], action: str) -> str:
        where = "/".join(part for part in (rollout.get("stack"), rollout.get("service")) if part)
        words = WORDS.get(action, action)
        if action == "WaitHealthy" and not where:
            words = "wait until all of it stays healthy together"
        words = f"going back: {words}" if self._back else words
        return f"{words:<37} {where}".rstrip()


def waiting_for(status: dict[str, Any], revision: str) -> str:
    """Why nothing goes on with the commit at the moment, where the agent says so."""
    if status.get("rollout") or not status.get("message"):
        return ""
    if (status.get("source") or {}).get("head") != revision or status.get("sync") == "Synced":
        return ""
    return f"{status.get('reason')}: {status['message']}"


def follow(agent: Agent, revision: str, screen: Screen) -> dict[str, Any] | None:
    """Prints each step as it begins; returns the final attempt."""
    verdict = Verdict(agent, revision)
    verdict.start()
    steps = Steps()
    doing = "the agent is looking at the commit"
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        status = agent.status()
        step = steps.next(status.get("rollout") or {})
        trouble = waiting_for(status, revision)
        if step:
            screen.line(*step)
            doing = step[0]
        elif trouble and trouble != doing:
            screen.block(trouble, "bad")
            doing = trouble
        if verdict.found:
            return verdict.found
        if not agent.runs():
            screen.line("the agent has ended; the end of its log says why", "bad")
            return None
        screen.heartbeat(doing)
        time.sleep(0.03)
    screen.line("no verdict in all this time; the agent's log says more", "bad")
    return None


def report(verdict: dict[str, Any], page: Page, screen: Screen) -> int:
    """The verdict and what it meant for the page."""
    good = verdict.get("outcome") == "Succeeded"
    screen.block(f"{verdict.get('outcome')}: {verdict.get('message')}", "good" if good else "bad")
    failure = verdict.get("failure") or {}
    why = failure.get("healthOutput") or "\n".join((failure.get("log") or [])[-1:])
    for line in why.strip().splitlines()[-3:]:
        screen.line(f"  {line}", "dim")
    if page.missed:
        screen.line(f"the page was away for {page.away:.1f} s (web holds a fixed port: the old", "dim")
        screen.line("container stops before the new one starts)", "dim")
    elif page.was_there:
        screen.line("the page answered all the while", "dim")
    return 0 if good else 1


def main() -> int:
    """The command line is scripts/demo's."""
    parser = argparse.ArgumentParser()
    for name in ("--reconciler", "--config", "--state", "--revision"):
        parser.add_argument(name, required=True)
    parser.add_argument("--pid", type=int, required=True)
    parser.add_argument("--port", type=int, required=True)
    wanted = parser.parse_args()
    screen = Screen()
    agent = Agent([wanted.reconciler, "--config", wanted.config], Path(wanted.state), wanted.pid)
    page = Page(wanted.port)
    page.start()
    verdict = follow(agent, wanted.revision, screen)
    page.end()
    return report(verdict, page, screen) if verdict else 3


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
