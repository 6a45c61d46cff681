"""The facts of a Debian or Ubuntu machine, from one script in one round trip. It changes nothing."""

from __future__ import annotations

import base64
import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from reconciler.bootstrap.model import Lines, Wanted, number, one
from reconciler.bootstrap.places import Have, Places
from reconciler.model.observed import COMPOSE_FOLDER, COMPOSE_PROJECT, LABEL_HOST
from reconciler.values import dataclass

PACKAGES = (
    "python3", "python3-venv", "python3.11", "python3.11-venv", "git", "sudo", "ca-certificates", "openssh-client",
    "iptables", "docker.io", "docker-ce", "docker-compose", "docker-compose-v2", "docker-compose-plugin",
    "docker-buildx", "docker-cli", "unattended-upgrades", "systemd-timesyncd", "podman-docker", "acl",
)  # fmt: skip
"""The packages that a plan may want, or must know of."""

FACTS = r"""
LC_ALL=C; export LC_ALL
say() { printf '%s=%s\n' "$1" "$2"; }
# shellcheck disable=SC1091
[ ! -e /etc/os-release ] || . /etc/os-release
say id "${ID:-}"; say release "${VERSION_ID:-}"; say codename "${VERSION_CODENAME:-}"; say pretty "${PRETTY_NAME:-}"
if [ -d /run/systemd/system ]; then say systemd yes; fi
if command -v apt-get >/dev/null; then say apt yes; fi
say memory "$(awk '$1 == "MemTotal:" { print $2 }' /proc/meminfo)"
say swap "$(awk '$1 == "SwapTotal:" { print $2 }' /proc/meminfo)"
say overcommit "$(cat /proc/sys/vm/overcommit_memory 2>/dev/null)"
for folder in /opt /var/lib /srv "$versions" "$state" ${data_root:+"$(dirname "$data_root")"}; do
    say free "$(df -Pk "$folder" 2>/dev/null | awk 'NR == 2 { print $4 }')"
done
apt-get indextargets --format '$(COMPONENT) $(RELEASE) $(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
    awk -v ours="${VERSION_CODENAME:-}" '
        $1 == "main" && $2 == ours { print "mirror_main=" $3 }
        $1 == "main" && $2 == ours "-security" { print "mirror_security=" $3 }'
if [ -n "$(dpkg --audit 2>/dev/null)" ]; then say broken yes; fi
# shellcheck disable=SC2086
dpkg-query -W -f='${db:Status-Abbrev} ${Package}\n' $packages 2>/dev/null |
    awk '$1 == "ii" { print "package=" $2 }'
if command -v dockerd >/dev/null || systemctl cat docker.service >/dev/null 2>&1; then say dockerd yes; fi
say python "$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)"
say engine "$(timeout 15 docker version --format '{{.Server.Version}}' 2>/dev/null)"
say compose "$(timeout 15 docker compose version --short 2>/dev/null)"
say containers "$(timeout 15 docker ps -q 2>/dev/null | wc -l | tr -d ' ')"
if [ -e /etc/docker/daemon.json ]; then
    say daemon_json yes; say daemon "$(base64 </etc/docker/daemon.json 2>/dev/null | tr -d '\n')"
fi
say engine_root "$(timeout 15 docker info --format '{{.DockerRootDir}}' 2>/dev/null)"
say engine_holds "$(timeout 15 docker info --format '{{.Containers}} {{.Images}}' 2>/dev/null) \
$(timeout 15 docker volume ls -q 2>/dev/null | wc -l | tr -d ' ')"
if [ -n "$data_root" ] && [ -d "$(dirname "$data_root")" ]; then say data_parent yes; fi
if systemctl cat snap.docker.dockerd.service >/dev/null 2>&1; then say snap yes; fi
say clock "$(timeout 10 timedatectl show -p NTPSynchronized --value 2>/dev/null)"
for unit in systemd-timesyncd chrony chronyd ntp ntpsec ntpd openntpd; do
    if systemctl is-active --quiet "$unit" 2>/dev/null; then say timekeeper "$unit"; fi
done
if systemctl cat systemd-timesyncd >/dev/null 2>&1; then say timesyncd yes; fi
say virtual "$(systemd-detect-virt --container 2>/dev/null)"
say unattended "$(apt-config dump APT::Periodic::Unattended-Upgrade 2>/dev/null | sed 's/.*"\(.*\)".*/\1/')"
if id "$account" >/dev/null 2>&1; then say account_groups "$(id -Gn "$account")"; fi
say login_groups "$(id -Gn "$login")"
say sudoers "$(base64 <"$sudoers" 2>/dev/null | tr -d '\n')"
say account_shell "$(getent passwd "$account" | cut -d: -f7)"
for folder in /etc /home /opt /srv /usr /var/lib; do
    if [ -e "$folder" ] && [ ! -w "$folder" ]; then say readonly "$folder"; fi
done
for folder in "$versions"/*; do
    if [ -e "$folder/.complete" ]; then say version_there "${folder##*/}"; fi
done
say current "$(readlink "$versions/current" 2>/dev/null)"
if [ -e "$command" ] || [ -L "$command" ]; then say command yes; fi
say config "$(base64 <"$config" 2>/dev/null | tr -d '\n')"
if [ -d "$secrets" ]; then say secrets yes; fi
if [ -n "$repository" ] && [ -e "$repository/HEAD" ]; then
    if [ -e "$repository/hooks/pre-receive" ]; then say repository yes; fi
    if git --git-dir="$repository" -c safe.directory="$repository" rev-parse -q --verify "refs/heads/$branch" \
        >/dev/null 2>&1; then say commit yes; fi
    if git config --system --get-all safe.directory 2>/dev/null | grep -qx -e "$repository" -e '\*'; then
        say safe yes
    fi
fi
if [ -e "$state/deploy_key" ]; then say keyed yes; fi
if git --git-dir="$adopted" -c safe.directory="$adopted" rev-parse -q --verify "refs/heads/$branch" \
    >/dev/null 2>&1; then say adopted yes; fi
timeout 15 docker ps --no-trunc --filter label=com.docker.compose.config-hash --format "$project_line" 2>/dev/null |
    sort -u | sed -n 's,^\([^/]*\)//\(/.*\)$,\1 \2,p' | while read -r name folder; do
        say project "$name $folder"
        while [ "$folder" != / ] && [ -n "$folder" ]; do
            case $(stat -c %A "$folder" 2>/dev/null) in d*[xt]) ;; d*) say closed "$folder" ;; esac
            folder=$(dirname "$folder")
        done
    done
if systemctl is-active --quiet reconciler 2>/dev/null; then say running yes; fi
if systemctl is-enabled --quiet reconciler 2>/dev/null; then say enabled yes; fi
if [ -x "$versions/current/bin/reconciler" ] && [ -e "$config" ]; then
    say print "$("$versions/current/bin/reconciler" --config "$config" install --user "$account" --print \
        --output json 2>/dev/null | base64 | tr -d '\n')"
    for file in /etc/systemd/system/reconciler*.service /etc/systemd/system/reconciler*.timer; do
        if [ -e "$file" ]; then say unit "$(base64 <"$file" | tr -d '\n') $file"; fi
    done
fi
"""


