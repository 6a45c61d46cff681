"""The composition root of the laptop: which machine a name stands for, and verbs that run there."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from reconciler.fleet import host_of_remote, load_hosts, unknown
from reconciler.model.fleet import RemoteHost
from reconciler.observe.clone import Clone
from reconciler.signals import Signals
from reconciler.ssh import Ssh

SENDING = 600.0
"""Seconds that a wheel may take."""

PASSED = ("NO_COLOR", "RECONCILER_LOG_LEVEL")
"""Variables of the laptop that count on the machine as well."""


def find_host(name: str, environ: Mapping[str, str]) -> RemoteHost:
    """By hosts.yaml, else by the git remote of that name in the working folder. Usage where there is neither."""
    hosts = load_hosts(environ)
    for host in hosts:
        if host.name == name:
            return host
    found = host_of_remote(name, Clone(os.getcwd(), environ).url(name) or "")
    if found is None:
        raise unknown(name, hosts, environ)
    return found


def run_there(name: str, typed: Sequence[str], signals: Signals, environ: Mapping[str, str], *, as_json: bool) -> int:
    """Run what was typed on that machine; returns its exit code. Transient where it cannot be reached."""
    host = find_host(name, environ)
    ssh = Ssh(host, environ)
    ssh.connect()
    words = _with_wheel(without_on(typed), ssh)
    passed = {name: environ[name] for name in PASSED if environ.get(name)}
    if not as_json and all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):
        code = ssh.on_terminal(ssh.reconciler(words, **passed))
        ssh.lost(code)
        return code
    signals.listen(patient=True)
    # One document or none: half of one is held back where the connection breaks.
    with tempfile.TemporaryFile() as held:
        code = ssh.attach(ssh.reconciler(words, **passed, RECONCILER_TETHER="1"), signals, held if as_json else None)
        ssh.lost(code)
        held.seek(0)
        shutil.copyfileobj(held, sys.stdout.buffer)
        sys.stdout.buffer.flush()
    return code


def _with_wheel(words: list[str], ssh: Ssh) -> list[str]:
    """`upgrade WHEEL` with a file of the laptop: it is sent first. The versions of the machine take it from there."""
    if "upgrade" not in words:
        return words
    return [_sent(word, ssh) if word.endswith(".whl") and os.path.isfile(word) else word for word in words]


def _sent(path: str, ssh: Ssh) -> str:
    script = 'd=$(mktemp -d) && chmod 755 "$d" && cat > "$d/$1" && echo "$d/$1"'
    data = Path(path).read_bytes()
    done = ssh.run(["sh", "-c", script, "sh", os.path.basename(path)], timeout=SENDING, stdin=data)
    return done.stdout.decode().strip()


def without_on(typed: Sequence[str]) -> list[str]:
    """What was typed, but for --on and its value."""
    words, found = iter(typed), list[str]()
    for word in words:
        if word == "--":
            return [*found, word, *words]
        if word == "--on":
            next(words, None)
        elif not word.startswith("--on="):
            found.append(word)
    return found
