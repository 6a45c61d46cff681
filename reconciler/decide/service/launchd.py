"""The launchd daemons of the agent and of the monitor.

They are daemons of launchd, because its agents start only after a login. launchd has no order of services, so our agent
itself waits for the engine's socket.
"""

from __future__ import annotations

import plistlib
from collections.abc import Mapping, Sequence
from posixpath import join

from reconciler.model.service import AGENT, Service

LABEL = "dev.reconciler"
LOGS = "Library/Logs"
"""Below the home folder. The program itself keeps its log small (`logs.py`): launchd never reopens it."""

PROGRAMS = "/opt/homebrew/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"


def label(verb: str) -> str:
    return LABEL if verb == AGENT else f"{LABEL}.{verb}"


def path(verb: str) -> str:
    return f"/Library/LaunchDaemons/{label(verb)}.plist"


def plist(service: Service, verb: str) -> bytes:
    """The property list, as XML."""
    log = join(service.home, LOGS, "reconciler.log" if verb == AGENT else f"reconciler-{verb}.log")
    return daemon(
        label(verb),
        [*service.program, "--config", service.config, verb],
        service.user,
        service.home,
        log,
        {"RECONCILER_LOG_FILE": log, **service.environment},
    )


def daemon(
    name: str, words: Sequence[str], user: str, home: str, log: str, environment: Mapping[str, str], patience: int = 120
) -> bytes:
    """The property list of a program that runs as `user` from boot on and is restarted when it ends. `patience`:
    seconds that it may take to end; launchd's default is 20, and a rollout ends within ten seconds of a signal."""
    return plistlib.dumps(
        {
            "Label": name,
            "ProgramArguments": list(words),
            "UserName": user,
            "WorkingDirectory": home,
            "EnvironmentVariables": {"HOME": home, "PATH": PROGRAMS, "LANG": "en_US.UTF-8", **environment},
            "RunAtLoad": True,
            "KeepAlive": True,
            "ThrottleInterval": 30,
            "ExitTimeOut": patience,
            "ProcessType": "Background",
            "Umask": 0o077,
            "StandardOutPath": log,
            "StandardErrorPath": log,
        }
    )
