"""The values that a grant names: the one form of each, and which of them are equal to root."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from reconciler.formats.cidr import lies_in

_NAMESPACES = {
    "network": "network_mode", "net": "network_mode", "userns": "userns_mode",
}  # fmt: skip

ROOT_CAPABILITIES = frozenset(
    {"ALL", "BPF", "DAC_READ_SEARCH", "MAC_ADMIN", "PERFMON", "SYS_ADMIN", "SYS_MODULE", "SYS_RAWIO"}
)
"""Each of them leads out of a container (capabilities(7)): by mounts, modules, raw memory, or files by their handle."""

ROOT_DEVICES = re.compile(
    r"/dev(/(sd|hd|vd|xvd|nvme|mmcblk|md|dm-|loop|nbd|zd|sg|bsg|ram|mapper|disk|block|root|mem|kmem|port|uinput"
    r"|pmem|drbd|rbd|bcache|dasd|ublk|zram|zvol|cciss|char|vcio"
    r"|input|vhost|vfio|btrfs-control|mtd|ubi|tpm|mei|watchdog|tty[0-9]|console|vcs).*)?"
)
"""Disks, memory, and devices that type at the console: with them a container can write the host's files."""

ROOT_READ = re.compile(
    r"/proc(/.*)?"
    r"|/etc|/etc/(g?shadow|ssh|sudoers|docker|kubernetes|reconciler)([-./].*)?"
    r"|/run|/run/(dbus|systemd|user|host-services|docker|containerd|podman|crio|buildkit)([-./].*)?"
    r"|/root|/root/\..*"
    r"|/(home|Users)/[^/]+/\.(ssh|gnupg|docker|kube|aws|config|colima|lima|orbstack|rd)(/.*)?"
    r"|/var/backups(/.*)?|/var/lib/(lxd|incus)(/.*)?|/var/snap/lxd(/.*)?"
    r"|/var/lib/(docker(?!/containers(/|$))|containerd|containers|kubelet)(/.*)?"
)
"""Equal to root even if only read: keys, and sockets (a read-only mount does not prevent requests).

/run/dbus asks systemd to run programs. /proc contains every other container's files, writable, below <pid>/root.
"""

ROOT_WRITTEN = re.compile(
    r"/(bin|boot|lib|lib32|lib64|sbin|sys|usr)(/.*)?|/dev|/home|/Users|/(home|Users)/[^/]+|/(home|Users)/[^/]+/\..*"
    r"|/opt/containerd(/.*)?|/var/spool/cron(/.*)?|/var/cache/apt(/.*)?|/snap(/.*)?"
    r"|/var/lib/(apt|cloud|dpkg|libvirt|machines|polkit-1|snapd|systemd)(/.*)?"
    r"|/etc/(passwd|group|cron|systemd|init|rc|pam|security|ld\.so|profile|bash|environment|default|sudo|apt|udev|dbus"
    r"|modprobe|modules|sysctl|network|netplan|NetworkManager|polkit|alternatives|crypttab|fstab|hosts|resolv|nsswitch"
    r"|ssl|ca-certificates|logrotate|update-motd|skel|X11|xdg|dnsmasq|launchd).*"
)
"""Equal to root if written: what the host runs, starts, trusts or obeys."""

_INSIDE = (
    "/etc/shadow", "/proc", "/root", "/run/dbus", "/var/lib/docker/volumes", "/usr/bin", "/boot", "/dev", "/sys",
    "/home", "/var/spool/cron",
)  # fmt: skip
"""One path of each kind, to recognise a folder that contains them."""

CLOCKS = frozenset({"/etc/localtime", "/etc/timezone"})
"""Files that name the time zone and contain nothing else."""


def normal(rule: str, value: str) -> str:
    """The one form of a value that `rule` denies. Values are compared in this form."""
    form = _FORMS.get(rule)
    return form(value.strip()) if form else value.strip()


def covers(rule: str, granted: str, asked: str) -> bool:
    """Whether a grant for `granted` also allows `asked`, which is in its normal form."""
    own = normal(rule, granted)
    if rule == "network-subnet":
        return lies_in(asked, [own])
    return own == asked or (_is_folder(rule, own) and asked.startswith(f"{own}/"))


def _is_folder(rule: str, own: str) -> bool:
    """Whether a grant for it also allows what lies below, as the engine itself treats a folder of devices."""
    share = rule == "volume-driver" and own.startswith(("nfs://", "cifs://"))
    return share or (rule == "devices" and own.startswith("/dev/"))


def root(rule: str, value: str | None, own: Collection[str] = ()) -> str:
    """Why the value is equal to root, for a sentence; '' if it is not. `value` is in its normal form.

    `own`: the agent's own files and folders.
    """
    if rule in _ROOT_RULES:
        return _ROOT_RULES[rule]
    known = _ROOT_VALUES.get(rule)
    if known and value is not None:
        return known(value)
    if rule == "volume-driver" and value is not None and value.startswith("/"):
        return root_path(value, read_only=False, own=own)
    return ""


