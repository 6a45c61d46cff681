"""The launchd daemon of the agent.

A daemon, not an agent of launchd: those start only after a login. launchd knows no order of services, so the agent
waits for the engine's socket by itself.
"""

from __future__ import annotations

import plistlib
from posixpath import join

from reconciler.model.service import Service

LABEL = "dev.reconciler"
PATH = f"/Library/LaunchDaemons/{LABEL}.plist"
LOG = "Library/Logs/reconciler.log"
"""Below the home folder. The agent itself keeps it small (`logs.py`): launchd never opens it anew."""

PROGRAMS = "/opt/homebrew/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"


def plist(service: Service) -> bytes:
    """The property list, as XML."""
    log = join(service.home, LOG)
    own = {"HOME": service.home, "PATH": PROGRAMS, "LANG": "en_US.UTF-8", "RECONCILER_LOG_FILE": log}
    return plistlib.dumps(
        {
            "Label": LABEL,
            "ProgramArguments": [*service.program, "--config", service.config, "run"],
            "UserName": service.user,
            "WorkingDirectory": service.home,
            "EnvironmentVariables": {**own, **service.environment},
            "RunAtLoad": True,
            "KeepAlive": True,
            "ThrottleInterval": 30,
            # A rollout ends within ten seconds of a signal; launchd's own patience may be shorter.
            "ExitTimeOut": 120,
            "ProcessType": "Background",
            "Umask": 0o077,
            "StandardOutPath": log,
            "StandardErrorPath": log,
        }
    )
