"""pyinfra's operations through our connection, with a shell on this machine at its other end."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from reconciler.bootstrap.driver import ChangeFailed, Driver
from reconciler.bootstrap.machine import Machine, become_root
from reconciler.bootstrap.model import LOGIN, Change, Plan
from reconciler.bootstrap.run import Bootstrap
from reconciler.decide.redact import Redactor
from reconciler.errors import Usage
from reconciler.model.checks import Check
from reconciler.output import masked
from reconciler.process import Completed, run
from reconciler.record.text import bootstrap as text
from reconciler.record.text.layout import Style


class Here:
    """A connection to this machine. `path`: its $PATH."""

    def __init__(self, path: str = os.environ["PATH"]) -> None:
        self._path = path

    def run(self, argv: Sequence[str], *, timeout: float, stdin: bytes | None = None) -> Completed:
        return run(argv, env={"PATH": self._path, "HOME": "/nonexistent"}, timeout=timeout, stdin=stdin)


def driver() -> Driver:
    return Driver(Machine(Here(), "me", os.geteuid()), "here")


def put(path: Path, data: bytes) -> Change:
    given = {"data": data, "dest": str(path), "mode": "640", "create_remote_dir": False}
    return Change("file", f"Write {path}", "files.put", given, LOGIN)


def shell(command: str, needed: bool = True) -> Change:
    return Change("shell", "Call it", arguments={"commands": [command]}, account=LOGIN, needed=needed)


def test_a_change_is_shown_then_made_then_not_needed(tmp_path: Path) -> None:
    path, hands = tmp_path / "it's here", driver()
    change = put(path, b"one\ntwo\n")
    shown = hands.would(change).commands
    assert (shown[0], path.exists()) == (f"# write {path} (8 bytes)", False)
    assert hands.make(change).commands == shown
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"one\ntwo\n", 0o640)
    assert hands.make(change).commands == hands.would(change).commands == ()
    path.chmod(0o600)
    assert [command.split()[0] for command in hands.make(change).commands] == ["chmod"]
    assert hands.make(put(path, b"three")).commands[0].startswith("# write")
    assert sorted(item.name for item in tmp_path.iterdir()) == [path.name]


def test_the_error_of_a_failed_command_has_its_last_lines(tmp_path: Path) -> None:
    with pytest.raises(ChangeFailed) as caught:
        driver().make(shell(f"echo first; echo second >&2; touch {tmp_path}/x; exit 3"))
    assert caught.value.said == ("first", "second")
    with pytest.raises(ChangeFailed, match="nonexistent"):
        driver().make(put(tmp_path / "missing/file", b""))
    assert driver().make(shell("exit 3", needed=False)).commands == ()


def test_the_first_failure_ends_the_run_and_with_refusals_nothing_runs(tmp_path: Path) -> None:
    plan = Plan((put(tmp_path / "one", b"1"), shell("echo broken >&2; false"), put(tmp_path / "two", b"2")))
    work, told = Bootstrap("mini", driver(), lambda line: None), list[str]()
    code, document = work.rehearse(plan)
    assert (code, [item["state"] for item in document["changes"]]) == (0, ["planned"] * 3)
    code, document = work.run(plan, lambda made, done: told.append("after") or ())
    assert (code, document["outcome"], told) == (1, "failed", [])
    assert [item["state"] for item in document["changes"]] == ["made", "failed"]
    assert [(item["name"], item["ok"]) for item in document["checks"]] == [("shell", False)]
    assert document["checks"][0]["said"] == ["broken"]
    shown = text.bootstrap(masked(document, Redactor()), Style(), 0.0)
    assert [line.strip() for line in shown][:2] == ["shell  WRONG  Call it: failed", "broken"]
    assert sorted(item.name for item in tmp_path.iterdir()) == ["one"]
    refused = plan.then(Plan(refusals=(Check("disk", False, "full", "make room"),)))
    for code, document in (work.run(refused, lambda made, done: ()), work.rehearse(refused)):
        assert (code, document["changes"], document["checks"][0]["name"]) == (1, [], "disk")
    again = Plan(plan.changes[::2])
    assert work.run(again, lambda made, done: ())[1]["changes"][0]["commands"][0].endswith("two (1 bytes)")
    code, document = work.run(again, lambda made, done: (Check("turn", True, "Synced at 4f2c9e1"),))
    assert (code, document["outcome"], document["changes"]) == (0, "done", [])


def test_the_password_is_asked_for_once_and_is_never_input_of_a_script(tmp_path: Path) -> None:
    """The stand-in behaves like `sudo -k`: it reads one line, and gives the rest to the command."""
    sudo = tmp_path / "sudo"
    sudo.write_text(
        '#!/bin/sh\n[ "$1" = -n ] && { echo "a password is required" >&2; exit 1; }\n'
        'IFS= read -r word\n[ "$word" = secret ] || { echo "Sorry, try again." >&2; exit 1; }\n'
        'while [ "$1" != -- ]; do shift; done; shift; exec "$@"\n'
    )
    sudo.chmod(0o755)
    here, asked = Here(f"{tmp_path}:/usr/bin:/bin"), list[str]()
    machine = become_root(here, "me", 1000, "mini", lambda question: asked.append(question) or "secret")
    assert machine.run("cat", stdin=b"data").stdout == b"data"
    assert machine.run("cat").stdout == b""
    assert asked == ["password of me for sudo: "]
    with pytest.raises(Usage, match="Sorry, try again"):
        become_root(here, "me", 1000, "mini", lambda question: "wrong")
    with pytest.raises(Usage, match="nobody can be asked"):
        become_root(here, "me", 1000, "mini", None)
