"""A build reaches neither the host's network nor other people's images and caches, and runs no frontend of its own.

Each test checks what the engine does, however the Dockerfile is written.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import docker
import pytest

from reconciler.act.build import ImageBuilder
from reconciler.effects import Effects
from reconciler.errors import ImageFailed
from reconciler.model.images import ImageWant, Sources
from reconciler.settings import BuildSettings
from tests.commits import CommitFiles
from tests.conftest import BASE, engine_address

pytestmark = pytest.mark.engine

TWO_OF_60_MB = (
    'pipe(A,B);pipe(C,D);$n=6e7;if(!($p=fork)){$x="x" x $n;syswrite(B,"x");sysread(C,$y,1);exit 0}'
    'sysread(A,$y,1);$x="x" x $n;syswrite(D,"x");waitpid($p,0);exit($?&127?137:$?>>8)'
)
"""Perl: two processes that hold 60 MB each at the same time; 137 where one of them is killed."""

Builders = Callable[..., ImageBuilder]


@pytest.fixture
def name(engine: docker.APIClient) -> Iterator[str]:
    name = f"rs{uuid.uuid4().hex[:10]}"
    yield name
    for image in engine.images():
        for tag in image["RepoTags"] or ():
            if name in tag:
                engine.remove_image(tag, force=True)
    for image in engine.images(filters={"label": f"com.docker.compose.project={name}"}):
        engine.remove_image(image["Id"])


@pytest.fixture
def builders(compose_binary: Path, engine: docker.APIClient, images: dict[str, str], tmp_path: Path) -> Builders:
    """With the host's name, bounds and secrets. Docker's own config has a proxy with a password."""
    home = tmp_path / "home" / ".docker"
    home.mkdir(parents=True)
    proxies = {"default": {"httpProxy": "http://user:proxy-word@proxy.invalid:1", "noProxy": "proxy-word"}}
    (home / "config.json").write_text(json.dumps({"proxies": proxies}))
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(home.parent), "HTTP_PROXY": "http://a:agent-word@x.invalid:1"}

    def make(host: str = "mini", secrets: dict[str, bytes] | None = None, **bounds: Any) -> ImageBuilder:
        @contextmanager
        def secret(stack: str, variable: str) -> Iterator[Path]:
            path = tmp_path / variable
            path.write_bytes((secrets or {})[variable])
            yield path
            path.unlink()

        return ImageBuilder(
            str(compose_binary), engine_address(), engine, tmp_path / "build", Effects(), environ,
            host=host, secret=secret, bounds=BuildSettings(**bounds),
        )  # fmt: skip

    return make


@pytest.fixture
def loopback() -> Iterator[tuple[str, list[str]]]:
    """A service on the host's loopback, and the requests that it got."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"LOOPBACK")

        def do_HEAD(self) -> None:
            self.do_GET()

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"127.0.0.1:{server.server_port}", asked
    server.shutdown()
    thread.join()
    server.server_close()


def want(name: str, service: str = "web", sources: Sources | None = None, **build: Any) -> ImageWant:
    named = frozenset({BASE}) | (sources.named if sources else frozenset())
    allowed = replace(sources or Sources(), named=named)
    tag, definition = f"reconciler/{name}-{service}:key", {"context": "app", **build}
    return ImageWant(name, service, f"{name}-{service}", "key", tag, build=definition, sources=allowed)


def commit(dockerfile: str, **files: str) -> CommitFiles:
    return CommitFiles({"app/Dockerfile": dockerfile, **files})


def layer(text: str, *mounts: str) -> str:
    """A Dockerfile with a RUN that is in no cache."""
    flags = "".join(f"--mount={mount} " for mount in mounts)
    return f"FROM {BASE}\nRUN {flags}: {uuid.uuid4().hex}; {text}\n"


def fails(builder: ImageBuilder, asked: ImageWant, files: CommitFiles) -> str:
    with pytest.raises(ImageFailed) as failed:
        builder.build(asked, files)
    return "\n".join([failed.value.message, failed.value.hint, *failed.value.details])


