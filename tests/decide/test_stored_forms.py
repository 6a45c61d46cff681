"""Files that git holds in another form than their content are reported where they would be read, and nowhere else."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import pytest

from reconciler.decide.admit.admit import admit
from reconciler.decide.read.parse import host_document
from reconciler.decide.read.scan import scan
from reconciler.model.documents import Grant, HostDocument, Permissions, StackDocument
from reconciler.model.outcome import Level, Violation
from tests.commits import CommitFiles
from tests.decide.judging import ROOT, candidate, denied, warned

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64 + b"\nsize 12345678\n"
LOST = {
    "lfs": LFS,
    "lfs with extensions": LFS.replace(b"\noid", b"\next-0-foo sha256:" + b"b" * 64 + b"\noid"),
    "lfs of a short id": LFS.replace(b"a" * 64, b"a" * 32),
    "lfs of windows": LFS.replace(b"\n", b"\r\n"),
    "annex": b"/annex/objects/SHA256E-s1048576--abc.bin\n",
    "git-crypt": b"\0GITCRYPT\0" + bytes(range(200)),
}
SECRET = b"ENC[AES256_GCM,data:Zm9v,iv:YmFy,tag:YmF6,type:str]"
SOPS = {
    "sops yaml": b"password: " + SECRET + b"\nsops:\n    kms: []\n    version: 3.8.1\n",
    "sops json": b'{\n\t"password": "' + SECRET + b'",\n\t"sops": {"version": "3.8.1"}\n}',
    "sops env": b"PASSWORD=" + SECRET + b"\nsops_version=3.8.1\nsops_mac=" + SECRET + b"\n",
    "sops ini": b"[db]\npassword = " + SECRET + b"\n\n[sops]\nversion = 3.8.1\n",
    "sops binary": b'{"data": "' + SECRET + b'","sops":{"version":"3.8.1"}}',
}
ENCRYPTED = {
    **SOPS,
    "openssl": b"Salted__" + bytes(range(64)),
    "openssl in text": base64.b64encode(b"Salted__" + bytes(range(64))) + b"\n",
    "age": b"age-encryption.org/v1\n-> X25519 abc\n",
    "age in text": b"-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n-----END AGE ENCRYPTED FILE-----\n",
    "pgp": b"-----BEGIN PGP MESSAGE-----\n\nhQ==\n-----END PGP MESSAGE-----\n",
    "vault": b"$ANSIBLE_VAULT;1.1;AES256\n3162\n",
}
PLAIN = {
    "empty": b"",
    "text": b"version: 3\nsize 5\n",
    "about lfs": b"# version https://git-lfs.github.com/spec/v1\n",
    "about sops": b"sops:\n  image: x\n",
    "public key": b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n",
    "binary": bytes(range(256)),
    "large": b"x" * (2 << 20),
}


def judge(
    model: Mapping[str, Any], files: Mapping[str, bytes | str], *grants: Grant, revision: str | None = "c0ffee"
) -> list[Violation]:
    commit = CommitFiles(files, revision=revision)
    one = candidate(model)
    found = admit(HostDocument("mini", (one.stack,)), [one], commit, Permissions(grants)).violations
    return [item for item in found if item.rule in ("stored-form", "encrypted-file")]


def mounting(path: str) -> Mapping[str, Any]:
    source = ROOT if path == "." else f"{ROOT}/{path}"
    return {"services": {"web": {"image": "x", "volumes": [{"type": "bind", "source": source, "target": "/m"}]}}}


def building(**build: Any) -> Mapping[str, Any]:
    return {"services": {"web": {"build": {"context": f"{ROOT}/app", **build}}}}


USES = {
    "mount": mounting("file"),
    "config": {
        "services": {"web": {"image": "x", "configs": [{"source": "c"}]}},
        "configs": {"c": {"file": f"{ROOT}/file"}},
    },
    "secret": {
        "services": {"web": {"image": "x", "secrets": [{"source": "c"}]}},
        "secrets": {"c": {"file": f"{ROOT}/file"}},
    },
    "dockerfile": {"services": {"web": {"build": {"context": f"{ROOT}/app", "dockerfile": "../file"}}}},
}


@pytest.mark.parametrize("model", USES.values(), ids=USES)
@pytest.mark.parametrize("data", LOST.values(), ids=LOST)
def test_what_is_lost_is_refused_where_it_is_used(model: Mapping[str, Any], data: bytes) -> None:
    (found,) = judge(model, {"file": data, "app/x": ""})
    assert (found.rule, found.level) == ("stored-form", Level.DENY)
    assert found.message.startswith("file is ")
    assert found.line
    assert "grants:" in found.hint


@pytest.mark.parametrize("data", ENCRYPTED.values(), ids=ENCRYPTED)
def test_what_a_program_could_decrypt_is_a_warning(data: bytes) -> None:
    (found,) = judge(mounting("file"), {"file": data})
    assert (found.rule, found.level) == ("encrypted-file", Level.WARN)
    assert "secrets_dir" in found.hint
    assert judge(mounting("folder"), {"folder/file": data}) == []


@pytest.mark.parametrize("model", USES.values(), ids=USES)
@pytest.mark.parametrize("data", PLAIN.values(), ids=PLAIN)
def test_other_files_are_nobodys_concern(model: Mapping[str, Any], data: bytes) -> None:
    assert judge(model, {"file": data, "app/x": ""}) == []


def test_a_folder_is_refused_once_and_the_whole_repository_warned_about() -> None:
    files: dict[str, bytes | str] = {
        "model/a/m.bin": LFS,
        "model/n.bin": LOST["git-crypt"],
        "model/x": "x",
        "other/o.bin": LFS,
    }
    (found,) = judge(mounting("model"), files)
    assert (found.level, found.message[:40]) == (Level.DENY, "model/a/m.bin is a Git LFS pointer; its ")
    assert "(and 1 more)" in found.message
    (found,) = judge(mounting("."), files)
    assert (found.rule, found.level) == ("stored-form", Level.WARN)
    assert judge(mounting("elsewhere"), {**files, "elsewhere/x": "x"}) == []


def test_the_operator_can_allow_it() -> None:
    files = {"file": LFS, "model/m.bin": LFS}
    assert judge(mounting("file"), files, Grant("stored-form", "shop", "web", "said so", ("file",))) == []
    assert judge(mounting("model"), files, Grant("stored-form", "shop", "web", "said so", ("model",))) == []
    assert denied(judge(mounting("model"), files, Grant("stored-form", "shop", "web", "said so", ("file",))))


@pytest.mark.parametrize(
    ("dockerfile", "ignore", "refused"),
    [
        ("FROM x\nCOPY . /app\n", None, True),
        ("FROM x\nCOPY big /app/\n", None, True),
        ("FROM x\nCOPY big/*.bin /app/\n", None, True),
        ('FROM x\nCOPY ["big/m.bin", "/app/"]\n', None, True),
        ("FROM x\nADD --chown=1 ./big/m.bin /app/\n", None, True),
        ("FROM x\nARG A\nCOPY $A /app/\n", None, True),
        ("FROM x\nRUN --mount=type=bind,target=/s make\n", None, True),
        ("FROM x\nRUN --mount=source=big,target=/s make\n", None, True),
        ("FROM x\nCOPY src /app\n", None, False),
        ("FROM x\nCOPY *.bin /app/\n", None, False),
        ("FROM y AS y\nFROM x\nCOPY --from=y . /app\n", None, False),
        ("FROM x\nRUN --mount=type=cache,target=/s make\n", None, False),
        ("FROM x\nCOPY . /app\n", "big\n", False),
        ("FROM x\nCOPY . /app\n", "**/*.bin\n", False),
        ("FROM x\nCOPY . /app\n", "*\n!src\n", False),
        ("FROM x\nCOPY . /app\n", "*\n!big\n", True),
        ("FROM x\nCOPY . /app\n", "# big\n", True),
    ],
)
def test_of_a_build_what_it_copies(dockerfile: str, ignore: str | None, refused: bool) -> None:
    files: dict[str, bytes | str] = {"app/Dockerfile": dockerfile, "app/big/m.bin": LFS, "app/src/x": "x"}
    if ignore is not None:
        files["app/.dockerignore"] = ignore
    assert denied(judge(building(), files)) == ["stored-form"] * refused
    inline = judge(building(dockerfile_inline=dockerfile), files)
    assert denied(inline) == ["stored-form"] * refused


def test_a_dockerfiles_own_list_counts_instead() -> None:
    files: dict[str, bytes | str] = {
        "app/Dockerfile": "FROM x\nCOPY . .\n",
        "app/m.bin": LFS,
        "app/.dockerignore": "m.bin",
    }
    assert judge(building(), files) == []
    assert denied(judge(building(), {**files, "app/Dockerfile.dockerignore": "src"})) == ["stored-form"]


def test_an_additional_context() -> None:
    files: dict[str, bytes | str] = {"app/Dockerfile": "FROM x\n", "more/m.bin": LFS}
    assert denied(judge(building(additional_contexts={"m": f"{ROOT}/more", "y": "docker-image://y"}), files))


def test_large_folders_are_looked_at_by_size_and_attributes() -> None:
    many = {f"model/{n}.txt": "x" * 2000 for n in range(500)}
    assert denied(judge(mounting("model"), {**many, "model/m.bin": LFS})) == ["stored-form"]
    long = LOST["git-crypt"] + bytes(5000)
    attributes = {".gitattributes": "*.key filter=git-crypt diff=git-crypt\n"}
    assert denied(judge(mounting("model"), {**many, "model/m.key": long, **attributes})) == ["stored-form"]


def test_a_working_folder_is_judged_by_what_git_would_store() -> None:
    """There the file itself has the content."""
    filters = {"lfs": "Git LFS", "git-crypt": "git-crypt", "git-crypt-team": "git-crypt", "crypt": "transcrypt"}
    for name, what in filters.items():
        files: dict[str, bytes | str] = {"file": "content", ".gitattributes": f"file filter={name} -text\n"}
        assert judge(mounting("file"), files) == []
        (found,) = judge(mounting("file"), files, revision=None)
        assert what in found.message
    files = {
        "file": ENCRYPTED["openssl in text"],
        ".gitattributes": "file filter=crypt diff=crypt\n",
    }
    assert denied(judge(mounting("file"), files)) == ["stored-form"]


# -- what Compose reads ----------------------------------------------------------------------------------------------

READ = {
    "stack's own": ("app/compose.yaml", "app/compose.yaml", 1),
    ".env": ("app/.env", "app/.env", 1),
    "env_file": ("app/web.env", "app/compose.yaml", 8),
    "include": ("app/inc.yaml", "app/compose.yaml", 2),
    "include's env_file": ("app/inc.env", "app/compose.yaml", 3),
    "extends": ("app/base.yaml", "app/compose.yaml", 6),
    "label_file": ("app/labels", "app/compose.yaml", 7),
}
COMPOSE = """\
include:
  - path: inc.yaml
    env_file: inc.env
