"""Turns commits into desired states: reads, judges and lowers them, and writes their mounts to the disk."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from reconciler.errors import Transient
from reconciler.loop.lazy_files import LazyFiles
from reconciler.loop.ledger import Ledger
from reconciler.loop.options import Ports
from reconciler.loop.stall_watchdog import StallWatchdog
from reconciler.model.desired import DesiredState
from reconciler.model.documents import BindGrant, Grant, Memory
from reconciler.model.files import Files
from reconciler.model.outcome import Level, Reason, Violation

if TYPE_CHECKING:
    from reconciler.loop.prepare import Prepared


class States:
    """`judged`: the last judged commit, and the operator's entries that it uses (None: not known). `warned`: the same
    commit, and its warnings."""

    def __init__(self, ports: Ports, ledger: Ledger, watchdog: StallWatchdog, host: str) -> None:
        self._ports, self._ledger, self._watchdog, self._host = ports, ledger, watchdog, host
        self.judged: tuple[str, frozenset[Grant | BindGrant] | None] | None = None
        self.warned: tuple[str, tuple[Violation, ...]] = ("", ())

    def good(self) -> DesiredState | None:
        """The last good state, as it was applied; rendered again if the stored one is lost."""
        good = self._ledger.history.last_good
        if good is None:
            return None
        stored = self._ports.store.load(good.content) if good.content else None
        if stored is not None:
            return replace(stored, revision=good.revision)
        prepared = self.prepare(good.revision, vouched=True)  # a good commit without a host document was accepted
        if prepared.denied:
            raise Transient(
                Reason.FILE_MISSING,
                f"the stored model of {good.revision[:12]} is lost, and the commit is not admitted any more",
                "push a commit that is valid",
            )
        images = self._ports.images.local(prepared.wants)
        lost = next((want for want in prepared.wants if want.key not in images), None)
        if lost is not None:
            raise Transient(
                Reason.FILE_MISSING,
                f"the stored model of {good.revision[:12]} is lost, and so is its image {lost.ref}",
                f"bring the image back (`docker pull {lost.ref}`) or push a commit that is valid",
            )
        desired = self._ports.preparer.lower(prepared, images, good.revision)
        self.save(desired, prepared)
        return desired

    def nothing(self) -> DesiredState:
        """The empty desired state."""
        return DesiredState(self._host, "", "", Memory(), ())

    def prepare(self, revision: str, vouched: bool) -> Prepared:
        """A missing host document means "no stacks" once a person accepted the commit (`vouched`)."""
        from reconciler.loop.prepare import HOST_MISSING

        files = self.files(revision)
        prepared = self._ports.preparer.prepare(files)
        missing = prepared.denied and all(item.rule == HOST_MISSING for item in prepared.violations)
        prepared = self._ports.preparer.without_stacks(files) if missing and vouched else prepared
        self.judged = revision, prepared.used
        self.warned = revision, tuple(item for item in prepared.violations if item.level is Level.WARN)
        return prepared

    def files(self, revision: str) -> Files:
        """A commit's files. Transient if the mirror does not have the commit."""
        self._watchdog.begins(f"read commit {revision[:12]}", "git and Compose")
        try:
            return self._ports.source.files(revision)
        except KeyError:
            raise Transient(
                Reason.FILE_MISSING,
                f"the mirror does not have {revision[:12]} any more",
                "push the commit again, or a new one",
            ) from None

    def save(self, desired: DesiredState, prepared: Prepared) -> None:
        self._ports.store.save(desired, {source.document.name: source.model for source in prepared.sources})

    def write_trees(self, desired: DesiredState, files: Files | None = None) -> frozenset[str]:
        """Writes missing mounts before anything else, because the engine would make empty folders there. Returns their
        digests."""
        for folder, to in sorted(self._ledger.history.links.items()):  # outer ones first
            self._ports.applier.link(folder, to)
        if not desired.revision:
            return frozenset()
        return self._ports.applier.trees(desired, files or LazyFiles(self.files, desired.revision))

    def pin(self, name: str, revision: str) -> None:
        """Pin a commit in the mirror. This is only a second record: a failure stops nothing."""
        with suppress(KeyError, Transient):
            self._ports.source.pin(f"{self._host}/{name}", revision)

    def pin_bad(self, revision: str, content: str | None) -> None:
        """Pins a quarantined commit, in case the journal is lost."""
        self.pin(f"bad/{revision}/{content or 'refused'}", revision)
