"""The composition root of `deploy`, `rollback` and `status --all`, which work from the laptop."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Mapping
from functools import partial
from threading import Event
from typing import Any

from reconciler.act.push import push, restoring_commit
from reconciler.errors import Transient, Usage
from reconciler.fleet import host_of_remote, load_hosts
from reconciler.model.fleet import RemoteHost
from reconciler.model.outcome import Reason
from reconciler.observe.clone import Clone
from reconciler.ssh import Ssh
from reconciler.verbs import Answer
from reconciler.verbs.deploy import Deployer, Hands
from reconciler.verbs.fleet import by_ssh, from_notes
from reconciler.wiring.asking import consent
from reconciler.wiring.remote import find_host

Json = Mapping[str, Any]

PATIENCE = 60.0
"""Seconds that a verb on a machine may take to answer."""


def deploy(typed: argparse.Namespace, environ: Mapping[str, str], stop: Event, tell: Callable[[str], None]) -> Answer:
    deployer = _deployer(typed, environ, stop, tell)
    return deployer.deploy(dirty=typed.dirty, wait=not typed.no_wait, timeout=typed.timeout)


def roll_back(
    typed: argparse.Namespace, environ: Mapping[str, str], stop: Event, tell: Callable[[str], None]
) -> Answer:
    deployer = _deployer(typed, environ, stop, tell)
    return deployer.roll_back(typed.to, consent(typed.yes), wait=not typed.no_wait, timeout=typed.timeout)


def the_host(name: str | None, environ: Mapping[str, str]) -> RemoteHost:
    """The named machine; else the only one in hosts.yaml, or without hosts.yaml among the clone's remotes. Usage if
    there is not exactly one."""
    if name is not None:
        return find_host(name, environ)
    hosts = load_hosts(environ)
    if not hosts:
        clone = Clone(os.getcwd(), environ)
        found = (host_of_remote(remote, clone.url(remote) or "") for remote in clone.remotes())
        hosts = tuple(item for item in found if item is not None)
    if len(hosts) != 1:
        known = ", ".join(item.name for item in hosts)
        hint = f"one of {known}: add --on NAME" if known else "write hosts.yaml (docs/hosts.md), or add a git remote"
        raise Usage(Reason.USAGE_INVALID, "it is not clear which machine is meant", hint)
    return hosts[0]


def asking(ssh: Ssh) -> Callable[..., tuple[int, Json]]:
    """A function that runs a verb on the machine and returns its exit code and document. An Error document is raised as
    Usage or Transient."""

    def ask(*arguments: str) -> tuple[int, Json]:
        done = ssh.run(ssh.reconciler([*arguments, "--output", "json"]), timeout=PATIENCE)
        ssh.lost(done.returncode)
        try:
            document: Json = json.loads(done.stdout)
        except ValueError:
            said = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()
            told = f"{ssh.host.name} does not answer `reconciler {arguments[0]}`: {said[-1] if said else 'no output'}"
            raise Transient(Reason.HOST_UNREACHABLE, told, "see what it says there, by hand") from None
        if document.get("kind") == "Error" and done.returncode != 2:
            raise Transient(Reason(document["reason"]), f"{ssh.host.name}: {document['message']}", document["hint"])
        if document.get("kind") == "Error":
            raise Usage(Reason.USAGE_INVALID, f"{ssh.host.name}: {document['message']}", document["hint"])
        return done.returncode, document

    return ask


def _remote(host: RemoteHost, clone: Clone) -> str:
    """The git remote or address that has the machine's branch. Usage if neither hosts.yaml nor the clone names one."""
    found = host.repository or next((name for name in (host.name, "origin") if clone.url(name)), "")
    if not found:
        hint = f"git remote add {host.name} {host.ssh}:PATH, or `repository` in hosts.yaml"
        raise Usage(Reason.USAGE_INVALID, f"it is not known where the branch of {host.name} is", hint)
    return found


def _deployer(
    typed: argparse.Namespace, environ: Mapping[str, str], stop: Event, tell: Callable[[str], None]
) -> Deployer:
    host = the_host(typed.on, environ)
    clone = Clone(Clone(os.getcwd(), environ).root(), environ)
    remote = _remote(host, clone)
    ssh = Ssh(host, environ)
    ssh.connect()
    shown = partial(push, clone, shown=typed.output != "json")
    return Deployer(host, remote, clone, Hands(asking(ssh), shown, partial(restoring_commit, clone), tell, stop))


def fleet(environ: Mapping[str, str], notes: bool) -> Answer:
    """The state of every machine in hosts.yaml. `notes`: from their git notes in the clone's remotes, not over ssh."""
    hosts = load_hosts(environ)
    if notes:
        clone = Clone(Clone(os.getcwd(), environ).root(), environ)
        return from_notes({item.name: (_remote(item, clone), item.branch) for item in hosts}, clone)
    named = {item.name: item for item in hosts}

    def status(name: str) -> Json:
        ssh = Ssh(named[name], environ)
        ssh.connect(ask=False)
        return asking(ssh)("status")[1]

    return by_ssh([*named], status)
