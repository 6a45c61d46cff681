"""Hostile commits, through `validate --commit`: rejected with rule and path, in time, and nothing outside is read."""

from __future__ import annotations

import json
import os
import resource
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from reconciler.decide.redact import Redactor
from reconciler.parser import parse
from reconciler.settings import Settings, SourceSettings
from reconciler.wiring import assembly
from tests.conftest import find_compose, missing
from tests.hostile.test_bombs import SECONDS, worked
from tests.repository import Repository

SENTINEL = "SENTINEL-OF-THE-HOST"
OUT = f"/tmp/reconciler-outside-of-every-commit-{os.getpid()}"
LINK, MODULE = "120000", "160000"
PLAIN = "services:\n  web:\n    image: x:1\n"
HOST = {"apiVersion": "reconciler/v1", "kind": "Host", "metadata": {"name": "mini"}}


def service(line: str, more: str = "") -> str:
    return f"{PLAIN}    {line}\n{more}"


def host(*files: str) -> str:
    return json.dumps({**HOST, "spec": {"stacks": [{"name": "shop", "files": list(files)}]}})


@dataclass(frozen=True)
class Attack:
    """`links`: path → target. `modules`: paths. `raw`: names of files as bytes, put into the root as they are."""

    rule: str
    compose: str | None = PLAIN
    files: Mapping[str, str] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    modules: tuple[str, ...] = ()
    raw: tuple[bytes, ...] = ()
    path: str | None = "compose.yaml"


