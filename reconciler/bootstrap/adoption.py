"""`--adopt`: Compose projects that run on the machine become the first commit, without a restart.

The machine itself does the work: `init --running` copies the projects' files and writes the desired state.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from posixpath import dirname

from reconciler.bootstrap.model import BARE, Change, Wanted
from reconciler.bootstrap.places import Have, Places
from reconciler.model.checks import Check
from reconciler.record.text.layout import plural

ADOPT = "adopt"
"""The change that makes the commit."""

SUBJECT = "Adopt the Compose projects of this machine"

_DRAFT = "/var/tmp/reconciler-adopt"  # noqa: S108  # `mktemp` makes it

LIVES = (
    "docker ps -q --no-trunc --filter label=com.docker.compose.config-hash | xargs -r docker inspect --format "
    "'{{.Id}} {{.State.StartedAt}} {{index .Config.Labels \"com.docker.compose.project\"}} {{.Name}}'"
)
"""Prints a line for each running container of a Compose project."""


def adopts(have: Have, wanted: Wanted) -> bool:
    """Whether this run makes the commit: there is something to adopt, and no commit yet."""
    made = have.commit if wanted.repository == BARE else have.adopted
    return wanted.adopt and bool(have.projects) and not made


def refusals(places: Places, have: Have, wanted: Wanted) -> Iterator[Check]:
    """Refuse if the existing agent config must be changed by hand."""
    if adopts(have, wanted) and have.config is not None and "adopt" in have.config and _lacking(have):
        told = f"the agent config does not let commits take over {', '.join(_lacking(have))}"
        both = json.dumps(sorted({*_consented(have), *have.projects}))
        hint = f"write `adopt: {both}` into {places.config} there, then run the same command again"
        yield Check(ADOPT, False, told, hint)


def notes(have: Have, wanted: Wanted) -> Iterator[str]:
    if not wanted.adopt:
        return
    if not have.projects:
        yield "No Compose project runs on this machine without an agent, so nothing is adopted."
    elif not adopts(have, wanted) and _lacking(have):
        names = ", ".join(_lacking(have))
        yield (
            f"{names}: runs on this machine and is not adopted, because the repository has commits already. "
            "Add it to a clone by hand (docs/adoption.md)."
        )


def consent(have: Have, wanted: Wanted) -> str:
    """The line of the agent config that lets commits take over the projects; '' without one."""
    return f"adopt: {json.dumps(sorted(have.projects))}\n" if adopts(have, wanted) else ""


def before(places: Places, have: Have, wanted: Wanted) -> Iterator[Change]:
    """The changes before the commit: consent in an existing config, and the agent's right to reach the projects."""
    needed = adopts(have, wanted)
    line = shlex.quote(consent(have, wanted))
    whole = f'[ -z "$(tail -c 1 {places.config})" ] || echo >>{places.config}'  # an editor may leave out the last end
    yield Change(
        "consent",
        f"Let commits take over {', '.join(sorted(have.projects))} ({places.config})",
        arguments={"commands": [f"{whole}; printf %s {line} >>{places.config}"]},
        needed=needed and have.config is not None and bool(_lacking(have)),
    )
    for number, folder in enumerate(have.closed, 1):
        yield Change(
            f"way-{number}",
            f"Let the account {places.account} pass through {folder}, because a project to adopt lies there",
            arguments={"commands": [f"setfacl -m u:{places.account}:x {shlex.quote(folder)}"]},
            needed=needed,
        )


def commit(places: Places, have: Have, wanted: Wanted) -> Change:
    """Make the commit. It is refused, and nothing is changed, if the first turn would replace a container."""
    bare, names, account = wanted.repository == BARE, ", ".join(sorted(have.projects)), places.account
    target = places.repository if bare else places.adopted
    verb = f"{places.program} --config {shlex.quote(places.config)}"
    has = f"git --git-dir={target} -c safe.directory='*' rev-parse -q --verify refs/heads/{places.branch}"
    folder = (
        f"install -d -m 755 -o {account} -g {places.group} {dirname(target)}; "
        f"git config --system --get-all safe.directory | grep -qx {target} || "
        f"git config --system --add safe.directory {target}; "
    )
    make = f"git init -q --bare -b {places.branch} {target}; "
    own = f"-c user.name=reconciler -c user.email=reconciler@{wanted.name}"
    pushed = (
        f'umask 027; {"" if bare else make}cd "$1/home"; git add -A; '
        f'{{ echo "{SUBJECT}"; echo; cat "$1/told"; }} >"$1/message"; git {own} commit -q -F "$1/message"; '
        f"git push -q {'-o reconciler.no-wait ' if bare else ''}{target} HEAD:refs/heads/{places.branch}"
    )
    as_account = f"HOME={places.home} runuser -u {account} --"
    script = (
        f"umask 022; cd /; {'' if bare else folder}umask 077; ! {has} >/dev/null 2>&1 || exit 0; "
        f"rm -rf {_DRAFT}.*; d=$(mktemp -d {_DRAFT}.XXXXXX); trap 'rm -rf \"$d\"' EXIT; "
        f'chown {account}: "$d"; {as_account} git init -q -b {places.branch} "$d/home"; '
        f'NO_COLOR=1 {verb} init "$d/home" --running --user {account} >"$d/told" 2>&1 || '
        '{ cat "$d/told"; exit 1; }; sed -i "/^look through the files/,\\$d" "$d/told"; '
        f'chmod 644 "$d/told"; {as_account} sh -ec {shlex.quote(pushed)} sh "$d"'
    )
    return Change(
        ADOPT,
        f"Make a first commit on {places.branch} from what runs: {names}",
        arguments={"commands": [f"flock {places.versions}/.bootstrap.lock sh -ec {shlex.quote(script)}"]},
        needed=adopts(have, wanted),
        hint="nothing that runs was touched. Correct what the output names (docs/adoption.md), or leave --adopt out",
    )


def kept(then: str, now: str, projects: frozenset[str]) -> Check:
    """Compare two outputs of LIVES: the containers of the projects must be the same, and not be restarted."""
    lives = [line.split() for line in then.splitlines()]
    own = [" ".join(words) for words in lives if len(words) == 4 and words[2] in projects]
    if not own:
        return Check(ADOPT, None, "not compared: the engine did not say which containers ran before")
    lost = [line.split()[3].lstrip("/") for line in own if line not in now.splitlines()]
    if lost:
        told = f"replaced or stopped since the adoption began: {', '.join(sorted(lost))}"
        return Check(ADOPT, False, told, "`reconciler history` on the machine says what was changed, and why")
    return Check(ADOPT, True, f"{plural(len(own), 'container')} of {', '.join(sorted(projects))}: none was restarted")


def _consented(have: Have) -> list[str]:
    found = (have.config or {}).get("adopt")
    return [str(item) for item in found] if isinstance(found, list) else []


def _lacking(have: Have) -> list[str]:
    return sorted(set(have.projects) - set(_consented(have)))
