"""Checks who signed a commit: git's own verification with keys that the operator keeps on the host, and a check that
the key is valid when the commit is accepted.

Only the commit that is to be applied needs a signature: it covers all of its files, and nothing of its ancestors is
ever applied.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable
from pathlib import Path

from reconciler.errors import Usage
from reconciler.model.outcome import Reason, Violation
from reconciler.observe.detached import openpgp_holds, ssh_holds
from reconciler.observe.git import Git
from reconciler.ownership import KEYS, require
from reconciler.values import dataclass

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
    """Accepted signers: `allowed_signers` is a file of SSH keys, `gpg_home` gpg's folder of OpenPGP keys.

    With neither, no signature is needed. `moment`: when a commit was accepted, in seconds of the Unix epoch; now for a
    commit that was not accepted yet.
    """

    allowed_signers: Path | None = None
    gpg_home: Path | None = None
    moment: Callable[[str], float] = lambda sha: time.time()

    def fingerprint(self) -> str:
        """Digest of the keys, '' if no signature is needed. Usage if they cannot be read."""
        if self.allowed_signers is None and self.gpg_home is None:
            return ""
        parts = [_read(self.allowed_signers)] if self.allowed_signers else [b""]
        if self.gpg_home:
            parts += [_read(path) for path in self._keyrings(self.gpg_home)]
        return hashlib.sha256(b"\0".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()

    def refusals(self, git: Git, sha: str) -> tuple[Violation, ...]:
        """Why the commit has no accepted signature; empty if it has one. Usage if this host cannot find out."""
        if not self.fingerprint():
            return ()
        kind = _signature(git, sha)
        if kind is None:
            return (_refused(sha, "is not signed"),)
        if kind == "SSH SIGNATURE" and self.allowed_signers:
            return self._verify(git, sha, "fully") or self._too_late(git, sha, self.allowed_signers)
        if kind.startswith("PGP ") and self.gpg_home:
            found = self._verify(git, sha, "undefined")
            # gpg judges keys as of now; an accepted commit stays accepted when a key expires.
            then = self.moment(sha)
            accepted = found and then < time.time() - 1 and openpgp_holds(git, sha, self.gpg_home, then)
            return () if accepted else found
        return (_refused(sha, f"has a signature of the kind '{kind.lower()}', for which there are no keys here"),)

    def _verify(self, git: Git, sha: str, trust: str) -> tuple[Violation, ...]:
        """`trust`: git's word for the trust level that a signature needs. SSH keys must belong to somebody in the list.
        Which OpenPGP keys count is decided by the content of the folder, not by their trust in each other."""
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
        """A commit can claim a date at which the key was valid; we know when it arrived."""
        if ssh_holds(git, sha, keys, self.moment(sha)):
            return ()
        told = "has a signature that is not accepted: the key has expired, or was not valid yet, when the commit came"
        return (_refused(sha, told),)

    def _settings(self) -> list[str]:
        """The programs are set, so that a repository's own configuration cannot choose them."""
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
    """The kind of signature of a commit: 'SSH SIGNATURE', 'PGP SIGNATURE', …"""
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