services:
  web:
    extends: {file: base.yaml, service: web}
    label_file: labels
    env_file: [web.env]
"""


@pytest.mark.parametrize("place", READ.values(), ids=READ)
@pytest.mark.parametrize("data", [*LOST.values(), *ENCRYPTED.values()], ids=[*LOST, *ENCRYPTED])
def test_what_compose_reads_is_refused_in_every_other_form(place: tuple[str, str, int], data: bytes) -> None:
    files: dict[str, bytes | str] = {
        "app/compose.yaml": COMPOSE, "app/.env": "A=1\n", "app/web.env": "B=2\n", "app/labels": "l=1\n",
        "app/inc.yaml": "services: {i: {image: x}}", "app/inc.env": "C=3\n",
        "app/base.yaml": "services: {web: {image: x}}",
    }  # fmt: skip
    stack = StackDocument("shop", ("app/compose.yaml",))
    assert scan(CommitFiles(files), stack, {}).violations == ()
    path, where, line = place
    found = [item for item in scan(CommitFiles({**files, path: data}), stack, {}).violations if item.path]
    assert [(item.rule, item.path, item.line, item.level) for item in found] == [
        ("stored-form", where, line, Level.DENY)
    ]
    assert path in found[0].message
    assert found[0].hint


@pytest.mark.parametrize("data", [LFS, SOPS["sops yaml"]])
def test_so_is_the_host_document(data: bytes) -> None:
    found, violations = host_document(CommitFiles({"desired-state/mini.yaml": data}), "mini")
    assert found is None
    assert [(item.rule, item.path, item.line) for item in violations] == [("stored-form", "desired-state/mini.yaml", 1)]


def test_an_idle_service_reads_nothing() -> None:
    text = "services: {web: {image: x, profiles: [debug], env_file: web.env}}"
    found = scan(CommitFiles({"compose.yaml": text, "web.env": LFS}), StackDocument("shop", ("compose.yaml",)), {})
    assert (found.violations, warned(found.violations)) == ((), [])
