"""A change that the machine undoes unless it is confirmed: the script, its timer, and the files of one change.

The timer runs on the machine, so nobody is locked out if the laptop dies in the middle. The service also runs at boot,
so nobody is locked out by a power cut.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from reconciler.decide.hardening import WRITTEN
from reconciler.formats.packaged import packaged
from reconciler.values import dataclass

HOME = "/var/lib/reconciler-harden"
SCRIPT = f"{HOME}/guard"
NEXT = f"{HOME}/next"
SECONDS = 60
"""Seconds within which a second login must succeed."""

SERVICE_PATH = "/etc/systemd/system/reconciler-return.service"
TIMER_PATH = "/etc/systemd/system/reconciler-return.timer"


@dataclass(frozen=True, slots=True)
class Guarded:
    """One change. `files`: path → bytes, each readable for all. Shell commands: `check` judges the new files before
    they are used, `apply` loads them, `back` loads the old files again."""

    files: Mapping[str, bytes]
    check: str
    apply: str
    back: str


def join(changes: Sequence[Guarded]) -> Guarded:
    """Join several changes into one, which is confirmed or undone as a whole."""
    return Guarded(
        {path: data for change in changes for path, data in change.files.items()},
        "".join(change.check for change in changes),
        "".join(change.apply for change in changes),
        "".join(change.back for change in changes),
    )


def installed() -> dict[str, tuple[bytes, str]]:
    """The script and its units: path → bytes and mode."""
    return {
        SCRIPT: (packaged("hardening/guard.sh"), "700"),
        SERVICE_PATH: (_service(), "644"),
        TIMER_PATH: (_timer(), "644"),
    }


def staged(change: Guarded) -> dict[str, bytes]:
    """The files of the prepared change, in the folder `next`: path → bytes."""
    new = {f"{NEXT}/new/{number}": data for number, data in enumerate(change.files.values(), 1)}
    texts = {
        "files": "".join(f"{path}\n" for path in change.files),
        "check": change.check,
        "apply": change.apply,
        "back": change.back,
    }
    return {**new, **{f"{NEXT}/{name}": text.encode() for name, text in texts.items()}}


def _service() -> bytes:
    return f"""\
# {WRITTEN}
[Unit]
Description=reconciler: take back a change of ssh or firewall that nobody has confirmed
DefaultDependencies=no
RequiresMountsFor={HOME}
ConditionPathExists=|{HOME}/pending
ConditionPathExists=|{HOME}/returning
After=local-fs.target
Before=network-pre.target reconciler-firewall.service ssh.service ssh.socket sshd.service shutdown.target
Conflicts=shutdown.target

[Service]
Type=oneshot
ExecStart=/bin/sh {SCRIPT} back

[Install]
WantedBy=multi-user.target
""".encode()


def _timer() -> bytes:
    return f"""\
# {WRITTEN}
[Unit]
Description=reconciler: time within which a change of ssh or firewall must be confirmed

[Timer]
OnActiveSec={SECONDS}s
AccuracySec=1s
""".encode()