def root_path(path: str, *, read_only: bool, own: Collection[str] = ()) -> str:
    """Why a mount of `path` (absolute) is equal to root, for a sentence; '' if it is not."""
    path = absolute(path)
    if path in CLOCKS and read_only:
        return ""
    if path == "/":
        return "it is the whole machine"
    mine = next((item for item in own if meets(path, item)), None)
    if mine:
        return f"it holds the agent's own {mine}"
    if path == "/proc" or path.startswith("/proc/"):
        return _PROC
    for place in (path, *(item for item in _INSIDE if item.startswith(f"{path}/"))):
        if ROOT_READ.fullmatch(place):
            return f"{place} holds keys, sockets or other containers' files"
        if ROOT_WRITTEN.fullmatch(place) and not read_only:
            return f"whoever writes {place} decides what the host runs"
    return ""


def meets(path: str, other: str) -> bool:
    """Whether one lies in the other, or they are the same. Both absolute."""
    return "/" in (path, other) or path == other or path.startswith(f"{other}/") or other.startswith(f"{path}/")


def absolute(path: str) -> str:
    """The one form of an absolute path; /var/run means /run."""
    path = "/" + posixpath.normpath(path).lstrip("/")
    return path.removeprefix("/var") if path == "/var/run" or path.startswith("/var/run/") else path


def line(entry: Mapping[str, Any]) -> str:
    """A grant or bind as one line of YAML, to be pasted into the agent config."""
    return "{" + ", ".join(f"{key}: {flow(value)}" for key, value in entry.items()) + "}"


def flow(value: Any) -> str:
    """A text, number, boolean or list, in YAML's form within one line."""
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(flow, value)) + "]"
    if value is None or isinstance(value, (bool, int)):
        return json.dumps(value)
    text = str(value)
    if text == "*":
        return "'*'"
    plain = _PLAIN.fullmatch(text) and text.lower() not in ("true", "false", "yes", "no", "on", "off", "null")
    return text if plain else json.dumps(text, ensure_ascii=False)


def device(value: str) -> str:
    """`/dev/net/tun:/dev/x:rwm` → `/dev/net/tun`; a CDI device or a rule for control groups is unchanged."""
    if not value.startswith("/"):
        return " ".join(_rule_of_devices(value))
    return absolute(value.partition(":")[0])


def _rule_of_devices(value: str) -> list[str]:
    """`c  189:* mwr` → c, 189:*, mrw."""
    parts = value.split()
    return [*parts[:2], "".join(sorted(parts[2]))] if len(parts) == 3 and parts[0] in "abc" else parts


def _capability(value: str) -> str:
    return value.upper().removeprefix("CAP_")


def _sysctl(value: str) -> str:
    """`net/ipv4/ip_forward = 1` → net.ipv4.ip_forward"""
    return value.partition("=")[0].strip().replace("/", ".")


def _namespace(value: str) -> str:
    """`network_mode: host` → network_mode"""
    name = re.sub(r"\s*[:=]\s*host$", "", value).lower()
    return _NAMESPACES.get(name, name)


def _option(value: str) -> str:
    """An entry of security_opt, in which the engine accepts both name:value and name=value."""
    return re.sub(r"\s*[:=]\s*", "=", value, count=1)


def _share(value: str) -> str:
    if value.startswith("/"):
        return absolute(value)
    return value.rstrip("/")


def _root_capability(value: str) -> str:
    return f"{value} leads out of a container" if value in ROOT_CAPABILITIES else ""


def _root_device(value: str) -> str:
    if value.startswith("/"):
        return "whoever has it writes the host's disks or memory" if ROOT_DEVICES.fullmatch(value) else ""
    kind, _, numbers = value.partition(" ")
    every = kind in ("a", "b") or (kind == "c" and numbers.startswith(("*", "1:", "10:*", "13:", "21:")))
    return "the rule covers the host's disks or memory" if every else ""


_PLAIN = re.compile(r"[A-Za-z_/…][A-Za-z0-9_./+=-]*(:[A-Za-z0-9_./+=-]+)*|…")
_PROC = "/proc holds every other container's files, writable, below <pid>/root"
_FORMS: Mapping[str, Callable[[str], str]] = {
    "capability": _capability,
    "devices": device,
    "sysctl": _sysctl,
    "host-namespace": _namespace,
    "security-opt": _option,
    "volume-driver": _share,
    "nested-mount": posixpath.normpath,
    "endpoint": lambda value: value.lower().rstrip("/"),
    "foreign-container": lambda value: value.removeprefix("container:"),
}
_ROOT_RULES: Mapping[str, str] = {
    "privileged": "it may do whatever root may do on the host",
    "docker-socket": "whoever asks the engine can start a privileged container",
    "build-privileged": "the build may do whatever root may do on the host",
}
_ROOT_VALUES: Mapping[str, Callable[[str], str]] = {
    "capability": _root_capability,
    "devices": _root_device,
    "host-namespace": lambda value: _PROC if value == "pid" else "",
    "security-opt": lambda value: (
        "the kernel's settings of the host become writable" if value == "systempaths=unconfined" else ""
    ),
    "runtime-annotation": lambda value: "the container's runtime obeys it as root",
    "runtime": lambda value: "the engine runs it as root" if "/" in value else "",
}
