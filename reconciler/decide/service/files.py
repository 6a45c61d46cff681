"""Which files make the agent a service of a machine, and which calls of the service manager start and end it.

`verbs`: what is a service of its own: the agent, and what runs beside it.
"""

from __future__ import annotations

from collections.abc import Sequence

from reconciler.decide.service import launchd, systemd
from reconciler.model.service import AGENT, BESIDE, Platform, Service, ServiceCommand, ServiceFile

MARKS = (
    systemd.MARK.encode(),
    *(f"<string>{launchd.label(verb)}</string>".encode() for verb in (AGENT, *BESIDE)),
)
"""One of them is in each of our files, in every version."""


def service_files(platform: Platform, service: Service) -> tuple[ServiceFile, ...]:
    """Path, mode and bytes of each file, the agent's first. `bootstrap` writes the same ones to another machine."""
    verbs = (AGENT, *service.beside)
    if platform is Platform.LAUNCHD:
        return tuple(ServiceFile(launchd.path(verb), 0o644, launchd.plist(service, verb), verb) for verb in verbs)
    own = platform is Platform.SYSTEMD_USER
    return tuple(
        ServiceFile(systemd.path(service, verb, own), 0o644, systemd.unit(service, verb, own), verb) for verb in verbs
    )


def start_commands(
    platform: Platform, service: Service, verbs: Sequence[str], now: bool = True
) -> tuple[ServiceCommand, ...]:
    """After the files are written: start at every boot, and `now`. Each can be repeated."""
    if platform is Platform.LAUNCHD:
        return tuple(command for verb in verbs for command in _load(verb)) if now else ()
    control = _systemctl(platform)
    remedy = f"as root: loginctl enable-linger {service.user}; then run the same command again"
    linger = (ServiceCommand(("loginctl", "enable-linger", service.user), hint=remedy),)
    return (
        ServiceCommand((*control, "daemon-reload")),
        ServiceCommand((*control, "enable", *map(systemd.name, verbs))),
        *(linger if platform is Platform.SYSTEMD_USER and not service.lingers else ()),
        *(ServiceCommand((*control, "restart", systemd.name(verb))) for verb in verbs if now),
    )


def _load(verb: str) -> tuple[ServiceCommand, ...]:
    target = f"system/{launchd.label(verb)}"
    return (
        # A daemon that is loaded keeps its old list until it is unloaded; one that is not makes this call fail.
        ServiceCommand(("launchctl", "bootout", target), needed=False),
        ServiceCommand(("launchctl", "enable", target)),
        ServiceCommand(("launchctl", "bootstrap", "system", launchd.path(verb))),
    )


def stop_commands(platform: Platform, verbs: Sequence[str]) -> tuple[ServiceCommand, ...]:
    """Before the files are removed. Linger stays: other units of the account may need it."""
    if platform is Platform.LAUNCHD:
        return tuple(
            ServiceCommand(("launchctl", "bootout", f"system/{launchd.label(verb)}"), needed=False) for verb in verbs
        )
    named = map(systemd.name, verbs)
    return (ServiceCommand((*_systemctl(platform), "disable", "--now", *named), needed=False),) if verbs else ()


def forget_commands(platform: Platform, verbs: Sequence[str]) -> tuple[ServiceCommand, ...]:
    """After the files are removed."""
    if platform is Platform.LAUNCHD or not verbs:
        return ()
    control = _systemctl(platform)
    return (
        ServiceCommand((*control, "daemon-reload")),
        ServiceCommand((*control, "reset-failed", *map(systemd.name, verbs)), needed=False),
    )


def restart_commands(platform: Platform, verbs: Sequence[str]) -> tuple[ServiceCommand, ...]:
    """Start the present program in place of the running one. What runs beside the agent may fail."""
    if platform is Platform.LAUNCHD:
        return tuple(
            ServiceCommand(("launchctl", "kickstart", "-k", f"system/{launchd.label(verb)}"), needed=verb == AGENT)
            for verb in verbs
        )
    control = _systemctl(platform)
    return tuple(ServiceCommand((*control, "restart", systemd.name(verb)), needed=verb == AGENT) for verb in verbs)


def _systemctl(platform: Platform) -> tuple[str, ...]:
    return ("systemctl", "--user") if platform is Platform.SYSTEMD_USER else ("systemctl",)
