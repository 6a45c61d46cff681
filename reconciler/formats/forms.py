"""Forms that values of Compose's canonical model must have for the engine. Pure.

Each function judges one value; a value that is no text or number of the kind gives False. Tried on Docker Engine 26.1.
"""

from __future__ import annotations

import ipaddress
import posixpath
import re
import warnings
from collections.abc import Callable

from reconciler.formats.quantities import QuantityError, seconds

Fits = Callable[[object], bool]

_PATH = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_DOMAIN = (
    r"(?:localhost|[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+|[A-Za-z0-9.-]+:[0-9]+|\[[0-9a-fA-F:]+\](?::[0-9]+)?"
    r"|[a-z0-9]*[A-Z][A-Za-z0-9-]*)(?::[0-9]+)?"
)
_DIGEST = r"(?:sha256:[0-9a-f]{64}|(?!sha256:)[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,})"
_IMAGE = re.compile(
    rf"(?P<name>(?:{_DOMAIN}/)?{_PATH}(?:/{_PATH})*)(?::[A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}})?(?:@{_DIGEST})?"
)
"""github.com/distribution/reference, regexp.go; a first part with a capital is a domain."""

_MAC = re.compile(
    r"[0-9a-fA-F][02468aceACE](?:[:-][0-9a-fA-F]{2}){5}|[0-9a-fA-F][02468aceACE][0-9a-fA-F]{2}(?:\.[0-9a-fA-F]{4}){2}"
)
"""Six bytes; not a multicast address."""

_WHOLE = re.compile(r"-?[0-9]{1,19}")
_CPUS = re.compile(r"[0-9]{1,4}(?:-[0-9]{1,4})?(?:,[0-9]{1,4}(?:-[0-9]{1,4})?)*")
_PORTS = re.compile(r"[0-9]{1,5}(?:-[0-9]{1,5})?")
_RESTART = re.compile(r"no|always|unless-stopped|on-failure(?::[0-9]{1,9})?")
_PLATFORM = re.compile(r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.-]+)?")
_ALONE = frozenset({"linux", "windows", "amd64", "x86_64", "x86-64", "arm64", "aarch64", "arm", "armhf", "armel", "386",
                    "i386", "ppc64le", "riscv64", "s390x", "mips64le", "loong64", "wasm"})  # fmt: skip
_NUMBERED = re.compile(r"[+-]?[0-9]+")
_LARGEST_ID = 2**31 - 1

_SIGNALS = re.compile(
    r"ABRT|ALRM|BUS|CHLD|CLD|CONT|FPE|HUP|ILL|INT|IO|IOT|KILL|PIPE|POLL|PROF|PWR|QUIT|SEGV|STKFLT|STOP|SYS|TERM|"
    r"TRAP|TSTP|TTIN|TTOU|URG|USR1|USR2|VTALRM|WINCH|XCPU|XFSZ|RTMIN|RTMAX"
)
_REALTIME = re.compile(r"RTMIN\+([1-9]|1[0-5])|RTMAX-([1-9]|1[0-4])")
"""github.com/moby/sys/signal."""

_LOG_SIZE = re.compile(r"-?[0-9]{1,15}(\.[0-9]+)? ?[kmgtp]?i?b?", re.IGNORECASE)
_NO_REGEX, _LONGEST_REGEX = ("unterminated", "unbalanced parenthesis"), 1000
"""Words in Python's messages about faults that Go refuses, too; characters."""

