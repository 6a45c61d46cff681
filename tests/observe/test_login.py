"""Git proves who it is to real servers on loopback, and nobody else learns how."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.effects import Effects
from reconciler.errors import Transient
from reconciler.model.outcome import Reason
from reconciler.observe.login import Login
from reconciler.observe.reach import branch_head, may_write
from reconciler.observe.source import GitSource
from tests.git_servers import HttpsGit, SshServer, can_serve_ssh, certificate, https_git, new_key, ssh_server
from tests.observe.sources import FILES
from tests.repository import Repository

TOKEN = f"canary-source-token-{uuid.uuid4().hex[:8]}"
"""Of this run: all processes of the machine are searched for it."""


@pytest.fixture
def server(theirs: Repository, tmp_path: Path) -> Iterator[HttpsGit]:
    """Lets in whoever has TOKEN."""
    theirs.push(FILES)
    certificate(tmp_path)
    with https_git(tmp_path, tmp_path) as made:
        made.tokens = {TOKEN}
        yield made


@pytest.fixture
def login(tmp_path: Path) -> Login:
    return Login(token_file=str(written(tmp_path / "token", TOKEN)), ca_file=str(tmp_path / "ca.pem"))


def written(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text + "\n")
    path.chmod(mode)
    return path


def watching(url: str, login: Login, tmp_path: Path) -> GitSource:
    return GitSource(url, "main", tmp_path / "state/mirror.git", environ=os.environ, effects=Effects(), login=login)


def refused(ours: GitSource) -> Transient:
    with pytest.raises(Transient) as caught:
        ours.fetch()
    assert caught.value.reason is Reason.FETCH_FAILED
    assert TOKEN not in f"{caught.value.message} {caught.value.hint} {caught.value.details}"
    return caught.value


def test_a_token_is_read_anew_at_each_fetch(server: HttpsGit, theirs: Repository, login: Login, tmp_path: Path) -> None:
    masked: list[str] = []
    ours = watching(server.url(), replace(login, username="deploy", register=masked.extend), tmp_path)
    assert ours.fetch().sha == theirs.head()
    assert f"deploy:{TOKEN}" in server.asked
    server.tokens = {"the-second-one"}
    theirs.push({**FILES, "n": "2"})
    error = refused(ours)
    assert f"write a new token into {login.token_file}" in error.hint
    assert "`read:repository`" in error.hint
    written(tmp_path / "token", "the-second-one")
    assert ours.fetch().sha == theirs.head()
    assert set(masked) == {TOKEN, "the-second-one"}
    assert branch_head(ours.remote, "main", tmp_path / "other.git", os.environ) == theirs.head()


def test_a_note_is_pushed_with_the_token(server: HttpsGit, theirs: Repository, login: Login, tmp_path: Path) -> None:
    ours = watching(server.url(), login, tmp_path)
    head = ours.fetch().sha
    done = ours.git.run("push", ours.remote.address, f"{head}:refs/notes/reconciler/mini")
    assert done.returncode == 0, done.stderr
    assert theirs.git("rev-parse", "refs/notes/reconciler/mini") == head


def test_no_process_shows_the_token(server: HttpsGit, login: Login, tmp_path: Path) -> None:
    """While git waits for the server's answer to the token, everything that any process shows is looked at."""
    server.hold.clear()
    ours = watching(server.url(), login, tmp_path)
    fetching = threading.Thread(target=ours.fetch)
    fetching.start()
    try:
        assert server.held.wait(30)
        shown, gits = "", 0
        for folder in Path("/proc").glob("[0-9]*"):
            if int(folder.name) == os.getpid():
                continue
            for name in ("cmdline", "environ"):
                try:
                    text = (folder / name).read_bytes().decode(errors="replace")
                except OSError:
                    continue
                shown += text
                gits += name == "cmdline" and "git-remote-https" in text and server.url() in text
    finally:
        server.hold.set()
        fetching.join()
    assert gits >= 1, "git was seen at work"
    assert TOKEN not in shown
    assert any(TOKEN in pair for pair in server.asked)
    for path in (tmp_path / "state").rglob("*"):
        assert path.is_dir() or TOKEN.encode() not in path.read_bytes()


def test_another_host_never_gets_the_token(server: HttpsGit, theirs: Repository, login: Login, tmp_path: Path) -> None:
    """Neither by a redirect nor because git is given its address."""
    with https_git(tmp_path, tmp_path) as other:
        other.tokens = set()
        ours = watching(server.url(), login, tmp_path)
        server.answer = (302, {"Location": other.url()})
        assert "redirects are not followed" in refused(ours).hint
        assert other.asked == []
        ours.git.run("ls-remote", other.url())
        assert other.asked == [""]


