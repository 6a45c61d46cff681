"""Delivers one message after the other, the newest commit first, at the times that the forge allows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from reconciler.decide.policy import LONGEST_SPREAD, spread_delay
from reconciler.errors import ReconcilerError, Transient, Usage
from reconciler.log import logger
from reconciler.model.history import History
from reconciler.model.times import left
from reconciler.report.answers import LONGEST_WAIT, Broken, ForgeError, Nowhere, Refused, Unreachable, remedy
from reconciler.report.box import Box, Entry
from reconciler.report.channels import pending
from reconciler.report.inert import shortened
from reconciler.report.messages import COMMENTS, STATUSES, Message, Policy
from reconciler.report.phrases import description
from reconciler.values import dataclass

DEADLINE = 86400.0
"""Seconds after which a message is given up."""

TRIES = 4
"""Tries of a message that the forge refuses for itself: the commit may not have arrived there yet."""

PLACES = 3
"""Searches for the pull request of a commit: Gitea knows it a second after the push."""

BROKEN = 3
"""Number of commits in a row with a 5xx answer, after which all others wait, too."""

REFUSED = 3600.0
"""Seconds until a refused token is tried again: somebody can add a scope to it on the forge."""

BLOCKED = 60.0
"""Seconds between two checks for a changed config or token, while these are refused."""

Keep = Callable[[Box], None]


class Forge(Protocol):
    """One repository on one forge. Each method raises errors of `report.answers`, or ValueError for an odd answer.

    `find_…` search for a message that may have arrived: they return its remote id, '' if it has not.
    """

    description: int
    """Longest description of a status, in characters."""
    scopes: Mapping[str, str]
    """Channel → the scope that the token needs for it, for people."""

    def look(self) -> str:
        """Ask for the repository; returns a note on the token, or ''."""

    def find_status(self, message: Message, text: str) -> str: ...

    def set_status(self, message: Message, text: str) -> None: ...

    def find_comment(self, revision: str, marker: str) -> str: ...

    def add_comment(self, revision: str, text: str) -> str: ...

    def edit_comment(self, revision: str, remote: str, text: str) -> None:
        """Replace the comment's text. KeyError if the comment is gone."""

    def find_deployment(self, message: Message) -> str: ...

    def add_deployment(self, message: Message, text: str) -> str: ...

    def set_deployment(self, message: Message, remote: str, text: str) -> None: ...

    def quiet(self) -> float:
        """Seconds for which the last answer asks us to send nothing."""

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Access:
    """`basis`: digest of config and token, on which the forge's answers depend. `forge` makes the client at first
    use."""

    basis: str
    forge: Callable[[], Forge]