def test_no_spelling_of_add_reaches_the_host_s_loopback(
    builders: Builders, name: str, loopback: tuple[str, list[str]], engine: docker.APIClient
) -> None:
    address, asked = loopback
    for dockerfile in (
        f"FROM {BASE}\nADD http://{address}/plain /x\n",
        f'FROM {BASE}\nADD ["http://{address}/json", "/x"]\n',
        f"FROM {BASE}\nARG P=http\nADD ${{P}}://{address}/variable /x\n",
        f"FROM {BASE}\nADD h\\ttp://{address}/escaped /x\n",
        f"FROM {BASE}\nADD git://{address}/git /x\n",
        f"FROM {BASE}\nADD http://{address}/repository.git#main /x\n",
        f"FROM {BASE} AS a\nONBUILD ADD http://{address}/onbuild /x\nFROM a\n",
        f"# escape=`\nFROM {BASE}\nADD ht`\ntp://{address}/continued /x\n",
    ):
        assert "denied by policy" in fails(builders(), want(name), commit(dockerfile)), dockerfile
    base = want(name, "base")
    builders().build(base, commit(f"FROM {BASE}\nONBUILD ADD http://{address}/base /x\n"))
    upon = want(name, sources=Sources(built={"base:1": base.tag}))
    assert "denied by policy" in fails(builders(), upon, commit("FROM base:1\n"))
    assert asked == []
    granted = want(name, sources=Sources(remotes=(f"http://{address}/granted",)))
    builders().build(granted, commit(f"FROM {BASE}\nADD http://{address}/granted /x\nRUN grep LOOPBACK /x\n"))
    other = commit(f"FROM {BASE}\nADD http://{address}/other /x\n")
    assert "denied by policy" in fails(builders(), granted, other)
    assert set(asked) == {"/granted"}


def test_run_does_not_reach_the_host_s_network(builders: Builders, name: str, loopback: tuple[str, list[str]]) -> None:
    address, asked = loopback
    for flags in ("--network=host", "--security=insecure"):
        dockerfile = f"# syntax=docker/dockerfile:1-labs\nFROM {BASE}\nRUN {flags} true\n"
        assert fails(builders(), want(name), commit(dockerfile))
    host, _, port = address.partition(":")
    connect = f"bash -c 'echo GET / >/dev/tcp/{host}/{port}'"
    builders().build(want(name), commit(layer(f"! {connect}")))
    builders(network="none").build(want(name), commit(layer("test $(wc -l </proc/net/dev) = 3")))
    assert asked == []


def test_the_engine_s_own_frontend_builds_whatever_is_asked_for(builders: Builders, name: str) -> None:
    for head in (
        "# syntax=x.invalid/front\n",
        "\ufeff#syntax=x.invalid/front\n",
        "#!/usr/bin/env x\n# syntax=x.invalid/front\n",
        "# escape=`\n#  SYNTAX = x.invalid/front\n",
        "// syntax=x.invalid/front\n",
    ):
        builders().build(want(name), commit(f"{head}FROM {BASE}\nCOPY Dockerfile /\n"))
    args = {"BUILDKIT_SYNTAX": "x.invalid/front"}
    builders().build(want(name, args=args), commit(f"FROM {BASE}\n"))


def test_a_frontend_that_was_granted_is_asked_for(builders: Builders, name: str) -> None:
    granted = want(name, sources=Sources(frontend=True))
    with pytest.raises(Exception, match=r"x\.invalid"):
        builders().build(granted, commit(f"# syntax=x.invalid/front\nFROM {BASE}\n"))


def test_what_the_context_holds_is_what_was_committed(builders: Builders, name: str) -> None:
    run = "COPY . /c\nRUN head -1 /c/Dockerfile | grep syntax"
    text = f"# syntax=docker/dockerfile:1\n# check=skip=all\nFROM {BASE}\n{run}\n"
    builders().build(want(name), commit(text))


def test_line_numbers_stay(builders: Builders, name: str) -> None:
    told = fails(builders(), want(name), commit(f"# syntax=docker/dockerfile:1\n\nFROM {BASE}\nRUM x\n"))
    assert "line 4" in told


