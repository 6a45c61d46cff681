"""The facts of a Mac, from one script in one round trip. It changes nothing."""

from __future__ import annotations

import base64
import binascii
import re
import shlex
from collections.abc import Mapping
from types import MappingProxyType

from reconciler.bootstrap.linux_facts import have
from reconciler.bootstrap.model import Lines, number, one
from reconciler.bootstrap.places import Have, Places
from reconciler.values import dataclass

BREW = "/opt/homebrew"
"""Homebrew's folder on Apple silicon."""

FACTS = r"""
LC_ALL=C; export LC_ALL
say() { printf '%s=%s\n' "$1" "$2"; }
there() { if [ -e "$2" ]; then say "$1" "$2"; fi; }
encoded() { if [ -f "$2" ]; then say "$1" "$(base64 <"$2" | tr -d '\n')"; fi; }
colima=$home/.colima
if [ ! -d "$colima" ] && [ -d "$home/.config/colima" ]; then colima=$home/.config/colima; fi
say macos "$(sw_vers -productVersion)"
say chip "$(uname -m)"
say memory "$(sysctl -n hw.memsize)"
say cpus "$(sysctl -n hw.ncpu)"
say filevault "$(fdesetup status | head -n 1)"
preferences=/Library/Preferences/com.apple
say automatic_login "$(defaults read $preferences.loginwindow autoLoginUser 2>/dev/null)"
say updates "$(defaults read $preferences.SoftwareUpdate AutomaticallyInstallMacOSUpdates 2>/dev/null)"
pmset -g custom | sed -n 's/^ *\([a-z]\{1,\}\) \{1,\}\([0-9]\{1,\}\).*$/power=\1 \2/p'
if [ -x "$brew/bin/brew" ]; then say brew_owner "$(find "$brew/bin" -prune -exec ls -ld {} + | awk '{ print $3 }')"; fi
for formula in "$brew"/opt/*; do there formula "$formula"; done
for folder in "$home/Library/LaunchAgents" /Library/LaunchDaemons; do
    there brew_service "$folder/homebrew.mxcl.colima.plist"
done
if [ -d "$state" ]; then say folder state; fi
if [ -d "$secrets" ]; then say folder secrets; fi
say colima "$colima"
encoded colima_yaml "$colima/default/colima.yaml"
there machine "$colima/_lima/colima/lima.yaml"
if launchctl print system/dev.reconciler.colima >/dev/null 2>&1; then say loaded yes; fi
say engine "$(curl -s -m 10 --unix-socket "$colima/default/docker.sock" http://localhost/_ping 2>/dev/null)"
for plugin in docker-compose docker-buildx; do there plugin "$home/.docker/cli-plugins/$plugin"; done
if grep -q '"credsStore": *"osxkeychain"' "$home/.docker/config.json" 2>/dev/null; then say keychain yes; fi
for app in OrbStack Docker; do there other "/Applications/$app.app"; done
for folder in "$versions"/*; do
    if [ -e "$folder/.complete" ]; then say version_there "${folder##*/}"; fi
done
say current "$(readlink "$versions/current" 2>/dev/null)"
if [ -e "$command" ] || [ -L "$command" ]; then say command yes; fi
encoded config "$config"
if [ -d "$secrets" ]; then say secrets yes; fi
if [ -n "$repository" ] && [ -e "$repository/HEAD" ]; then
    if [ -e "$repository/hooks/pre-receive" ]; then say repository yes; fi
    if git --git-dir="$repository" -c safe.directory="$repository" rev-parse -q --verify "refs/heads/$branch" \
        >/dev/null 2>&1; then say commit yes; fi
fi
say safe yes # only one account uses git here: the one that people log in as is the agent's
if [ -e "$state/deploy_key" ]; then say keyed yes; fi
if launchctl print system/dev.reconciler 2>/dev/null | grep -q 'state = running'; then say running yes; fi
there enabled /Library/LaunchDaemons/dev.reconciler.plist
if [ -x "$versions/current/bin/reconciler" ] && [ -e "$config" ]; then
    say print "$("$versions/current/bin/reconciler" --config "$config" install --user "$account" --print \
        --output json 2>/dev/null | base64 | tr -d '\n')"
    for file in /Library/LaunchDaemons/dev.reconciler*.plist; do
        if [ -e "$file" ]; then say unit "$(base64 <"$file" | tr -d '\n') $file"; fi
    done
fi
"""


