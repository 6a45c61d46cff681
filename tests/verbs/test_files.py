"""A file that one process writes for others may be damaged; they must then read it as empty."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from reconciler.model.outcome import Intent, Reason
from reconciler.model.plan import Action
from reconciler.model.status import Holding, Rollout, Silence
from reconciler.verbs import files
from reconciler.verbs.agent import Progress
from reconciler.verbs.clock import SystemClock

HOLDING = Holding(Reason.STALLED, "the rollback failed, too", "look", 5.0)
SILENCE = Silence("Pull", Reason.PULL_FAILED, "nothing for 5 minutes", 6.0, True)
ROLLOUT = Rollout("1-aaaa", "a" * 40, Intent.ADVANCE, 1, 3, Action.PULL, "shop", None, 7.0)


@pytest.mark.parametrize(
    "content",
    [b"[" * 200_000, b'{"a":' * 200_000, b"", b"5", b"[]", b"\xff\xfe", b"\0" * 4096, b'{"head":', b"9" * 5000],
    ids=lambda content: content[:8].decode(errors="replace"),
)
def test_a_damaged_file_reads_as_empty(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "turn.json"
    path.write_bytes(content)
    assert files.read(path) == {}


def test_a_published_record_is_read_back(tmp_path: Path) -> None:
    progress = Progress(SystemClock(), holding=HOLDING, rollout=ROLLOUT, silence=SILENCE)
    progress.head, progress.fetched_at = "a" * 40, 8.0
    files.publish(tmp_path / "turn.json", files.progress_record(progress, 7, 4.0, "1.0"))
    record = files.read(tmp_path / "turn.json")
    assert (files.holding(record), files.rollout(record), files.silence(record)) == (HOLDING, ROLLOUT, SILENCE)
    assert (files.text(record, "head"), files.moment(record, "fetchedAt")) == ("a" * 40, 8.0)


@pytest.mark.parametrize("field", ["holding", "rollout", "silence"])
@pytest.mark.parametrize("value", [5, "x", [1], {}, {"reason": "Stalled"}, {"reason": []}, {"since": 1}])
def test_a_field_with_a_wrong_value_reads_as_none(field: str, value: Any) -> None:
    assert getattr(files, field)({field: value}) is None


@pytest.mark.parametrize("since", [-1, 1e18, float("inf"), "1", [], float("nan")])
def test_a_time_that_cannot_be_a_date_reads_as_none(since: Any) -> None:
    record = json.loads(json.dumps(files.progress_record(Progress(SystemClock(), holding=HOLDING), 7, 4.0, "1.0")))
    record["holding"]["since"] = record["fetchedAt"] = since
    assert files.holding(record) is None
    assert files.moment(record, "fetchedAt") is None
