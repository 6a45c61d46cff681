"""The composition root of `--on`: finds the machine of a name, and runs verbs there."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from reconciler.errors import ReconcilerError, Transient
from reconciler.fleet import host_of_remote, load_hosts, unknown
from reconciler.model.fleet import RemoteHost
from reconciler.model.outcome import Reason
from reconciler.observe.clone import Clone
from reconciler.signals import Signals
from reconciler.ssh import LOST, Ssh

SENDING = 600.0
"""Seconds that sending a wheel may take."""

PASSED = ("NO_COLOR", "RECONCILER_LOG_LEVEL")
"""Variables of the laptop that are passed to the machine."""


def find_host(name: str, environ: Mapping[str, str]) -> RemoteHost:
    """The machine of this name in hosts.yaml, else that of the git remote of this name in the working folder; else
    Usage."""
    hosts = load_hosts(environ)
    for host in hosts:
        if host.name == name:
            return host
    found = host_of_remote(name, Clone(os.getcwd(), environ).url(name) or "")
    if found is None:
        raise unknown(name, hosts, environ)
    return found


def run_there(
    name: str, typed: Sequence[str], signals: Signals, environ: Mapping[str, str], *, as_json: bool, root: bool
) -> int:
    """Run the typed command on that machine; returns its exit code. Transient if it cannot be reached. `root`: the verb
    needs root's rights there, if the agent is a service of the whole machine."""
    host = find_host(name, environ)
    ssh = Ssh(host, environ)
    ssh.connect()
    with _with_wheel(without_on(typed), ssh) as words:
        code = _run(words, ssh, signals, environ, as_json, root)
        ssh.lost(code)
    return code


def _run(
    words: Sequence[str], ssh: Ssh, signals: Signals, environ: Mapping[str, str], as_json: bool, root: bool
) -> int:
    passed = {name: environ[name] for name in PASSED if environ.get(name)}
    if not as_json and all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):
        return ssh.on_terminal(ssh.reconciler(words, root=root, **passed))
    signals.listen(patient=True)
    command = ssh.reconciler(words, root=root, **passed, RECONCILER_TETHER="1")
    # Print a whole document or none: if the connection breaks, half a document is not printed.
    with tempfile.TemporaryFile() as held:
        code = ssh.attach(command, signals, held if as_json else None)
        if code != LOST:
            held.seek(0)
            shutil.copyfileobj(held, sys.stdout.buffer)
            sys.stdout.buffer.flush()
    return code


@contextmanager
def _with_wheel(words: list[str], ssh: Ssh) -> Iterator[list[str]]:
    """For `upgrade WHEEL` with a file of the laptop: send it first, and remove it from the machine at the end."""
    local = [word for word in words if "upgrade" in words and word.endswith(".whl") and os.path.isfile(word)]
    sent = {path: _sent(path, ssh) for path in local}
    try:
        yield [sent.get(word, word) for word in words]
    finally:
        for path in sent.values():
            with suppress(ReconcilerError):
                ssh.run(["rm", "-r", "--", os.path.dirname(path)], timeout=SENDING)


def _sent(path: str, ssh: Ssh) -> str:
    """Send a file into a new folder that every account may read; returns its path on the machine."""
    script = 'umask 022 && d=$(mktemp -d) && chmod 755 "$d" && cat > "$d/$1" && echo "$d/$1"'
    done = ssh.run(["sh", "-c", script, "sh", os.path.basename(path)], timeout=SENDING, stdin=Path(path).read_bytes())
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip()
        raise Transient(Reason.DISK_FAILED, f"{path} cannot be sent to {ssh.host.name}: {said}", "make room there")
    return done.stdout.decode().strip()


def without_on(typed: Sequence[str]) -> list[str]:
    """The typed words without --on and its value."""
    words, found = iter(typed), list[str]()
    for word in words:
        if word == "--":
            return [*found, word, *words]
        if word == "--on":
            next(words, None)
        elif not word.startswith("--on="):
            found.append(word)
    return found