class Delivery:
    """Not safe for threads: one at a time. `keep` makes the box durable; `clean` masks a whole text."""

    def __init__(
        self, box: Box, policy: Policy, access: Callable[[], Access], keep: Keep, clean: Callable[[str], str],
        now: Callable[[], float],
    ) -> None:  # fmt: skip
        self.box, self._policy, self._access, self._keep = box, policy, access, keep
        self._clean, self._now = clean, now
        self._broken: set[str] = set()

    def step(self, history: History) -> float | None:
        """Deliver the first due message, if there is one. Returns seconds until the next call is useful, 0 for at once;
        None: nothing is pending. Faults of a forge or a disk raise nothing."""
        waiting = pending(history, self._policy, self.box)
        now = self._now()
        for message in waiting:
            entry = self.box.entry(message.key)
            entry.due = entry.due or now
        waiting = [message for message in waiting if not self._expired(message, now)]
        if not waiting:
            return None
        if pause := left(self.box.paused_until, now, LONGEST_WAIT):
            return pause
        try:
            access = self._access()
        except Usage as error:
            self._unusable(error)
            return BLOCKED
        open_ = [message for message in waiting if not self._blocked(message, access.basis)]
        waits = [left(self.box.entry(message.key).next_at, now, LONGEST_SPREAD) for message in open_]
        if 0.0 in waits:
            return self._deliver(open_[waits.index(0.0)], access)
        return min([*waits, *([BLOCKED] if len(open_) < len(waiting) else [])])

    # -- pending messages --------------------------------------------------------------------------------------

    def _expired(self, message: Message, now: float) -> bool:
        entry = self.box.entry(message.key)
        if now - entry.due < DEADLINE or self.box.channel(message.channel).refused or entry.closed == message.digest:
            return False
        logger.error(
            "report: {} of {} is given up after a day: {}", message.channel, message.revision[:12], entry.error
        )
        entry.closed, entry.basis, entry.sending, entry.due = message.digest, "", "", 0.0
        self.box.channel(message.channel).lost = f"given up after a day, for {message.revision[:12]}: {entry.error}"
        self._kept()
        return True

    def _blocked(self, message: Message, basis: str) -> bool:
        """Whether the forge has refused it, or its whole channel, with this config and token."""
        channel, entry = self.box.channel(message.channel), self.box.entry(message.key)
        if channel.refused and channel.basis != basis:
            self._unblock(message.channel)
        if entry.closed == message.digest and entry.basis != basis:
            entry.closed = entry.basis = entry.error = ""
            entry.due, entry.tries, entry.next_at = self._now(), 0, 0.0
        blocked = bool(channel.refused and left(channel.next_at, self._now(), REFUSED))
        return blocked or entry.closed == message.digest

    def _unblock(self, name: str) -> None:
        """A message that has waited for another token gets its full time again."""
        channel = self.box.channel(name)
        channel.refused = channel.basis = ""
        for key, other in self.box.entries.items():
            if key.startswith(f"{name} ") and other.due:
                other.due, other.tries, other.next_at = self._now(), 0, 0.0

    # -- one message -------------------------------------------------------------------------------------------

    def _deliver(self, message: Message, access: Access) -> float:
        entry = self.box.entry(message.key)
        uncertain = bool(entry.sending) or (not entry.digest and message.at < self.box.since)
        before, entry.sending = entry.sending, message.digest
        try:
            self._keep(self.box)
        except Transient as error:
            entry.sending = before
            self._pause(f"{error.message}. {error.hint}", BLOCKED)
            return BLOCKED
        try:
            self._say(message, entry, access.forge(), uncertain)
        except ForgeError as error:
            self._failed(message, entry, error, access)
        except ReconcilerError as error:
            self._failed(message, entry, Broken(error.message), access)
        except ValueError as error:
            self._failed(message, entry, Broken(f"an unexpected answer: {error}"), access)
        else:
            self._arrived(message, entry)
        self.box.paused_until = max(self.box.paused_until, self._now() + access.forge().quiet())
        self.box.forget()
        self._kept()
        return 0.0

    def _say(self, message: Message, entry: Entry, forge: Forge, uncertain: bool) -> None:
        if message.channel == STATUSES:
            text = shortened(self._clean(description(message, self._policy.output)), forge.description)
            if not (uncertain and forge.find_status(message, text)):
                forge.set_status(message, text)
        elif message.channel == COMMENTS:
            self._comment(message, entry, forge)
        else:
            self._deployment(message, entry, forge)

    def _comment(self, message: Message, entry: Entry, forge: Forge) -> None:
        """Without an id in the outbox, the commit's comments are searched: another process may have made ours. A
        message that only edits makes a comment only if ours was removed."""
        from reconciler.report.comment import comment, marker  # not loaded by an agent without pending messages

        text = self._clean(comment(message, self._policy))
        remote = entry.remote or forge.find_comment(message.revision, marker(self._policy, message.revision))
        if remote:
            try:
                forge.edit_comment(message.revision, remote, text)
            except KeyError:
                remote = ""
            except Refused as error:
                if not error.for_all:
                    raise
                remote = ""  # somebody else's comment: our mark was copied, or the token now belongs to another user
        if remote or entry.remote or not message.edits:
            entry.remote = remote or forge.add_comment(message.revision, text)

    def _deployment(self, message: Message, entry: Entry, forge: Forge) -> None:
        text = shortened(self._clean(description(message, self._policy.output)), forge.description)
        if not entry.remote:
            entry.remote = forge.find_deployment(message)
            if message.edits and not entry.remote:
                return
            entry.remote = entry.remote or forge.add_deployment(message, text)
            self._keep(self.box)
        forge.set_deployment(message, entry.remote, text)

    def _done(self, message: Message, entry: Entry) -> None:
        entry.digest, entry.sending, entry.at = message.digest, "", message.at
        entry.due = entry.next_at = 0.0
        entry.tries, entry.error, entry.closed, entry.basis = 0, "", "", ""

    def _arrived(self, message: Message, entry: Entry) -> None:
        self._done(message, entry)
        channel = self.box.channel(message.channel)
        channel.delivered_at, channel.lost = self._now(), ""
        if channel.refused:
            self._unblock(message.channel)
        self.box.error, self.box.faults, self.box.paused_until = "", 0, 0.0
        self._broken.clear()

    # -- faults ------------------------------------------------------------------------------------------------

    def _failed(self, message: Message, entry: Entry, error: ForgeError, access: Access) -> None:
        told = self._clean(error.message)
        if isinstance(error, Unreachable):
            return self._pause(told, error.wait)
        entry.tries, entry.error = entry.tries + 1, told
        entry.next_at = self._now() + spread_delay(entry.tries, message.key)
        if isinstance(error, Nowhere):
            entry.sending = ""
            entry.error = ""
            if entry.tries >= PLACES:
                self._done(message, entry)
        elif isinstance(error, Refused):
            self._refused(message, entry, error, told, access)
        else:
            self._broken.add(message.revision)
            logger.log("WARNING" if entry.tries == 1 else "DEBUG", "report: {}; it is tried again", told)
            if len(self._broken) >= BROKEN:
                self._broken.clear()
                self._pause(told, None)
        return None

    def _refused(self, message: Message, entry: Entry, error: Refused, told: str, access: Access) -> None:
        """Report a refusal at once. If the token was refused, the message waits for another token; else it is tried a
        few times."""
        entry.sending = ""
        entry.error = f"{told}. {remedy(error, message.channel, access.forge().scopes.get(message.channel, ''))}"
        if error.for_all:
            channel = self.box.channel(message.channel)
            known, channel.refused = channel.refused, entry.error
            channel.basis, channel.next_at, entry.next_at = access.basis, self._now() + REFUSED, 0.0
            if known == entry.error:
                return
        elif entry.tries >= TRIES:
            entry.closed, entry.basis = message.digest, access.basis
        elif entry.tries > 1:
            return
        logger.warning("report: {} of {} is refused: {}", message.channel, message.revision[:12], entry.error)

    def _unusable(self, error: Usage) -> None:
        told = f"{error.message}. {error.hint}"
        if told != self.box.error:
            self.box.error = told
            logger.warning("report: {}", told)
            self._kept()

    def _pause(self, told: str, wait: float | None) -> None:
        """All messages wait: as long as the forge asks, else by the backoff."""
        self.box.faults += 1
        delay = spread_delay(self.box.faults, self._policy.host) if wait is None else wait
        self.box.paused_until = self._now() + delay
        level = "DEBUG" if self.box.error == told else "WARNING"
        self.box.error = told
        logger.log(level, "report: {}; next try in {:.0f} s", told, delay)

    def _kept(self) -> None:
        try:
            self._keep(self.box)
        except ReconcilerError as error:
            logger.debug("report: {}", error.message)
