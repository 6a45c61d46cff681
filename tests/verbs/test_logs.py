"""Which lines of logs are shown, and in which order."""

from __future__ import annotations

import contextlib
import queue
import random
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from reconciler.commands import VERBS
from reconciler.decide.redact import Redactor
from reconciler.errors import NotFound, Usage
from reconciler.model.documents import LogBounds
from reconciler.model.log_levels import LEVELS, level_of
from reconciler.model.logs import LogLine, log_time
from reconciler.model.observed import Container
from reconciler.record.log_archive import LogArchive
from reconciler.verbs.log_export import export
from reconciler.verbs.log_keeper import LogKeeper
from reconciler.verbs.logs import AT_ONCE, WAITING, Logs, Wanted, _Waiting, masked, parted

BEGIN = 1_700_000_000.0
KEY = ["-----BEGIN RSA PRIVATE KEY-----", "MIIEow", "IBAAKC", "-----END RSA PRIVATE KEY-----"]


def line(service: str, at: float, text: str, container: str = "", stream: str = "stdout") -> LogLine:
    return LogLine(log_time(BEGIN + at), "shop", service, container or service * 64, stream, text)


def container(service: str, id: str = "") -> Container:
    return Container(id or service * 64, f"shop-{service}-1", "shop", service, 1, "running", host="mini")


class Printed:
    """Logs in memory. With `follow`, lines that are appended later are given, too."""

    def __init__(self, *lines: LogLine) -> None:
        self.lines = list(lines)
        self.there = [container(service) for service in dict.fromkeys(item.service for item in lines)]
        self.asked: list[tuple[str, int | None]] = []

    def open(
        self, item: Container, *, since: str = "", until: str = "", tail: int | None = None, follow: bool = False
    ) -> PrintedLog:
        self.asked.append((item.service, tail))
        own = [one for one in self.lines if one.container == item.id and one.time >= since]
        own = [one for one in own if not until or one.time <= until]
        return PrintedLog(own[-tail:] if tail else own)


class PrintedLog:
    def __init__(self, lines: Sequence[LogLine]) -> None:
        self._lines = lines

    def __iter__(self) -> Iterator[LogLine]:
        return iter(self._lines)

    def close(self) -> None: ...


def logs(printed: Printed, folder: Path, redactor: Redactor | None = None) -> Logs:
    clean = (redactor or Redactor()).clean_lines
    return Logs(lambda: printed.there, {("shop", "idle")}, printed.open, LogArchive(folder), clean)


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def texts(lines: Iterator[LogLine]) -> list[str]:
    return [item.line for item in lines]


def test_services_are_merged_by_time(tmp_path: Path) -> None:
    printed = Printed(line("a", 1, "a1"), line("b", 2, "b1"), line("a", 3, "a2"), line("b", 4, "b2"))
    found = logs(printed, tmp_path)
    assert texts(found.shown(Wanted())) == ["a1", "b1", "a2", "b2"]
    assert texts(found.shown(Wanted(["shop/b"]))) == ["b1", "b2"]
    assert texts(found.shown(Wanted(["shop"], since=BEGIN + 2, until=BEGIN + 3))) == ["b1", "a2"]
    assert texts(found.shown(Wanted(["shop/idle"]))) == []


def test_lines_of_one_message_stay_together(tmp_path: Path) -> None:
    trace = ["Traceback (most recent call last):", '  File "x.py"', "    x", "KeyError: 'x'"]
    printed = Printed(
        *(line("a", 1 + n * 0.001, text) for n, text in enumerate(trace)),
        *(line("b", 1.0005 + n * 0.001, f"b{n}") for n in range(3)),
        line("a", 1.5, "  later, and alone"),
        line("b", 1.4, "b3"),
    )
    assert texts(logs(printed, tmp_path).shown(Wanted())) == [*trace, "b0", "b1", "b2", "b3", "  later, and alone"]


def test_tail_counts_the_matching_lines_of_each_service(tmp_path: Path) -> None:
    printed = Printed(
        *(line(service, n, f"{service}{n} {'odd' if n % 2 else ''}") for n in range(9) for service in "ab")
    )
    found = logs(printed, tmp_path)
    assert texts(found.shown(Wanted(tail=1))) == ["a8 ", "b8 "]
    assert printed.asked == [("a", 1), ("b", 1)]
    assert texts(found.shown(Wanted(["shop/a"], tail=2, pattern=re.compile("odd")))) == ["a5 odd", "a7 odd"]


