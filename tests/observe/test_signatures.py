"""Commits that must be signed: real keys, git's own verification."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from reconciler.effects import Effects
from reconciler.errors import Usage
from reconciler.model.outcome import Level, Reason, Violation
from reconciler.observe.detached import split
from reconciler.observe.signatures import Signers
from reconciler.observe.source import GitSource, files_at
from tests.conftest import missing
from tests.repository import ENVIRONMENT, Repository

TOLD = "Sign it with a key that the agent config allows"
COMMITTED = 1767225600
"""When the tests' commits say that they were made: 2026-01-01."""


class Forge:
    """A repository whose commits are signed by keys of the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.repository = Repository(folder / "home.git")
        self.signers = folder / "allowed_signers"
        self.gpg = folder / "gpg"
        self.clock: tuple[str, ...] = ()

    def key(self, name: str) -> str:
        """A new SSH key; what stands of it in a list of allowed signers."""
        path = self.folder / name
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
        return " ".join(Path(f"{path}.pub").read_text().split()[:2])

    def openpgp_key(self, name: str, expire: str = "0") -> Path:
        """A new OpenPGP key in `gpg`; its exported public half."""
        self.gpg.mkdir(mode=0o700, exist_ok=True)
        self.run_gpg(self.gpg, *self.clock, "--passphrase", "", "--quick-gen-key", name, "ed25519", "sign", expire)
        exported = self.folder / f"{name}.gpg"
        self.run_gpg(self.gpg, "--output", str(exported), "--export", name)
        return exported

    def run_gpg(self, home: Path, *arguments: str) -> None:
        subprocess.run(["gpg", "--homedir", str(home), "--batch", "--yes", "-q", *arguments], check=True)

    def keyring(self, name: str, *exported: Path) -> Path:
        home = self.folder / name
        home.mkdir(mode=0o700)
        for path in exported:
            self.run_gpg(home, "--import", str(path))
        return home

    def commit(self, key: str | None = None, form: str = "ssh") -> str:
        """The branch's next commit, signed with `key`."""
        tree = self.repository.tree({"compose.yaml": f"services: {{}} # {key}"})
        program = f"gpg.program={self._gpg_wrapper()}"
        name = str(self.folder / key) if key and form == "ssh" else key
        sign = ["-c", f"gpg.format={form}", "-c", program, "-c", f"user.signingKey={name}"] if key else []
        sha = self.repository.git(*sign, "commit-tree", tree, *(["-S"] if key else []), "-m", "change")
        return self.repository.set(sha)

    def _gpg_wrapper(self) -> Path:
        path = self.folder / "gpg-at-home"
        path.write_text(f'#!/bin/sh\nexec gpg --homedir {self.gpg} --batch {" ".join(self.clock)} "$@"\n')
        path.chmod(0o755)
        return path

    def allow(self, *lines: str) -> Signers:
        self.signers.write_text("".join(f"{line}\n" for line in lines))
        return Signers(self.signers)

    def refused(self, signers: Signers, sha: str = "") -> tuple[Violation, ...]:
        source = GitSource(
            str(self.repository.folder), "main", self.folder / "m", environ=os.environ, effects=Effects(),
            signers=signers,
        )  # fmt: skip
        head = source.fetch()
        return source.files(sha or head.sha).refused


@pytest.fixture
def forge(tmp_path: Path) -> Forge:
    for tool in ("ssh-keygen", "gpg"):
        if shutil.which(tool) is None:
            missing(f"{tool} is not here: scripts/setup.sh --tests installs it")
    return Forge(tmp_path)


def why(violations: tuple[Violation, ...]) -> str:
    (violation,) = violations
    assert (violation.reason, violation.rule, violation.level) == (
        Reason.SIGNATURE_INVALID, "signature", Level.DENY,
    )  # fmt: skip
    assert TOLD in violation.hint
    return violation.message


def test_only_a_commit_by_an_allowed_key_is_taken(forge: Forge) -> None:
    ann, _ = forge.key("ann"), forge.key("stranger")
    signers = forge.allow(f"ann@example.org {ann}")
    good = forge.commit("ann")
    assert forge.refused(signers) == ()
    sha = forge.commit("stranger")
    assert why(forge.refused(signers)).startswith(f"commit {sha[:12]} has a signature that is not accepted: no key")
    sha = forge.commit()
    assert why(forge.refused(signers)) == f"commit {sha[:12]} is not signed"
    assert forge.refused(Signers()) == ()
    assert forge.refused(signers, good) == (), "ancestors and unsigned heads say nothing about a signed commit"


