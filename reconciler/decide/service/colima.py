"""The launchd daemon that starts Colima at boot, also after a power cut."""

from __future__ import annotations

from posixpath import join

from reconciler.decide.service.launchd import daemon
from reconciler.model.service import ServiceCommand, ServiceFile

LABEL = "dev.reconciler.colima"
PATH = f"/Library/LaunchDaemons/{LABEL}.plist"
LOG = "Library/Logs/colima.log"
"""Below the home folder; the script keeps it small."""


def colima_list(script: str, user: str, home: str, colima: str) -> ServiceFile:
    """`script`: where `bootstrap/colima-boot.sh` lies; `user`, `home`: the account that owns the virtual machine;
    `colima`: its folder. Colima is told the folder, because launchd does not know the variables of a shell."""
    log = join(home, LOG)
    # `colima stop` waits for up to three minutes for the system in the virtual machine to shut down.
    data = daemon(LABEL, ["/bin/sh", script], user, home, log, {"COLIMA_HOME": colima, "COLIMA_BOOT_LOG": log}, 200)
    return ServiceFile(PATH, 0o644, data)


def colima_commands() -> tuple[ServiceCommand, ...]:
    """Start it now and at every boot, where it is not loaded yet. A `bootout` before would stop all containers."""
    return (
        ServiceCommand(("launchctl", "enable", f"system/{LABEL}")),
        ServiceCommand(("launchctl", "bootstrap", "system", PATH)),
    )
