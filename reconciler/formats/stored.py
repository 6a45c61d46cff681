"""Files that git holds in another form than their content: pointers to content elsewhere, and ciphertext."""

from __future__ import annotations

import re

from reconciler.values import dataclass

HEAD = 1024
"""Bytes at the beginning that show the form; pointers of Git LFS are shorter."""

LARGEST = 1 << 20
"""Bytes of a file in which SOPS metadata are searched; they are at the end."""


@dataclass(frozen=True, slots=True)
class Form:
    """`what` a file is instead of its content. `lost`: no program in a container can make the content from it."""

    what: str
    lost: bool
    hint: str


_LFS = Form(
    "a Git LFS pointer; its content is not in the commit",
    True,
    "Commit the content itself (`git lfs untrack`, `git add --renormalize`), or bring it to the machine in a volume or"
    " a granted path.",
)
_ANNEX = Form(
    "a git-annex pointer; its content is not in the commit",
    True,
    "Commit the content itself (`git annex unannex`), or bring it to the machine in a volume or a granted path.",
)
_ON_HOST = "put it on the host (`<secrets_dir>/<stack>/NAME`) and mount it with `secrets: {x: {environment: NAME}}`."
_PLAIN = f"Commit plain text; if it is secret, {_ON_HOST}"
_GIT_CRYPT = Form("ciphertext of git-crypt, and the machine has no key to it", True, _PLAIN)
_TRANSCRYPT = Form("ciphertext of transcrypt, and the machine has no key to it", True, _PLAIN)
_BY_FILTER = {"lfs": _LFS, "annex": _ANNEX, "crypt": _TRANSCRYPT}


def _cipher(name: str, command: str) -> Form:
    return Form(f"ciphertext of {name}", False, f"Unless the program decrypts it itself: {command} it, and {_ON_HOST}")


_SOPS = _cipher("SOPS", "decrypt (`sops -d`)")
_HEADS = (
    (re.compile(rb"version https://(?:git-lfs|hawser)\.github\.com/spec/v\d\r?\n(?s:.*)\bsize \d"), _LFS),
    (re.compile(rb"/annex/objects/\S"), _ANNEX),
    (re.compile(rb"\0GITCRYPT\0"), _GIT_CRYPT),
    (re.compile(rb"Salted__|U2FsdGVkX1"), _cipher("OpenSSL", "decrypt (`openssl enc -d`)")),
    (re.compile(rb"age-encryption\.org/v1|-----BEGIN AGE ENCRYPTED FILE-----"), _cipher("age", "decrypt (`age -d`)")),
    (re.compile(rb"-----BEGIN PGP MESSAGE-----"), _cipher("PGP", "decrypt (`gpg -d`)")),
    (re.compile(rb"\$ANSIBLE_VAULT;"), _cipher("Ansible Vault", "decrypt (`ansible-vault view`)")),
)
_METADATA = re.compile(rb"^\s*\"?sops\"?\s*:|\"sops\"\s*:|^\[sops\]|^sops_(?:mac|version)\s*=", re.MULTILINE)


def by_head(head: bytes, filtered: str = "") -> Form | None:
    """What a file is, by its first HEAD bytes and the filter that git's attributes set for it."""
    form = next((form for start, form in _HEADS if start.match(head)), None)
    if form is not None and not form.lost and filtered == "crypt":
        return _TRANSCRYPT
    return form


def by_filter(filtered: str) -> Form | None:
    """The form in which git would store a file of a working folder, where the file itself has the content."""
    return _GIT_CRYPT if filtered.startswith("git-crypt") else _BY_FILTER.get(filtered)


def by_content(data: bytes) -> Form | None:
    """What a whole file is, SOPS included: encrypted values with their metadata."""
    known = by_head(data[:HEAD])
    if known is None and b"ENC[AES256_GCM," in data and _METADATA.search(data):
        return _SOPS
    return known
