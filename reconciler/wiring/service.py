"""The composition root of `install` and `uninstall`: finds the platform, the account and the values for the service."""

from __future__ import annotations

import argparse
import os
import pwd
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from reconciler.act.service import ServiceHands, make_state
from reconciler.agent_config import twins
from reconciler.decide.history.folding import fold
from reconciler.decide.service.systemd import SYSTEM_FOLDER
from reconciler.errors import Usage
from reconciler.formats.forges import TOKEN
from reconciler.later import extra
from reconciler.log import logger
from reconciler.model.observed import Container
from reconciler.model.outcome import Reason
from reconciler.model.service import BESIDE, ENGINE_READ, MONITOR, UPGRADE, Platform, Service
from reconciler.observe.origin import foreign_owner
from reconciler.ownership import PROGRAM, faults
from reconciler.process import run
from reconciler.record.lock import StateLock
from reconciler.settings import Settings
from reconciler.verbs import Answer
from reconciler.verbs.install import Installer, Level, Machine
from reconciler.wiring.asking import consent
from reconciler.wiring.program import program, versions
from reconciler.wiring.reading import Reading

PASSED = (
    "DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY",
    "GIT_SSH_COMMAND", "GIT_SSL_CAINFO", "SSL_CERT_FILE", "SSL_CERT_DIR",
    "http_proxy", "https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY",
)  # fmt: skip
"""Variables that are copied from the installing account's environment, because the agent needs them."""

STOP = 10.0
"""Seconds in which a container without a grace period of its own must stop, as with `docker stop`."""


def install(typed: argparse.Namespace, parts: Reading) -> Answer:
    """Install the services. Usage if this machine has no known service manager, or the account cannot run the agent."""
    platform = platform_of(typed.platform)
    owner = state_owner(parts.settings.state)
    account = owner if owner is not None and typed.user is None else account_of(typed.user, platform)
    made = service(platform, account, parts)
    installer = Installer(platform, made, ServiceHands(parts.environ), [*_lacking(platform, parts.settings)])
    if typed.print:
        return installer.shown()
    _require_rights(platform, account)
    _require_config(made.config, account)
    return installer.install(not typed.no_start, partial(make_state, made.state, account.pw_uid, account.pw_gid))


def uninstall(typed: argparse.Namespace, parts: Reading) -> Answer:
    platform = platform_of(typed.platform, require=False)
    account = account_of(None, platform)
    installer = Installer(platform, service(platform, account, parts), ServiceHands(parts.environ))
    if not typed.print:
        _require_rights(platform, account)
    ask = consent(typed.yes)
    return installer.uninstall(Level(typed.level), _machine(parts), ask, show=typed.print)


def service(platform: Platform, account: pwd.struct_passwd, parts: Reading) -> Service:
    """The values from which the service's files are made. Usage if there is no config file, or no usable command."""
    settings, source = parts.settings, parts.remote.path
    config = settings.path
    if config is None:
        hint = "write it to /etc/reconciler/reconciler.yaml: a service has no environment of yours"
        raise Usage(Reason.USAGE_INVALID, "the agent config is given by the environment alone", hint)
    command = program()
    _require_reach(command, account)
    folders = [str(source)] if source is not None else []
    secrets = [settings.secrets_dir] if settings.secrets_dir else []
    return Service(
        program=(command,),
        config=config,
        user=account.pw_name,
        home=account.pw_dir,
        state=settings.state,
        writable=(*(f"-{item}" for item in [*folders, *secrets]), *_binds(settings)),
        used=(*_keys(settings), *_endpoint(settings, parts.environ), command),
        foreign=account.pw_uid == 0 and source is not None and foreign_owner(source) is not None,
        control_groups=settings.build.memory is not None,
        environment=dict(_environment(parts.environ)),
        lingers=os.path.exists(f"/var/lib/systemd/linger/{account.pw_name}"),
        folder=os.path.join(parts.environ.get("XDG_CONFIG_HOME") or f"{account.pw_dir}/.config", "systemd/user"),
        beside=tuple(verb for verb in BESIDE if verb in settings.beside and not _lacks(verb, platform)),
        self_update=settings.self_update and not _lacks(UPGRADE, platform),
    )