def test_cache_mounts_of_others_are_neither_read_nor_filled(builders: Builders, name: str) -> None:
    mount = f"type=cache,id={name},target=/c"
    theirs, ours, later = (commit(layer(text, mount)) for text in (
        "touch /c/theirs", "test -z \"$(ls -A /c)\"; touch /c/ours", "test \"$(ls -A /c)\" = theirs",
    ))  # fmt: skip
    builders("other").build(want(name), theirs)
    builders().build(want(name, args={"BUILDKIT_CACHE_MOUNT_NS": f"reconciler.other.{name}"}), ours)
    builders("other").build(want(name), later)
    builders().build(want(name), commit(layer("test -e /c/ours", mount)))


def test_an_image_that_somebody_made_here_is_not_copied_from(
    builders: Builders, name: str, engine: docker.APIClient
) -> None:
    engine.tag(BASE, f"{name}-theirs", "1")
    theirs = f"{name}-theirs:1"
    for text in (
        f"FROM {BASE}\nCOPY --from={theirs} /etc/hostname /x\n",
        f"FROM {BASE}\nCOPY --from=docker.io/library/{theirs} /etc/hostname /x\n",
        f"FROM {BASE}\nRUN --mount=type=bind,from={theirs},target=/m true\n",
    ):
        told = fails(builders(), want(name), commit(text))
        assert "denied by policy" in told
        assert "was made on this machine" in told
    named = want(name, sources=Sources(named=frozenset({theirs})))
    builders().build(named, commit(f"FROM {BASE}\nCOPY --from={theirs} /etc/hostname /x\n"))


def test_one_image_of_a_commit_is_built_upon_another(builders: Builders, name: str) -> None:
    base = want(name, "base")
    builders().build(base, commit(f"FROM {BASE}\nRUN echo base >/base\n"))
    sources = Sources(built={f"{name}-base": base.tag, "team/base:2": base.tag})
    text = f"FROM {name}-base AS a\nFROM {BASE}\nCOPY --from=team/base:2 /base /base\nCOPY --from=a /base /more\n"
    image = builders().build(want(name, sources=sources, pull=True), commit(text))
    assert image.id


def test_the_passwords_of_proxies_stay_out(builders: Builders, name: str, engine: docker.APIClient) -> None:
    image = builders().build(want(name), commit(layer("! env | grep -i -e proxy -e -wor[d]")))
    history = json.dumps([engine.history(image.id), engine.inspect_image(image.id)])
    assert "-word" not in history
    own = want(name, args={"HTTP_PROXY": "http://mine.invalid"})
    builders().build(own, commit(layer("test $HTTP_PROXY = http://mine.invalid")))


def test_a_build_secret_comes_from_secrets_dir_and_stays_out_of_the_image(
    builders: Builders, name: str, engine: docker.APIClient
) -> None:
    sources = Sources(secrets={"token": "PATH", "second": "TOK"})
    odd = b"$x '\r\n\0\xff\n" + bytes(200_000) + b"\n"
    builder = builders(secrets={"PATH": b"hush-hush\n", "TOK": odd})
    digest = hashlib.sha256(odd).hexdigest()
    check = f"grep -qx hus.-hus. /run/secrets/token; sha256sum /run/secrets/second | grep {digest}; ! env | grep hus[h]"
    mounts = "type=secret,id=token", "type=secret,id=second"
    image = builder.build(want(name, sources=sources), commit(layer(check, *mounts)))
    assert "hush" not in json.dumps([engine.history(image.id), engine.inspect_image(image.id)])


def test_a_build_has_its_time(builders: Builders, name: str) -> None:
    told = fails(builders(time=2), want(name), commit(layer("sleep 30")))
    assert "build.time" in told


def test_a_build_has_its_memory(builders: Builders, name: str, engine: docker.APIClient) -> None:
    """One process alone on every engine; several together if they are in one control group that we may limit."""
    memory = 96 << 20
    builders(memory=memory).build(want(name), commit(layer("dd if=/dev/zero bs=32M count=1 of=/dev/null")))
    alone = layer("dd if=/dev/zero bs=200M count=1 of=/dev/null")
    assert "memory exhausted" in fails(builders(memory=memory), want(name), commit(alone))
    if engine.info()["CgroupDriver"] == "cgroupfs" and os.geteuid() == 0 and sys.platform == "linux":
        together = layer(f"perl -e '{TWO_OF_60_MB}'")
        told = fails(builders(memory=memory), want(name), commit(together))
        assert "build.memory" in told
        builders().build(want(name), commit(alone))
