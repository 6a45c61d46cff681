"""The agent config of one host as frozen values."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Mapping
from dataclasses import field
from typing import Any

from reconciler.formats.quantities import seconds, size
from reconciler.model.documents import LONGEST_STOP, BindGrant, Grant, Permissions, Pin
from reconciler.values import dataclass

LOG_LINES = 20
"""Lines of a failed service's log in a report, by default."""

SAME_REPOSITORY = "same-repository"
"""Value of `preview`: judge pull requests whose branch is in the repository itself."""

STRANGERS = "strangers"
ENFORCED, ADVISORY = "enforced", "advisory"
"""Values of `budget`: whether commits are held if the engine enforces no memory limits."""

OWNER = "owner"
"""Value of `trust` if only the operator can push."""


@dataclass(frozen=True, slots=True)
class BuildSettings:
    """Limits of one build. `memory` in bytes, None: no limit; `time` in seconds.

    `network`: `none`, or `default`: a network of its own, from which others can be reached.
    """

    memory: int | None = None
    time: float = 1800.0
    network: str = "default"


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """The watched repository. `interval` in seconds; `path` and `stack` are '' if not set. `username`: goes with the
    token of `token_file`."""

    url: str
    branch: str = "main"
    path: str = ""
    stack: str = ""
    interval: float = 30.0
    require_fast_forward: bool = True
    allowed_signers: str | None = None
    gpg_home: str | None = None
    token_file: str | None = None
    username: str | None = None
    ca_file: str | None = None
    key_file: str | None = None
    known_hosts_file: str | None = None


@dataclass(frozen=True, slots=True)
class ForgeSettings:
    """The forge for reports. `api`: without a slash at its end; `token_file` None: the token is in the environment."""

    kind: str
    api: str
    repository: str
    token_file: str | None = None
    ca_file: str | None = None

    @property
    def place(self) -> str:
        """The repository on the forge. Ids of comments mean nothing elsewhere."""
        return f"{self.api} {self.repository}"


@dataclass(frozen=True, slots=True)
class MonitorSettings:
    """Settings of the monitor. `listen`: `host:port`, IPv6 addresses in brackets. `webhooks`: forge → file of its
    secret. `textfile`: folder into which the metrics are also written as a file."""

    listen: str = "127.0.0.1:9464"
    token_file: str | None = None
    webhooks: Mapping[str, str] = field(default_factory=dict)
    textfile: str | None = None

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.listen.rpartition(":")
        return host.strip("[]"), int(port)


@dataclass(frozen=True, slots=True)
class NotifySettings:
    """One target of notifications. `url` is secret. `on`: events; `quiet`: hours like 23:00-07:00, or ''.

    `reminder` and `hold_off` in seconds; `reminder` 0: none.
    """

    url: str
    on: tuple[str, ...] = ("failure", "recovered", "degraded", "stalled", "held", "budget", "alert", "environment")
    quiet: str = ""
    reminder: float = 86400.0
    hold_off: float = 30.0