_CAPABILITIES = re.compile(
    r"AUDIT_CONTROL|AUDIT_READ|AUDIT_WRITE|BLOCK_SUSPEND|BPF|CHECKPOINT_RESTORE|CHOWN|DAC_OVERRIDE|"
    r"DAC_READ_SEARCH|FOWNER|FSETID|IPC_LOCK|IPC_OWNER|KILL|LEASE|LINUX_IMMUTABLE|MAC_ADMIN|MAC_OVERRIDE|MKNOD|"
    r"NET_ADMIN|NET_BIND_SERVICE|NET_BROADCAST|NET_RAW|PERFMON|SETFCAP|SETGID|SETPCAP|SETUID|SYSLOG|SYS_ADMIN|"
    r"SYS_BOOT|SYS_CHROOT|SYS_MODULE|SYS_NICE|SYS_PACCT|SYS_PTRACE|SYS_RAWIO|SYS_RESOURCE|SYS_TIME|"
    r"SYS_TTY_CONFIG|WAKE_ALARM"
)
_RLIMITS = re.compile(
    r"as|core|cpu|data|fsize|locks|memlock|msgqueue|nice|nofile|nproc|rss|rtprio|rttime|sigpending|stack"
)
_TMPFS_FLAGS = re.compile(
    r"rw|ro|suid|nosuid|dev|nodev|exec|noexec|sync|async|dirsync|mand|nomand|atime|noatime|diratime|nodiratime|"
    r"relatime|norelatime|strictatime|nostrictatime|defaults|private|rprivate|shared|rshared|slave|rslave|"
    r"unbindable|runbindable"
)
_TMPFS_VALUES = {
    "size": re.compile(r"[0-9]{1,15}[kKmMgGtT%]?"),
    "mode": re.compile(r"[0-7]{1,5}"),
    "uid": re.compile(r"[0-9]{1,10}"),
    "gid": re.compile(r"[0-9]{1,10}"),
    "nr_inodes": re.compile(r"[0-9]{1,15}[kKmMgG]?"),
    "nr_blocks": re.compile(r"[0-9]{1,15}[kKmMgG]?"),
    "mpol": re.compile(r".+"),
}


def whole(value: object) -> int | None:
    """A whole number, also as text or as a float without a fraction; None for anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    return int(str(value)) if _WHOLE.fullmatch(str(value)) else None


def between(low: int, high: int, *others: int) -> Fits:
    """Whole numbers from `low` to `high`, and `others`."""

    def fits(value: object) -> bool:
        number = whole(value)
        return number is not None and (low <= number <= high or number in others)

    return fits


def one_of(*words: str) -> Fits:
    return lambda value: value in words


def boolean(value: object) -> bool:
    """As Go reads it."""
    return str(value) in {"1", "t", "T", "true", "TRUE", "True", "0", "f", "F", "false", "FALSE", "False"}


def image(value: object) -> bool:
    match = _IMAGE.fullmatch(str(value))
    return match is not None and len(match["name"]) <= 255


def cpus(value: object) -> bool:
    """0, or at least the smallest share that the kernel can give: a hundredth of a processor."""
    try:
        number = float(str(value))
    except ValueError:
        return False
    return number == 0 or 0.01 <= number < float("inf")


def duration(value: object) -> bool:
    """Of a health check: 0, or at least a millisecond."""
    try:
        return not 0 < seconds(str(value)) < 0.001
    except QuantityError:
        return str(value) == "0"


def ports(value: object) -> bool:
    """One published port or a range; 0 means any."""
    first, _, last = str(value).partition("-")
    return bool(_PORTS.fullmatch(str(value))) and int(first) <= int(last or first) <= 65535


def address(version: int | None = None) -> Fits:
    """An address; of that version if it is given."""

    def fits(value: object) -> bool:
        try:
            found = ipaddress.ip_address(str(value))
        except ValueError:
            return False
        return version in (None, found.version)

    return fits


def host_address(value: object) -> bool:
    """The address of a published port; Compose keeps the brackets of some."""
    return address()(str(value).removeprefix("[").removesuffix("]"))


def device(value: object) -> bool:
    """A path below /dev. The engine looks for it on the host, and its answer would tell whether another path exists."""
    path = str(value)
    return path.startswith("/dev/") and posixpath.normpath(path) == path.rstrip("/")


def link_local(value: object) -> bool:
    return address()(value) and ipaddress.ip_address(str(value)).is_link_local


def subnet(value: object) -> bool:
    """A network without host bits."""
    try:
        return "/" in str(value) and bool(ipaddress.ip_network(str(value)))
    except ValueError:
        return False


def is_edge(text: str, subnet: str) -> bool:
    """Whether an address is the first or the last of an IPv4 subnet, which no host can have."""
    try:
        network, found = ipaddress.ip_network(subnet), ipaddress.ip_address(text)
    except ValueError:
        return False
    edges = (network.network_address, network.broadcast_address)
    return network.version == 4 and network.prefixlen < 31 and found in edges


def mac(value: object) -> bool:
    return bool(_MAC.fullmatch(str(value)))


def extra_host(value: object) -> bool:
    """NAME=ADDRESS, as Compose prints it; older versions have a colon."""
    text = str(value)
    name, _, found = text.partition("=" if "=" in text else ":")
    return bool(name) and (found == "host-gateway" or host_address(found))


def identity(value: object) -> bool:
    """Name or number of a user or group, or both with a colon between; names are the image's."""
    parts = str(value).split(":")[:2]
    return all(not _NUMBERED.fullmatch(part) or 0 <= int(part) <= _LARGEST_ID for part in parts)