@pytest.mark.parametrize(("name", "hint"), [("shop/we", "shop/web"), ("web", "shop/web"), ("x", "reconciler status")])
def test_unknown_name_is_an_error_with_a_suggestion(tmp_path: Path, name: str, hint: str) -> None:
    with pytest.raises(NotFound) as told:
        logs(Printed(line("web", 1, "x")), tmp_path).shown(Wanted([name]))
    assert told.value.exit_code == 1
    assert hint in told.value.hint


@pytest.mark.parametrize(
    "text",
    ["99999999999h", "9999-12-31T23:59:59-23:00", "0001-01-01T00:00:00+23:00", "1969-01-01", "10m", "2026-11-29"],
)
def test_bound_of_time_can_be_written_however_far_away_it_is(text: str) -> None:
    [verb] = [verb for verb in VERBS if verb.name == "logs"]
    for name in ("--since", "--until"):
        [option] = [item for item in verb.options if item.name == name]
        assert "1970" <= log_time(option.more["type"](text)(BEGIN)) < "2985"


def test_secrets_are_masked_also_over_several_lines(tmp_path: Path) -> None:
    printed = Printed(*(line("a", n, text) for n, text in enumerate(["by canary-secret", *KEY, "after \x1b[2J it"])))
    shown = texts(logs(printed, tmp_path, Redactor(["canary-secret"])).shown(Wanted()))
    assert shown == ["by ***", *["*** private key ***"] * 4, "after  it"]


def test_text_that_only_begins_like_a_key_masks_no_more_lines_than_a_key_has() -> None:
    printed = [line("a", n, text) for n, text in enumerate([KEY[0], *["x"] * 250])]
    assert texts(masked(printed, Redactor().clean_lines)).count("x") == 50


def test_archived_and_live_lines_are_shown_together(tmp_path: Path) -> None:
    old = [line("a", n, f"old {n}", "1" * 64) for n in range(3)]
    printed = Printed(line("a", 5, "new"))
    LogArchive(tmp_path).keep(("shop", "a"), 1, "1" * 64, old)
    found = logs(printed, tmp_path)
    assert texts(found.shown(Wanted())) == ["new"]
    assert texts(found.shown(Wanted(previous=True))) == ["old 0", "old 1", "old 2"]
    assert texts(found.shown(Wanted(since=BEGIN + 1))) == ["old 1", "old 2", "new"]
    printed.there.clear()
    assert texts(found.shown(Wanted(["shop/a"], previous=True, tail=1))) == ["old 2"]


def test_archive_keeps_the_newest_files_of_a_service(tmp_path: Path) -> None:
    archive = LogArchive(tmp_path, lambda: LogBounds(keep=4))
    for n in range(7):
        archive.keep(("shop", "a"), 1, f"{n:064}"[::-1], [line("a", n, str(n))])
    kept = [texts(archive.read(path)) for path in archive.files(("shop", "a"))]
    assert kept == [[str(n)] for n in range(3, 7)]
    assert {path.stat().st_mode & 0o777 for path in archive.files(("shop", "a"))} == {0o600}


def test_long_lines_are_read_few_at_a_time() -> None:
    read: list[int] = []

    def endless() -> Iterator[LogLine]:
        for n in range(1000):
            read.append(n)
            yield line("a", n, "x" * 100_000)

    next(masked(endless(), Redactor().clean_lines))
    assert len(read) < 10
    assert len(next(parted(endless()))) < 10
    waiting = _Waiting(WAITING)
    rest = endless()
    with contextlib.suppress(queue.Full):
        while True:
            waiting.put(next(rest), block=False)
    assert len(read) < 150
    while not waiting.empty():
        waiting.get()
    assert waiting.qsize() == 0


def test_line_on_a_screen_is_cut_after_it_is_masked_and_searched(tmp_path: Path) -> None:
    printed = Printed(line("a", 1, "by canary-secret, the end"), line("a", 2, "short"))
    found = logs(printed, tmp_path, Redactor(["canary-secret"])).shown(Wanted(pattern=re.compile("end|s"), longest=8))
    assert texts(found) == ["by ***, …", "short"]


def test_archive_gives_up_in_time_also_in_few_long_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.record.log_archive.PATIENCE", 0.0)
    archive = LogArchive(tmp_path)
    archive.keep(("shop", "a"), 1, "1" * 64, (line("a", n, "x" * 100_000) for n in range(100)))
    [path] = archive.files(("shop", "a"))
    assert len(list(archive.read(path))) == 1


