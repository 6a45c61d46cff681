"""The adapters of `preview`: the present machine, commits of pull requests, and the forge."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

from reconciler.decide.history.folding import fold
from reconciler.effects import Effects
from reconciler.errors import Transient, Usage
from reconciler.loop.ports import Source
from reconciler.loop.rehearsal import rehearse
from reconciler.model.files import Commit, Files
from reconciler.model.outcome import Reason
from reconciler.observe.login import login_of
from reconciler.observe.merge import merge
from reconciler.observe.mirror import Mirror
from reconciler.observe.remote import check_branch
from reconciler.observe.signatures import NOBODY_ASKED, Signers
from reconciler.observe.source import GitSource
from reconciler.report import preview_box
from reconciler.report.messages import State
from reconciler.report.preview import Verdict
from reconciler.report.pulls import Pull
from reconciler.settings import SAME_REPOSITORY
from reconciler.verbs import Answer
from reconciler.verbs.preview import NotAdmitted, Preview, Teller, verdict_of
from reconciler.wiring.reading import Reading
from reconciler.wiring.reporting import PREVIEW_FILE, ForgeReport
from reconciler.wiring.showing import looking, stored_trees
from reconciler.workspace import Workspace, only_one

FOLDER = "preview"
"""Folder of the state folder, for commits of pull requests. It is empty while nothing is judged."""

_LOCK = "preview.lock"
_LOWEST = 19
"""Niceness: a turn of the agent comes first."""


def judge_pulls(parts: Reading) -> Answer:
    """Judge all open pull requests once. Usage if the agent config does not ask for it."""
    if parts.settings.preview != SAME_REPOSITORY or parts.forge is None:
        hint = "write `report: {preview: {pull_requests: same-repository}}` into the agent config"
        raise Usage(Reason.USAGE_INVALID, "previews of pull requests are switched off", hint)
    os.nice(_LOWEST)
    with only_one(parts.state / _LOCK, "judges pull requests"), _folder(parts.state / FOLDER) as folder:
        path = parts.state / PREVIEW_FILE
        box = preview_box.load(path, parts.forge.settings.place)
        try:
            teller = _teller(parts.forge)
        except Usage as error:
            box.error = f"{error.message}. {error.hint}"
            preview_box.save(path, box)
            raise
        try:
            machine = Machine(parts, folder / "pulls.git")
            keep = partial(preview_box.save, path)
            return Preview(box, machine, teller, parts.settings.source.branch, keep, time.time).run()
        finally:
            teller.pulls.close()


class Machine:
    """Judges as `plan` does. `folder`: for a mirror that is deleted afterwards."""

    def __init__(self, parts: Reading, folder: Path) -> None:
        self._parts, self._folder = parts, folder
        Mirror(folder, parts.source.remote).prepare()
        known = parts.state / "mirror.git/objects"
        if known.is_dir():
            # Share the agent's objects, so that they are not fetched again.
            (folder / "objects/info/alternates").write_text(f"{known}\n", "utf-8")

    def busy(self) -> bool:
        last = fold(self._parts.journal.records()).last
        return last is not None and last.open

    def basis(self) -> str:
        history, settings = fold(self._parts.journal.records()), self._parts.settings
        good = history.last_good
        preparer = self._parts.preparer(self._parts.state / "render", settings.host, True)
        return repr((self._parts.source.fetched(), good and (good.revision, good.content), preparer.inputs()))

    def judge(self, pull: Pull) -> Verdict | None:
        try:
            source = self._source(check_branch(pull.branch), self._parts.signers)
        except Usage:
            raise NotAdmitted("the name of its branch cannot be given to git") from None
        head = source.fetch()
        if head.sha != pull.revision:
            return None
        refused = self._parts.signers.refusals(source.git, head.sha)
        if refused:
            raise NotAdmitted(refused[0].message)
        onto = self._parts.source.fetched()
        merged, conflicts = merge(source.git, onto, head.sha) if onto else (head.sha, ())
        if merged is None:
            named = ", ".join(conflicts[:5])
            return Verdict(State.FAILURE, f"it conflicts with {self._parts.settings.source.branch} in {named}")
        both = _Both(self._parts.source, self._source(pull.branch, NOBODY_ASKED))
        options = replace(self._parts.options, require_fast_forward=False)
        ports, commit = looking(self._parts, cast("Source", both)), both.commit(merged)
        found = rehearse(ports, options, self._parts.journal.records(), commit, partial(stored_trees, self._parts))
        return verdict_of(found, pull.revision, (onto or "") if merged != head.sha else "")

    def _source(self, branch: str, signers: Signers) -> GitSource:
        settings = self._parts.settings
        return GitSource(
            settings.source.url, branch, self._folder, environ=self._parts.environ, effects=Effects(), signers=signers,
            login=login_of(settings, self._parts.register),
        )  # fmt: skip


class _Both:
    """The agent's source, and the commits of a pull request in the same interface."""

    def __init__(self, real: GitSource, pulled: GitSource) -> None:
        self._real, self._pulled = real, pulled

    def commit(self, sha: str) -> Commit:
        try:
            return self._pulled.commit(sha)
        except KeyError:
            return self._real.commit(sha)

    def files(self, sha: str) -> Files:
        try:
            return self._pulled.files(sha)
        except (KeyError, Transient):
            return self._real.files(sha)

    def is_ancestor(self, old: str, new: str) -> bool:
        return self._pulled.is_ancestor(old, new)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


def _teller(forge: ForgeReport) -> Teller:
    from reconciler.report.forge import connect, web_of
    from reconciler.report.pulls import pulls_of

    settings, token, clean = forge.settings, forge.token(), forge.clean_line
    web = web_of(settings, token, clean)
    return Teller(
        settings.kind,
        forge.policy,
        pulls_of(settings.kind, web, settings.repository),
        lambda branch: connect(settings, token, clean, branch),
        forge.clean,
    )


@contextmanager
def _folder(parent: Path) -> Iterator[Path]:
    space = Workspace(parent)
    try:
        yield space.path
    finally:
        space.remove()
