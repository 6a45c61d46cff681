"""Turns git's errors of a fetch or a push into messages with a remedy."""

from __future__ import annotations

import re
import shlex
from urllib.parse import urlsplit

from reconciler.errors import Transient
from reconciler.formats.forges import SCOPES
from reconciler.formats.quantities import shown
from reconciler.model.outcome import Reason
from reconciler.observe.fetch_remedies import DISK, REMEDIES
from reconciler.observe.git import Git
from reconciler.observe.login import Login
from reconciler.observe.origin import reading
from reconciler.observe.remote import Remote

_SHOWN_LINES = 3
LONGEST = 400
"""Characters of git's message."""
_NOISE = re.compile(
    r"^(?:Please make sure you have|and the repository exists|remote: *$|hint: |warning: (?!rejected)|@)"
)


def known_fault(what: str, stderr: bytes, remote: Remote) -> Transient | None:
    """The fault, if git clearly says that the mirror is not its cause. `what` failed: 'fetch branch main from …'."""
    text = stderr.decode(errors="replace")
    for pattern, hint in REMEDIES:
        if pattern.search(text):
            reason = Reason.DISK_FAILED if DISK.search(text) else Reason.FETCH_FAILED
            return _fault(reason, what, text, hint.format_map(_words(remote)))
    return None


def shallow(what: str, remote: Remote) -> Transient:
    """The remote has only a part of its history, so a new commit cannot be told from a rewritten branch."""
    command = f"`git{_words(remote)['at']} fetch --unshallow`"
    return Transient(Reason.FETCH_FAILED, f"cannot {what}: the source is a shallow clone", f"run {command} there")


def other_ref(git: Git, remote: Remote, branch: str, what: str) -> Transient | None:
    """A similar ref of the remote if the branch is missing: a tag, or the branch by its short name."""
    short = re.sub(r"^(?:refs/)?(?:heads/|remotes/)?(?:origin/)?", "", branch)
    names = [f"refs/tags/{branch.removeprefix('refs/').removeprefix('tags/')}", f"refs/heads/{short}"]
    options = (*reading(remote), "--end-of-options")
    done = git.run("ls-remote", *options, remote.address, *names, timeout=30.0)
    listed = [line.partition("\t")[2] for line in done.stdout.decode(errors="replace").splitlines()]
    found = [name for name in reversed(names) if name in listed]
    if done.returncode != 0 or not found:
        return None
    name = found[0].split("/", 2)[2]
    if found[0].startswith("refs/heads/"):
        message, hint = f"the branch is called {name}", f"write `branch: {name}` below source in the agent config"
    else:
        message = f"{name} is a tag there, and only branches are watched"
        make = f"`git{_words(remote)['at']} branch NAME {name}`"
        hint = f"name a branch in source.branch; {make} there makes one of the tag"
    return Transient(Reason.FETCH_FAILED, f"cannot {what}: {message}", hint)


def _words(remote: Remote) -> dict[str, str]:
    """Words for the remedies. `known`: the host's name in known_hosts."""
    if remote.path is not None:
        return dict.fromkeys(("host", "login", "known", "path"), str(remote.path)) | {
            "at": f" -C {shlex.quote(str(remote.path))}", "scan": "", "port": "", "unseen": "",
            **_files(remote.login, False),
        }  # fmt: skip
    if "://" in remote.address:
        parts = urlsplit(remote.address)
        user, host, port, path = parts.username, parts.hostname or "", parts.port, parts.path
    else:
        login, _, path = remote.address.partition(":")
        user, _, host = login.rpartition("@")
        port = None
    https = remote.protocol in ("https", "http")
    return {
        "host": f"{host}:{port}" if https and port else host,
        "login": f"{user}@{host}" if user else host,
        "known": f"[{host}]:{port}" if port else host,
        "path": path,
        "at": "",
        "scan": f" -p {port}" if port else "",
        "port": f" -p {port}" if port else "",
        "unseen": f"; {host} answers so, too, where the {'token' if https else 'key'} may not see it",
        **_files(remote.login, https),
    }


def _files(login: Login, https: bool) -> dict[str, str]:
    """The words for files of `source` in the agent config, and the scope that a token needs."""
    scopes = {login.forge: SCOPES[login.forge]} if login.forge else SCOPES
    needs = "; ".join(f"{kind}: {scope}" for kind, scope in scopes.items())
    public = "`reconciler key` prints its public half, and `reconciler key --register` lets the forge know it"
    return {
        "scope": f"it needs {needs}" if https else "give it that right",
        "token": (
            f"write a new token into {login.token_file}; it is read at each fetch, and needs {needs}"
            if login.token_file
            else f"write a token into a file of mode 0600, and `token_file: FILE` below source; it needs {needs}"
        ),
        "certs": login.ca_file or "a file, and `ca_file: FILE` below source in the agent config",
        "key": f"the key {login.key_file}: {public}"
        if login.key_file
        else f"a key of the agent's user: write `key_file: FILE` below source; {public}",
        "hosts": shlex.quote(login.known_hosts_file) if login.known_hosts_file else "~/.ssh/known_hosts",
    }


def unknown_fault(what: str, stderr: bytes) -> Transient:
    """The fault in git's own words, if no better explanation is known."""
    return _fault(Reason.FETCH_FAILED, what, stderr.decode(errors="replace"), "it is tried again later")


def too_large(what: str, most: int) -> Transient:
    """Git was killed because the fetched data took more than `most` bytes."""
    return Transient(
        Reason.DISK_FAILED,
        f"cannot {what}: it is larger than {shown(most)}, which may be used of the disk",
        "make room on the disk that holds the state folder, of which a part stays free for others, or take large files "
        "out of the branch's history",
    )


def timed_out(what: str, seconds: float) -> Transient:
    """Git was killed because its time had passed."""
    return Transient(
        Reason.FETCH_FAILED,
        f"cannot {what}: no end within {seconds:g} s",
        "see whether the remote is slow or waits for something; it is asked again later",
    )


def _fault(reason: Reason, what: str, text: str, hint: str) -> Transient:
    lines = [_printable(line) for line in text.splitlines() if line.strip() and not _NOISE.match(line)]
    said = "; ".join(lines[:_SHOWN_LINES]) or "git gave no reason"
    return Transient(reason, f"cannot {what}: {said if len(said) <= LONGEST else said[:LONGEST] + '…'}", hint)


def _printable(line: str) -> str:
    return "".join(character if character.isprintable() else " " for character in line).strip()
