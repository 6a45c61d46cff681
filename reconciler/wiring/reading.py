"""Adapters that read, and the agent's own stores, for all verbs. Each is made when it is first used. Modules that only
some verbs need are imported in the methods, because `validate` and the hooks must be quick."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

from reconciler.decide.redact import Redactor
from reconciler.effects import Effects
from reconciler.engine import connect, load_without_ssh
from reconciler.errors import ReconcilerError, Usage
from reconciler.host_paths import HostPaths
from reconciler.later import later
from reconciler.model.documents import NOTHING_ALLOWED
from reconciler.model.outcome import Reason
from reconciler.observe.binary import find_compose
from reconciler.observe.endpoint import engine_host
from reconciler.observe.origin import foreign_owner, not_pushed
from reconciler.observe.remote import Remote, is_public, on_public_forge, parse_remote
from reconciler.observe.secrets import SecretStore
from reconciler.observe.signatures import Signers
from reconciler.ownership import STATE, require, require_contents
from reconciler.settings import ADVISORY, Settings, SourceSettings
from reconciler.verbs.clock import SystemClock

if TYPE_CHECKING:
    import docker

    from reconciler.loop.options import Options
    from reconciler.loop.ports import Images, Observer
    from reconciler.loop.prepare import Preparer
    from reconciler.observe.engine import EngineObserver
    from reconciler.observe.images import LocalImages
    from reconciler.observe.login import Login
    from reconciler.observe.source import GitSource
    from reconciler.record.journal import Journal
    from reconciler.record.rendered import RenderedStore
    from reconciler.record.requests import RequestBox
    from reconciler.record.seal import Seal
    from reconciler.record.uses import UseFile
    from reconciler.verbs.known import KnownAnswers
    from reconciler.verbs.status import StatusQueries
    from reconciler.wiring.notifying import Notifications
    from reconciler.wiring.reporting import ForgeReport

STATUS_FILE, TURN_FILE = "status.json", "turn.json"


class Reading:
    """`given`: the agent config, if there is one. `effects` counts what the stores write."""

    def __init__(
        self, settings: Settings | None, redactor: Redactor, environ: Mapping[str, str], effects: Effects
    ) -> None:
        self.given, self._redactor, self.environ, self.effects = settings, redactor, environ, effects
        self.clock = SystemClock()

    @property
    def settings(self) -> Settings:
        """The agent config. Usage if there is none."""
        if self.given is None:
            hint = "write /etc/reconciler/reconciler.yaml or use --config FILE"
            raise Usage(Reason.USAGE_INVALID, "there is no agent config", hint)
        return self.given

    @cached_property
    def secrets(self) -> SecretStore:
        folder = self.given.secrets_dir if self.given else None
        return SecretStore(Path(folder) if folder else None, self._redactor.register, self._seal)

    def _seal(self, digest: str) -> str:
        """The sealed digest; the digest itself without a state folder, because then nobody sees it."""
        return self.sealed(digest) if Path(self.settings.state).is_dir() else digest

    @cached_property
    def sealed(self) -> Seal:
        """The seal. Its key is made with the first state that has secrets; then it learns the digests of older
        versions."""
        from reconciler.decide.history.folding import fold
        from reconciler.record.seal import Seal

        def known() -> Iterator[str]:
            yield from fold(self.journal.records()).digests
            yield from self.store.digests()
            yield from self.secrets.mounted()

        return Seal(self.state / "seal.json", known)

    @cached_property
    def state(self) -> Path:
        """The state folder. Usage if others could change its content."""
        require(self.settings.state, STATE)
        found = Path(self.settings.state).resolve()
        require_contents(found, STATE)
        return found

    @cached_property
    def host_paths(self) -> HostPaths:
        state, secrets = str(self.state), self.settings.secrets_dir
        own = [f"{state}/trees", f"{state}/engine", *([f"{secrets}/.mounts"] if secrets else ())]
        writable = [bind.host for bind in self.settings.binds if not bind.read_only]
        readable = [bind.host for bind in self.settings.binds if bind.read_only]
        return HostPaths(f"{state}/data", own, writable, readable, [state, *([secrets] if secrets else ())])

    @property
    def folders(self) -> tuple[list[Path], list[Path]]:
        """Paths that containers must see: folders into which this process may write, and other paths."""
        from reconciler.observe.endpoint import folders

        return folders(self.settings.state, self.settings.secrets_dir, (bind.host for bind in self.settings.binds))

    @cached_property
    def compose(self) -> str:
        named = self.given.compose if self.given else self.environ.get("RECONCILER_COMPOSE")
        return find_compose(named, self.environ)

    @cached_property
    def engine(self) -> str:
        found = engine_host(self.settings.engine, self.environ)
        load_without_ssh(found)
        return found

    @cached_property
    def client(self) -> docker.APIClient:
        return connect(self.engine)

    @cached_property
    def observer(self) -> Observer:
        from reconciler.observe.quick import QuickObserver

        def full() -> EngineObserver:
            from reconciler.observe.engine import EngineObserver

            return EngineObserver(self.client, self.settings.host, self.engine)

        return cast("Observer", QuickObserver(self.engine, functools.cache(full)))

    @cached_property
    def source(self) -> GitSource:
        from reconciler.observe.source import GitSource

        source = self.settings.source
        mirror = self.state / "mirror.git"
        return GitSource(
            source.url,
            source.branch,
            mirror,
            environ=self.environ,
            effects=self.effects,
            signers=self.signers,
            login=self._login,
        )

    @cached_property
    def remote(self) -> Remote:
        """The source's address, without loading what reads it. Usage if the address must not be given to git."""
        return parse_remote(self.settings.source.url, self._login)

    @property
    def _login(self) -> Login:
        from reconciler.observe.login import login_of

        return login_of(self.settings, self.register)

    @cached_property
    def signers(self) -> Signers:
        source = self.given.source if self.given else SourceSettings("")
        keys, home = source.allowed_signers, source.gpg_home
        return Signers(Path(keys) if keys else None, Path(home) if home else None, self._accepted_at)

    def _accepted_at(self, sha: str) -> float:
        """The time at which a commit was first rolled out; else now, or the journal's newest time if the clock was set
        back."""
        if self.given is None:
            return self.clock.now()
        from reconciler.decide.history.acceptance import moment_of

        try:
            return moment_of(sha, self.journal.records(), self.clock.now())
        except (ReconcilerError, PermissionError):  # `validate` by a user who does not own the state folder
            return self.clock.now()

    @cached_property
    def notes(self) -> tuple[bool, str | None]:
        """Whether notes are pushed to the source; if nobody decided that and they are not pushed, the reason."""
        wanted, path = self.settings.notes_push, self.remote.path
        if wanted is not None or path is None:
            return bool(wanted), None
        owner = foreign_owner(path)
        return owner is None, None if owner is None else not_pushed(path, owner)

    @property
    def tells_output(self) -> bool:
        """Whether reports contain output of containers and builds."""
        wanted, forge = self.settings.container_output, self.settings.forge
        if wanted:
            return wanted == "all"
        return not (on_public_forge(self.remote) or (forge is not None and is_public(forge.api)))

    @cached_property
    def forge(self) -> ForgeReport | None:
        """Reports to the forge; None if no forge is configured, and then none of its modules is loaded."""
        settings = self.settings
        if settings.forge is None:
            return None
        from reconciler.wiring.reporting import ForgeReport

        return ForgeReport(settings, settings.forge, self.tells_output, self.state, self.environ, self._redactor)

    @cached_property
    def notifications(self) -> Notifications | None:
        """Notifications; None if none are configured, and then none of their modules is loaded."""
        settings = self.settings
        if not settings.notify and settings.heartbeat is None:
            return None
        from reconciler.wiring.notifying import Notifications

        return Notifications(settings, self.tells_output, self.state, self.environ, self._redactor)

    @cached_property
    def journal(self) -> Journal:
        from reconciler.record.journal import Journal

        return Journal(self.state / "journal.jsonl", self.effects, self._redactor.clean)

    @cached_property
    def requests(self) -> RequestBox:
        from reconciler.record.requests import RequestBox

        return RequestBox(self.state / "requests", self.effects)

    @cached_property
    def store(self) -> RenderedStore:
        from reconciler.record.rendered import RenderedStore

        return RenderedStore(self.state / "rendered", self.secrets.variables, self.secrets.fingerprint, self.effects)

    @cached_property
    def uses(self) -> UseFile:
        from reconciler.record.uses import UseFile

        return UseFile(self.state / "grants.json")

    @cached_property
    def images(self) -> Images:
        def local() -> LocalImages:
            from reconciler.observe.images import LocalImages

            return LocalImages(self.client)

        return later(local)

    @cached_property
    def status(self) -> StatusQueries:
        from reconciler.verbs.status import StatusQueries

        source, store, observer = (later(partial(getattr, self, name)) for name in ("source", "store", "observer"))
        return StatusQueries(self.settings.host, source, store, observer, self.journal, self.clock)

    def register(self, values: Sequence[str]) -> None:
        """Mask these values in all output from now on."""
        self._redactor.register(values)

    @cached_property
    def options(self) -> Options:
        """Options of the agent's behaviour, from its config."""
        from reconciler.loop.options import Options

        settings = self.settings
        return Options(
            settings.host,
            settings.source.interval,
            settings.source.require_fast_forward,
            adopt=settings.adopt,
            longest_stop=settings.longest_stop,
            hosts=self._hosts(),
            build_memory=settings.build.memory or 0,
            advisory=settings.budget == ADVISORY,
        )

    def _hosts(self) -> tuple[str, ...]:
        """Hosts that the agent must reach: the remote, and the proxies to it."""
        from reconciler.observe.routes import host_of

        proxies = [self.environ.get(name, "") for name in ("http_proxy", "https_proxy", "HTTPS_PROXY", "ALL_PROXY")]
        addresses = [self.remote.address, *proxies]
        return tuple(dict.fromkeys(host for address in addresses if (host := host_of(address))))

    def preparer(
        self,
        folder: Path,
        host: str,
        policies: bool,
        base: str | None = None,
        owner: bool = False,
        own_secrets: str | None = None,
    ) -> Preparer:
        """Judges commits; Compose runs in `folder`. `base`: instead of the configured path. `owner`: pushers are
        trusted, whatever the config says. `own_secrets`: instead of the configured secrets_dir."""
        from reconciler.decide.mounts.sources import Places
        from reconciler.loop.prepare import Preparer, Rules
        from reconciler.observe.render import ComposeRenderer

        settings = self.given
        state = str(Path(settings.state).resolve()) if settings else "/state"
        permissions = settings.permissions if settings else NOTHING_ALLOWED
        permissions = replace(permissions, owner=permissions.owner or owner)
        secrets = settings.secrets_dir if settings else None
        seal = self._seal if secrets else str
        store = self.secrets
        if own_secrets and own_secrets != secrets:
            secrets, store = own_secrets, SecretStore(Path(own_secrets), self._redactor.register)
        places = Places(f"{state}/trees", f"{state}/data", secrets, permissions.binds, seal, f"{state}/engine")
        rules = Rules(
            host=host,
            places=places,
            base=base if base is not None else settings.source.path if settings else "",
            stack=settings.source.stack if settings else "",
            permissions=permissions,
            policies=policies,
        )
        renderer = ComposeRenderer(self.compose, folder, store, named=self._redactor.spare)
        return Preparer(renderer, rules, self.signers.fingerprint)

    def known(self, *about: object) -> KnownAnswers:
        """Answers of `validate` that also depend on `about`. None are kept if they depend on secrets."""
        from reconciler.verbs.known import KnownAnswers, cache_folder, program

        given = self.given
        secret = given is not None and bool(given.secrets_dir or given.source.allowed_signers or given.source.gpg_home)
        rules = repr((given.host, given.source, given.permissions) if given else None)
        try:
            made_by = program(self.compose)
        except (ReconcilerError, OSError):  # it may not be needed
            return KnownAnswers(None, "")
        return KnownAnswers(None if secret else cache_folder(self.environ), f"{made_by} {about} {rules}")