@dataclass(frozen=True, slots=True)
class HeartbeatSettings:
    """An address that is fetched every so many seconds while all is well. `url` is secret."""

    url: str
    every: float = 300.0


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of the operator. Paths are absolute. `path` is the config file, None if there is none.

    `container_output` ("all", "none"): whether reports contain it; None: depends on the source's host.
    `notes_push` None: push if the source is a path on this machine.
    `forge` None: no forge gets reports. `comments`: failures, changes, all or none. `heartbeat` None: none.
    `preview`: which pull requests are judged, none or same-repository. `monitored`: the config has `monitor`.
    `self_update`: signed commits may choose the version of this program.
    """

    host: str
    source: SourceSettings
    state: str
    secrets_dir: str | None = None
    engine: str | None = None
    compose: str | None = None
    trust: str = STRANGERS
    budget: str = ENFORCED
    grants: tuple[Grant, ...] = ()
    binds: tuple[BindGrant, ...] = ()
    adopt: tuple[str, ...] = ()
    longest_stop: float = LONGEST_STOP
    address_pool: tuple[str, ...] = ()
    notes_push: bool | None = None
    log_lines: int = LOG_LINES
    container_output: str | None = None
    build: BuildSettings = BuildSettings()
    forge: ForgeSettings | None = None
    statuses: bool = True
    comments: str = "changes"
    deployments: bool = False
    monitor: MonitorSettings = field(default_factory=MonitorSettings)
    notify: tuple[NotifySettings, ...] = ()
    heartbeat: HeartbeatSettings | None = None
    preview: str = "none"
    path: str | None = None
    monitored: bool = False
    self_update: bool = False

    @property
    def beside(self) -> tuple[str, ...]:
        """Verbs that the agent config asks to run as services beside the agent."""
        from reconciler.formats.engine_read import FOLDERS
        from reconciler.model.service import ENGINE_READ, MONITOR

        reads = any(item.policy in FOLDERS.values() for item in self.grants)
        return (*((MONITOR,) if self.monitored else ()), *((ENGINE_READ,) if reads else ()))

    @property
    def permissions(self) -> Permissions:
        """The rules by which commits are judged."""
        signed = bool(self.source.allowed_signers or self.source.gpg_home)
        own = (self.state, self.secrets_dir, self.path)
        return Permissions(
            self.grants,
            self.binds,
            self.trust == OWNER,
            signed,
            tuple(item for item in own if item),
            self.longest_stop,
            self.address_pool,
        )


def load_settings(
    config: str | None, environ: Mapping[str, str], *, state: str | None = None, cwd: str | None = None
) -> Settings:
    """Read the agent config.

    `config` is the file of `--config`, `state` the folder of `--state` (both relative to `cwd`). Without `config`:
    $RECONCILER_CONFIG, ~/.config/reconciler/reconciler.yaml, /etc/reconciler/reconciler.yaml; never the working folder.
    No file is needed if the environment has all required values. Usage names every mistake with its place.
    """
    from reconciler.agent_config import read_config

    found = read_config(config, environ, state, cwd or os.getcwd())
    return _settings(found.values, environ, found.path)


def stored_settings(values: Mapping[str, Any]) -> Settings:
    """Settings from the result of `dataclasses.asdict`, possibly through JSON."""
    nested = {
        "source": SourceSettings(**values["source"]),
        "grants": tuple(Grant(**_frozen(item)) for item in values["grants"]),
        "binds": tuple(BindGrant(**_frozen(item)) for item in values["binds"]),
        "adopt": tuple(values["adopt"]),
        "address_pool": tuple(values["address_pool"]),
        "build": BuildSettings(**values["build"]),
        "forge": ForgeSettings(**values["forge"]) if values["forge"] else None,
        "monitor": MonitorSettings(**values["monitor"]),
        "notify": tuple(NotifySettings(**_frozen(item)) for item in values["notify"]),
        "heartbeat": HeartbeatSettings(**values["heartbeat"]) if values["heartbeat"] else None,
    }
    return Settings(**{**values, **nested})


def _frozen(item: Mapping[str, Any]) -> dict[str, Any]:
    """Lists of JSON as tuples, and the pin as its class."""
    frozen: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in item.items()}
    return frozen | ({"pin": Pin(**_frozen(item["pin"]))} if item.get("pin") else {})


def _settings(values: Mapping[str, Any], environ: Mapping[str, str], path: str | None) -> Settings:
    from reconciler.config_checks import absolute

    grants, binds = _allowed(values)
    report = values.get("report", {})
    return Settings(
        host=values["host"],
        source=_source(values["source"], environ),
        state=absolute(values["state"], environ) or "",
        secrets_dir=absolute(values.get("secrets_dir") or "", environ),
        engine=values.get("engine") or None,
        compose=absolute(values.get("compose") or "", environ),
        trust=values.get("trust", STRANGERS),
        budget=values.get("budget", ENFORCED),
        grants=grants,
        binds=binds,
        adopt=tuple(values.get("adopt", ())),
        longest_stop=seconds(values["max_stop_grace_period"]) if "max_stop_grace_period" in values else LONGEST_STOP,
        address_pool=tuple(values.get("address_pool", ())),
        notes_push=values.get("notes", {}).get("push"),
        log_lines=report.get("log_lines", LOG_LINES),
        container_output=report.get("container_output"),
        build=_build(values.get("build", {})),
        forge=_forge(values, environ) if "forge" in report else None,
        statuses=report.get("statuses", True),
        comments=report.get("comments", "changes"),
        deployments=report.get("deployments", False),
        monitor=_monitor(values.get("monitor", {}), environ),
        notify=tuple(map(_target, values.get("notify", ()))),
        heartbeat=_heartbeat(values.get("heartbeat", {})),
        preview=report.get("preview", {}).get("pull_requests", "none"),
        path=path,
        monitored="monitor" in values,
        self_update=values.get("upgrade", {}).get("self_update", False),
    )


def _forge(values: Mapping[str, Any], environ: Mapping[str, str]) -> ForgeSettings:
    from reconciler.config_checks import absolute
    from reconciler.formats.forges import place_of

    given: Mapping[str, Any] = values["report"]["forge"]
    known = place_of(values["source"]["url"], given.get("kind", ""))
    return ForgeSettings(
        kind=given.get("kind") or (known.kind if known else ""),
        api=(given.get("api") or (known.api if known else "")).rstrip("/"),
        repository=given.get("repository") or (known.repository if known else ""),
        token_file=absolute(given.get("token_file") or "", environ),
        ca_file=absolute(given.get("ca_file") or "", environ),
    )


def _monitor(values: Mapping[str, Any], environ: Mapping[str, str]) -> MonitorSettings:
    from reconciler.config_checks import absolute

    files = {forge: item.get("secret_file") for forge, item in values.get("webhooks", {}).items()}
    return MonitorSettings(
        listen=values.get("listen", MonitorSettings().listen),
        token_file=absolute(values.get("token_file") or "", environ),
        webhooks={forge: absolute(path, environ) or "" for forge, path in files.items() if path},
        textfile=absolute(values.get("textfile") or "", environ),
    )


def _target(given: Mapping[str, Any]) -> NotifySettings:
    plain = NotifySettings("")
    return NotifySettings(
        url=given["url"],
        on=tuple(given.get("on", plain.on)),
        quiet=given.get("quiet", plain.quiet),
        reminder=seconds(given["reminder"]) if "reminder" in given else plain.reminder,
        hold_off=seconds(given["hold_off"]) if "hold_off" in given else plain.hold_off,
    )


def _heartbeat(given: Mapping[str, Any]) -> HeartbeatSettings | None:
    if not given.get("url"):
        return None
    every = seconds(given["every"]) if "every" in given else HeartbeatSettings("").every
    return HeartbeatSettings(given["url"], every)


def _build(values: Mapping[str, Any]) -> BuildSettings:
    plain = BuildSettings()
    return BuildSettings(
        memory=size(values["memory"]) if values.get("memory") else plain.memory,
        time=seconds(values["time"]) if "time" in values else plain.time,
        network=values.get("network", plain.network),
    )


def _allowed(values: Mapping[str, Any]) -> tuple[tuple[Grant, ...], tuple[BindGrant, ...]]:
    if not values.get("grants") and not values.get("binds"):
        return (), ()
    from reconciler import permissions  # imported here, because it loads the table of rules

    return permissions.grants(values), permissions.binds(values)


def _source(values: Mapping[str, Any], environ: Mapping[str, str]) -> SourceSettings:
    from reconciler.config_checks import absolute

    plain = SourceSettings("")
    url: str = values["url"]
    path: str = values.get("path", plain.path)
    return SourceSettings(
        url=absolute(url, environ) or url,
        branch=values.get("branch", plain.branch),
        path="" if posixpath.normpath(path or ".") == "." else posixpath.normpath(path),
        stack=values.get("stack", plain.stack),
        interval=seconds(values["interval"]) if "interval" in values else plain.interval,
        require_fast_forward=values.get("require_fast_forward", plain.require_fast_forward),
        allowed_signers=absolute(values.get("allowed_signers") or "", environ),
        gpg_home=absolute(values.get("gpg_home") or "", environ),
        token_file=absolute(values.get("token_file") or "", environ),
        username=values.get("username") or None,
        ca_file=absolute(values.get("ca_file") or "", environ),
        key_file=absolute(values.get("key_file") or "", environ),
        known_hosts_file=absolute(values.get("known_hosts_file") or "", environ),
    )
