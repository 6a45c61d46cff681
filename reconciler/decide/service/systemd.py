"""The systemd units of the agent, of the monitor and of `engine-read`.

They restrict the programs as far as their work allows. docs/service.md lists what is not restricted, and why.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from posixpath import dirname, join

from reconciler.model.service import AGENT, ENGINE_READ, MONITOR, UPGRADE, Service

SYSTEM_FOLDER = "/etc/systemd/system"
MARK = "# Written by `reconciler install`; `systemctl edit reconciler` changes it in a file of its own."
ENVIRONMENT_FILE = "/etc/reconciler/environment"
"""Variables that are secrets; only root can read it."""

OTHER_ACCOUNT = ("CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_KILL", "CAP_SETGID", "CAP_SETUID")
"""Root needs them to write notes into the repository of another account, as that account."""
BECOMES_AGENT = ("CAP_KILL", "CAP_SETGID", "CAP_SETUID")
"""`upgrade` needs them to start the checks as the agent's account, and to end them."""
ANY_OWNER = ("CAP_DAC_READ_SEARCH",)
"""Root needs it to read data folders that containers have given to users of their own."""

_SHARED_TMP = ("/tmp", "/var/tmp")  # noqa: S108  # looked for in paths, never written

_DESCRIPTIONS = {
    AGENT: "reconciler: keeps Docker Compose stacks at the head of a git branch",
    MONITOR: "reconciler monitor: shows the state of this machine",
    ENGINE_READ: "reconciler engine-read: sockets on which tools in containers may read the engine",
    UPGRADE: "reconciler upgrade: takes the version that the branch asks for",
}

_SYSTEM_CALLS = """\
NoNewPrivileges=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallErrorNumber=EPERM
SystemCallFilter=@system-service landlock_create_ruleset landlock_add_rule landlock_restrict_self"""

_MACHINE = """\
ProtectSystem=strict
ProtectHome=read-only
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
PrivateDevices=yes
PrivateIPC=yes
RemoveIPC=yes
KeyringMode=private"""


_WATCHDOG = (
    # The loop itself reports, at least every two minutes. A kill at any moment does no harm.
    "WatchdogSec=3min",
    "WatchdogSignal=SIGKILL",
    "OOMPolicy=continue",
    "MemoryMax=1G",
    "TasksMax=512",
)
_SMALL = ("MemoryMax=256M", "TasksMax=128")


def name(verb: str) -> str:
    """The name of the unit that is enabled and started."""
    return "reconciler.service" if verb == AGENT else f"reconciler-{verb}.{'timer' if verb == UPGRADE else 'service'}"


def path(service: Service, verb: str, own: bool) -> str:
    """Path of the unit file. `own`: among the account's own units."""
    return join(service.folder if own else SYSTEM_FOLDER, name(verb))


def unit(service: Service, verb: str, own: bool) -> bytes:
    """The unit file. `own`: for the service manager of one account, which cannot close off the file system."""
    parts = [MARK, _unit(service, verb, own), _service(service, verb, own), _install(own)]
    return ("\n\n".join(parts) + "\n").encode()


def timer(service: Service, own: bool) -> tuple[tuple[str, bytes], tuple[str, bytes]]:
    """Path and bytes of the timer of `upgrade --self-update`, and of the service that it starts.

    The service has root's rights, because it replaces the program and restarts the agent. It keeps HOME for git's and
    Docker's settings. It reads nothing of the repository itself: it starts a process of the agent's account for that.
    """
    place, words = path(service, UPGRADE, own), [*service.program, "--config", service.config, UPGRADE, "--self-update"]
    lines = [
        "[Service]",
        "Type=oneshot",
        *([] if own else ["User=root"]),
        f"ExecStart={_command(words)}",
        "TimeoutStartSec=20min",  # the libraries of a large environment are copied
        "TimeoutStopSec=3min",  # the old version returns within it
        "KillMode=mixed",
        *(f"Environment={_quoted(f'{name}={value}')}" for name, value in sorted(service.environment.items())),
        *([] if own else [f"EnvironmentFile=-{ENVIRONMENT_FILE}"]),
        "",
        *([_SYSTEM_CALLS, _families(AGENT)] if own else _upgrade_closed(service)),
    ]
    service_text = f"[Unit]\nDescription={_DESCRIPTIONS[UPGRADE]}\nAfter=reconciler.service"
    timer_text = f"[Unit]\nDescription={_DESCRIPTIONS[UPGRADE]}, every ten minutes"
    timed = "[Timer]\nOnActiveSec=3min\nOnUnitInactiveSec=10min\nRandomizedDelaySec=1min"
    wanted = "[Install]\nWantedBy=timers.target"
    timer_file, service_file = [MARK, timer_text, timed, wanted], [MARK, service_text, "\n".join(lines)]
    return (
        (place, ("\n\n".join(timer_file) + "\n").encode()),
        (place.removesuffix("timer") + "service", ("\n\n".join(service_file) + "\n").encode()),
    )


