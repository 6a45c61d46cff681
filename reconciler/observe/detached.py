"""Verifies a commit's signature apart from the commit, for a chosen moment.

Git checks whether the key was valid at the date in the commit, and the signer writes that date.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from reconciler.observe.git import Git
from reconciler.process import Completed

_SIGNATURE = b"gpgsig"
_BAD = re.compile(rb"^\[GNUPG:\] (?:BADSIG|ERRSIG|EXPSIG|EXPKEYSIG|REVKEYSIG|NODATA|UNEXPECTED)\b", re.MULTILINE)
_GOOD = re.compile(rb"^\[GNUPG:\] GOODSIG ", re.MULTILINE)
_NEW = re.compile(rb"^\[GNUPG:\] NEWSIG\b", re.MULTILINE)
_OLD_OPENSSH = re.compile(rb"unknown option|illegal option|[Ii]nvalid .*option|usage:")


def split(commit: bytes) -> tuple[bytes, bytes]:
    """The signed bytes (the commit without its signature), and the signature."""
    head, blank, message = commit.partition(b"\n\n")
    kept: list[bytes] = []
    signature: list[bytes] = []
    target = kept
    for line in head.split(b"\n"):
        if line.startswith(b" "):
            target.append(line if target is kept else line[1:])
            continue
        name, _, value = line.partition(b" ")
        if name == _SIGNATURE:
            target = signature
            signature.append(value)
        elif name.startswith(_SIGNATURE + b"-"):
            target = []  # a signature for another form of the object, which we do not use
        else:
            target = kept
            kept.append(line)
    return b"\n".join(kept) + blank + message, b"\n".join(signature) + b"\n"


def ssh_holds(git: Git, sha: str, allowed_signers: Path, moment: float) -> bool:
    """Whether a listed key signed the commit, and was valid at `moment` (seconds of the Unix epoch)."""
    payload, signature = split(git.run("cat-file", "commit", sha).stdout)
    with tempfile.TemporaryDirectory(prefix="reconciler-") as folder:
        file = Path(folder) / "signature"
        file.write_bytes(signature)
        known = ["-f", str(allowed_signers), "-s", str(file)]
        found = _keygen(git, ["find-principals", *known], moment)
        return found.returncode == 0 and any(
            _keygen(git, ["verify", *known, "-n", "git", "-I", name], moment, payload).returncode == 0
            for name in found.stdout.decode(errors="replace").splitlines()
        )


def openpgp_holds(git: Git, sha: str, home: Path, moment: float) -> bool:
    """Whether a key in gpg's folder signed the commit, and was valid at `moment` (seconds of the Unix epoch)."""
    payload, signature = split(git.run("cat-file", "commit", sha).stdout)
    with tempfile.TemporaryDirectory(prefix="reconciler-") as folder:
        file = Path(folder) / "signature"
        file.write_bytes(signature)
        when = datetime.fromtimestamp(moment, UTC).strftime("%Y%m%dT%H%M%S")
        command = ["gpg", "--homedir", str(home), "--batch", "--no-tty", "--status-fd=1", "--trust-model=always"]
        done = git.tool([*command, f"--faked-system-time={when}", "--verify", str(file), "-"], payload)
    one = len(_NEW.findall(done.stdout)) == len(_GOOD.findall(done.stdout)) == 1
    return done.returncode == 0 and one and not _BAD.search(done.stdout)


def _keygen(git: Git, arguments: Sequence[str], moment: float, stdin: bytes = b"") -> Completed:
    """Run ssh-keygen -Y …; a version that is too old to accept a moment checks for the present instead."""
    when = datetime.fromtimestamp(moment, UTC).strftime("%Y%m%d%H%M%S")
    command = ["ssh-keygen", "-Y", *arguments]
    done = git.tool([*command, f"-Overify-time={when}"], stdin)
    if done.returncode != 0 and _OLD_OPENSSH.search(done.stderr):
        return git.tool(command, stdin)
    return done