@dataclass(frozen=True, slots=True)
class MacFacts:
    """Facts of the Mac. `memory` in bytes. `power`: setting of pmset → its value for each source of power. `formulae`:
    Homebrew's installed formulae. `brew_owner`: '' if Homebrew is missing. `brew_services`: files by which Homebrew
    starts Colima. `colima`: Colima's folder; `colima_yaml`: its config, None if there is none. `machine`: the virtual
    machine exists; `loaded`: launchd has loaded our daemon; `engine`: the engine answers. `plugins`: those of Docker's
    client; `keychain`: that client keeps logins to registries in the keychain. `others`: applications with an engine of
    their own. `folders`: which of `state` and `secrets` exist. `have`: the installed parts of the agent.
    """

    macos: str
    chip: str
    memory: int
    cpus: int
    filevault: bool
    automatic_login: str
    updates: bool
    power: Mapping[str, tuple[int, ...]]
    formulae: frozenset[str]
    brew_owner: str
    brew_services: tuple[str, ...]
    folders: frozenset[str]
    colima: str
    colima_yaml: str | None
    machine: bool
    loaded: bool
    engine: bool
    plugins: frozenset[str]
    keychain: bool
    others: tuple[str, ...]
    have: Have

    @property
    def pythons(self) -> frozenset[int]:
        """Minor versions of the installed Pythons that are new enough. Homebrew's formulae are named like
        python@3.14."""
        found = (re.fullmatch(r"python@3\.(\d+)", item) for item in self.formulae)
        return frozenset(int(item[1]) for item in found if item is not None and int(item[1]) >= 11)


def script(places: Places) -> str:
    """The script: `FACTS` after its variables."""
    given = {
        "brew": BREW, "account": places.account, "home": places.home, "config": places.config, "state": places.state,
        "secrets": places.secrets, "versions": places.versions, "repository": places.repository,
        "branch": places.branch, "command": places.command,
    }  # fmt: skip
    return "\n".join([*(f"{name}={shlex.quote(value)}" for name, value in given.items()), FACTS])


def read(lines: Lines) -> MacFacts:
    """The facts. Those that are missing in `lines` are empty, as on a Mac on which nothing is installed."""
    return MacFacts(
        macos=one(lines, "macos"),
        chip=one(lines, "chip"),
        memory=number(lines, "memory"),
        cpus=number(lines, "cpus"),
        filevault="On" in one(lines, "filevault"),
        automatic_login=one(lines, "automatic_login"),
        updates=one(lines, "updates") == "1",
        power=MappingProxyType(_power(lines)),
        formulae=frozenset(map(_name, lines.get("formula", ()))),
        brew_owner=one(lines, "brew_owner"),
        brew_services=tuple(lines.get("brew_service", ())),
        folders=frozenset(lines.get("folder", ())),
        colima=one(lines, "colima"),
        colima_yaml=_text(one(lines, "colima_yaml")),
        machine=bool(one(lines, "machine")),
        loaded=one(lines, "loaded") == "yes",
        engine=one(lines, "engine") == "OK",
        plugins=frozenset(map(_name, lines.get("plugin", ()))),
        keychain="keychain" in lines,
        others=tuple(_name(item).removesuffix(".app") for item in lines.get("other", ())),
        have=have(lines),
    )


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _power(lines: Lines) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {}
    for line in lines.get("power", ()):
        name, _, value = line.partition(" ")
        if value.isdecimal():
            found[name] = (*found.get(name, ()), int(value))
    return found


def _text(encoded: str) -> str | None:
    if not encoded:
        return None
    try:
        return base64.b64decode(encoded).decode(errors="replace")
    except binascii.Error:
        return None