SUDOERS = "/etc/sudoers.d/zz-reconciler"
"""sudo uses the last rule that matches. So ours must come after a file that is named after an account, whose rule may
ask for a password."""

_LABEL = '{{.Label "%s"}}'
PROJECT = "/".join(_LABEL % name for name in (COMPOSE_PROJECT, LABEL_HOST, COMPOSE_FOLDER))
"""A container's project, reconciler host and folder, as a format of `docker ps`."""


@dataclass(frozen=True, slots=True)
class LinuxFacts:
    """Facts of the machine. `engine`, `compose`: versions, '' if it does not answer. Sizes in bytes. `timekeeper`: the
    service that sets the clock. `daemon`: the engine's settings, None if there are none or they are no JSON;
    `engine_holds`: numbers of its containers, images and volumes. `data_parent`: the folder above the wanted data root
    exists. `snap`: the engine is one. `account_shell`: of the agent's account, '' if there is none; `readonly`: folders
    in which nothing can be made. `have`: the installed parts of the agent."""

    id: str
    release: str
    codename: str
    pretty: str
    systemd: bool
    apt: bool
    memory: int
    swap: int
    overcommit: int
    free: int
    broken: bool
    mirror: str
    security: str
    packages: frozenset[str]
    python: str
    dockerd: bool
    engine: str
    compose: str
    containers: int
    daemon_json: bool
    daemon: Mapping[str, Any] | None
    engine_root: str
    engine_holds: str
    data_parent: bool
    snap: bool
    synchronised: bool
    timekeeper: str
    timesyncd: bool
    container: bool
    unattended: bool
    account_groups: frozenset[str]
    login_groups: frozenset[str]
    sudoers: str
    account_shell: str
    readonly: tuple[str, ...]
    have: Have


