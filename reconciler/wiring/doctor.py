"""The adapters of `doctor`. An agent never loads this module."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from reconciler import __version__, process
from reconciler.act.versions import Versions
from reconciler.act.visibility import seen
from reconciler.bootstrap.model import parse
from reconciler.confine import can_confine
from reconciler.decide.hardening.facts import Facts, read
from reconciler.decide.history.folding import fold
from reconciler.decide.read.parse import host_document
from reconciler.decide.redact import Redactor
from reconciler.decide.service.systemd import ENVIRONMENT_FILE
from reconciler.effects import Effects
from reconciler.engine import connect
from reconciler.environment import PRIVATE
from reconciler.errors import ReconcilerError, Transient
from reconciler.formats.packaged import packaged
from reconciler.model.checks import LogFacts
from reconciler.model.engine import HOST, Engine
from reconciler.model.outcome import Reason
from reconciler.model.service import ENGINE_READ
from reconciler.observe.binary import compose_version, find_compose
from reconciler.observe.endpoint import engine_host, folders, named_host, sockets
from reconciler.observe.login import login_of
from reconciler.observe.origin import foreign_owner, not_pushed
from reconciler.observe.reach import branch_head, engine_facts, log_facts, may_write, published
from reconciler.observe.remote import parse_remote
from reconciler.observe.secrets import SecretStore
from reconciler.observe.source import GitSource
from reconciler.record.journal import Journal
from reconciler.record.lock import holder
from reconciler.record.rendered import RenderedStore
from reconciler.settings import ADVISORY, OWNER, SAME_REPOSITORY, Settings
from reconciler.verbs import Answer, files
from reconciler.verbs.doctor import Doctor, Found, Probes
from reconciler.verbs.key import KEPT
from reconciler.verbs.security import Key
from reconciler.wiring.program import CURRENT, versions
from reconciler.wiring.reading import Reading
from reconciler.wiring.self_update import is_older, wish

DAEMON_JSON = Path("/etc/docker/daemon.json")
LOOKING = 60.0
"""Seconds that reading the state of ssh, firewall and fail2ban may take."""


def examine(settings: Settings, turn_file: str, scratch: Path, redactor: Redactor) -> Answer:
    """Make all checks. `turn_file`: the file in which a running agent publishes its turn; `scratch`: a temporary
    folder."""
    state = Path(settings.state)
    secrets = Path(settings.secrets_dir) if settings.secrets_dir else None
    probes = _Reading(settings, state.resolve(), secrets, turn_file, scratch, redactor).probes()
    return Doctor(state, secrets, probes, owner=settings.trust == OWNER, advisory=settings.budget == ADVISORY).examine()


def examine_security(settings: Settings, scratch: Path, redactor: Redactor) -> Answer:
    """Make the checks of `doctor --security`. `scratch`: a temporary folder."""
    from reconciler.verbs.security import SecurityProbes, examine

    probes = SecurityProbes(
        facts=_hardening,
        published=lambda: published(connect(engine_host(settings.engine, os.environ)), settings.adopt),
        state=Path(settings.state),
        keys=tuple(_keys(settings)),
        deploy_key=(lambda: _writes(settings, scratch, redactor)) if settings.source.key_file else None,
        pushes_notes=settings.notes_push is True,
    )
    return examine(probes)


def _writes(settings: Settings, scratch: Path, redactor: Redactor) -> bool:
    """Whether the deploy key could push. Transient if the source cannot be read."""
    source = settings.source
    owner = Path(source.key_file or "").stat().st_uid
    if owner != os.geteuid():
        told = f"{source.key_file} belongs to uid {owner}, and ssh uses no key that another account owns"
        raise Transient(Reason.FETCH_FAILED, told, f"sudo -u '#{owner}' reconciler doctor --security")
    remote = parse_remote(source.url, login_of(settings, redactor.register))
    branch_head(remote, source.branch, scratch / "read.git", os.environ)
    return may_write(remote, scratch / "write.git", os.environ)


def _hardening() -> Facts | None:
    """The state of the hardening; None on other systems than Linux with systemd. Transient if it cannot be read."""
    if sys.platform != "linux" or not Path("/run/systemd/system").is_dir():
        return None
    script = packaged("hardening/look.sh")
    done = process.run(["sh", "-s"], env=dict(os.environ), timeout=LOOKING, stdin=script, reason=Reason.USAGE_INVALID)
    return read(parse(done.stdout.decode(errors="replace")))


def _keys(settings: Settings) -> Iterator[Key]:
    """Files with secrets: those that the agent config names, and those with a fixed path."""
    source, forge, monitor = settings.source, settings.forge, settings.monitor
    named = [
        ("the deploy key", source.key_file),
        ("the deploy key", os.path.join(settings.state, KEPT)),
        ("the token of the source", source.token_file),
        ("the token of the forge", forge.token_file if forge else None),
        ("the token of the monitor", monitor.token_file),
        *(("the secret of webhooks", path) for path in monitor.webhooks.values()),
        ("the service's environment", ENVIRONMENT_FILE),
    ]
    yield from ((what, Path(path), PRIVATE) for what, path in dict.fromkeys(named) if path)
    if settings.path and (settings.notify or settings.heartbeat):
        # Its group is the agent's; members of that group are administrators.
        yield "the agent config, which has the keys of notifications,", Path(settings.path), 0o007
    folder = Path(settings.secrets_dir) if settings.secrets_dir else None
    if folder and os.access(folder, os.R_OK | os.X_OK):
        yield from (("the secret", path, PRIVATE) for path in sorted(folder.rglob("*")) if path.is_file())


class _Reading:
    """Adapters that read, each made when it is needed."""

    def __init__(
        self, settings: Settings, state: Path, secrets: Path | None, turn_file: str, scratch: Path,
        redactor: Redactor,
    ) -> None:  # fmt: skip
        self._settings, self._state, self._turn_file, self._scratch = settings, state, turn_file, scratch
        self._secrets, self._redactor = SecretStore(secrets), redactor
        self._journal = Journal(state / "journal.jsonl", Effects(), str)
        source = settings.source
        self._source = GitSource(
            source.url, source.branch, state / "mirror.git", environ=os.environ, effects=Effects(),
            login=login_of(settings, redactor.register),
        )  # fmt: skip

    def probes(self) -> Probes:
        remote, branch = self._source.remote, self._settings.source.branch
        return Probes(
            endpoint=lambda: self._engine,
            others=self._others,
            engine=lambda: engine_facts(self._engine),
            compose=self._compose,
            remote=lambda: branch_head(remote, branch, self._scratch / "mirror.git", os.environ),
            budget=self._budget,
            visible=self._visible,
            journal=lambda: len(self._journal.records()),
            secrets=self._secrets.values,
            lock=self._lock,
            kept=self._kept,
            forge=self._forge if self._settings.forge else None,
            engine_read=self._engine_read if self._reads else None,
            notify=self._notify if self._settings.notify or self._settings.heartbeat else None,
            version=self._version,
            confined=can_confine,
            logs=self._logs,
        )

    @property
    def _reads(self) -> bool:
        return ENGINE_READ in self._settings.beside

    @property
    def _engine(self) -> str:
        return engine_host(self._settings.engine, os.environ)

    def _others(self) -> list[str]:
        settings = self._settings
        if named_host(settings.engine, os.environ):
            return []
        return [url for url in sockets(os.environ) if url != self._engine]

    def _visible(self) -> Mapping[str, bool | None]:
        settings = self._settings
        own, granted = folders(settings.state, settings.secrets_dir, (bind.host for bind in settings.binds))
        return seen(connect(self._engine), own, granted)

    def _compose(self) -> tuple[str, tuple[int, int]]:
        path = find_compose(self._settings.compose, os.environ)
        return path, compose_version(path)

    def _kept(self) -> str | None:
        path = self._source.remote.path
        owner = foreign_owner(path) if path and self._settings.notes_push is None else None
        return not_pushed(path, owner) if path and owner is not None else None

    def _engine_read(self) -> Found:
        """Whether `engine-read` serves the sockets that are granted to services."""
        served = holder(self._state / "engine") is not None
        hint = "run `reconciler install` again: it makes `engine-read` a service (docs/engine-read.md)"
        return served, f"{'served' if served else 'nobody serves'} {self._state / 'engine'}", "" if served else hint

    def _forge(self) -> Found:
        """Whether the repository exists and the token may do what is configured; else why a delivery was refused."""
        from reconciler.report.answers import ForgeError, Refused, remedy
        from reconciler.wiring.reporting import ForgeReport

        forge = self._settings.forge
        assert forge is not None
        report = ForgeReport(self._settings, forge, False, self._state, os.environ, self._redactor)
        previews = (report.preview(),) if self._settings.preview == SAME_REPOSITORY else ()
        for channel in (*report.channels(fold(self._journal.records())), *previews):
            if channel.error:
                return False, channel.error, "see docs/reporting.md"
        where = f"{forge.kind}, {forge.repository} at {forge.api}"
        try:
            said = report.look()
            lacks = report.lacking()
        except ForgeError as error:
            hint = remedy(error, "reports", "to read the repository") if isinstance(error, Refused) else ""
            return False, error.message, hint or "see `report.forge` in the agent config, and whether the forge is up"
        if lacks:
            return False, "; ".join(lacks), "give the token what it lacks, or write a new one; see docs/reporting.md"
        return True, where + (f"; {said}" if said else ""), ""

    def _notify(self) -> Found:
        """Whether apprise is installed and understands the addresses, and whether the agent failed to deliver. Sends
        nothing."""
        from reconciler.formats.targets import shown
        from reconciler.wiring.notifying import Notifications

        settings = self._settings
        notifications = Notifications(settings, False, self._state, os.environ, self._redactor)
        for channel in notifications.channels():
            if channel.error:
                return False, channel.error, "see docs/notifications.md, and `reconciler notify test`"
        for target in settings.notify:
            found = notifications.courier.check(target.url)
            if not found.ok:
                return False, f"{shown(target.url)}: {found.message}", "see `notify` in the agent config"
        told = ", ".join(shown(target.url) for target in settings.notify) or "no targets"
        told += f"; heartbeat {shown(settings.heartbeat.url)}" if settings.heartbeat else ""
        path = settings.path
        seen = path is not None and Path(path).stat().st_mode & 0o077
        return True, told + (f"; other users can read {path}, which has their keys: chmod 600" if seen else ""), ""

    def _logs(self, engine: Engine) -> LogFacts:
        here = DAEMON_JSON if engine.machine == HOST and not engine.rootless else None
        return log_facts(connect(self._engine), self._settings.adopt, here)

    def _version(self) -> Found:
        """Whether this is the version that the branch asks for; if not, who takes it and when."""
        if not self._state.is_dir():
            return True, __version__, ""
        try:
            found = wish(Reading(self._settings, self._redactor, os.environ, Effects()))
        except ReconcilerError as error:  # another check is about this fault
            return None, f"{__version__}; which version the branch asks for is not known: {error.message}", ""
        told, by_hand = f"{__version__}; {found.message}", f"sudo reconciler upgrade {found.version}"
        if found.version in ("", __version__):
            return True, told, ""
        if is_older(found.version):
            return False, told, "change spec.agent.version of this host, or return to that version by hand"
        if not self._settings.self_update:
            return False, f"{__version__} runs, and the branch asks for {found.version}", by_hand
        if found.outcome == "Refused":
            return False, told, "sign the commit with a key that the agent config allows: git commit --amend -S, push"
        folder = versions()
        if found.outcome == "Unchanged" or folder is None:
            return True, told, ""
        shelf = Versions(folder, CURRENT, os.environ)
        failure = shelf.noted(shelf.place(shelf.find(found.version)))
        if failure is None:
            return True, f"{told}; the timer takes it within ten minutes", ""
        return (
            False,
            f"{told}; {failure.outcome}: {failure.message}",
            f"put a corrected wheel in its place, or {by_hand}",
        )

    def _budget(self) -> int | None:
        """The budget of last good, else of the head that was fetched last."""
        good = fold(self._journal.records()).last_good
        store = RenderedStore(self._state / "rendered", self._secrets.variables, self._secrets.fingerprint, Effects())
        stored = store.load(good.content) if good is not None and good.content else None
        if stored is not None:
            return stored.memory.budget
        head, settings = self._source.fetched(), self._settings
        if head is None:
            return None
        found, _ = host_document(self._source.files(head), settings.host, settings.source.path, settings.source.stack)
        return None if found is None else found.memory.budget

    def _lock(self) -> tuple[int | None, bool]:
        pid = holder(self._state)
        return pid, pid is not None and files.read(self._state / self._turn_file).get("pid") == pid
