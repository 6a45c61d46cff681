"""The input of `plan` and `status`, from adapters that only read. Each function imports what only it needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from reconciler.record.lock import holder
from reconciler.settings import SAME_REPOSITORY
from reconciler.verbs import Answer
from reconciler.wiring.reading import TURN_FILE, Reading

if TYPE_CHECKING:
    from reconciler.loop.options import Ports
    from reconciler.loop.ports import Source
    from reconciler.model.documents import HostDocument
    from reconciler.model.status import StatusFacts


def plan(parts: Reading, revision: str | None, fetch: bool) -> Answer:
    """See `verbs.plan`."""
    from reconciler.verbs import plan as verb

    ports, trees = looking(parts, parts.source), partial(stored_trees, parts)
    return verb.plan(ports, parts.options, parts.journal.records(), trees, revision, fetch)


def looking(parts: Reading, source: Source) -> Ports:
    """Ports for a rehearsal. They change nothing."""
    from reconciler.loop.options import Ports
    from reconciler.loop.rehearsal import NO_HANDS, NO_VOICE
    from reconciler.observe.host_files import HostFiles
    from reconciler.record.requests import RequestBox

    return Ports(
        source=source,
        preparer=parts.preparer(parts.state / "render", parts.settings.host, True),
        store=parts.store,
        images=parts.images,
        observer=parts.observer,
        applier=NO_HANDS,
        reporter=NO_VOICE,
        requests=RequestBox(parts.state / "requests", parts.effects, read_only=True),
        clock=parts.clock,
        host_files=HostFiles(parts.host_paths),
        uses=parts.uses,
    )


def document_at(parts: Reading, revision: str) -> HostDocument | None:
    """This host's document in a commit that was fetched; None if it has none."""
    from reconciler.decide.read.parse import host_document

    source = parts.settings.source
    return host_document(parts.source.files(revision), parts.settings.host, source.path, source.stack)[0]


def stored_trees(parts: Reading) -> list[str]:
    """Digests of the stored mounts."""
    return [*(path.name for path in (parts.state / "trees").glob("*")), *parts.secrets.mounted()]


def facts(parts: Reading, record: Mapping[str, Any] | None = None) -> StatusFacts:
    """The input of `status`, except the engine's. `record`: the acting process's progress; by default, its published
    one."""
    from reconciler.model.status import Agent, Channel, Holding, SourceFacts
    from reconciler.verbs import files

    pid = holder(parts.state)
    record = files.read(parts.state / TURN_FILE) if record is None else record
    alive = pid is not None and record.get("pid") == pid
    agent = Agent(
        pid is not None,
        pid,
        files.text(record, "version") if alive else None,
        files.moment(record, "startedAt") if alive else None,
    )
    source = SourceFacts(
        parts.remote.shown,
        parts.settings.source.branch,
        files.text(record, "head"),
        files.moment(record, "fetchedAt"),
        files.text(record, "error"),
    )
    holding, trouble = files.holding(record), parts.secrets.trouble()
    if trouble is not None and not (holding and holding.message.endswith(trouble.message)):
        holding = Holding(trouble.reason, trouble.message, trouble.hint)
    found = parts.status.facts(agent, source, holding, files.rollout(record) if alive else None)
    channel = Channel(
        "notes",
        len(found.history.finals.keys() - found.history.told),
        found.history.told_at,
        record.get("notesError") or parts.notes[1],
    )
    silence, trust = files.silence(record) if alive else None, parts.settings.trust
    others = parts.forge.channels(found.history) if parts.forge else ()
    if parts.forge and parts.settings.preview == SAME_REPOSITORY:
        others = (*others, parts.forge.preview())
    notices = parts.notifications.channels() if parts.notifications else ()
    return replace(found, silence=silence, trust=trust, channels=(channel, *others, *notices))