def test_archive_keeps_the_newest_lines_of_a_long_log(tmp_path: Path) -> None:
    noise = [line("a", n / 1000, random.Random(n).randbytes(100).hex()) for n in range(5000)]
    archive = LogArchive(tmp_path, lambda: LogBounds(size=200 << 10))
    archive.keep(("shop", "a"), 1, "1" * 64, noise)
    [path] = archive.files(("shop", "a"))
    found = list(archive.read(path))
    assert 50 << 10 < path.stat().st_size <= 200 << 10
    assert found == noise[-len(found) :]


@pytest.mark.parametrize("service", [".", "..", "a/../../b", "%2e%2e"])
def test_no_name_leads_out_of_the_archive(tmp_path: Path, service: str) -> None:
    folder = tmp_path / "logs"
    LogArchive(folder).keep(("shop", service), 1, "1" * 64, [line("a", 1, "x")])
    assert [path.name for path in tmp_path.iterdir()] == ["logs"]
    assert LogArchive(folder).services() == [("shop", service)]


def test_damaged_archive_is_read_up_to_the_damage(tmp_path: Path) -> None:
    archive = LogArchive(tmp_path)
    archive.keep(("shop", "a"), 1, "1" * 64, [line("a", n, str(n)) for n in range(2000)])
    [path] = archive.files(("shop", "a"))
    path.write_bytes(path.read_bytes()[:-500])
    found = texts(archive.read(path))
    assert found == [str(n) for n in range(len(found))]
    assert 100 < len(found) < 2000