WHOLE = service("volumes: ['.:/in:ro']")
BIND, CONTEXT = service('volumes: ["./in:/in"]'), service("build: {context: ./in}")
DOCKERFILE = {"in/Dockerfile": "FROM scratch\n"}
ATTACKS = {
    "the Compose file is a link": Attack("symlink", None, {"desired-state/mini.yaml": host("link.yaml")},
                                         {"link.yaml": f"{OUT}/c.yaml"}, path="desired-state/mini.yaml"),
    "the Compose file's folder is a link": Attack("symlink", None, {"desired-state/mini.yaml": host("in/c.yaml")},
                                                  {"in": OUT}, path=None),
    "the Compose file lies in a submodule": Attack("submodule", None, {"desired-state/mini.yaml": host("in/c.yaml")},
                                                   modules=("in",), path=None),
    "the Host document is a link": Attack("symlink", links={"desired-state/mini.yaml": f"{OUT}/mini.yaml"},
                                          path="desired-state/mini.yaml"),
    "the Host document names a file above": Attack("*", None, {"desired-state/mini.yaml": host("../c.yaml")},
                                                   path="desired-state/mini.yaml"),
    "the Host document names a file of the host": Attack(
        "*", None, {"desired-state/mini.yaml": host(f"{OUT}/c.yaml")}, path="desired-state/mini.yaml"),
    "the Host document names an address": Attack(
        "*", None, {"desired-state/mini.yaml": host("https://example.org/c.yaml")}, path="desired-state/mini.yaml"),
    "the Host document names a stack like an option": Attack(
        "*", None, {"desired-state/mini.yaml": host("compose.yaml").replace("shop", "-v")},
        path="desired-state/mini.yaml"),
    "env_file is a link": Attack("symlink", service("env_file: in.env"), links={"in.env": f"{OUT}/secret.env"}),
    "env_file through a link": Attack("symlink", service("env_file: in/secret.env"), links={"in": OUT}),
    "env_file above": Attack("outside-commit", service("env_file: ../secret.env")),
    "env_file of the host": Attack("outside-commit", service(f"env_file: {OUT}/secret.env")),
    "env_file by a variable": Attack("outside-commit", service(f"env_file: ${{NOT_SET:-{OUT}/secret.env}}")),
    "env_file in a list of maps": Attack("outside-commit", service(f"env_file: [{{path: {OUT}/secret.env}}]")),
    "env_file that need not be there": Attack(
        "outside-commit", service(f"env_file: [{{path: {OUT}/secret.env, required: false}}]")),
    "env_file in a submodule": Attack("submodule", service("env_file: in/x.env"), modules=("in",)),
    "label_file above": Attack("outside-commit", service("label_file: ../labels")),
    "label_file is a link": Attack("symlink", service("label_file: in.labels"), links={"in.labels": OUT}),
    "a config is a link": Attack("symlink", service("configs: [c]", "configs: {c: {file: in}}\n"), links={"in": OUT}),
    "a secret is a link": Attack("symlink", service("secrets: [c]", "secrets: {c: {file: in}}\n"), links={"in": OUT}),
    "a config above": Attack("outside-file", service("configs: [c]", "configs: {c: {file: ../../in}}\n")),
    "a bind is a link": Attack("symlink", BIND, links={"in": OUT}),
    "a bind holds a link": Attack("symlink", BIND, {"in/a": "x"}, {"in/deep/b": OUT}),
    "a bind is a circle of links": Attack("symlink", BIND, links={"in": "in2", "in2": "in"}),
    "a bind behind a link": Attack("symlink", service('volumes: ["./in/etc:/in"]'), links={"in": "/"}),
    "a bind is a submodule": Attack("submodule", BIND, modules=("in",)),
    "a context is a link": Attack("symlink", CONTEXT, links={"in": OUT}),
    "a context is behind a link": Attack(
        "file-missing", service("build: {context: ./l/in}"), {"real/in/Dockerfile": "FROM x"}, {"l": "real"}),
    "what a context leaves out is a link": Attack("symlink", CONTEXT, DOCKERFILE, {"in/.dockerignore": "/etc/passwd"}),
    "what a Dockerfile leaves out is a link": Attack(
        "symlink", CONTEXT, DOCKERFILE, {"in/Dockerfile.dockerignore": "/etc/passwd"}),
    "a context holds a submodule": Attack("submodule", CONTEXT, DOCKERFILE, modules=("in/lib",)),
    "a Dockerfile is a link": Attack("symlink", CONTEXT, {"in/a": "x"}, {"in/Dockerfile": f"{OUT}/Dockerfile"}),
    "a further context is a link": Attack(
        "symlink", service("build: {context: ./in, additional_contexts: {a: ./more}}"), DOCKERFILE, {"more": "/"}),
    "include is a link": Attack("symlink", "include: [in.yaml]\n", links={"in.yaml": f"{OUT}/c.yaml"}),
    "include above": Attack("outside-commit", "include: [../c.yaml]\n"),
    "include of the host": Attack("outside-commit", f"include: [{OUT}/c.yaml]\n"),
    "include from elsewhere": Attack("remote-file", "include: ['https://example.org/x.git']\n"),
    "include from git": Attack("remote-file", "include: ['git@example.org:x.git']\n"),
    "include from a registry": Attack("remote-file", "include: ['oci://example.org/x:1']\n"),
    "include in a submodule": Attack("submodule", "include: [in/c.yaml]\n", modules=("in",)),
    "include's env_file above": Attack("outside-commit", "include: [{path: in.yaml, env_file: ../x.env}]\n",
                                       {"in.yaml": PLAIN}),
    "include's folder above": Attack("outside-commit", "include: [{path: in.yaml, project_directory: ../..}]\n",
                                     {"in.yaml": PLAIN}),
    "include's folder is a link": Attack("symlink", "include: [{path: in.yaml, project_directory: l/x}]\n",
                                         {"in.yaml": PLAIN}, {"l": "/"}),
    "include of itself": Attack("include-cycle", "include: [compose.yaml]\n"),
    "include in a circle": Attack("include-cycle", "include: [a.yaml]\n",
                                  {"a.yaml": "include: [b.yaml]\n", "b.yaml": "include: [a.yaml]\n"}, path=None),
    "extends of the host": Attack("outside-commit", service(f"extends: {{file: {OUT}/c.yaml, service: a}}")),
    "extends is a link": Attack("symlink", service("extends: {file: in.yaml, service: a}"), links={"in.yaml": OUT}),
    "extends from elsewhere": Attack(
        "remote-file", service("extends: {file: 'https://example.org/x.git', service: a}")),
    "extends in a circle": Attack("extends-cycle", service("extends: b", "  b: {extends: web}\n")),
    "extends in a circle of files": Attack(
        "extends-cycle", service("extends: {file: a.yaml, service: a}"),
        {"a.yaml": "services: {a: {extends: {file: compose.yaml, service: web}}}\n"}, path=None),
    ".env that names an engine": Attack("*", files={".env": "DOCKER_HOST=tcp://192.0.2.1:2375\n"}, path=".env"),
    ".env of ours": Attack("*", files={".env": "RECONCILER_STATE=/\n"}, path=".env"),
    ".env is a link": Attack("symlink", links={".env": f"{OUT}/secret.env"}, path=".env"),
    "a key that only Compose reads": Attack(
        "tag-not-allowed", f"services:\n  web:\n    image: x:1\n    !!binary ZW52X2ZpbGU=: {OUT}/secret.env\n"),
    "a merge key that only Compose reads": Attack(
        "tag-not-allowed",
        f"x-a: &a {{env_file: {OUT}/secret.env}}\n" + service('!!merge "<<": *a')),
    "a reset that Compose ignores": Attack(
        "reset-value", f"services: !override {{web: {{image: x:1, env_file: !reset [{OUT}/secret.env]}}}}\n"),
    "an include that takes back": Attack(
        "outside-commit", "include: [in.yaml]\n" + service(f"env_file: {OUT}/secret.env"),
        {"in.yaml": "services: {web: !reset null, b: {image: x:1}}\n"}),
    "two documents": Attack("several-documents", f"{PLAIN}---\nservices: {{web: {{privileged: true}}}}\n"),
    "names by case": Attack("case-collision", WHOLE, {"README": "a", "readme": "b"}, path=None),
    "names by composition": Attack("case-collision", WHOLE, {"caf\u00e9": "a", "cafe\u0301": "b"}, path=None),
    "git's own folder": Attack("unsafe-path", raw=(b".GIT",), path=None),
    "git's own folder by its short name": Attack("unsafe-path", raw=(b"git~1",), path=None),
    "git's own folder unseen": Attack("unsafe-path", raw=(".g\u200cit".encode(),), path=None),
    "the folder above": Attack("unsafe-path", raw=(b"..",), path=None),
    "a path as a name": Attack("unsafe-path", raw=(b"../../etc/cron.d/x",), path=None),
    "an escape sequence": Attack("odd-path", WHOLE, raw=(b"a\x1b]52;c;eA==\x07",), path=None),
    "a forged line": Attack("odd-path", WHOLE, raw=(b"a\n2026-01-01 INFO all is well",), path=None),
    "letters that turn round": Attack("odd-path", WHOLE, raw=("a\u202egnp.sh".encode(),), path=None),
    "a long name": Attack("odd-path", WHOLE, raw=(b"n" * 5000,), path=None),
    "a service with an escape sequence": Attack("*", 'services: {"we\\eb[2J": {image: x:1}}\n'),
    "a service that turns round": Attack("*", 'services: {"we\\u202eb": {image: x:1}}\n'),
    "a service like a path": Attack("*", 'services: {"../../etc": {image: x:1}}\n'),
    "tags of Python": Attack("*", 'services: {web: !!python/object/apply:os.system ["true"]}\n'),
    "keys twice": Attack("duplicate-key", service("privileged: true\n    privileged: false")),
}  # fmt: skip