def forged(forge: Forge, sha: str, change: Callable[[bytes], bytes]) -> str:
    body = subprocess.run(
        ["git", "cat-file", "commit", sha], cwd=forge.repository.folder, capture_output=True, check=True,
        env=ENVIRONMENT,
    ).stdout  # fmt: skip
    new = change(body)
    assert new != body
    return forge.repository.set(
        forge.repository.git("hash-object", "-w", "-t", "commit", "--literally", "--stdin", stdin=new)
    )


def test_a_signature_of_another_commit_vouches_for_nothing(forge: Forge) -> None:
    signers = forge.allow(f"ann@example.org {forge.key('ann')}")
    good = forge.commit("ann")
    other = forge.repository.tree({"compose.yaml": "services: {evil: {image: x}}"})
    tree = forge.repository.git("rev-parse", f"{good}^{{tree}}")
    forged(forge, good, lambda body: body.replace(tree.encode(), other.encode()))
    assert "changed after it was signed" in why(forge.refused(signers))
    forged(forge, good, lambda body: body.replace(b"SSH SIGNATURE", b"SIGNED MESSAGE"))
    assert "'signed message', for which there are no keys here" in why(forge.refused(signers))
    forged(forge, good, lambda body: body.replace(b"gpgsig ", b"x-nosig "))
    assert "is not signed" in why(forge.refused(signers))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ('valid-before="20251231"', "expired"),
        ('valid-after="20260201"', "not valid yet"),
        ('namespaces="file"', "not allowed to sign commits"),
    ],
)
def test_limits_of_a_key_are_honoured(forge: Forge, options: str, told: str) -> None:
    ann = forge.key("ann")
    forge.commit("ann")
    assert told in why(forge.refused(forge.allow(f"ann@example.org {options} {ann}")))
    assert forge.refused(forge.allow(f'ann@example.org valid-after="20251201",valid-before="20990201" {ann}')) == ()


def moments(when: str) -> Callable[[str], float]:
    return lambda sha: datetime.fromisoformat(when).timestamp()


def test_a_key_that_has_expired_signs_nothing_more_whatever_date_the_commit_bears(forge: Forge) -> None:
    ann = forge.key("ann")
    forge.commit("ann")
    line = f'ann@example.org valid-after="20251201",valid-before="20260201" {ann}'
    assert "expired" in why(forge.refused(forge.allow(line)))
    forge.allow(line)
    for when, accepted in (("2026-01-15T00:00Z", True), ("2026-02-02T00:00Z", False), ("2025-11-01T00:00Z", False)):
        signers = Signers(forge.signers, moment=moments(when))
        assert (forge.refused(signers) == ()) is accepted, when


def test_an_accepted_commit_keeps_its_standing_when_its_openpgp_key_expires(forge: Forge) -> None:
    forge.clock = ("--faked-system-time", "20200101T000000")
    ann = forge.openpgp_key("ann@example.org", "1y")
    sha = forge.commit("ann@example.org", "openpgp")
    home = forge.keyring("now", ann)
    assert "expired" in why(forge.refused(Signers(gpg_home=home)))
    assert forge.refused(Signers(gpg_home=home, moment=moments("2020-06-01T00:00Z"))) == ()
    assert forge.refused(Signers(gpg_home=home, moment=moments("2021-06-01T00:00Z")))
    other = forge.repository.tree({"compose.yaml": "services: {evil: {image: x}}"})
    tree = forge.repository.git("rev-parse", f"{sha}^{{tree}}")
    forged(forge, sha, lambda body: body.replace(tree.encode(), other.encode()))
    assert forge.refused(Signers(gpg_home=home, moment=moments("2020-06-01T00:00Z")))


