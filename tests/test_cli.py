"""The command line from outside: arguments, stdout, stderr and exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

HEAD = "b" * 40

APPLICATION = """
import sys, time
from loguru import logger
from reconciler import cli
from reconciler.errors import Interrupted, Locked, RolloutFailed, Transient
from reconciler.model.history import History
from reconciler.model.outcome import Failure, Outcome, Reason
from reconciler.model.requests import Answered, RequestVerb
from reconciler.record import summary

HEAD = "b" * 40

class Canned:
    def __init__(self, redactor, stop):
        self.redactor, self.stop = redactor, stop
        redactor.register(["canary-secret"])

    def answer(self, typed, tell):
        self.tell = tell
        return getattr(self, typed.verb.method)(typed)

    def validate(self, typed):
        said = repr((typed.DIR, typed.commit, typed.git_dir, typed.file, typed.policies, typed.grants))
        return 0, summary.validation([], None, None, [said])

    def plan(self, typed):
        {plan}

    def once(self, typed):
        progress = self.tell
        progress(f"timeout {{typed.timeout:g}}, canary-secret")
        {once}
        return 0, summary.turn(outcome=Outcome.SUCCEEDED, reason=None, message="canary-secret", effects=1,
                               duration=1, revision=HEAD)

    def run(self, typed):
        print("ready", flush=True)
        self.stop.wait(30)
        return 143, {{}}

    def status(self, typed):
        logger.warning("engine {{}} canary-secret {{}}", not typed.no_engine, "two\\nlines")
        time.sleep(30)

    def history(self, typed):
        return 0, summary.history([])

    def suspend(self, typed):
        return self.asked("suspend", "", f"{{typed.reason}} {{typed.seconds}} {{not typed.no_wait}}")

    def resume(self, typed):
        return self.asked("resume", "", str(not typed.no_wait))

    def retry(self, typed):
        return self.asked("retry", typed.REV, str(not typed.no_wait))

    def accept(self, typed):
        return self.asked("accept", typed.REV, str(not typed.no_wait))

    def asked(self, verb, revision, message):
        return 1, summary.request(Answered("1", RequestVerb(verb), False, 0.0, message, "do this", revision or None))