class Validator:
    """One repository and the product that judges its commits."""

    def __init__(self, folder: Path) -> None:
        composes = find_compose()
        if not composes:
            missing("no Compose binary: scripts/setup.sh --tests gets two versions")
        self.repository = Repository(folder / "home.git")
        settings = Settings("mini", SourceSettings("/nowhere"), str(folder / "state"), compose=str(composes[-1]))
        self.application = assembly.build(settings, stop=threading.Event(), redactor=Redactor())

    def commit(self, attack: Attack) -> str:
        document = "desired-state/mini.yaml"
        contents = {**({} if document in attack.links else {document: host("compose.yaml")}), **attack.files}
        if attack.compose is not None:
            contents["compose.yaml"] = attack.compose
        lines = [("100644", "blob", self.repository.blob(text), path) for path, text in contents.items()]
        lines += [(LINK, "blob", self.repository.blob(target), path) for path, target in attack.links.items()]
        lines += [(MODULE, "commit", "1" * 40, path) for path in attack.modules]
        tree = self.tree([(*line[:3], line[3].encode()) for line in lines])
        if attack.raw:
            names = [("100644", "blob", self.repository.blob("x"), name) for name in attack.raw]
            listed = [line.split(None, 3) for line in self.repository.git("ls-tree", tree).splitlines()]
            names += [(mode, kind, oid, name.encode()) for mode, kind, oid, name in listed]
            tree = self.repository.literal_tree(sorted(names, key=lambda line: line[3]))
        return self.repository.commit_tree(tree)

    def tree(self, lines: list[tuple[str, str, str, bytes]]) -> str:
        folders: dict[bytes, list[tuple[str, str, str, bytes]]] = {}
        here = []
        for mode, kind, oid, path in lines:
            name, slash, rest = path.partition(b"/")
            if slash:
                folders.setdefault(name, []).append((mode, kind, oid, rest))
            else:
                here.append((mode, kind, oid, name))
        here += [("040000", "tree", self.tree(inside), name) for name, inside in folders.items()]
        return self.repository.raw_tree(here)

    def validate(self, sha: str) -> dict[str, Any]:
        typed = parse(["validate", "--commit", sha, "--git-dir", str(self.repository.folder)])
        return dict(self.application.validate(typed)[1])


