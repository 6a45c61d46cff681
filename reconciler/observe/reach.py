"""Checks whether remote and engine can be reached, without the mirror, so that a running agent is not disturbed."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import docker
from docker.errors import NotFound

from reconciler.engine import connect, engine_calls
from reconciler.errors import Transient
from reconciler.model.checks import EngineFacts, LogFacts, Published
from reconciler.model.observed import LABEL_HOST, project_of
from reconciler.model.outcome import Reason
from reconciler.observe import abilities
from reconciler.observe.containers import working_set
from reconciler.observe.fetch_faults import known_fault, other_ref, unknown_fault
from reconciler.observe.git import Git
from reconciler.observe.host import EVERYWHERE
from reconciler.observe.mirror import Mirror
from reconciler.observe.origin import reading
from reconciler.observe.remote import Remote

NOWHERE = "refs/heads/reconciler-doctor-4b1d"
CLOSED = 128
"""Git's exit code if the other side refuses a push before it begins."""

JSON_FILE = "json-file"
"""The engine's own default for logs."""

SAMPLES = 3
"""Number of containers that are measured, to see whether the engine can measure any."""


def branch_head(remote: Remote, branch: str, folder: Path, environ: Mapping[str, str]) -> str:
    """The sha of the remote's branch. `folder`: is made and removed. Transient says why it cannot be read."""
    Mirror(folder, remote).prepare()
    ref = f"refs/heads/{branch}"
    options = (*reading(remote), "--end-of-options")
    git, what = Git(folder, environ, remote), f"read branch {branch} of {remote.shown}"
    done = git.run("ls-remote", *options, remote.address, ref, timeout=30.0)
    if done.returncode != 0:
        raise known_fault(what, done.stderr, remote) or unknown_fault(what, done.stderr)
    sha = done.stdout.decode(errors="replace").partition("\t")[0]
    if not sha:
        raise other_ref(git, remote, branch, what) or Transient(
            Reason.FETCH_FAILED,
            f"{remote.shown} has no branch {branch}",
            "push it, or fix source.branch in the agent config",
        )
    return sha


def may_write(remote: Remote, folder: Path, environ: Mapping[str, str]) -> bool:
    """Whether the remote would accept a push with these credentials; call `branch_head` first. Nothing is pushed: it is
    a dry run of the deletion of a ref that does not exist. `folder`: is made and removed."""
    Mirror(folder, remote).prepare()
    git = Git(folder, environ, remote)
    done = git.run("push", "--dry-run", "--end-of-options", remote.address, f":{NOWHERE}", timeout=30.0)
    return done.returncode != CLOSED


def engine_facts(address: str) -> EngineFacts:
    """Facts about the engine at this URL. Away if it does not answer."""
    return EngineFacts(abilities.look(address), _measured(connect(address)))


def published(client: docker.APIClient, adopted: Collection[str] = ()) -> list[Published]:
    """Ports of running containers. `adopted`: Compose projects whose containers have no label of ours. Away if the
    engine does not answer."""
    with engine_calls("list its containers"):
        listed = client.containers()
    found = []
    for item in listed:
        labels = item.get("Labels") or {}
        managed = _is_managed(labels, adopted)
        name = (item.get("Names") or [item["Id"][:12]])[0].lstrip("/")
        for port in item.get("Ports") or ():
            if port.get("PublicPort"):
                address = str(port.get("IP") or "")
                found.append(
                    Published(name, "" if address in EVERYWHERE else address, int(port["PublicPort"]), managed)
                )
    return found


def log_facts(client: docker.APIClient, adopted: Collection[str], daemon_json: Path | None) -> LogFacts:
    """How long the logs of containers can get. `daemon_json`: the engine's configuration, if it is on this machine.
    Away if the engine does not answer."""
    growing: dict[bool, list[str]] = {True: [], False: []}
    with engine_calls("say how it keeps logs"):
        driver = str(client.info().get("LoggingDriver") or "")
        for item in client.containers(all=True):
            with suppress(NotFound):
                log = client.inspect_container(item["Id"])["HostConfig"].get("LogConfig") or {}
                if _grows(str(log.get("Type") or driver), log.get("Config") or {}):
                    labels = item.get("Labels") or {}
                    managed = _is_managed(labels, adopted)
                    growing[managed].append((item.get("Names") or [item["Id"][:12]])[0].lstrip("/"))
    return LogFacts(driver, _default_bounded(driver, daemon_json), tuple(sorted(growing[True])), len(growing[False]))


def _is_managed(labels: Mapping[str, str], adopted: Collection[str]) -> bool:
    return LABEL_HOST in labels or project_of(labels) in adopted


def _grows(driver: str, options: Mapping[str, Any]) -> bool:
    """Only json-file keeps everything: local and journald delete old lines by themselves, the others keep nothing here
    but a bounded copy."""
    return driver == JSON_FILE and str(options.get("max-size") or "-1") == "-1"


def _default_bounded(driver: str, daemon_json: Path | None) -> bool | None:
    if driver != JSON_FILE:
        return True
    if daemon_json is None:
        return None
    try:
        options = json.loads(daemon_json.read_bytes()).get("log-opts") or {}
    except FileNotFoundError:
        options = {}
    except (OSError, ValueError, AttributeError):
        return None
    return not _grows(driver, options)


def _measured(client: docker.APIClient) -> bool | None:
    """Whether the engine measures memory: one of a few running containers has a value; None if none runs. The oldest
    are asked, because the newest may end soon."""
    with engine_calls("measure containers"):
        silent = False
        for item in client.containers(filters={"status": "running"})[-SAMPLES:]:
            with suppress(NotFound):
                if working_set(client.stats(item["Id"], stream=False, one_shot=True)):
                    return True
                # A container that has just ended has no value on any engine.
                silent |= client.inspect_container(item["Id"])["State"]["Running"]
    return False if silent else None
