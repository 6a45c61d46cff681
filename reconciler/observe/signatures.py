"""Who vouches for a commit: git's own verification, against keys that the operator keeps on the host, and a look at
whether the key is valid at the moment at which the commit is accepted.

Only the commit that is to be applied is asked for a signature: who signs it vouches for all of its files, and nothing
of its ancestors is ever applied.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from reconciler.errors import Usage
from reconciler.model.outcome import Reason, Violation
from reconciler.observe.detached import openpgp_holds, ssh_holds
from reconciler.observe.git import Git
from reconciler.ownership import KEYS, require

RULE = "signature"
OLDEST_GIT = (2, 34)

_HEADER = re.compile(rb"^gpgsig -----BEGIN ([A-Z ]+)-----$", re.MULTILINE)
_KEYRINGS = ("pubring.kbx", "pubring.gpg", "public-keys.d/pubring.db")
_CANNOT = re.compile(r"error: (cannot (?:run|exec|spawn)\b.*|ssh-keygen -Y .* is needed.*)")
_WHY = (
    (re.compile(r"EXPKEYSIG|EXPSIG|expired"), "the key or the signature has expired"),
    (re.compile(r"not yet valid"), "the key was not valid yet"),
    (re.compile(r"REVKEYSIG|revoked", re.IGNORECASE), "the key was revoked"),
    (re.compile(r"BADSIG|incorrect signature|invalid"), "the commit was changed after it was signed"),
    (re.compile(r"not permitted|namespace"), "the key is not allowed to sign commits"),
)


@dataclass(frozen=True, slots=True)
class Signers:
    """Whose commits are taken: `allowed_signers` is a file of SSH keys, `gpg_home` gpg's folder with OpenPGP keys.

    With neither, signatures are not asked for. `moment`: when a commit was accepted, in seconds of the Unix epoch; now
    for one that was not yet.
    """

    allowed_signers: Path | None = None
    gpg_home: Path | None = None
    moment: Callable[[str], float] = lambda sha: time.time()

    def fingerprint(self) -> str:
        """Digest of the keys, '' where signatures are not asked for. Usage when they cannot be read."""
        if self.allowed_signers is None and self.gpg_home is None:
            return ""
        parts = [_read(self.allowed_signers)] if self.allowed_signers else [b""]
        if self.gpg_home:
            parts += [_read(path) for path in self._keyrings(self.gpg_home)]
        return hashlib.sha256(b"\0".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()

    def refusals(self, git: Git, sha: str) -> tuple[Violation, ...]:
        """Why the commit has no accepted signature; empty if it has one. Usage when this host cannot find out."""
        if not self.fingerprint():
            return ()
        kind = _signature(git, sha)
        if kind is None:
            return (_refused(sha, "is not signed"),)
        if kind == "SSH SIGNATURE" and self.allowed_signers:
            return self._verify(git, sha, "fully") or self._too_late(git, sha, self.allowed_signers)
        if kind.startswith("PGP ") and self.gpg_home:
            found = self._verify(git, sha, "undefined")
            # gpg itself judges keys as of now; a commit that was accepted keeps its standing when a key expires.
            then = self.moment(sha)
            accepted = found and then < time.time() - 1 and openpgp_holds(git, sha, self.gpg_home, then)
            return () if accepted else found
        return (_refused(sha, f"has a signature of the kind '{kind.lower()}', for which there are no keys here"),)

    def _verify(self, git: Git, sha: str, trust: str) -> tuple[Violation, ...]:
        """`trust`: git's word for how much of it a signature needs: SSH keys must be somebody's that is listed; which
        OpenPGP keys count is decided by what the folder holds, not by whom they trust."""
        settings = ["-c", f"gpg.minTrustLevel={trust}", *self._settings()]
        done = git.run(*settings, "verify-commit", "--raw", sha, extra=self._environment())
        if done.returncode == 0:
            return ()
        said = (done.stderr + done.stdout).decode(errors="replace")
        unable = _CANNOT.search(said) or _too_old(git)
        if unable:
            told = unable if isinstance(unable, str) else unable[1]
            raise _usage(f"signatures cannot be verified: {told}", "Install git 2.34, OpenSSH 8.2 (and gpg) or later.")
        return (_refused(sha, _why(said)),)

    def _too_late(self, git: Git, sha: str, keys: Path) -> tuple[Violation, ...]:
        """A commit can say that it was made while the key was valid; when it came to us is what we know."""
        if ssh_holds(git, sha, keys, self.moment(sha)):
            return ()
        told = "has a signature that is not accepted: the key has expired, or was not valid yet, when the commit came"
        return (_refused(sha, told),)

    def _settings(self) -> list[str]:
        """Programs are named, lest a repository's own configuration does it."""
        settings = ["gpg.ssh.program=ssh-keygen", "gpg.x509.program=false"]
        settings += [f"gpg.{name}program={'gpg' if self.gpg_home else 'false'}" for name in ("", "openpgp.")]
        settings += [f"gpg.ssh.allowedSignersFile={self.allowed_signers or '/dev/null'}"]
        return [part for setting in settings for part in ("-c", setting)]

    def _environment(self) -> dict[str, str]:
        return {"GNUPGHOME": str(self.gpg_home)} if self.gpg_home else {}

    def _keyrings(self, home: Path) -> list[Path]:
        found = [home / name for name in _KEYRINGS if (home / name).is_file()]
        if not found:
            raise _usage(
                f"source.gpg_home: {home} holds no keys", f"Import them: gpg --homedir {home} --import KEY.asc"
            )
        return found


NOBODY_ASKED = Signers()


def _read(path: Path) -> bytes:
    require(str(path), KEYS)
    try:
        return path.read_bytes()
    except OSError as error:
        what = f"the keys that commits must be signed with cannot be read: {path}: {error.strerror}"
        raise _usage(what, "Correct source.allowed_signers in the agent config, or make the file readable.") from error


def _signature(git: Git, sha: str) -> str | None:
    """The kind of signature that a commit has: 'SSH SIGNATURE', 'PGP SIGNATURE', …"""
    head = git.run("cat-file", "commit", sha).stdout.partition(b"\n\n")[0]
    found = _HEADER.search(head)
    return found[1].decode("ascii") if found else None


def _too_old(git: Git) -> str | None:
    said = git.run("version").stdout.decode(errors="replace")
    version = re.search(r"(\d+)\.(\d+)", said)
    if version and (int(version[1]), int(version[2])) < OLDEST_GIT:
        return f"{said.strip()} knows no SSH signatures"
    return None


def _why(said: str) -> str:
    why = next((text for pattern, text in _WHY if pattern.search(said)), "no key that is allowed here made it")
    return f"has a signature that is not accepted: {why}"


def _refused(sha: str, what: str) -> Violation:
    return Violation(
        Reason.SIGNATURE_INVALID,
        RULE,
        f"commit {sha[:12]} {what}",
        "Sign it with a key that the agent config allows (git commit --amend -S, then push), or the operator adds "
        "the signer's key.",
    )


def _usage(what: str, hint: str) -> Usage:
    return Usage(Reason.USAGE_INVALID, what, hint)
