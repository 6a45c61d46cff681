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
    """The property list. `script`: path of `bootstrap/colima-boot.sh`; `user`, `home`: the account that owns the
    virtual machine; `colima`: Colima's folder, which is passed in a variable because launchd has none of a shell's."""
    log = join(home, LOG)
    # `colima stop` gives the system in the virtual machine up to three minutes to shut down.
    data = daemon(LABEL, ["/bin/sh", script], user, home, log, {"COLIMA_HOME": colima, "COLIMA_BOOT_LOG": log}, 200)
    return ServiceFile(PATH, 0o644, data)


def colima_commands() -> tuple[ServiceCommand, ...]:
    """Start Colima now and at every boot. Only for a daemon that is not loaded: `bootout` would stop all containers."""
    return (
        ServiceCommand(("launchctl", "enable", f"system/{LABEL}")),
        ServiceCommand(("launchctl", "bootstrap", "system", PATH)),
    )
