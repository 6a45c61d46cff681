"""The changes that install the agent on every system: its program, config, repository and service."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from posixpath import dirname

from reconciler.bootstrap import adoption
from reconciler.bootstrap.entry import scalar
from reconciler.bootstrap.model import BARE, Bundle, Change, Wanted
from reconciler.bootstrap.places import Have, Places
from reconciler.model.checks import Check
from reconciler.model.service import Platform

_BUNDLE = ".bundle.tar"
_GIB = 1 << 30
_STEP = 256 << 20


def agent_changes(places: Places, have: Have, wanted: Wanted, bundle: Bundle, memory: int) -> Iterator[Change]:
    """The changes, in order. They need the account, Python, git and the engine. `memory`: bytes that containers can
    use."""
    yield from _program(places, have, bundle)
    yield from _config(places, have, wanted)
    yield from adoption.before(places, have, wanted)
    if wanted.repository == BARE:
        yield from _repository(places, have, wanted, memory)
    elif wanted.known_hosts:
        yield Change(
            "deploy-key",
            f"Make the key with which the machine reads {wanted.repository}",
            arguments={"commands": [f"{_verb(places)} key"]},
            account=places.account,
            needed=not have.keyed,
        )
    yield adoption.commit(places, have, wanted)
    yield Change(
        "service",
        f"Install the agent as a service that runs as {places.account}, and start it",
        arguments={"commands": [f"{_verb(places)} install --user {shlex.quote(places.account)}"]},
        # An agent that runs already must read its config again.
        needed=not (have.unit and have.running and have.enabled) or adoption.adopts(have, wanted),
        hint=f"see what the service says: {places.logs}",
    )


def refusals(places: Places, have: Have, wanted: Wanted) -> Iterator[Check]:
    """Refuse a machine whose agent has another name, or watches another repository or branch, than the options say."""
    if have.config is None:
        return
    host, url = have.config.get("host"), (have.config.get("source") or {}).get("url")
    if host != wanted.name:
        hint = f"use the existing name: --name {host}; or remove {places.config} there if that agent is not needed"
        yield Check("name", False, f"the agent config of this machine is that of {host}, not of {wanted.name}", hint)
    asked = places.repository if wanted.repository == BARE else wanted.repository
    if url != asked:
        hint = f"change `source.url` in {places.config} there, then `sudo reconciler install`; or --repository {url}"
        yield Check("repository", False, f"the agent of this machine watches {url}, not {asked}", hint)
    branch = (have.config.get("source") or {}).get("branch", "main")
    if branch != places.branch:
        hint = f"change `source.branch` in {places.config} there, then `sudo reconciler install`; or --branch {branch}"
        told = f"the agent of this machine watches the branch {branch}, not {places.branch}"
        yield Check("branch", False, told, hint)
    yield from adoption.refusals(places, have, wanted)


def _program(places: Places, have: Have, bundle: Bundle) -> Iterator[Change]:
    folder, there = places.versions, bundle.folder in have.versions
    packed = f"{folder}/{_BUNDLE}"
    yield Change(
        "versions-folder",
        f"Make the folder {folder} for the versions of the program",
        "files.directory",
        {"path": folder, "user": "root", "group": places.root_group, "mode": "755"},
        needed=not there,
    )
    yield Change(
        "wheels",
        f"Send the program and its libraries as {bundle.count} wheels ({len(bundle.data) / 1e6:.1f} MB)",
        "files.put",
        {"data": bundle.data, **_file(packed, places.root_group, "644")},
        needed=not there,
    )
    index = "--no-index " if bundle.complete else ""
    wheel = shlex.quote(f"wheels/{bundle.wheel}")
    takes_over = bool(have.current) and have.running
    if takes_over and have.current != bundle.folder:
        yield Change(
            "upgrade",
            f"Let version {bundle.folder} take over from {have.current}, which returns if it takes no good turn",
            arguments={"commands": [
                *([] if there else [f"cd {folder} && mkdir -p wheels && tar -xf {_BUNDLE} -C wheels && rm {_BUNDLE}"]),
                f"{_verb(places)} upgrade {folder}/{wheel}",
            ]},
            hint="the old version runs on; `reconciler upgrade --print` there says more",
        )  # fmt: skip
        yield _command(places, have)
        return
    made = bundle.folder
    install = (
        f"umask 022; cd {folder}; [ ! -e {made}/.complete ] || exit 0; mkdir -p wheels; tar -xf {_BUNDLE} -C wheels; "
        f"rm -rf {made}; {_venv(places, bundle)}; "
        f"{made}/bin/python -m pip install -q --disable-pip-version-check --root-user-action=ignore {index}"
        f"--find-links wheels {wheel}; touch {made}/.complete; rm -f {_BUNDLE}"
    )
    # One run at a time: if the laptop lost the connection, its earlier run may still work. macOS has no flock.
    alone = "" if places.platform is Platform.LAUNCHD else f"flock {folder}/.bootstrap.lock "
    yield Change(
        "program",
        f"Make a virtual environment in {folder}/{made} and install the wheels into it",
        arguments={"commands": [f"{alone}sh -ec {shlex.quote(install)}"]},
        needed=not there,
        hint="is there room on the disk, and is the Python on the machine complete (python3-venv)?",
    )
    yield Change(
        "current",
        f"Point the link {folder}/current at {made}",
        arguments={"commands": [
            f"cd {folder} && ln -sfn {made} .current.new && "
            f"{shlex.quote(places.python)} -c 'import os; os.replace(\".current.new\", \"current\")'"
        ]},
        needed=have.current != made,
    )  # fmt: skip
    yield _command(places, have)


def _command(places: Places, have: Have) -> Change:
    return Change(
        "command",
        f"Link {places.command} to the program, so that `reconciler` and `sudo reconciler` are found",
        arguments={
            "commands": [f"umask 022; mkdir -p {dirname(places.command)} && ln -s {places.program} {places.command}"]
        },
        needed=not have.command,
    )


def _venv(places: Places, bundle: Bundle) -> str:
    """Shell commands that make a virtual environment with pip."""
    python, made = shlex.quote(places.python), bundle.folder
    if not bundle.pip:
        return f"{python} -m venv {made}"
    site = 'import sysconfig; print(sysconfig.get_path("purelib"))'
    unpack = f"-m zipfile -e wheels/{bundle.pip} \"$({made}/bin/python -c '{site}')\""
    return f"{python} -m venv --without-pip {made}; {made}/bin/python {unpack}"


def _config(places: Places, have: Have, wanted: Wanted) -> Iterator[Change]:
    folder = dirname(places.config)
    yield Change(
        "config-folder",
        f"Make the folder {folder}",
        "files.directory",
        {"path": folder, "user": "root", "group": places.root_group, "mode": "755"},
        needed=have.config is None,
    )
    yield Change(
        "config",
        f"Write the agent config {places.config}",
        "files.put",
        {"data": config(places, wanted, adoption.consent(have, wanted)), **_file(places.config, places.group, "640")},
        needed=have.config is None,
    )
    if wanted.known_hosts:
        yield Change(
            "known-hosts",
            f"Write the key of the repository's host, as the laptop knows it, into {_known_hosts(places)}",
            "files.put",
            {"data": wanted.known_hosts, **_file(_known_hosts(places), places.root_group, "644")},
            needed=have.config is None,
        )
    yield Change(
        "secrets",
        f"Make the folder {places.secrets} for secrets that are not in git",
        "files.directory",
        {"path": places.secrets, "user": places.account, "group": places.group, "mode": "700"},
        needed=not have.secrets,
    )


def config(places: Places, wanted: Wanted, adopt: str = "") -> bytes:
    """The agent config. With the bare repository it has `trust: owner`: its pushers are administrators of the
    machine. `adopt`: the line of this key, or ''."""
    bare = wanted.repository == BARE
    url = places.repository if bare else wanted.repository
    key = f"  key_file: {places.state}/deploy_key\n  known_hosts_file: {_known_hosts(places)}\n"
    return (
        "# The agent config (docs/agent-config.md). `sudo reconciler install` makes the agent read it again.\n"
        f"host: {wanted.name}\n"
        "source:\n"
        f"  url: {scalar(url)}\n"
        f"  branch: {places.branch}\n"
        f"{key if wanted.known_hosts else ''}"
        f"state: {places.state}\n"
        f"secrets_dir: {places.secrets}\n" + ("trust: owner\n" if bare else "") + adopt
    ).encode()


def _repository(places: Places, have: Have, wanted: Wanted, memory: int) -> Iterator[Change]:
    path, draft = places.repository, f"{places.repository}.new"
    yield Change(
        "repository-folder",
        f"Make the folder {dirname(path)}",
        "files.directory",
        {"path": dirname(path), "user": places.account, "group": places.group, "mode": "755"},
        needed=not have.repository,
    )
    yield Change(
        "repository",
        f"Make the bare repository {path} with our hooks, open to the group {places.group}",
        arguments={"commands": [
            f"set -e; umask 027; cd /; rm -rf {draft}; {_verb(places)} init --bare {draft}; "
            f"git --git-dir={draft} config core.sharedRepository group; chmod -R g+rwX,o= {draft}; "
            f"find {draft} -type d -exec chmod g+s {{}} +; "
            f"rmdir {path} 2>/dev/null || true; [ ! -e {path} ] || {{ echo '{path} is there already' >&2; exit 1; }}; "
            f"mv {draft} {path}"
        ]},
        account=places.account,
        needed=not have.repository,
        hint=f"is something else in {path}? Move it away",
    )  # fmt: skip
    yield Change(
        "safe-directory",
        f"Let git on this machine trust {path}, whoever pushes",
        arguments={"commands": [f"umask 022; git config --system --add safe.directory {path}"]},
        needed=not have.safe,
    )
    lines = shlex.join(first_document(wanted.name, memory).splitlines())  # a word each: the dry run shows no line ends
    yield Change(
        "first-commit",
        f"Make a first commit on {places.branch}: the host {wanted.name} without any stack",
        arguments={"commands": [
            f"set -e; umask 027; d=$(mktemp -d); trap 'rm -rf \"$d\"' EXIT; cd \"$d\"; "
            f"git init -q -b {places.branch}; mkdir desired-state; "
            f"printf '%s\\n' {lines} >desired-state/{wanted.name}.yaml; git add -A; "
            f"git -c user.name=reconciler -c user.email=reconciler@{wanted.name} commit -q "
            f"-m 'Describe the host {wanted.name}'; "
            f"git push -q -o reconciler.no-wait {path} HEAD:refs/heads/{places.branch}"
        ]},
        account=places.account,
        needed=not have.commit and not adoption.adopts(have, wanted),
    )  # fmt: skip


def first_document(name: str, memory: int) -> str:
    """The Host document without stacks. `memory`: bytes that containers can use; the budget is computed from it."""
    kept = max(memory // 8, min(_GIB, memory // 2))
    budget = max((memory - kept) // _STEP * _STEP, _STEP)
    reserve = "512MiB" if memory > 4 * _GIB else "128MiB"
    return (
        "apiVersion: reconciler/v1\n"
        "kind: Host\n"
        f"metadata: {{name: {name}}}\n"
        "spec:\n"
        f"  memory: {{budget: {budget >> 20}MiB, steady: 80%, reserve: {reserve}}}\n"
        "  stacks: []  # - {name: shop, files: [compose/shop/compose.yaml]}\n"
    )


def _known_hosts(places: Places) -> str:
    return f"{dirname(places.config)}/known_hosts"


def _file(path: str, group: str, mode: str) -> dict[str, object]:
    """Arguments of `files.put` for a file of root, whose folder exists."""
    return {"dest": path, "user": "root", "group": group, "mode": mode, "create_remote_dir": False}


def _verb(places: Places) -> str:
    return f"{places.program} --config {shlex.quote(places.config)}"
