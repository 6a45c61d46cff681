"""Which files make the agent a service of a machine, and which calls of the service manager start and end it.

`verbs`: those that have a service of their own: the agent's, and those beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from reconciler.decide.service import launchd, systemd
from reconciler.model.service import AGENT, BESIDE, UPGRADE, Platform, Service, ServiceCommand, ServiceFile

MARKS = (
    systemd.MARK.encode(),
    *(f"<string>{launchd.label(verb)}</string>".encode() for verb in (AGENT, *BESIDE)),
)
"""Every version of our files contains one of these texts."""


def service_files(platform: Platform, service: Service) -> tuple[ServiceFile, ...]:
    """Path, mode and bytes of each file, the agent's first. `bootstrap` writes the same ones to another machine."""
    verbs = (AGENT, *service.beside)
    if platform is Platform.LAUNCHD:
        return tuple(ServiceFile(launchd.path(verb), 0o644, launchd.plist(service, verb), verb) for verb in verbs)
    own = platform is Platform.SYSTEMD_USER
    timed = systemd.timer(service, own) if service.self_update else ()
    units = [(systemd.path(service, verb, own), systemd.unit(service, verb, own), verb) for verb in verbs]
    units += [(path, data, UPGRADE) for path, data in timed]
    return tuple(ServiceFile(path, 0o644, data, verb) for path, data, verb in units)


def verbs_of(files: Iterable[ServiceFile]) -> list[str]:
    """The verbs of these files, each once: the timer of UPGRADE has two files."""
    return list(dict.fromkeys(item.verb for item in files))


def start_commands(
    platform: Platform, service: Service, verbs: Sequence[str], now: bool = True
) -> tuple[ServiceCommand, ...]:
    """Calls after the files are written: start at every boot; `now`: also now. Each call can be repeated."""
    if platform is Platform.LAUNCHD:
        return tuple(command for verb in verbs for command in _load(verb)) if now else ()
    control = _systemctl(platform)
    remedy = f"as root: loginctl enable-linger {service.user}; then run the same command again"
    linger = (ServiceCommand(("loginctl", "enable-linger", service.user), hint=remedy),)
    return (
        ServiceCommand((*control, "daemon-reload")),
        ServiceCommand((*control, "enable", *map(systemd.name, verbs))),
        *(linger if platform is Platform.SYSTEMD_USER and not service.lingers else ()),
        *(_restart(platform, verb) for verb in verbs if now),
    )


def _load(verb: str) -> tuple[ServiceCommand, ...]:
    target = f"system/{launchd.label(verb)}"
    return (
        # A loaded daemon keeps its old property list until it is unloaded. If it is not loaded, this call fails.
        ServiceCommand(("launchctl", "bootout", target), needed=False),
        ServiceCommand(("launchctl", "enable", target)),
        ServiceCommand(("launchctl", "bootstrap", "system", launchd.path(verb))),
    )


def stop_commands(platform: Platform, verbs: Sequence[str]) -> tuple[ServiceCommand, ...]:
    """Calls before the files are removed. Linger stays on: other units of the account may need it."""
    if platform is Platform.LAUNCHD:
        return tuple(
            ServiceCommand(("launchctl", "bootout", f"system/{launchd.label(verb)}"), needed=False) for verb in verbs
        )
    named = map(systemd.name, verbs)
    return (ServiceCommand((*_systemctl(platform), "disable", "--now", *named), needed=False),) if verbs else ()


def forget_commands(platform: Platform, verbs: Sequence[str]) -> tuple[ServiceCommand, ...]:
    """Calls after the files are removed."""
    if platform is Platform.LAUNCHD or not verbs:
        return ()
    control = _systemctl(platform)
    return (
        ServiceCommand((*control, "daemon-reload")),
        ServiceCommand((*control, "reset-failed", *map(systemd.name, verbs)), needed=False),
    )


def restart_commands(platform: Platform, verbs: Sequence[str]) -> tuple[ServiceCommand, ...]:
    """Calls that replace the running processes by the present program. Those of services beside the agent may fail."""
    if platform is Platform.LAUNCHD:
        return tuple(
            ServiceCommand(("launchctl", "kickstart", "-k", f"system/{launchd.label(verb)}"), needed=verb == AGENT)
            for verb in verbs
        )
    control = _systemctl(platform)
    return tuple(ServiceCommand((*control, "restart", systemd.name(verb)), needed=verb == AGENT) for verb in verbs)


def _restart(platform: Platform, verb: str) -> ServiceCommand:
    own, name = " --user" if platform is Platform.SYSTEMD_USER else "", systemd.name(verb)
    hint = f"its log says why: journalctl{own} -u {name} -n 20; correct that and run the same command again"
    return ServiceCommand((*_systemctl(platform), "restart", name), hint=hint)


def _systemctl(platform: Platform) -> tuple[str, ...]:
    return ("systemctl", "--user") if platform is Platform.SYSTEMD_USER else ("systemctl",)