def _upgrade_closed(service: Service) -> Iterator[str]:
    """It writes what the agent writes, because it runs the agent's checks, and the folder of the versions."""
    yield _SYSTEM_CALLS
    yield _families(AGENT)
    others = OTHER_ACCOUNT if service.foreign and service.user == "root" else BECOMES_AGENT
    yield f"CapabilityBoundingSet={' '.join(sorted({*ANY_OWNER, *others}))}"
    yield _MACHINE
    yield "ProcSubset=pid"
    yield "ProtectControlGroups=yes"
    yield f"PrivateTmp={'no' if _in_tmp(service) else 'yes'}"
    versions = dirname(dirname(dirname(service.program[0])))
    yield f"ReadWritePaths={_paths([service.state, versions, *service.writable])}"


def _command(words: Sequence[str]) -> str:
    if any(letter in words[0] for letter in "\"'\\$"):
        words = ["/usr/bin/env", *words]  # systemd itself cannot start a program with such a name
    return " ".join(map(_word, words))


def _unit(service: Service, verb: str, own: bool) -> str:
    lines = [
        "[Unit]",
        f"Description={_DESCRIPTIONS[verb]}",
        # Only an order: each program waits for an absent engine by itself, and continues when it is back.
        "After=docker.service docker.socket podman.socket network-online.target",
        "StartLimitIntervalSec=0",
    ]
    if not own:
        lines += ["Wants=network-online.target", f"RequiresMountsFor={_paths([service.state])}"]
    return "\n".join(lines)


def _service(service: Service, verb: str, own: bool) -> str:
    lines = [
        "[Service]",
        f"Type={'notify' if verb == AGENT else 'exec'}",
        f"ExecStart={_command([*service.program, '--config', service.config, verb])}",
        *(["ExecReload=/bin/kill -HUP $MAINPID"] if verb == AGENT else []),
        "Restart=always",
        "RestartSec=10",
        # The program ends with 143 when it is asked to end.
        "SuccessExitStatus=143",
        "KillMode=mixed",
        "TimeoutStopSec=30",
        *(_WATCHDOG if verb == AGENT else _SMALL),
        "UMask=0077",
        *(f"Environment={_quoted(f'{name}={value}')}" for name, value in sorted(service.environment.items())),
    ]
    if own:
        return "\n".join([*lines, "", _SYSTEM_CALLS, _families(verb)])
    lines[1:1] = [f"User={service.user}"]
    lines.append(f"EnvironmentFile=-{ENVIRONMENT_FILE}")
    return "\n".join([*lines, "", *_closed(service, verb)])


def _families(verb: str) -> str:
    """Address families: AF_UNIX for the engine's socket, the others for the network."""
    return f"RestrictAddressFamilies=AF_UNIX{'' if verb == ENGINE_READ else ' AF_INET AF_INET6 AF_NETLINK'}"


def _closed(service: Service, verb: str) -> Iterator[str]:
    yield _SYSTEM_CALLS
    yield _families(verb)
    others = service.foreign and verb == AGENT
    if not others:
        yield "SystemCallFilter=~@privileged"
        yield "SystemCallFilter=@chown"  # files get the owner of the folder that contains them
    yield f"CapabilityBoundingSet={' '.join(_capabilities(service, others))}".rstrip()
    yield _MACHINE
    if verb != MONITOR:
        yield "ProcSubset=pid"  # the monitor shows the machine's memory and processors
    if verb == ENGINE_READ:
        yield "PrivateNetwork=yes"
    groups = service.control_groups and verb == AGENT
    yield f"ProtectControlGroups={'no' if groups else 'yes'}"
    yield f"PrivateTmp={'no' if _in_tmp(service) else 'yes'}"
    writable = [service.state, *(service.writable if verb == AGENT else ()), *(["/sys/fs/cgroup"] if groups else ())]
    yield f"ReadWritePaths={_paths(writable)}"


def _capabilities(service: Service, others: bool) -> tuple[str, ...]:
    if service.user != "root":
        return ()
    return tuple(sorted({*ANY_OWNER, *(OTHER_ACCOUNT if others else ())}))


def _in_tmp(service: Service) -> bool:
    named = [service.config, service.state, *service.used, *(item.lstrip("-") for item in service.writable)]
    return any(item == folder or item.startswith(f"{folder}/") for item in named for folder in _SHARED_TMP)


def _install(own: bool) -> str:
    return f"[Install]\nWantedBy={'default' if own else 'multi-user'}.target"


def _paths(paths: Iterable[str]) -> str:
    """The paths, each once, in order. `-` before the quote allows a missing path."""
    return " ".join(f"-{_quoted(item[1:])}" if item.startswith("-") else _quoted(item) for item in dict.fromkeys(paths))


def _quoted(text: str) -> str:
    """The text as one word of a setting, whatever it contains."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("\n", "\\n")
    return f'"{escaped}"' if any(letter in escaped for letter in " \t'\"\\;#") or not escaped else escaped


def _word(text: str) -> str:
    """The text as one word of a command line, where `$` would name a variable."""
    return _quoted(text.replace("$", "$$"))