def test_log_that_cannot_be_kept_does_not_prevent_a_removal(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("no folder")
    keeper = LogKeeper(lambda id: container("a", id), lambda item, most: iter([]), LogArchive(tmp_path / "logs"))
    keeper.keep("1" * 64)


def test_following_reads_no_faster_than_lines_are_taken(tmp_path: Path) -> None:
    """A service that prints without a pause must not fill the memory; its reader ends with the following."""
    read = 0

    class Endless(PrintedLog):
        def __iter__(self) -> Iterator[LogLine]:
            nonlocal read
            while True:
                read += 1
                yield line("a", 1 + read / 1e6, "x")

    printed = Printed(line("a", 1, "x"))
    found = Logs(lambda: printed.there, set(), lambda item, **how: Endless(()) if how.get("follow") else PrintedLog(()),
                 LogArchive(tmp_path), str)  # fmt: skip
    parts = found.follow(Wanted(), 0.02)
    before = {item.name for item in threading.enumerate()}
    assert sum(len(next(parts)) for _ in range(3)) > 0
    until(lambda: read >= WAITING)
    time.sleep(0.2)
    assert read <= WAITING + 4 * AT_ONCE
    parts.close()  # type: ignore[attr-defined]
    until(lambda: {item.name for item in threading.enumerate()} <= before)


def test_following_shows_new_lines_and_all_lines_of_new_containers(tmp_path: Path) -> None:
    printed = Printed(line("a", 1, "a1"), line("a", 2, "a2"))
    parts = logs(printed, tmp_path).follow(Wanted(tail=1), 0.02)
    assert texts(iter(next(parts))) == ["a2"]
    printed.lines += [line("a", 3, "a3"), line("a", 4, "new 1", "2" * 64), line("a", 5, "new 2", "2" * 64)]
    printed.there.append(container("a", "2" * 64))
    shown: list[str] = []
    while len(shown) < 3:
        shown += texts(iter(next(parts)))
    assert sorted(shown) == ["a3", "new 1", "new 2"]
    assert shown.index("new 1") < shown.index("new 2")
    parts.close()  # type: ignore[attr-defined]


def test_following_repeats_no_line_that_was_written_before_an_older_one(tmp_path: Path) -> None:
    printed = Printed(line("a", 2, "newer"), line("a", 1, "older", stream="stderr"))
    parts = logs(printed, tmp_path).follow(Wanted(), 0.02)
    assert texts(iter(next(parts))) == ["newer", "older"]
    printed.lines += [line("a", 4, "a4"), line("a", 3, "a3", stream="stderr")]
    shown: list[str] = []
    while "a3" not in shown:
        shown += texts(iter(next(parts)))
    shown += texts(iter(next(parts)))
    assert shown == ["a4", "a3"]
    parts.close()  # type: ignore[attr-defined]


LEVEL_CASES = {
    '2026-11-29 06:30:01.123 UTC [1] ERROR:  relation "x" does not exist': "error",
    "LOG:  database system is ready": "info",
    '{"level":50,"msg":"pino"}': "error",
    '{"level":"warn","msg":"x"}': "warning",
    'time=x level=error msg="a"': "error",
    "2026/11/29 06:30:01 [error] 31#31: *1 open() failed": "error",
    "E1129 06:30:01.1 main.go:1] glog": "error",
    "Traceback (most recent call last):": "error",
    "2026-11-29 06:30:01 | WARNING  | x:y - z": "warning",
    'INFO:     127.0.0.1:1 - "GET /error HTTP/1.1" 200 OK': "info",
    "npm WARN deprecated": "warning",
    "DEBUG 1": "debug",
    "GET /error 200": None,
    "the error was not found": None,
    "An ERROR_CODE=3": None,
}


@pytest.mark.parametrize("text", LEVEL_CASES)
def test_the_level_is_read_from_the_line(text: str) -> None:
    found = level_of(text)
    assert (None if found is None else LEVELS[found]) == LEVEL_CASES[text]


def test_lines_of_a_message_have_its_level_and_the_newest_are_counted_afterwards(tmp_path: Path) -> None:
    texts = ["ERROR: first", "  at once", "INFO: second", "plain", "ERROR: third"]
    printed = Printed(*(line("web", n, text) for n, text in enumerate(texts)))
    printed.lines[1] = LogLine(printed.lines[0].time, "shop", "web", "web" * 64, "stdout", "  at once")
    found = logs(printed, tmp_path).shown(Wanted(level="error", tail=3))
    assert [item.line for item in found] == ["ERROR: first", "  at once", "ERROR: third"]
    assert {tail for _, tail in printed.asked} == {None}
    (option,) = [item for verb in VERBS if verb.name == "logs" for item in verb.options if item.name == "--level"]
    assert option.more["choices"] == LEVELS


def test_an_export_has_a_file_for_each_service_and_replaces_nothing(tmp_path: Path) -> None:
    printed = Printed(line("web", 1, "a", stream="stderr"), line("db", 2, "b"), line("web", 3, "c"))
    folder = tmp_path / "report"
    code, document = export(folder, logs(printed, tmp_path / "archive").parts(Wanted()))
    assert (code, document["files"]) == (0, [{"name": "shop.db.log", "lines": 1}, {"name": "shop.web.log", "lines": 2}])
    times = [log_time(BEGIN + 1), log_time(BEGIN + 3)]
    assert (folder / "shop.web.log").read_text() == f"{times[0]} stderr a\n{times[1]} stdout c\n"
    assert folder.stat().st_mode & 0o777 == 0o700
    before = {path: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(Usage, match="exists already"):
        export(folder, iter([[line("web", 9, "new")]]))
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_export_that_is_broken_off_leaves_nothing_and_can_be_repeated(tmp_path: Path) -> None:
    def broken_off() -> Iterator[Sequence[LogLine]]:
        yield [line("web", 1, "a")]
        assert len(list(tmp_path.iterdir())) == 1
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(tmp_path / "report", broken_off())
    assert list(tmp_path.iterdir()) == []
    assert export(tmp_path / "report", iter([[line("web", 1, "a")]]))[0] == 0
    with pytest.raises(Usage, match="No such file"):
        export(tmp_path / "none" / "report", iter([]))


def test_no_two_services_share_a_file_of_an_export_and_no_name_leads_out_of_it(tmp_path: Path) -> None:
    names = [("a-b", "c"), ("a", "b-c"), ("a", "b.c"), ("a", "../../out"), ("..", "x")]
    lines = [LogLine(log_time(BEGIN), *name, "1" * 64, "stdout", "/".join(name)) for name in names]
    _, document = export(tmp_path / "report", iter([lines]))
    files = sorted(path.name for path in (tmp_path / "report").iterdir())
    assert files == sorted(item["name"] for item in document["files"])
    assert (len(files), [path.name for path in tmp_path.iterdir()]) == (len(names), ["report"])


def test_lines_of_two_streams_stay_in_their_order_when_they_are_masked_together() -> None:
    printed = [line("a", n, f"{n} canary-secret" if n % 7 else str(n), stream=("stdout", "stderr")[n % 3 == 0])
               for n in range(50)]  # fmt: skip
    for at_once in (1, 3, 500):
        found = list(masked(printed, Redactor(["canary-secret"]).clean_lines, at_once))
        assert [(item.time, item.stream) for item in found] == [(item.time, item.stream) for item in printed]
        assert [item.line for item in found] == [item.line.replace("canary-secret", "***") for item in printed]