def signal(value: object) -> bool:
    text = str(value).upper().removeprefix("SIG")
    if text.lstrip("-").isdigit():
        return 1 <= int(text) <= 64
    return bool(_SIGNALS.fullmatch(text) or _REALTIME.fullmatch(text))


def restart(value: object) -> bool:
    return bool(_RESTART.fullmatch(str(value)))


def platform(value: object) -> bool:
    return bool(_PLATFORM.fullmatch(str(value))) or str(value).lower() in _ALONE


def cpu_list(value: object) -> bool:
    """Numbers of processors: 0-3,5."""
    spans = (part.partition("-") for part in str(value).split(","))
    return bool(_CPUS.fullmatch(str(value))) and all(int(first) <= int(last or first) for first, _, last in spans)


def log_size(value: object) -> bool:
    return bool(_LOG_SIZE.fullmatch(str(value)))


def template(value: object) -> bool:
    """Whether each opening of Go's template has an end."""
    return str(value).count("{{") == str(value).count("}}")


def regex(value: object) -> bool:
    """False for faults that Go's dialect and Python's have in common. A text that Python may need long for is not read:
    each set with letters of other alphabets takes milliseconds, and more if it ignores case (`(?i)`)."""
    text = str(value)
    if len(text) > _LONGEST_REGEX or not text.isascii() or re.search(r"\(\?|\\[uUN]", text):
        return True
    try:
        with warnings.catch_warnings(action="ignore"):  # about forms that Python, not Go, will read differently one day
            re.compile(text)
    except re.error as error:
        told = str(error)
        begins = error.pos == 0 and "nothing to repeat" in told  # later on, Go may repeat it: it repeats also ^ and $
        return not begins and not any(words in told for words in _NO_REGEX)
    except (OverflowError, RecursionError):
        return True
    return True


def capability(value: object) -> bool:
    name = str(value).upper()
    return name == "ALL" or bool(_CAPABILITIES.fullmatch(name.removeprefix("CAP_")))


def rlimit(value: object) -> bool:
    return bool(_RLIMITS.fullmatch(str(value).lower()))


def test(value: object) -> bool:
    """Of a health check: the command follows the first word."""
    return not isinstance(value, list) or value[:1] == ["NONE"] or (len(value) > 1 and value[:2] != ["CMD", ""])


def target(value: object) -> bool:
    """The target of a mount."""
    return str(value).startswith("/") and bool(str(value).strip("/."))


def tmpfs(value: object) -> bool:
    """PATH or PATH:OPTIONS."""
    path, _, options = str(value).partition(":")
    return target(path) and all(map(_tmpfs_option, filter(None, options.split(","))))


def _tmpfs_option(text: str) -> bool:
    name, _, value = text.partition("=")
    pattern = _TMPFS_VALUES.get(name)
    return bool(pattern.fullmatch(value)) if pattern else bool(_TMPFS_FLAGS.fullmatch(text))


def subpath(value: object) -> bool:
    text = str(value)
    return not text.startswith("/") and ".." not in text.split("/")
