"""Which files make the agent a service of a machine, and which calls of the service manager start and end it."""

from __future__ import annotations

from reconciler.decide.service import launchd, systemd
from reconciler.model.service import Platform, Service, ServiceCommand, ServiceFile

MARKS = (systemd.MARK.encode(), f"<string>{launchd.LABEL}</string>".encode())
"""One of them is in each of our files, in every version."""


def service_files(platform: Platform, service: Service) -> tuple[ServiceFile, ...]:
    """Path, mode and bytes of each file. `bootstrap` writes the same ones to another machine."""
    if platform is Platform.LAUNCHD:
        return (ServiceFile(launchd.PATH, 0o644, launchd.plist(service)),)
    own = platform is Platform.SYSTEMD_USER
    return (ServiceFile(systemd.path(service, own), 0o644, systemd.unit(service, own)),)


def start_commands(platform: Platform, service: Service) -> tuple[ServiceCommand, ...]:
    """After the files are written: start now and at every boot. Each can be repeated."""
    if platform is Platform.LAUNCHD:
        return (
            # A daemon that is loaded keeps its old list until it is unloaded; one that is not makes this call fail.
            ServiceCommand(("launchctl", "bootout", f"system/{launchd.LABEL}"), needed=False),
            ServiceCommand(("launchctl", "enable", f"system/{launchd.LABEL}")),
            ServiceCommand(("launchctl", "bootstrap", "system", launchd.PATH)),
        )
    control = _systemctl(platform)
    remedy = f"as root: loginctl enable-linger {service.user}; then run the same command again"
    linger = (ServiceCommand(("loginctl", "enable-linger", service.user), hint=remedy),)
    return (
        ServiceCommand((*control, "daemon-reload")),
        ServiceCommand((*control, "enable", systemd.NAME)),
        *(linger if platform is Platform.SYSTEMD_USER and not service.lingers else ()),
        ServiceCommand((*control, "restart", systemd.NAME)),
    )


def stop_commands(platform: Platform) -> tuple[ServiceCommand, ...]:
    """Before the files are removed. Linger stays: other units of the account may need it."""
    if platform is Platform.LAUNCHD:
        return (ServiceCommand(("launchctl", "bootout", f"system/{launchd.LABEL}"), needed=False),)
    return (ServiceCommand((*_systemctl(platform), "disable", "--now", systemd.NAME), needed=False),)


def forget_commands(platform: Platform) -> tuple[ServiceCommand, ...]:
    """After the files are removed."""
    if platform is Platform.LAUNCHD:
        return ()
    control = _systemctl(platform)
    return (
        ServiceCommand((*control, "daemon-reload")),
        ServiceCommand((*control, "reset-failed", systemd.NAME), needed=False),
    )


def restart_commands(platform: Platform) -> tuple[ServiceCommand, ...]:
    """Start the present program in place of the running one."""
    if platform is Platform.LAUNCHD:
        return (ServiceCommand(("launchctl", "kickstart", "-k", f"system/{launchd.LABEL}")),)
    return (ServiceCommand((*_systemctl(platform), "restart", systemd.NAME)),)


def _systemctl(platform: Platform) -> tuple[str, ...]:
    return ("systemctl", "--user") if platform is Platform.SYSTEMD_USER else ("systemctl",)