@pytest.fixture(scope="module")
def validator(tmp_path_factory: pytest.TempPathFactory) -> Validator:
    return Validator(tmp_path_factory.mktemp("trees"))


@pytest.fixture(autouse=True, scope="module")
def outside() -> Any:
    """Files of the host that the attacks point at."""
    folder = Path(OUT)
    folder.mkdir(exist_ok=True)
    (folder / "secret.env").write_text(f"A={SENTINEL}\n")
    (folder / "c.yaml").write_text(f"services: {{a: {{image: {SENTINEL.lower()}}}}}\n")
    (folder / "mini.yaml").write_text(f"kind: {SENTINEL}\n")
    yield
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_refused_by_its_rule_and_path(validator: Validator, name: str) -> None:
    attack = ATTACKS[name]
    sha = validator.commit(attack)
    began, ours, others = time.monotonic(), time.process_time(), worked(resource.RUSAGE_CHILDREN)
    document = validator.validate(sha)
    assert time.process_time() - ours < SECONDS
    assert worked(resource.RUSAGE_CHILDREN) - others < SECONDS
    assert time.monotonic() - began < 60, "it waited for something"
    assert document["valid"] is False
    denied = [item for item in document["violations"] if item["level"] == "deny"]
    rules = {item["rule"] for item in denied}
    assert attack.rule == "*" or attack.rule in rules, denied
    assert all(item["message"] and item["hint"] and item["reason"] for item in denied)
    told = {item["path"] for item in denied}
    assert attack.path is None or told & {attack.path, *attack.links, *attack.modules}, denied
    written = json.dumps(document, ensure_ascii=False)
    assert SENTINEL not in written
    assert written.isprintable(), "nothing steers a terminal"


def test_attributes_and_modules_change_no_byte_and_run_nothing(validator: Validator, tmp_path: Path) -> None:
    files = {
        ".gitattributes": "* export-ignore export-subst ident eol=crlf filter=x working-tree-encoding=UTF-16\n",
        ".gitmodules": f'[submodule "x"]\n\tpath = x\n\turl = ext::sh\n\tupdate = !touch {tmp_path}/marker\n',
        "in/a": "$Id$ $Format:%H$\n",
    }
    sha = validator.commit(Attack("", service('volumes: ["./in:/in:ro"]'), files))
    assert validator.validate(sha)["valid"] is True
    assert not (tmp_path / "marker").exists()