def test_what_is_verified_apart_from_the_commit_is_what_git_verifies(forge: Forge) -> None:
    """Merges, folded headers, and a signature over another form of the object beside the one that counts."""
    ann = forge.key("ann")
    signers = forge.allow(f"ann@example.org {ann}", f"*@example.net {ann}")
    first = forge.commit("ann")
    body = subprocess.run(
        ["git", "cat-file", "commit", first], cwd=forge.repository.folder, capture_output=True, check=True,
        env=ENVIRONMENT,
    ).stdout  # fmt: skip
    payload, signature = split(body)
    assert b"gpgsig" not in payload
    assert signature.startswith(b"-----BEGIN SSH SIGNATURE-----\n")
    assert signature.endswith(b"-----END SSH SIGNATURE-----\n")
    assert forge.refused(signers) == ()
    double = body.replace(b"gpgsig ", b"gpgsig-sha256 x\n y\ngpgsig ", 1)
    assert split(double) == (payload, signature)


def test_taking_a_key_off_the_list_revokes_it(forge: Forge) -> None:
    ann, bob = forge.key("ann"), forge.key("bob")
    forge.commit("ann")
    both = forge.allow(f"ann@example.org {ann}", f"bob@example.org {bob}")
    before = both.fingerprint()
    assert forge.refused(both) == ()
    rest = forge.allow(f"bob@example.org {bob}")
    assert rest.fingerprint() != before, "commits are judged anew when the list changes"
    assert "no key that is allowed" in why(forge.refused(rest))


def test_openpgp_keys_count_when_the_operator_has_a_folder_of_them(forge: Forge) -> None:
    ann, bob = forge.openpgp_key("ann@example.org"), forge.openpgp_key("bob@example.org")
    forge.commit("ann@example.org", "openpgp")
    assert forge.refused(Signers(gpg_home=forge.keyring("anns", ann))) == ()
    assert "no key that is allowed" in why(forge.refused(Signers(gpg_home=forge.keyring("bobs", bob))))
    only_ssh = forge.allow(f"ann@example.org {forge.key('ann')}")
    assert "'pgp signature', for which there are no keys here" in why(forge.refused(only_ssh))
    forge.commit("ann")
    assert "'ssh signature', for which there are no keys here" in why(
        forge.refused(Signers(gpg_home=forge.folder / "anns"))
    )
    assert forge.refused(Signers(only_ssh.allowed_signers, forge.folder / "anns")) == ()


def test_an_expired_openpgp_key_is_refused(forge: Forge) -> None:
    forge.clock = ("--faked-system-time", "20200101T000000")
    ann = forge.openpgp_key("ann@example.org", "1y")
    forge.commit("ann@example.org", "openpgp")
    assert "expired" in why(forge.refused(Signers(gpg_home=forge.keyring("now", ann))))


def test_a_repository_cannot_name_the_program_that_verifies_it(forge: Forge, tmp_path: Path) -> None:
    signers = forge.allow(f"ann@example.org {forge.key('ann')}")
    forge.key("stranger")
    forge.commit("stranger")
    liar = tmp_path / "liar"
    liar.write_text(f"#!/bin/sh\ntouch {tmp_path}/marker\necho 'Good \"git\" signature for ann@example.org with X'\n")
    liar.chmod(0o755)
    for name in ("gpg.program", "gpg.ssh.program", "gpg.openpgp.program", "gpg.x509.program"):
        forge.repository.git("config", name, str(liar))
    forge.repository.git("config", "gpg.ssh.allowedSignersFile", str(tmp_path / "stranger.pub"))
    assert "is not accepted" in why(files_at(forge.repository.folder, "main", os.environ, signers).refused)
    assert not (tmp_path / "marker").exists()


def test_keys_that_cannot_be_read_quarantine_nothing(forge: Forge, tmp_path: Path) -> None:
    forge.key("ann")
    forge.commit("ann")
    with pytest.raises(Usage, match=r"cannot be read: .*nowhere: No such file"):
        forge.refused(Signers(tmp_path / "nowhere"))
    with pytest.raises(Usage, match="holds no keys"):
        forge.refused(Signers(gpg_home=tmp_path))


def test_a_machine_without_ssh_keygen_quarantines_nothing(forge: Forge, tmp_path: Path) -> None:
    signers = forge.allow(f"ann@example.org {forge.key('ann')}")
    forge.commit("ann")
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("git", "setpriv"):
        found = next(Path(folder, name) for folder in os.get_exec_path() if Path(folder, name).exists())
        (programs / name).symlink_to(found)
    files = files_at(forge.repository.folder, "main", {"PATH": str(programs)}, signers)
    with pytest.raises(Usage, match=r"cannot be verified: cannot (run|exec) .*ssh-keygen"):
        _ = files.refused