def _lacks(verb: str, platform: Platform) -> str:
    """Why the verb cannot be a service here; '' if it can."""
    if verb == MONITOR and find_spec("starlette") is None:
        hint = f"{extra('monitor')}, then run the same command again"
        return f"the monitor is no service yet, because it cannot be loaded: {hint}"
    if verb == ENGINE_READ and platform is Platform.LAUNCHD:
        return "engine-read is no service: on a Mac, containers cannot reach its sockets (docs/engine-read.md)"
    if verb == UPGRADE and platform is Platform.LAUNCHD:
        return "on a Mac no timer is made for --self-update: call `sudo reconciler upgrade VERSION` (docs/service.md)"
    if verb == UPGRADE and versions() is None:
        return f"no timer is made for --self-update: {sys.prefix} is no version beside others (docs/service.md)"
    if verb == UPGRADE and platform is Platform.SYSTEMD:
        # Root will run it again and again: nobody else may be able to change it.
        found = [fault for path in (program(), __file__) for fault in faults(path, PROGRAM)]
        return f"no timer is made for --self-update: {found[0].message}; {found[0].remedy}" if found else ""
    return ""


def _lacking(platform: Platform, settings: Settings) -> Iterator[str]:
    asked = (*settings.beside, *((UPGRADE,) if settings.self_update else ()))
    return filter(None, (_lacks(verb, platform) for verb in asked))


def platform_of(named: str, *, require: bool = True) -> Platform:
    """The service manager. Usage if there is none and one is required; else systemd, of which no file is found then:
    where something else starts the agent, there are containers and state to remove all the same."""
    if named != "auto":
        return Platform(named)
    if sys.platform == "darwin":
        return Platform.LAUNCHD
    if os.path.isdir("/run/systemd/system"):
        own = os.path.isdir(f"/run/user/{os.geteuid()}")  # else this account has no systemd of its own
        return Platform.SYSTEMD_USER if own and os.geteuid() != 0 and not _serves_us() else Platform.SYSTEMD
    if not require:
        return Platform.SYSTEMD if os.geteuid() == 0 else Platform.SYSTEMD_USER
    hint = "let your own service manager start `reconciler run`; `--print --platform systemd` shows what it needs"
    raise Usage(Reason.USAGE_INVALID, "this machine runs neither systemd nor launchd", hint)


def _serves_us() -> bool:
    """Whether a service of the whole machine runs the agent as our account."""
    try:
        unit = Path(SYSTEM_FOLDER, "reconciler.service").read_text("utf-8")
        return f"\nUser={pwd.getpwuid(os.geteuid()).pw_name}\n" in unit
    except (OSError, ValueError, KeyError):
        return False


def state_owner(state: str) -> pwd.struct_passwd | None:
    """The account that owns the state folder, if we are root and it is another one: the agent runs as that account."""
    try:
        owner = os.stat(state).st_uid
        return pwd.getpwuid(owner) if os.geteuid() == 0 and owner != 0 else None
    except (OSError, KeyError):
        return None


@contextmanager
def acting_as(account: pwd.struct_passwd | None) -> Iterator[None]:
    """Within this context, root has the rights of this account; None: nothing changes."""
    if account is None:
        yield
        return
    groups, group = os.getgroups(), os.getegid()
    os.initgroups(account.pw_name, account.pw_gid)
    os.setegid(account.pw_gid)
    os.seteuid(account.pw_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)
        os.setgroups(groups)


def account_of(named: str | None, platform: Platform) -> pwd.struct_passwd:
    """The named account; else the one that runs this. On a Mac with sudo: the one that called sudo, because it owns
    Colima's engine."""
    name = named or (os.environ.get("SUDO_USER") if platform is Platform.LAUNCHD and os.geteuid() == 0 else None)
    try:
        found = pwd.getpwnam(name) if name else pwd.getpwuid(os.geteuid())
    except KeyError:
        raise Usage(Reason.USAGE_INVALID, f"there is no account {name or os.geteuid()}", "correct --user") from None
    if platform is Platform.SYSTEMD_USER and found.pw_uid != os.geteuid():
        hint = f"run it as that account: sudo -u {found.pw_name} reconciler install"
        raise Usage(Reason.USAGE_INVALID, "the service of one account can be installed by that account alone", hint)
    return found


def _require_rights(platform: Platform, account: pwd.struct_passwd) -> None:
    if platform is not Platform.SYSTEMD_USER and os.geteuid() != 0:
        told = f"a service of the whole machine ({platform.value}) can be changed by root alone"
        hint = f"sudo reconciler …, with --user {account.pw_name} if the agent is not to run as root"
        raise Usage(Reason.USAGE_INVALID, told, hint)