sys.exit(cli.main(build=lambda typed, redactor, stop: Canned(redactor, stop)))
"""


def environment(**changes: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RECONCILER_", "NO_COLOR"))}
    return kept | changes


def reconciler(*arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "reconciler", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment(**changes))


def program(plan: str = "raise KeyError('plan')", once: str = "pass") -> list[str]:
    return [sys.executable, "-c", textwrap.dedent(APPLICATION).format(plan=plan, once=once)]


def canned(
    *arguments: str, plan: str = "raise KeyError('plan')", once: str = "pass", **changes: str
) -> subprocess.CompletedProcess[str]:
    command = [*program(plan, once), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment(**changes))


def only_document(done: subprocess.CompletedProcess[str]) -> Any:
    document = json.loads(done.stdout)
    assert document["apiVersion"] == "reconciler/v1"
    return document


def test_version_and_help_need_nothing_else() -> None:
    assert reconciler("--version").stdout.startswith("reconciler 0.")
    shown = reconciler("--help")
    assert shown.returncode == 0
    for verb in ("validate", "plan", "once", "run", "status", "history", "suspend", "resume", "retry", "accept"):
        assert f"    {verb} " in shown.stdout


@pytest.mark.parametrize(
    ("typed", "says", "hint"),
    [
        ((), "no verb was given", "validate, plan, once, run"),
        (("stauts",), "there is no verb 'stauts'", "did you mean status?"),
        (("frobnicate",), "there is no verb 'frobnicate'", "reconciler --help"),
        (("status", "--no-engin"), "--no-engin is not known here", "did you mean --no-engine?"),
        (("plan", "extra"), "extra is not known here", "reconciler plan --help"),
        (("once", "--timeout", "soon"), "a duration is a number with a unit", "reconciler once --help"),
        (("history", "--limit", "0"), "'0' is not a number from 1", "reconciler history --help"),
        (("validate", ".", "--commit", "HEAD"), "DIR and --commit cannot be used together", "validate --help"),
        (("validate", "--git-dir", "x"), "--git-dir is only used with --commit", "validate --help"),
        (("suspend",), "the following arguments are required: --reason", "reconciler suspend --help"),
        (("suspend", "--reason", " "), "a reason has from 1 to 500 characters", "reconciler suspend --help"),
        (("suspend", "--reason", "x", "--for", "0s"), "--for must be positive", "reconciler suspend --help"),
        (("suspend", "--reason", "x", "--for", "99999999h"), "at most 100 years", "reconciler suspend --help"),
        (("retry",), "the following arguments are required: REV", "reconciler retry --help"),
        (("policy",), "no verb was given after policy", "one of unused; `reconciler policy --help`"),
        (("policy", "unsued"), "there is no verb 'policy unsued'", "did you mean policy unused?"),
        (("policy", "x"), "there is no verb 'policy x'", "reconciler policy --help"),
        (("polcy", "unused"), "there is no verb 'polcy'", "did you mean policy?"),
        (("policy", "unused", "--x"), "--x is not known here", "reconciler policy unused --help"),
        (("--output", "xml", "status"), "--output: invalid choice: 'xml'", "reconciler status --help"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_wrong_usage_is_told_with_a_suggestion(typed: tuple[str, ...], says: str, hint: str) -> None:
    done = reconciler(*typed)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
    assert hint in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_wrong_usage_is_one_json_document_where_json_was_asked_for() -> None:
    for typed in (("--output", "json", "stauts"), ("stauts", "--output=json")):
        done = reconciler(*typed)
        assert (done.returncode, done.stderr) == (2, "")
        assert only_document(done) == {
            "apiVersion": "reconciler/v1",
            "kind": "Error",
            "reason": "UsageInvalid",
            "message": "there is no verb 'stauts'",
            "hint": "did you mean status?",
            "details": [],
        }


def test_an_unknown_log_level_is_wrong_usage() -> None:
    done = canned("history", RECONCILER_LOG_LEVEL="LOUD")
    assert done.returncode == 2
    assert "RECONCILER_LOG_LEVEL is 'LOUD'" in done.stderr


def test_global_options_stand_before_or_after_the_verb() -> None:
    before, after = canned("--output", "json", "history"), canned("history", "--output", "json")
    assert only_document(before) == only_document(after)
    assert before.returncode == after.returncode == 0
    assert canned("--output", "json", "history", "--output", "text").stdout == canned("history").stdout


@pytest.mark.parametrize(
    ("typed", "asked"),
    [
        ((), (None, None, ".", None, "on", False)),
        (("--grants",), (None, None, ".", None, "on", True)),
        (("some/folder",), ("some/folder", None, ".", None, "on", False)),
        (("--commit", "HEAD~1"), (None, "HEAD~1", ".", None, "on", False)),
        (("--commit", "v1", "--git-dir", "/srv/x.git"), (None, "v1", "/srv/x.git", None, "on", False)),
        (
            ("--policies", "off", "--file", "a.yaml", "b.yaml", "--file", "c.yaml"),
            (None, None, ".", ["a.yaml", "b.yaml", "c.yaml"], "off", False),
        ),
    ],
)
def test_validate_is_asked_what_was_typed(typed: tuple[str, ...], asked: tuple[object, ...]) -> None:
    done = canned("validate", *typed, "--output", "json")
    assert only_document(done)["skipped"] == [repr(asked)]


@pytest.mark.parametrize(
    ("typed", "asked"),
    [
        (("suspend", "--reason", "a disk", "--for", "2h"), "a disk 7200.0 True"),
        (("suspend", "--reason", "canary-secret", "--no-wait"), "*** None False"),
        (("resume",), "True"),
        (("retry", "main", "--no-wait"), "False"),
        (("accept", HEAD), "True"),
    ],
)
def test_a_request_is_asked_as_it_was_typed(typed: tuple[str, ...], asked: str) -> None:
    done = canned(*typed, "--output", "json")
    document = only_document(done)
    assert (done.returncode, document["kind"], document["verb"], document["message"]) == (1, "Request", typed[0], asked)
    assert canned(*typed).stdout.splitlines()[-1] == "what to do: do this"


def test_text_is_for_people_and_masked() -> None:
    done = canned("once", "--timeout", "1m30s")
    assert done.stdout.splitlines() == ["timeout 90, ***", "bbbbbbb  Succeeded after 1s, 1 effect", "***"]
    assert (done.returncode, done.stderr) == (0, "")


def test_json_has_no_progress_and_is_masked() -> None:
    document = only_document(canned("once", "--output", "json"))
    assert (document["outcome"], document["message"]) == ("Succeeded", "***")


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        ("Locked(Reason.LOCKED, 'process 12 holds it', 'wait')", 75, "Locked"),
        ("Transient(Reason.FETCH_FAILED, 'no such branch', 'push it')", 3, "FetchFailed"),
        ("RolloutFailed(Failure(Reason.CRASHED, 'web exited'), 'look')", 1, "Crashed"),
        ("Interrupted(Reason.INTERRUPTED, 'asked to stop')", 143, "Interrupted"),
    ],
)
def test_an_expected_error_is_message_hint_and_exit_code(error: str, code: int, reason: str) -> None:
    told = canned("plan", plan=f"raise {error}")
    assert (told.returncode, told.stdout) == (code, "")
    assert told.stderr.startswith("error: ")
    assert "Traceback" not in told.stderr
    document = only_document(canned("plan", "--output", "json", plan=f"raise {error}"))
    assert (document["kind"], document["reason"]) == ("Error", reason)


def test_a_defect_says_so_and_shows_its_trace_only_on_request() -> None:
    done = canned("plan", plan="raise KeyError('canary-secret')")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("error: KeyError: '***'\nhint: this is a defect of reconciler")
    assert "Traceback" not in done.stderr
    loud = canned("plan", plan="raise KeyError('canary-secret')", RECONCILER_LOG_LEVEL="DEBUG")
    assert "Traceback" in loud.stderr
    assert "canary-secret" not in loud.stderr.replace("raise KeyError('canary-secret')", "")


def test_a_text_from_outside_cannot_steer_the_terminal_or_forge_a_line() -> None:
    nasty = r"'evil\x1b[2J\nerror: forged'"
    done = canned("plan", plan=f"raise Transient(Reason.FETCH_FAILED, {nasty})")
    assert "\x1b" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_output_is_utf8_whatever_the_locale() -> None:
    message = r"'gr\xf6\xdfer \udc80'"
    once = f"return 1, summary.turn(outcome=Outcome.HELD, reason=None, message={message}, effects=0, duration=0)"
    done = subprocess.run(
        [*program(once=once), "once", "--output", "json"],
        capture_output=True,
        timeout=60,
        env=environment(LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0"),
    )
    assert json.loads(done.stdout.decode("utf-8"))["message"].startswith("größer ")


def test_no_colour_without_a_terminal() -> None:
    assert "\x1b" not in canned("once", TERM="xterm").stdout


@pytest.mark.parametrize(
    ("typed", "changes", "colour"),
    [((), {}, True), (("--no-color",), {}, False), ((), {"NO_COLOR": "1"}, False), ((), {"TERM": "dumb"}, False)],
)
def test_colour_on_a_terminal_unless_switched_off(
    typed: tuple[str, ...], changes: dict[str, str], colour: bool
) -> None:
    namespace_owner, follower = os.openpty()
    child = subprocess.Popen(
        [*program(), "once", *typed],
        stdout=follower,
        stderr=subprocess.DEVNULL,
        env=environment(TERM="xterm") | changes,
    )
    assert child.wait(60) == 0
    os.close(follower)
    shown = b""
    with suppress(OSError):  # Linux tells the end in this way
        while part := os.read(namespace_owner, 65536):  # one read may return a part only
            shown += part
    os.close(namespace_owner)
    assert (b"\x1b[32mSucceeded" in shown) is colour


def test_a_reader_that_goes_away_ends_nothing() -> None:
    once = "[progress('line') for _ in range(20000)]; sys.stderr.write('done\\n')"
    with subprocess.Popen(
        [*program(once=once), "once"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    ) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.readline()
        child.stdout.close()
        assert child.stderr.read() == "done\n"
        assert child.wait(60) == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_behind_stdout_is_told() -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*program(), "history"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, env=environment()
        )
    assert done.stderr == "error: cannot write to stdout: No space left on device\n"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_run_ends_by_a_signal_in_its_own_time(number: int, code: int) -> None:
    with subprocess.Popen(
        [*program(), "run"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        child.send_signal(number)
        assert child.wait(10) == code
        assert child.stderr is not None
        assert child.stderr.read() == ""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_verb_that_changes_nothing_ends_at_once_by_a_signal(number: int, code: int) -> None:
    with subprocess.Popen(
        [*program(), "status"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    ) as child:
        assert child.stderr is not None
        logged = child.stderr.readline()
        child.send_signal(number)
        assert child.wait(10) == code
        assert child.stderr.read() == ""
    assert logged.rstrip().endswith("WARNING engine True *** two lines")


def test_an_interrupted_turn_ends_with_the_signals_code() -> None:
    once = (
        "sys.stderr.write('working\\n'); sys.stderr.flush(); self.stop.wait(30);"
        " return 143, summary.turn(outcome=Outcome.INTERRUPTED, reason=None, message='', effects=0, duration=1)"
    )
    with subprocess.Popen(
        [*program(once=once), "once", "--output", "json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as child:
        assert child.stderr is not None
        assert child.stdout is not None
        child.stderr.readline()
        child.send_signal(signal.SIGINT)
        assert json.loads(child.stdout.read())["outcome"] == "Interrupted"
        assert child.wait(10) == 130


def test_a_second_signal_does_not_wait() -> None:
    once = "print('working', flush=True); self.stop.wait(30); print('asked', flush=True); time.sleep(30)"
    with subprocess.Popen(
        [*program(once=once), "once"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline().startswith("timeout")
        for expected in ("working\n", "asked\n"):
            assert child.stdout.readline() == expected
            child.send_signal(signal.SIGTERM)
        assert child.wait(10) == 143


def test_verbs_other_than_validate_need_an_agent_config(tmp_path: Path) -> None:
    for verb in ("plan", "once", "run", "status", "history"):
        done = reconciler(verb, "--output", "json", RECONCILER_CONFIG=str(tmp_path / "none.yaml"))
        assert done.returncode == 2
        document = only_document(done)
        assert (document["kind"], document["reason"]) == ("Error", "UsageInvalid")
        assert "none.yaml" in document["message"]


def test_validate_does_without_an_agent_config_but_not_with_a_wrong_one(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text("services:\n  web: {image: nginx:1.27, privileged: true}\n")
    done = reconciler("validate", str(tmp_path), "--output", "json", HOME=str(tmp_path))
    document = only_document(done)
    assert (done.returncode, document["kind"], document["valid"]) == (1, "Validation", False)
    assert "privileged" in [item["rule"] for item in document["violations"]]
    named = reconciler("validate", str(tmp_path), "--config", str(tmp_path / "none.yaml"))
    assert named.returncode == 2
    assert "none.yaml" in named.stderr


EARLY = """
import os, signal, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "reconciler.cli":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
sys.argv = ["reconciler", "status"]
from reconciler.__main__ import main
main()
"""


def test_ctrl_c_before_anything_is_loaded_prints_no_trace() -> None:
    done = subprocess.run([sys.executable, "-c", EARLY], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (-signal.SIGINT, "")
