"""The adapters for notifications and the heartbeat: their outbox in the acting process, and their published status."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from reconciler.decide.redact import Redactor
from reconciler.effects import Effects
from reconciler.model.alerts import FILE as ALERTS
from reconciler.model.alerts import STALE
from reconciler.model.history import History
from reconciler.model.status import Channel
from reconciler.report import notify_box as boxes
from reconciler.report.courier import Courier
from reconciler.report.notices import alerts_of, standing
from reconciler.report.notifier import Heard, Notifier, Wanted, channels
from reconciler.report.outbox import Outbox
from reconciler.report.watches import Teller
from reconciler.settings import Settings
from reconciler.verbs import files

FILE = "notifications.json"

POLLS = 2
"""Number of polls of the branch for which a fault of the environment must last, because a poll may fail by chance."""


class Notifications:
    """Made only if the agent config has `notify` or `heartbeat`. `output`: whether notices contain output of the
    commit's programs."""

    def __init__(
        self, settings: Settings, output: bool, state: Path, environ: Mapping[str, str], redactor: Redactor
    ) -> None:
        self._redactor, self._file = redactor, state / FILE
        self._alerts = state / ALERTS
        steady = POLLS * settings.source.interval
        teller = Teller(settings.host, steady, settings.log_lines, output)
        self.wanted = Wanted(settings.notify, settings.heartbeat, teller)
        self.courier = Courier(environ)
        self._box: boxes.NotifyBox | None = None
        self._outbox: Outbox[Heard] | None = None
        self._heard: Heard | None = None

    def outbox(self, stop: threading.Event) -> Outbox[Heard]:
        """The outbox; only for the holder of the state lock. Its writes do not count as effects of a turn."""
        file = boxes.NotifyFile(self._file, Effects())
        self._box = file.load(self.wanted.targets, time.time())
        notifier = Notifier(self._box, self.wanted, self.courier, file.save, self._clean, time.time)
        self._outbox = Outbox(notifier, stop, soon=0.0)
        return self._outbox

    def hear(self, history: History, document: Mapping[str, Any] | None) -> None:
        """Pass the journal's history and the Status document to the outbox, after each turn and step."""
        found = alerts_of(files.read(self._alerts), time.time(), STALE)
        heard = Heard(history, replace(standing(document), alerts=found))
        known = self._heard
        if self._outbox is None or (known and known.history is history and known.standing == heard.standing):
            return
        self._heard = heard
        self._outbox.hear(heard)

    def channels(self) -> tuple[Channel, ...]:
        return channels(self._box or boxes.read(self._file) or boxes.NotifyBox(), self.wanted)

    def _clean(self, text: str) -> str:
        return self._redactor.clean(text, multiline=True)
