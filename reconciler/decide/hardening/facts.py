"""The state of the hardening, read from the lines that `data/hardening/look.sh` prints."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import field

from reconciler.values import dataclass

Lines = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Facts:
    """`root`: the script ran as root, so every fact is known.

    `ports`: those of sshd. `accounts`: those that can log in by a key. `effective`: account → sshd's settings for it,
    names in lower case. `settings`: lines of sshd's files, each with path and number. `files`: path → bytes of our
    files that exist. `units`: name → (active, enabled). `packages`: the installed ones of those that we need. `rules`:
    our table in the kernel, `rules_of_file`: the table that our file would make; '' if there is none. `jail`:
    fail2ban's answer about the jail; `journal`: the lines of the journal that the jail reads. `pending`: a change waits
    for its confirmation.
    """

    root: bool = False
    ports: tuple[int, ...] = ()
    accounts: tuple[str, ...] = ()
    effective: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    settings: tuple[str, ...] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)
    units: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    packages: tuple[str, ...] = ()
    ufw: bool = False
    rules: str = ""
    rules_of_file: str = ""
    jail: str = ""
    journal: str = ""
    pending: bool = False

    def active(self, unit: str) -> bool:
        return self.units.get(unit, ("", ""))[0] == "active"

    def enabled(self, unit: str) -> bool:
        return self.units.get(unit, ("", ""))[1] == "enabled"

    @property
    def firewall(self) -> str:
        """The name of another active firewall, '' if there is none."""
        from reconciler.decide.hardening.firewall import OTHERS

        found = [name for name in OTHERS if (self.ufw if name == "ufw" else self.active(name))]
        return found[0] if found else ""


def read(lines: Lines) -> Facts:
    """Facts from the script's output. Names in `lines` have the prefix `harden_`."""
    return Facts(
        root=_one(lines, "root") == "yes",
        ports=tuple(dict.fromkeys(int(item) for item in lines.get("harden_port", ()) if item.isdecimal())),
        accounts=tuple(lines.get("harden_account", ())),
        effective=_effective(_texts(lines, "effective")),
        settings=tuple(line for text in _texts(lines, "settings") for line in text.splitlines()),
        files=dict(_file(data) for data in _bytes(lines, "file")),
        units=_units(lines.get("harden_unit", ())),
        packages=tuple(lines.get("harden_package", ())),
        ufw=_one(lines, "ufw") == "active",
        rules="".join(_texts(lines, "rules")),
        rules_of_file="".join(_texts(lines, "rules_of_file")),
        jail="".join(_texts(lines, "jail")),
        journal="".join(_texts(lines, "journal")),
        pending=_one(lines, "pending") == "yes",
    )  # fmt: skip


def _units(items: Sequence[str]) -> dict[str, tuple[str, str]]:
    rows = [item.split(" ") for item in items]
    return {row[0]: (row[1], row[2]) for row in rows if len(row) == 3}


def _one(lines: Lines, name: str) -> str:
    return (lines.get(f"harden_{name}") or ("",))[0]


def _bytes(lines: Lines, name: str) -> list[bytes]:
    found = []
    for item in lines.get(f"harden_{name}", ()):
        try:
            found.append(base64.b64decode(item, validate=True))
        except (binascii.Error, ValueError):
            continue
    return found


def _texts(lines: Lines, name: str) -> list[str]:
    return [item.decode(errors="replace") for item in _bytes(lines, name)]


def _file(data: bytes) -> tuple[str, bytes]:
    path, _, content = data.partition(b"\n")
    return path.decode(errors="replace"), content


def _effective(texts: Sequence[str]) -> dict[str, dict[str, str]]:
    """Account → sshd's settings. The first line of each text names the account. Values of a setting that occurs several
    times are joined. An account without settings is left out: sshd did not answer."""
    found = {}
    for text in texts:
        first, *rest = text.splitlines() or [""]
        values: dict[str, str] = {}
        for name, _, value in (line.partition(" ") for line in rest):
            values[name] = f"{values[name]} {value}" if name in values else value
        if values:
            found[first.removeprefix("user ")] = values
    return found