def _require_reach(command: str, account: pwd.struct_passwd) -> None:
    """Usage if the account cannot run the program, for example because it is in another account's home folder."""
    for path in (command, os.path.realpath(command)):
        for folder in Path(path).parents:
            status = folder.stat()
            if account.pw_uid not in (0, status.st_uid) and not status.st_mode & 0o001:
                hint = "install the program where every account can run it, such as /opt/reconciler"
                told = f"{account.pw_name} cannot run {command}: {folder} is closed to other accounts"
                raise Usage(Reason.USAGE_INVALID, told, hint)


def _require_config(config: str, account: pwd.struct_passwd) -> None:
    """Usage if the account cannot read the config: a service that works would be replaced by one that cannot start."""
    setpriv = shutil.which("setpriv", path=os.defpath)
    if os.geteuid() != 0 or account.pw_uid == 0 or setpriv is None:
        return
    become = [setpriv, f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--init-groups"]
    done = run([*become, "test", "-r", config], env={"PATH": os.defpath}, timeout=10.0, reason=Reason.USAGE_INVALID)
    if done.returncode != 0:
        told = f"{account.pw_name} cannot read the agent config {config}; nothing was changed"
        named = shlex.quote(config)
        hint = f"chgrp {account.pw_gid} {named} && chmod 640 {named}; see the folders above, too"
        raise Usage(Reason.USAGE_INVALID, told, hint)


def _binds(settings: Settings) -> Iterator[str]:
    """Granted paths in which the agent may make folders."""
    return (f"-{item.host}" for item in settings.binds if not item.read_only)


def _keys(settings: Settings) -> list[str]:
    source, forge = settings.source, settings.forge
    named = [
        source.allowed_signers, source.gpg_home, source.token_file, source.ca_file, source.key_file,
        source.known_hosts_file, settings.compose, *(item.host for item in settings.binds),
    ]  # fmt: skip
    return [item for item in [*named, *((forge.token_file, forge.ca_file) if forge else ())] if item]


def _endpoint(settings: Settings, environ: Mapping[str, str]) -> list[str]:
    """The path of the engine's socket, if the agent config or DOCKER_HOST names it; else empty."""
    named = settings.engine or environ.get("DOCKER_HOST") or ""
    return [named.removeprefix("unix://")] if named.startswith("unix://") else []


def _environment(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Variables for the agent. Everybody can read the service's files, so values that may be secrets are left out."""
    named = {*PASSED, *twins(), "RECONCILER_LOG_LEVEL"}
    for name in sorted(named & environ.keys() - {"RECONCILER_CONFIG"}):
        value = environ[name]
        if name == TOKEN or "@" in value.partition("://")[2].partition("/")[0]:
            logger.warning("{} is left out of the service's files: it may hold a secret; see docs/service.md", name)
        elif value and "\n" not in value:
            yield name, value


def _machine(parts: Reading) -> Machine:
    """Root changes the state folder of another account with the rights of that account. Only the folder itself is
    removed as root, because the account may not."""
    from reconciler.act.engine import EngineApplier
    from reconciler.act.removal import remove_containers, remove_empty, remove_state

    owner = state_owner(parts.settings.state)
    if owner is not None:
        parts.environ = {**parts.environ, "HOME": owner.pw_dir}

    def remove(containers: Sequence[Container]) -> Sequence[str]:
        applier = EngineApplier(parts.client, parts.effects, parts.settings.host)
        graces = {item.id: STOP if item.grace is None else item.grace for item in containers}
        with acting_as(owner):
            return remove_containers(applier, parts.client, parts.settings.host, graces)

    def managed() -> Sequence[Container]:
        with acting_as(owner):
            return _containers(parts)

    @contextmanager
    def locked() -> Iterator[None]:
        with acting_as(owner):
            lock = StateLock(parts.state)
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def clear() -> Sequence[str]:
        with acting_as(owner):
            left = remove_state(parts.state, itself=owner is None)
        if owner is not None and not left:
            remove_empty(parts.state)
        return left

    return Machine(
        state=parts.settings.state,
        locked=locked,
        containers=managed,
        remove_containers=remove,
        remove_state=clear,
    )


def _containers(parts: Reading) -> Sequence[Container]:
    """The managed containers, inspected: those with our label, and adopted ones."""
    history = fold(parts.journal.records())
    looked = parts.observer.look(history.stacks)
    ours = [item.id for item in looked.containers if item.host == parts.settings.host or item.id in history.adopted]
    return sorted(parts.observer.details(ours).values(), key=lambda item: item.name)
