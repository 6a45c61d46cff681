"""The module that starts programs keeps its guarantees, with real processes."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler import process
from reconciler.confine import can_confine
from reconciler.errors import Transient
from reconciler.model.outcome import Reason

ENV = {"PATH": os.environ["PATH"]}


def shell(script: str, **options: object) -> process.Completed:
    return process.run(["sh", "-c", script], **{"env": ENV, "timeout": 20.0, **options})  # type: ignore[arg-type]


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def until(condition: Callable[[], bool], seconds: float = 40.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not come true in time"
        time.sleep(0.01)


def written(path: Path) -> int:
    until(lambda: path.exists() and path.read_text().endswith("\n"))
    return int(path.read_text())


def test_returns_code_and_both_streams() -> None:
    done = shell("echo out; echo err >&2; exit 3")
    assert done == process.Completed(3, b"out\n", b"err\n")


def test_environment_is_exactly_the_one_given() -> None:
    done = process.run(["env"], env={"PATH": ENV["PATH"], "ONLY": "this"}, timeout=20)
    assert sorted(done.stdout.decode().splitlines()) == ["ONLY=this", f"PATH={ENV['PATH']}"]


def test_without_stdin_the_program_reads_nothing() -> None:
    assert shell("cat").stdout == b""


def test_stdin_and_both_outputs_far_beyond_a_pipe_do_not_block() -> None:
    data = os.urandom(1 << 20) * 3
    done = shell("tee /dev/stderr", stdin=data)
    assert (done.stdout, done.stderr, done.cut) == (data, data, False)


def test_a_program_that_does_not_read_its_stdin_is_no_error() -> None:
    assert shell("exec true", stdin=b"x" * (1 << 20)).returncode == 0


def test_too_much_output_is_cut_and_said() -> None:
    done = shell("yes 0123456789 | head -c 300000; { yes x | head -c 300000; echo end; } >&2", limit=1000)
    assert done.returncode == 0
    assert done.cut
    assert done.stdout == (b"0123456789\n" * 91)[:1000]
    assert len(done.stderr) == 1000
    assert done.stderr.endswith(b"x\nend\n")


def test_output_of_exactly_the_limit_is_not_cut() -> None:
    done = shell("head -c 1000 /dev/zero", limit=1000)
    assert (len(done.stdout), done.cut) == (1000, False)


def test_endless_output_can_be_made_to_end_the_program() -> None:
    start = time.monotonic()
    done = shell("yes", limit=1 << 20, kill_when_cut=True)
    assert (done.returncode, done.cut, len(done.stdout)) == (-signal.SIGKILL, True, 1 << 20)
    assert time.monotonic() - start < 10


def test_timeout_kills_the_program_with_its_children(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    with pytest.raises(process.ProcessTimeout) as caught:
        shell(f"sleep 300 & echo $! > {pid}; echo waiting >&2; wait", timeout=3, reason=Reason.FETCH_FAILED)
    assert isinstance(caught.value, Transient)
    assert caught.value.reason is Reason.FETCH_FAILED
    assert caught.value.message == "sh did not end within 3 s and was killed"
    assert caught.value.details == ("waiting",)
    until(lambda: not alive(written(pid)))


def test_a_program_that_ignores_sigterm_dies_all_the_same() -> None:
    start = time.monotonic()
    with pytest.raises(process.ProcessTimeout):
        shell("trap '' TERM INT HUP; while :; do sleep 1; done", timeout=0.3)
    assert time.monotonic() - start < 5


def test_children_that_outlive_their_parent_are_killed_and_hold_nobody_up(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    start = time.monotonic()
    done = shell(f"sleep 300 & echo $! > {pid}; echo done")
    assert (done.returncode, done.stdout) == (0, b"done\n")
    assert time.monotonic() - start < 5
    until(lambda: not alive(written(pid)))


def test_a_program_that_closed_its_output_is_still_waited_for() -> None:
    assert shell("exec >&- 2>&-; sleep 0.3; exit 4").returncode == 4


def test_a_missing_program_is_said_with_the_callers_reason() -> None:
    with pytest.raises(process.ProcessMissing) as caught:
        process.run(["no-such-program"], env=ENV, timeout=5, reason=Reason.BUILD_FAILED)
    assert caught.value.reason is Reason.BUILD_FAILED
    assert "no-such-program" in caught.value.message
    assert "install no-such-program" in caught.value.hint


def test_path_of_the_given_environment_counts_not_ours(tmp_path: Path) -> None:
    with pytest.raises(process.ProcessMissing):
        process.run(["sh"], env={"PATH": str(tmp_path)}, timeout=5)


def test_a_missing_folder_to_start_in_is_a_transient_fault(tmp_path: Path) -> None:
    with pytest.raises(process.ProcessMissing, match="No such file"):
        shell("true", cwd=tmp_path / "nowhere")


def test_many_threads_at_once_get_their_own_output() -> None:
    results: dict[int, bytes] = {}

    def work(number: int) -> None:
        for _ in range(5):
            results[number] = shell(f"cat; echo {number}", stdin=b"x" * 100_000).stdout

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {number: b"x" * 100_000 + f"{number}\n".encode() for number in range(8)}


def test_no_file_descriptor_stays_open() -> None:
    gc.collect()  # what earlier tests have left is closed now, and not in between
    before = os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else []
    for _ in range(5):
        shell("echo x", stdin=b"y")
    after = os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else []
    assert len(after) <= len(before)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can tie a program's life to ours")
def test_the_program_dies_when_we_are_killed(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    code = f"""
        from reconciler import process
        process.run(["sh", "-c", "echo $$ > {pid}; exec sleep 300"], env={ENV!r}, timeout=300)
    """
    ours = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)])
    child = written(pid)
    assert alive(child)
    ours.kill()
    ours.wait()
    until(lambda: not alive(child))


def test_processor_time_is_counted() -> None:
    assert shell("sleep 0.2").seconds < 0.15
    assert shell("i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done").seconds > 0.02


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a parent bound its child")
def test_a_program_that_works_too_much_is_killed() -> None:
    done = shell("while :; do :; done", work=1)
    assert done.returncode == -signal.SIGKILL
    assert 0.5 < done.seconds < 2


def test_what_it_has_used_is_told_when_its_time_is_over() -> None:
    with pytest.raises(process.ProcessTimeout) as late:
        shell("sleep 5", timeout=0.3)
    assert late.value.seconds < 0.2
    with pytest.raises(process.ProcessTimeout) as late:
        shell("while :; do :; done", timeout=1.0)
    assert late.value.seconds > 0.05


def test_it_reads_only_what_it_is_allowed_and_others_read_as_before(tmp_path: Path) -> None:
    if not can_confine():
        pytest.skip("this kernel has no Landlock")
    (tmp_path / "in").mkdir()
    for path in (tmp_path / "in" / "file", tmp_path / "out"):
        path.write_text("text\n")
    allowed, refused = str(tmp_path / "in" / "file"), str(tmp_path / "out")
    argv = ["sh", "-c", 'cat "$0"; cat "$1"; sleep 0.2; cat "$0"', allowed, refused]
    running = process.begin(argv, env=ENV, readable=[str(tmp_path / "in"), str(tmp_path / "gone")])
    beside = process.begin(["cat", refused], env=ENV)
    done = running.finish(20)
    assert (done.returncode, done.stdout) == (0, b"text\ntext\n"), "the thread that started it lives as long"
    assert b"Permission denied" in done.stderr
    assert beside.finish(20).stdout == b"text\n"
    until(lambda: all(thread.name != "confined" for thread in threading.enumerate()))


def test_a_confined_program_that_cannot_start_is_told_like_any_other(tmp_path: Path) -> None:
    with pytest.raises(process.ProcessMissing):
        process.begin(["sh", "-c", "true"], env=ENV, cwd=tmp_path / "gone", readable=[])