def test_whoever_is_not_asked_for_a_token_does_not_get_it(server: HttpsGit, login: Login, tmp_path: Path) -> None:
    server.tokens = None
    watching(server.url(), login, tmp_path).fetch()
    assert set(server.asked) == {""}


def test_a_token_that_may_not_read_is_told_with_its_scope(server: HttpsGit, login: Login, tmp_path: Path) -> None:
    server.answer = (403, {})
    hint = refused(watching(server.url(), replace(login, forge="gitlab"), tmp_path)).hint
    assert hint.endswith("it may not read the repository: it needs gitlab: `read_repository`")


def test_credentials_of_the_address_take_the_same_way(
    server: HttpsGit, theirs: Repository, login: Login, tmp_path: Path
) -> None:
    url = server.url().replace("://", f"://me:{TOKEN}@")
    ours = watching(url, replace(login, token_file=None), tmp_path)
    assert ours.fetch().sha == theirs.head()
    assert f"me:{TOKEN}" in server.asked


def test_only_the_named_authority_counts(server: HttpsGit, theirs: Repository, login: Login, tmp_path: Path) -> None:
    ours = watching(server.url(), login, tmp_path)
    ours.fetch()
    (tmp_path / "elsewhere").mkdir()
    other = certificate(tmp_path / "elsewhere", "other")
    theirs.push({**FILES, "n": "2"})
    before = len(server.asked)
    (tmp_path / "ca.pem").write_bytes(other.read_bytes())
    assert "no authority that is trusted here" in refused(ours).hint
    assert len(server.asked) == before, "nothing was sent to a server that nobody vouches for"


def _unreadable(path: Path) -> None:
    path.unlink()


def _linked(path: Path) -> None:
    path.rename(path.with_name("real"))
    path.symlink_to(path.with_name("real"))


