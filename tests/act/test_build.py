"""Builds from a commit's own bytes, with every installed Compose version."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import docker
import pytest

from reconciler.act.build import ImageBuilder, build_error
from reconciler.effects import Effects
from reconciler.engine import OLDEST_API
from reconciler.errors import Away, ImageFailed, Transient
from reconciler.model.images import ImageWant, Sources
from reconciler.model.outcome import Reason
from tests.commits import CommitFiles
from tests.conftest import BASE, engine_address

pytestmark = pytest.mark.engine


@pytest.fixture
def name(engine: docker.APIClient) -> Iterator[str]:
    name = f"rb{uuid.uuid4().hex[:10]}"
    yield name
    for image in engine.images():
        for tag in image["RepoTags"] or ():
            if name in tag:
                engine.remove_image(tag, force=True)


@pytest.fixture
def builder(
    compose_binary: Path, engine: docker.APIClient, images: dict[str, str], tmp_path: Path
) -> Iterator[ImageBuilder]:
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "CANARY": "leak"}
    folder = tmp_path / "build"
    yield ImageBuilder(
        str(compose_binary), engine_address(), engine, folder, Effects(), environ, host="mini", secret=no_secret
    )
    assert list((tmp_path / "build").glob("*")) == []


def no_secret(stack: str, variable: str) -> AbstractContextManager[Path]:
    raise AssertionError(f"{stack} asks for {variable}")


def want(name: str, **build: Any) -> ImageWant:
    definition = {"context": "app", "dockerfile": "Dockerfile", **build}
    return wanted(name, definition)


def wanted(name: str, definition: dict[str, Any], **sources: Any) -> ImageWant:
    allowed = Sources(**{"named": frozenset({BASE}), **sources})
    tag = f"reconciler/{name}-web:key"
    return ImageWant(name, "web", f"{name}-web", "key", tag, build=definition, sources=allowed)


def test_all_that_a_build_can_say(builder: ImageBuilder, engine: docker.APIClient, name: str) -> None:
    files = CommitFiles(
        {
            "docker/Dockerfile.web": f"""
                FROM {BASE} AS base
                ARG DOLLAR
                ARG CANARY
                LABEL dollar=$DOLLAR canary=$CANARY
                COPY . /app
                COPY --from=shared /common.txt /common.txt
                RUN test -x /app/run.sh && test ! -e /app/secret.txt && test ! -x /app/data.bin
                RUN test "$(stat -c %s /dev/shm)" && grep 1.2.3.4 /etc/hosts
                FROM base AS final
                HEALTHCHECK CMD true
                FROM base AS other
                RUN false
            """,
            "app/run.sh": "#!/bin/sh\n",
            "app/data.bin": b"\0\1\2",
            "app/secret.txt": "no",
            "app/.dockerignore": "secret.txt\n",
            "shared/common.txt": "common",
            "elsewhere.txt": "not in any context",
        },
        {"app/run.sh": "100755"},
    )
    asked = want(
        name,
        dockerfile="../docker/Dockerfile.web",
        target="final",
        args={"DOLLAR": "a$b ${C}", "CANARY": None},
        additional_contexts={"shared": "shared"},
        labels={"said": "so"},
        network="none",
        shm_size="67108864",
        extra_hosts=["there=1.2.3.4"],
        tags=[f"{name}-more:1"],
    )
    image = builder.build(asked, files)
    labels = engine.inspect_image(image.id)["Config"]["Labels"]
    assert {key: labels[key] for key in ("dollar", "canary", "said")} == {
        "dollar": "a$b ${C}",
        "canary": "",
        "said": "so",
    }
    assert image.healthcheck
    assert engine.inspect_image(asked.tag)["RepoTags"] == [asked.tag]


def test_a_dockerfile_within_the_compose_file(builder: ImageBuilder, name: str) -> None:
    build = {"context": ".", "dockerfile_inline": f"FROM {BASE}\nCOPY a.txt /\n"}
    assert builder.build(wanted(name, build), CommitFiles({"a.txt": "a"})).id.startswith("sha256:")


@pytest.mark.parametrize(
    ("dockerfile", "words"),
    [
        (f"FROM {BASE}\nRUN echo the reason; exit 3\n", "the reason"),
        (f"FORM {BASE}\n", "FORM"),
        (f"FROM {BASE}\nCOPY absent /\n", "absent"),
        (f"FROM {BASE}\nCOPY ../other/x /\n", "other"),
        ("", "empty"),
    ],
)
def test_a_build_that_fails_is_the_commit_s_fault(
    builder: ImageBuilder, name: str, tmp_path: Path, dockerfile: str, words: str
) -> None:
    files = CommitFiles({"app/Dockerfile": dockerfile, "other/x": "x"})
    with pytest.raises(ImageFailed) as failed:
        builder.build(want(name), files)
    assert failed.value.reason is Reason.BUILD_FAILED
    assert any(words in line for line in failed.value.details)
    assert len(failed.value.details) <= 20
    assert str(tmp_path) not in json.dumps([failed.value.message, *failed.value.details])


def test_a_registry_that_does_not_answer_quarantines_nothing(builder: ImageBuilder, name: str) -> None:
    with pytest.raises(Transient, match="refused"):
        builder.build(want(name), CommitFiles({"app/Dockerfile": "FROM 127.0.0.1:1/denied/not-found\n"}))


def test_an_engine_that_is_away(compose_binary: Path, tmp_path: Path) -> None:
    host = "unix:///nonexistent/docker.sock"
    client = docker.APIClient(base_url=host, version=OLDEST_API)
    builder = ImageBuilder(str(compose_binary), host, client, tmp_path, Effects(), {}, host="mini", secret=no_secret)
    with pytest.raises(Away):
        builder.build(want("x"), CommitFiles({"app/Dockerfile": f"FROM {BASE}\n"}))


RUN = 'failed to solve: process "/bin/sh -c apt-get update" did not complete successfully: exit code: 100'
FROM = "failed to solve: x/y: failed to resolve source metadata for docker.io/x/y:latest: "


@pytest.mark.parametrize(
    ("output", "kind"),
    [
        (f"Err: Temporary failure resolving 'deb.example'\n{RUN}", Transient),
        (f"E: Unable to locate package nosuch\n{RUN}", ImageFailed),
        (FROM + "docker.io/x/y:latest: not found", ImageFailed),
        (FROM + "pull access denied, repository does not exist or may require authorization", ImageFailed),
        (FROM + "failed to do request: Head https://h/v2/denied/manifests/1: dial tcp: i/o timeout", Transient),
        (FROM + "unexpected status from HEAD request to https://h/v2/x: 429 Too Many Requests", Transient),
        ("failed to solve: write /x: no space left on device", Transient),
        ("Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?", Away),
        ("", ImageFailed),
    ],
)
def test_whose_fault_it_is(output: str, kind: type[Exception]) -> None:
    assert type(build_error(want("x"), output)) is kind


def test_a_repository_in_a_context_runs_nothing(builder: ImageBuilder, name: str, tmp_path: Path) -> None:
    """Compose asks git about the context, and git takes any folder with these files for a repository, with a config
    that names programs."""
    ran = tmp_path / "ran"
    config = f"""
        [core]
            repositoryformatversion = 1
            bare = false
            worktree = .
            fsmonitor = touch {ran}
        [extensions]
            partialClone = origin
        [remote "origin"]
            promisor = true
            url = "ext::touch {ran}"
        [protocol]
            allow = always
        """
    repository = {"HEAD": "ref: refs/heads/main", "refs/heads/main": "1" * 40, "objects/x": "", "config": config}
    files = {f"app/{path}": text for path, text in repository.items()}
    builder.build(want(name), CommitFiles({"app/Dockerfile": f"FROM {BASE}\nCOPY HEAD /\n", **files}))
    assert not ran.exists()


def test_links_in_a_context_are_links_to_the_builder(builder: ImageBuilder, name: str) -> None:
    """Links that lead out of the context are broken, because the builder stays within it."""
    links = {"app/in": "real/x", "app/real/up": "../top", "app/out": "/etc/hostname", "app/above": "../secret",
             "app/nowhere": "gone", "app/long": "x" * 5000, "app/empty": ""}  # fmt: skip
    files = CommitFiles(
        {
            "app/Dockerfile": f"""
                FROM {BASE}
                COPY in /in
                COPY . /all
                RUN grep inside /in && grep inside /all/in && grep top /all/real/up
                RUN test "$(readlink /all/out)" = /etc/hostname && test -L /all/nowhere && test -L /all/above
                RUN ! grep -r SENT[I]NEL /all
            """,
            "app/real/x": "inside", "app/top": "top", "secret": "SENTINEL", **links,
        },
        dict.fromkeys(links, "120000"),
    )  # fmt: skip
    builder.build(want(name), files)
    for link in ("out", "above"):
        dockerfile = {"app/Dockerfile": f"FROM {BASE}\nCOPY {link} /x\n"}
        with pytest.raises(ImageFailed):
            builder.build(want(name), CommitFiles({**files.contents, **dockerfile}, files.modes))