def script(places: Places, wanted: Wanted) -> str:
    """The script: `FACTS` after its variables."""
    given = {
        "packages": " ".join(PACKAGES), "data_root": wanted.data_root, "login": wanted.login,
        "account": places.account, "config": places.config,
        "secrets": places.secrets, "versions": places.versions, "repository": places.repository,
        "branch": places.branch, "state": places.state, "python": places.python, "project_line": PROJECT,
        "sudoers": SUDOERS, "command": places.command,
        "adopted": places.adopted,
    }  # fmt: skip
    return "\n".join([*(f"{name}={shlex.quote(value)}" for name, value in given.items()), FACTS])


def read(lines: Lines) -> LinuxFacts:
    return LinuxFacts(
        id=one(lines, "id"),
        release=one(lines, "release"),
        codename=one(lines, "codename"),
        pretty=one(lines, "pretty"),
        systemd="systemd" in lines,
        apt="apt" in lines,
        memory=number(lines, "memory") * 1024,
        swap=number(lines, "swap") * 1024,
        overcommit=number(lines, "overcommit"),
        free=min((int(value) * 1024 for value in lines.get("free", ()) if value.isdecimal()), default=0),
        broken="broken" in lines,
        mirror=one(lines, "mirror_main"),
        security=one(lines, "mirror_security"),
        packages=frozenset(lines.get("package", ())),
        python=one(lines, "python"),
        dockerd="dockerd" in lines,
        engine=one(lines, "engine"),
        compose=one(lines, "compose").removeprefix("v"),
        containers=number(lines, "containers"),
        daemon_json="daemon_json" in lines,
        daemon=_json(_decoded(one(lines, "daemon"))),
        engine_root=one(lines, "engine_root"),
        engine_holds=one(lines, "engine_holds"),
        data_parent="data_parent" in lines,
        snap="snap" in lines,
        synchronised=one(lines, "clock") == "yes",
        timekeeper=one(lines, "timekeeper"),
        timesyncd="timesyncd" in lines,
        container=one(lines, "virtual") not in ("", "none"),
        unattended=one(lines, "unattended") == "1",
        account_groups=frozenset(one(lines, "account_groups").split()),
        login_groups=frozenset(one(lines, "login_groups").split()),
        sudoers=_decoded(one(lines, "sudoers")).decode(errors="replace"),
        account_shell=one(lines, "account_shell"),
        readonly=tuple(lines.get("readonly", ())),
        have=have(lines),
    )


def have(lines: Lines) -> Have:
    """The installed parts of the agent, from lines that the scripts of all systems print."""
    return Have(
        versions=frozenset(lines.get("version_there", ())),
        current=one(lines, "current"),
        config=_config(_decoded(one(lines, "config"))),
        secrets="secrets" in lines,
        unit=_as_printed(_decoded(one(lines, "print")), lines.get("unit", ())),
        running="running" in lines,
        enabled="enabled" in lines,
        repository="repository" in lines,
        commit="commit" in lines,
        safe="safe" in lines,
        keyed="keyed" in lines,
        projects={name: folder for name, _, folder in (item.partition(" ") for item in lines.get("project", ()))},
        closed=tuple(sorted(set(lines.get("closed", ())))),
        adopted="adopted" in lines,
        command="command" in lines,
    )


def _decoded(value: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except ValueError:
        return b""


def _json(data: bytes) -> Mapping[str, Any] | None:
    try:
        found = json.loads(data)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _config(data: bytes) -> Mapping[str, Any] | None:
    """The agent config; None if there is none, empty if it cannot be read (the agent itself reports why)."""
    if not data:
        return None
    from reconciler.formats.yamls import document

    value = document(data, "reconciler.yaml").value
    return value if isinstance(value, dict) else {}


def _as_printed(printed: bytes, units: Sequence[str]) -> bool:
    """Whether the files that `install --print` shows exist, unchanged. `units`: each `BASE64 PATH` of an existing
    file."""
    there = {path: _decoded(content) for content, _, path in (item.partition(" ") for item in units)}
    try:
        files = json.loads(printed)["files"]
    except (ValueError, KeyError, TypeError):
        return False
    return bool(files) and all(there.get(item["path"]) == item["content"].encode() for item in files)
