"""Sends notifications and the heartbeat, one errand after the other, in the thread of an outbox of their own."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol

from reconciler.decide.policy import LONGEST_SPREAD, spread_delay
from reconciler.errors import ReconcilerError, Transient
from reconciler.formats.targets import shown
from reconciler.log import logger
from reconciler.model.history import History
from reconciler.model.status import Channel
from reconciler.model.times import left
from reconciler.report.courier import Sent
from reconciler.report.notice_text import BODY, TITLE, TWICE, Text, inert, together
from reconciler.report.notices import Standing
from reconciler.report.notify_box import NotifyBox, keys
from reconciler.report.watches import Target, Teller, due, look, next_look, quiet_for, worst
from reconciler.settings import HeartbeatSettings, NotifySettings
from reconciler.values import dataclass

DEADLINE = 86400.0
"""Seconds after which a notice that cannot be delivered is given up."""

LONGEST = 300.0
"""Longest time in seconds between two looks while something waits. The clock of a wait stands still while the machine
sleeps, so longer waits would be late."""

NO_DISK = 60.0
"""Seconds until a box that could not be written is tried again."""

NOTIFICATIONS, HEARTBEAT = "notifications", "heartbeat"
"""Names of the channels."""

NEVER = float("inf")


@dataclass(frozen=True, slots=True)
class Heard:
    """Input for the thread: the journal's history, and the state of the host."""

    history: History
    standing: Standing


class Messenger(Protocol):
    def send(self, url: str, title: str, body: str, event: str) -> Sent: ...

    def fetch(self, url: str) -> Sent: ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """The settings of the agent config."""

    targets: Sequence[NotifySettings]
    heartbeat: HeartbeatSettings | None
    teller: Teller


class Notifier:
    """Not safe for threads: one at a time. `keep` makes the box durable; `clean` masks a whole text."""

    def __init__(
        self, box: NotifyBox, wanted: Wanted, messenger: Messenger, keep: Callable[[NotifyBox], None],
        clean: Callable[[str], str], now: Callable[[], float],
    ) -> None:  # fmt: skip
        self.box, self._wanted, self._messenger = box, wanted, messenger
        self._keep, self._clean, self._now = keep, clean, now
        self._targets = list(zip(keys(wanted.targets), wanted.targets, strict=True))

    def step(self, heard: Heard) -> float | None:
        """Do one errand, if one is due. Returns the seconds until the next call; 0: at once; None: not before there is
        news. A failing target or disk raises nothing."""
        time.tzset()  # somebody may have changed the machine's time zone, in which quiet hours are written
        at, waits = self._now(), [NEVER]
        for key, wanted in self._targets:
            target = self.box.targets[key]
            look(target, wanted, self._wanted.teller, heard.history, heard.standing, at)
            self._give_up(target, wanted, at)
            waits.append(next_look(target, wanted, self._wanted.teller) - at)
            wait = self._wait(target, wanted, at)
            if wait <= 0:
                return self._deliver(target, wanted, at)
            waits.append(wait)
        waits.append(self._beat(heard.standing, at))
        if not self._kept():
            waits.append(NO_DISK)
        wait = max(0.0, min(waits))
        return None if wait == NEVER else min(wait, LONGEST)

    def _wait(self, target: Target, wanted: NotifySettings, at: float) -> float:
        """Seconds until its next message may be sent."""
        if not target.items:
            return NEVER
        return max(left(target.next_at, at, LONGEST_SPREAD), quiet_for(wanted.quiet, at))

    # -- one message -------------------------------------------------------------------------------------------

    def _deliver(self, target: Target, wanted: NotifySettings, at: float) -> float:
        again = bool(target.sending or target.tries)
        before, target.sending = target.sending, due(target, at)
        try:
            self._keep(self.box)
        except Transient as error:
            target.sending = before
            target.next_at, target.error = at + NO_DISK, f"{error.message}. {error.hint}"
            return 1.0
        items = target.items[: target.sending]
        text = Text(items[0].title, items[0].body)
        if len(items) > 1:
            text = together(self._wanted.teller.host, [(item.at, item.title) for item in items])
        body = self._clean(f"{text.body}\n{TWICE}" if again else text.body)
        title = " ".join(inert(self._clean(text.title), TITLE).split())
        sent = self._messenger.send(wanted.url, title, inert(body, BODY), worst(items))
        if sent.ok:
            del target.items[: target.sending]
            target.sending, target.tries, target.next_at, target.error, target.lost = 0, 0, 0.0, "", ""
            target.delivered_at = self._now()
        else:
            self._failed(target, wanted, sent.message)
        self._kept()
        return 0.0

    def _failed(self, target: Target, wanted: NotifySettings, told: str) -> None:
        target.sending, target.tries = 0, target.tries + 1
        delay = spread_delay(target.tries, wanted.url)
        target.next_at = self._now() + delay
        level = "DEBUG" if target.error == told else "WARNING"
        target.error = self._clean(told)
        logger.log(level, "notify: {}: {}; next try in {:.0f} s", shown(wanted.url), target.error, delay)

    def _give_up(self, target: Target, wanted: NotifySettings, at: float) -> None:
        """Drop notices that a failing target has not accepted for a day."""
        late = sum(at - item.queued > DEADLINE for item in target.items) if target.tries else 0
        if late and not target.sending:
            del target.items[:late]
            target.lost = f"{late} given up after a day: {target.error}"
            logger.error("notify: {}: {}", shown(wanted.url), target.lost)

    # -- the heartbeat -----------------------------------------------------------------------------------------

    def _beat(self, standing: Standing, at: float) -> float:
        """Fetch the heartbeat's address, if it is due. Returns seconds until it is due again."""
        wanted, beat = self._wanted.heartbeat, self.box.beat
        if wanted is None or not standing.well:
            return NEVER
        passed = at - beat.tried_at
        if 0 <= passed < wanted.every:
            return wanted.every - passed
        sent = self._messenger.fetch(wanted.url)
        beat.tried_at = self._now()
        if sent.ok:
            beat.at, beat.error = beat.tried_at, ""
        else:
            told = self._clean(sent.message)
            level = "DEBUG" if beat.error == told else "WARNING"
            logger.log(level, "heartbeat: {}: {}", shown(wanted.url), told)
            beat.error = told
        return wanted.every

    def _kept(self) -> bool:
        try:
            self._keep(self.box)
        except ReconcilerError as error:
            logger.debug("notify: {}", error.message)
            return False
        return True


def channels(box: NotifyBox, wanted: Wanted) -> tuple[Channel, ...]:
    """The state of the channels, for `status` and `doctor`."""
    found = []
    if wanted.targets:
        named = zip(keys(wanted.targets), wanted.targets, strict=True)
        known = [(item.url, box.targets[key]) for key, item in named if key in box.targets]
        told = [(url, target.lost or target.error) for url, target in known]
        error = next((f"{NOTIFICATIONS}: {shown(url)}: {text}" for url, text in told if text), None)
        times = [target.delivered_at for _, target in known if target.delivered_at is not None]
        pending = sum(len(target.items) for _, target in known)
        found.append(Channel(NOTIFICATIONS, pending, max(times, default=None), error))
    if wanted.heartbeat is not None:
        error = f"{HEARTBEAT}: {shown(wanted.heartbeat.url)}: {box.beat.error}" if box.beat.error else None
        found.append(Channel(HEARTBEAT, 0, box.beat.at, error))
    return tuple(found)