def _piped(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


SPOILT: dict[str, tuple[Callable[[Path], object], str]] = {
    "open": (lambda path: path.chmod(0o644), "can be read by other users (mode 0644)"),
    "link": (_linked, "is a symbolic link"),
    "absent": (_unreadable, "cannot be read: No such file"),
    "pipe": (_piped, "holds no token"),
    "empty": (lambda path: path.write_text("\n"), "holds no token"),
    "two lines": (lambda path: path.write_text(f"{TOKEN}\nhost=evil.example\n"), "holds no token"),
    "huge": (lambda path: path.write_text(TOKEN * 400), "holds no token"),
    "folder open": (lambda path: path.parent.chmod(0o777), "on the way to the token"),
}


@pytest.mark.parametrize("name", SPOILT)
def test_a_token_that_others_could_read_or_change_is_not_used(
    name: str, server: HttpsGit, login: Login, tmp_path: Path
) -> None:
    spoil, told = SPOILT[name]
    folder = tmp_path / "own"
    folder.mkdir()
    token = written(folder / "token", TOKEN)
    spoil(token)
    error = refused(watching(server.url(), replace(login, token_file=str(token)), tmp_path))
    assert error.hint
    assert server.asked == []
    assert told in error.message


def test_certificates_that_others_could_change_are_not_used(server: HttpsGit, login: Login, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").chmod(0o666)
    error = refused(watching(server.url(), login, tmp_path))
    assert "can be changed by other users" in error.message
    assert f"chmod go-w {tmp_path}/ca.pem" in error.hint
    assert server.asked == []


def test_no_output_and_no_file_of_the_agent_has_the_token(server: HttpsGit, login: Login, tmp_path: Path) -> None:
    """Whatever the server makes of it: it takes it, refuses it, or says it back."""
    config = tmp_path / "reconciler.yaml"
    files = f"token_file: {login.token_file}, ca_file: {login.ca_file}"
    config.write_text(f"host: mini\nsource: {{url: '{server.url()}', {files}}}\nstate: {tmp_path}/state\n")
    environ = {**os.environ, "RECONCILER_LOG_LEVEL": "DEBUG", "DOCKER_HOST": f"unix://{tmp_path}/no.sock"}
    base = [sys.executable, "-m", "reconciler", "--config", str(config), "--output", "json"]

    def said(verb: str) -> str:
        done = subprocess.run([*base, verb], capture_output=True, text=True, check=False, env=environ, timeout=60)
        return done.stdout + done.stderr

    outputs = [said("doctor")]
    assert '"the branch is at' in outputs[0]
    server.answer = (302, {"Location": f"https://{TOKEN}.example/"})
    outputs += [said("once")]
    server.tokens = set()
    outputs += [said("once")]
    assert "write a new token into" in outputs[-1]
    (tmp_path / "token").chmod(0o644)
    outputs += [said("once"), said("status")]
    assert f"chmod 0600 {tmp_path}/token" in outputs[-2]
    assert f"{tmp_path}/token can be read by other users" in outputs[-1]
    assert TOKEN not in "".join(outputs)
    assert TOKEN[8:] not in "".join(outputs)
    for path in (tmp_path / "state").rglob("*"):
        assert not path.is_file() or TOKEN.encode() not in path.read_bytes(), path


def test_a_source_by_http_is_read_where_commits_must_be_signed(theirs: Repository, tmp_path: Path) -> None:
    theirs.push(FILES)
    (tmp_path / "signers").write_text("")
    (tmp_path / "state").mkdir(mode=0o700)
    with https_git(tmp_path, tmp_path, tls=False) as server:
        config = tmp_path / "reconciler.yaml"
        source = f"{{url: '{server.url()}', allowed_signers: {tmp_path}/signers}}"
        config.write_text(f"host: mini\nsource: {source}\nstate: {tmp_path}/state\n")
        command = [sys.executable, "-m", "reconciler", "--config", str(config), "--output", "json"]
        done = subprocess.run([*command, "status", "--no-engine"], capture_output=True, text=True, check=False)
        assert json.loads(done.stdout)["source"]["url"] == server.url()
        done = subprocess.run([*command, "doctor"], capture_output=True, text=True, check=False)
        checks = {item["name"]: item for item in json.loads(done.stdout)["checks"]}
        assert checks["remote"]["ok"] is True, checks["remote"]


# -- ssh ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def ssh(theirs: Repository, tmp_path: Path) -> Iterator[SshServer]:
    if not can_serve_ssh():
        pytest.skip("an ssh server needs root and openssh-server")
    theirs.push(FILES)
    with ssh_server(tmp_path) as made:
        written(tmp_path / "known", made.known.strip())
        made.keys.write_text(new_key(tmp_path / "deploy_key"))
        yield made


def over_ssh(server: SshServer, theirs: Repository, tmp_path: Path, **files: str) -> GitSource:
    named = {"key_file": str(tmp_path / "deploy_key"), "known_hosts_file": str(tmp_path / "known"), **files}
    return watching(f"ssh://root@127.0.0.1:{server.port}{theirs.folder}", Login(**named), tmp_path)  # type: ignore[arg-type]


def test_a_key_and_the_hosts_key_are_read_anew_at_each_fetch(
    ssh: SshServer, theirs: Repository, tmp_path: Path
) -> None:
    ours = over_ssh(ssh, theirs, tmp_path)
    assert ours.fetch().sha == theirs.head()
    theirs.push({**FILES, "n": "2"})
    ssh.keys.write_text(new_key(tmp_path / "second"))
    error = refused(ours)
    assert f"does not take the key {tmp_path}/deploy_key" in error.hint
    assert "reconciler key --register" in error.hint
    (tmp_path / "second").rename(tmp_path / "deploy_key")
    assert ours.fetch().sha == theirs.head()
    other = " ".join(new_key(tmp_path / "other").split()[:2])
    written(tmp_path / "known", f"[127.0.0.1]:{ssh.port} {other}")
    theirs.push({**FILES, "n": "3"})
    assert f"`ssh-keygen -f {tmp_path}/known -R '[127.0.0.1]:{ssh.port}'`" in refused(ours).hint
    written(tmp_path / "known", "# nobody")
    before = (tmp_path / "known").read_text()
    assert f">> {tmp_path}/known" in refused(ours).hint
    assert (tmp_path / "known").read_text() == before


@pytest.mark.parametrize(
    ("name", "mode", "told"),
    [("deploy_key", 0o640, "can be read by other users"), ("known", 0o622, "can be changed by other users")],
)
def test_a_key_that_others_could_read_is_not_used(
    ssh: SshServer, theirs: Repository, tmp_path: Path, name: str, mode: int, told: str
) -> None:
    ours = over_ssh(ssh, theirs, tmp_path)
    (tmp_path / name).chmod(mode)
    assert told in refused(ours).message
    (tmp_path / name).unlink()
    assert "does not exist" in refused(ours).message


def test_whether_a_key_may_write_is_found_out_without_a_push(
    ssh: SshServer, theirs: Repository, tmp_path: Path
) -> None:
    """Forges refuse a key that may only read before git's own protocol begins."""
    remote = over_ssh(ssh, theirs, tmp_path).remote
    before = theirs.git("for-each-ref")
    assert may_write(remote, tmp_path / "write.git", os.environ)
    line = ssh.keys.read_text()
    only = 'case "$SSH_ORIGINAL_COMMAND" in git-upload-pack*) eval "$SSH_ORIGINAL_COMMAND";; *) exit 1;; esac'
    ssh.keys.write_text(f'restrict,command="{only.replace(chr(34), chr(92) + chr(34))}" {line}')
    assert branch_head(remote, "main", tmp_path / "read.git", os.environ) == theirs.head()
    assert not may_write(remote, tmp_path / "write.git", os.environ)
    assert theirs.git("for-each-ref") == before
