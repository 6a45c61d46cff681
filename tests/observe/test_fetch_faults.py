"""Each message of git about a failed fetch has its own remedy, which can be followed literally."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.effects import Effects
from reconciler.errors import Transient
from reconciler.model.outcome import Reason
from reconciler.observe.fetch_faults import known_fault
from reconciler.observe.login import Login
from reconciler.observe.reach import branch_head
from reconciler.observe.remote import parse_remote
from reconciler.observe.source import GitSource
from tests.git_servers import certificate, https_git
from tests.observe.sources import FILES, source
from tests.repository import ENVIRONMENT, Repository

HTTPS = "https://forge.example:8443/me/home.git"
SSH = "ssh://git@forge.example:2222/me/home.git"
SCP = "git@forge.example:me/home.git"
PATH = "/srv/git/home$.git"
NO_ACCESS = (
    "fatal: Could not read from remote repository.\n\n"
    "Please make sure you have the correct access rights\nand the repository exists.\n"
)
ACCESS = f"fatal: unable to access '{HTTPS}/': "
CHANGED = (
    "@" * 59 + "\n@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\n" + "@" * 59 + "\n"
    "IT IS POSSIBLE THAT SOMEONE IS DOING SOMETHING NASTY!\nHost key verification failed.\n"
)

SAID = {
    # certificates, by GnuTLS and OpenSSL
    "unknown CA, gnutls": (
        HTTPS,
        f"{ACCESS}server certificate verification failed. CAfile: none CRLfile: none",
        ["`ca_file: FILE` below source", "http.sslCAInfo", "forge.example:8443"],
    ),
    "unknown CA, newer gnutls": (
        HTTPS,
        f"{ACCESS}server verification failed: certificate signer not trusted. (CAfile: x)",
        ["ca_file"],
    ),
    "unknown CA, openssl": (
        HTTPS,
        f"{ACCESS}SSL certificate problem: unable to get local issuer certificate",
        ["ca_file"],
    ),
    "self-signed": (HTTPS, f"{ACCESS}SSL certificate problem: self-signed certificate", ["ca_file"]),
    "self signed chain": (
        HTTPS,
        f"{ACCESS}SSL certificate problem: self signed certificate in certificate chain",
        ["ca_file"],
    ),
    "expired": (HTTPS, f"{ACCESS}SSL certificate problem: certificate has expired", ["clock", "renewed"]),
    "expired, gnutls": (
        HTTPS,
        f"{ACCESS}server verification failed: certificate has expired. (CAfile: x)",
        ["renewed"],
    ),
    "other name": (
        HTTPS,
        f"{ACCESS}SSL: no alternative certificate subject name matches target host name 'forge.example'",
        ["source.url", "other names"],
    ),
    "other name, gnutls": (
        HTTPS,
        f"{ACCESS}SSL: certificate subject name (x) does not match target host name 'forge'",
        ["source.url", "other names"],
    ),
    "CA file": (
        HTTPS,
        f"{ACCESS}error setting certificate verify locations:  CAfile: /x CApath: none",
        ["cannot be read"],
    ),
    "CA file, newer": (HTTPS, f"{ACCESS}error adding trust anchors from file: /x", ["cannot be read"]),
    # ssh
    "unknown host": (
        SSH,
        f"Host key verification failed.\r\n{NO_ACCESS}",
        ["ssh-keyscan -p 2222 forge.example >> ~/.ssh/known_hosts"],
    ),
    "unknown host, told": (
        SCP,
        f"No ED25519 host key is known for forge.example and you have requested strict checking.\r\n"
        f"Host key verification failed.\r\n{NO_ACCESS}",
        ["ssh-keyscan forge.example >> ~/.ssh/known_hosts"],
    ),
    "other host key": (SSH, CHANGED + NO_ACCESS, ["-R '[forge.example]:2222'", "has changed"]),
    "no key": (
        SSH,
        f"git@forge.example: Permission denied (publickey).\r\n{NO_ACCESS}",
        ["reconciler key", "key_file: FILE", "ssh -p 2222 -T git@forge.example"],
    ),
    "no key, scp": (
        SCP,
        f"git@forge.example: Permission denied (publickey,password).\r\n{NO_ACCESS}",
        ["`ssh -T git@forge.example`"],
    ),
    "key open to others": (
        SCP,
        '@         WARNING: UNPROTECTED PRIVATE KEY FILE!          @\r\nLoad key "/x": bad permissions\r\n'
        f"git@forge.example: Permission denied (publickey).\r\n{NO_ACCESS}",
        ["chmod 600"],
    ),
    "no ssh": (SCP, f"error: cannot run ssh: No such file or directory\n{NO_ACCESS}", ["openssh-client"]),
    "github, not there": (SCP, f"ERROR: Repository not found.\n{NO_ACCESS}", ["source.url", "the key may not see it"]),
    "gitlab, not there": (
        SCP,
        "remote: ERROR: The project you were looking for could not be found or you don't have"
        f" permission to view it.\n{NO_ACCESS}",
        ["source.url"],
    ),
    "ssh, path not there": (
        SSH,
        f"fatal: '/me/home.git' does not appear to be a git repository\n{NO_ACCESS}",
        ["source.url"],
    ),
    "ssh, no such name": (
        SCP,
        f"ssh: Could not resolve hostname forge.example: Name or service not known\r\n{NO_ACCESS}",
        ["name server", "forge.example"],
    ),
    "ssh, refused": (
        SCP,
        f"ssh: connect to host forge.example port 22: Connection refused\r\n{NO_ACCESS}",
        ["asked again later"],
    ),
    # https
    "no credentials": (
        HTTPS,
        "fatal: could not read Username for 'https://forge.example:8443': terminal prompts disabled",
        ["token_file: FILE", "`read:repository`", "`repo`"],
    ),
    "wrong credentials": (
        HTTPS,
        f"remote: Invalid username or password.\nfatal: Authentication failed for '{HTTPS}/'",
        ["token_file: FILE"],
    ),
    "gitlab's token": (
        HTTPS,
        f"remote: HTTP Basic: Access denied.\nfatal: Authentication failed for '{HTTPS}/'",
        ["token_file: FILE"],
    ),
    "forbidden": (
        HTTPS,
        f"{ACCESS}The requested URL returned error: 403",
        ["may not read the repository", "gitlab: `read_repository`"],
    ),
    "not there": (
        HTTPS,
        f"remote: Not Found\nfatal: repository '{HTTPS}/' not found",
        ["source.url", "the token may not see it"],
    ),
    "no such name": (HTTPS, f"{ACCESS}Could not resolve host: forge.example", ["name server", "forge.example"]),
    "overloaded": (HTTPS, f"{ACCESS}The requested URL returned error: 502", ["asked again later"]),
    "refused": (
        HTTPS,
        f"{ACCESS}Failed to connect to forge.example port 8443 after 0 ms: Connection refused",
        ["asked again later"],
    ),
    "proxy": (HTTPS, f"{ACCESS}Received HTTP code 407 from proxy after CONNECT", ["https_proxy"]),
    "no https": (HTTPS, "git: 'remote-https' is not a git command. See 'git --help'.", ["git-remote-https"]),
    "moved": (HTTPS, f"{ACCESS}Maximum (0) redirects followed", ["redirects"]),
    # folders
    "path not there": (PATH, f"fatal: '{PATH}' does not appear to be a git repository\n{NO_ACCESS}", ["source.url"]),
    "path closed": (PATH, f"fatal: failed to stat '{PATH}': Permission denied", ["folders above it"]),
    "path of others": (PATH, f"fatal: detected dubious ownership in repository at '{PATH}'", ["agent runs as"]),
    "partial": (
        PATH,
        "remote: fatal: could not fetch 1234 from promisor remote",
        ["git -C '/srv/git/home$.git' fetch --refetch"],
    ),
    "alternates": (PATH, "error: unable to normalize alternate object path: /gone/objects", ["repack -a -d"]),
}


@pytest.mark.parametrize(("url", "said", "words"), SAID.values(), ids=SAID)
def test_each_fault_has_its_remedy(url: str, said: str, words: list[str]) -> None:
    fault = known_fault("fetch branch main", said.encode(), parse_remote(url))
    assert fault is not None
    assert fault.reason is Reason.FETCH_FAILED
    assert [word for word in words if word not in fault.hint] == []
    assert "{" not in fault.hint
    assert fault.message.startswith("cannot fetch branch main: ")
    assert "@@" not in fault.message


def test_a_full_disk_is_our_own() -> None:
    fault = known_fault("fetch", b"fatal: write error: No space left on device", parse_remote(HTTPS))
    assert fault is not None
    assert fault.reason is Reason.DISK_FAILED


def test_a_damaged_mirror_is_no_known_fault() -> None:
    assert known_fault("fetch", b"fatal: bad object HEAD", parse_remote(PATH)) is None


# -- for real --------------------------------------------------------------------------------------------------------


@pytest.fixture
def authority(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """(address, its CA's certificate) of a server that has no repository, and a certificate of a CA of its own."""
    ca = certificate(tmp_path)
    with https_git(tmp_path, tmp_path) as server:
        yield server.url(), ca


def test_an_unknown_authority_is_known_once_the_remedy_is_followed(authority: tuple[str, Path], tmp_path: Path) -> None:
    url, ca = authority
    absent = str(ca.with_name("absent"))
    told = []
    ways: list[tuple[dict[str, str], str | None]] = [
        ({}, None), ({}, str(ca)), ({"GIT_SSL_CAINFO": str(ca)}, None), ({"GIT_SSL_CAINFO": absent}, None),
        ({}, absent),
    ]  # fmt: skip
    for environ, file in ways:
        login = Login(ca_file=file)
        ours = GitSource(url, "main", tmp_path / "m", environ={**os.environ, **environ}, effects=Effects(), login=login)
        with pytest.raises(Transient) as caught:
            ours.fetch()
        told.append(f"{caught.value.message} {caught.value.hint}")
    assert "`ca_file: FILE` below source" in told[0]
    assert url.split("/")[2] in told[0]
    assert "source.url" in told[1], "the server is trusted now, and has no such repository"
    assert "source.url" in told[2]
    assert "cannot be read" in told[3]
    assert f"{absent} does not exist" in told[4]


def clone(theirs: Repository, name: str, *options: str) -> Path:
    folder = theirs.folder.with_name(name)
    theirs.git("config", "uploadpack.allowFilter", "true")
    subprocess.run(
        ["git", "clone", "-q", "--bare", *options, f"file://{theirs.folder}", str(folder)],
        check=True, env=ENVIRONMENT, capture_output=True,
    )  # fmt: skip
    return folder


def watching(folder: Path, mirror: Path, branch: str = "main") -> GitSource:
    return GitSource(str(folder), branch, mirror, environ=os.environ, effects=Effects())


def run_hint(hint: str) -> None:
    """Run the command between the backquotes."""
    for command in hint.split("`")[1::2]:
        subprocess.run(command, shell=True, check=True, env=ENVIRONMENT, capture_output=True)


@pytest.mark.parametrize(
    ("options", "word"), [(("--depth", "1"), "a shallow clone"), (("--filter=blob:none",), "promisor|lazy fetching")]
)
def test_a_clone_that_lacks_something_is_whole_once_the_remedy_is_followed(
    theirs: Repository, tmp_path: Path, options: tuple[str, ...], word: str
) -> None:
    for n in range(3):
        theirs.push({**FILES, "n": str(n)})
    ours = watching(clone(theirs, "lacking.git", *options), tmp_path / "m")
    for _ in range(2):
        with pytest.raises(Transient, match=word) as caught:
            ours.fetch()
        assert caught.value.reason is Reason.FETCH_FAILED
    run_hint(caught.value.hint)
    assert ours.files(ours.fetch().sha).read("n") == b"2"


def test_a_source_that_becomes_shallow_is_told_as_soon_as_something_is_missing(
    theirs: Repository, tmp_path: Path
) -> None:
    """Objects that the mirror has already are not missed."""
    first = theirs.push({**FILES, "n": "1"})
    folder = clone(theirs, "source.git")
    ours = watching(folder, tmp_path / "m")
    assert ours.fetch().sha == first
    subprocess.run(["rm", "-rf", str(folder)], check=True)
    clone(theirs, "source.git", "--depth", "1")
    assert ours.fetch().sha == first
    for n in range(2, 5):
        theirs.push({**FILES, "n": str(n)})
    subprocess.run(["rm", "-rf", str(folder)], check=True)
    clone(theirs, "source.git", "--depth", "1")
    with pytest.raises(Transient, match="shallow") as caught:
        ours.fetch()
    run_hint(caught.value.hint)
    new = ours.fetch().sha
    assert ours.is_ancestor(first, new)


def test_a_source_that_borrows_objects(theirs: Repository, tmp_path: Path) -> None:
    sha = theirs.push(FILES)
    folder = theirs.folder.with_name("borrowing.git")
    subprocess.run(
        ["git", "clone", "-q", "--bare", "--shared", str(theirs.folder), str(folder)],
        check=True, env=ENVIRONMENT, capture_output=True,
    )  # fmt: skip
    assert watching(folder, tmp_path / "m").fetch().sha == sha
    theirs.folder.rename(theirs.folder.with_name("away.git"))
    with pytest.raises(Transient, match="alternate") as caught:
        watching(folder, tmp_path / "n").fetch()
    assert "objects/info/alternates" in caught.value.hint


@pytest.mark.parametrize(
    ("branch", "message", "hint"),
    [
        ("v1", "v1 is a tag there, and only branches are watched", "source.branch"),
        ("tags/v1", "v1 is a tag there", "branch NAME v1"),
        ("refs/heads/main", "the branch is called main", "`branch: main`"),
        ("origin/main", "the branch is called main", "`branch: main`"),
        ("gone", "couldn't find remote ref|has no branch gone", "push it"),
    ],
)
def test_what_is_no_branch_is_told_by_fetch_and_doctor(
    theirs: Repository, tmp_path: Path, branch: str, message: str, hint: str
) -> None:
    theirs.push(FILES)
    theirs.git("tag", "v1", "main")
    with pytest.raises(Transient, match=message) as caught:
        source(theirs, branch).fetch()
    assert hint in caught.value.hint
    with pytest.raises(Transient, match=message) as caught:
        branch_head(parse_remote(str(theirs.folder)), branch, tmp_path / "m", os.environ)
    assert hint in caught.value.hint
