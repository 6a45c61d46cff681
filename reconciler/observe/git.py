"""Starts git: fixed arguments, no configuration of the user or the system, no hooks, no helpers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from reconciler import process
from reconciler.model.outcome import Reason
from reconciler.observe.login import SSH
from reconciler.observe.remote import Remote

_PASSED = (
    "HOME", "PATH", "USER", "LOGNAME", "TMPDIR",
    "SSH_AUTH_SOCK", "GIT_SSH_COMMAND",
    "https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY",
    "GIT_SSL_CAINFO", "SSL_CERT_FILE", "SSL_CERT_DIR",
)  # fmt: skip
"""Variables that git, ssh and curl need from the agent's environment: keys, proxies, certificates."""

_FIXED = {
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "LC_ALL": "C",
}

STREAMED = "1m"
"""Files of this size and more are streamed, so a commit with a file of half a gigabyte needs no memory on either side.
"""

_CONFIG = (
    f"core.bigFileThreshold={STREAMED}",
    "core.fsmonitor=false",
    "core.fsync=committed,reference",
    "core.hooksPath=/dev/null",
    "core.symlinks=false",
    "credential.helper=",
    "fetch.fsckObjects=false",
    "fetch.recurseSubmodules=false",
    "fetch.unpackLimit=1",
    "gc.auto=0",
    "http.followRedirects=false",
    "http.lowSpeedLimit=1",
    "http.lowSpeedTime=30",
    "maintenance.auto=false",
    "push.gpgSign=false",
    "push.recurseSubmodules=no",
    "submodule.recurse=false",
    "transfer.bundleURI=false",
    "transfer.fsckObjects=false",
)

_TALKS = frozenset({"fetch", "ls-remote", "push"})
"""Git's commands that contact the remote and need credentials."""


class Git:
    """Git on one repository. With `remote` it may use that remote's protocol, without it no protocol at all.

    `environ` is the agent's environment; only variables for keys, proxies and certificates are passed on. `quarantine`:
    variables that name the objects of a push that is not accepted yet. `running`: number of git processes that run now.
    Code that runs during a wait for git may start git, but must not fetch. `begun`: number of git processes so far.
    """

    def __init__(
        self,
        folder: Path,
        environ: Mapping[str, str],
        remote: Remote | None = None,
        config: Sequence[str] = (),
        quarantine: Mapping[str, str] | None = None,
    ) -> None:
        self.folder, self.running, self.begun = folder, 0, 0
        self._arguments = [f"--git-dir={folder}", "--literal-pathspecs"]
        for setting in (*_CONFIG, *config):
            self._arguments += ["-c", setting]
        self._environment = {name: environ[name] for name in _PASSED if name in environ}
        self._environment |= {**_FIXED, **(quarantine or {})}
        self._environment.setdefault("GIT_SSH_COMMAND", SSH)
        # These override any configuration: a repository could allow a protocol that starts a program.
        self._environment["GIT_ALLOW_PROTOCOL"] = remote.protocol if remote else "none"
        self._remote = remote
        if remote is not None:
            self._open(remote)

    def run(
        self,
        *arguments: str,
        timeout: float = 60.0,
        stdin: bytes | None = None,
        limit: int = process.OUTPUT_LIMIT,
        sink: Callable[[bytes], object] | None = None,
        extra: Mapping[str, str] | None = None,
        largest: int | None = None,
    ) -> process.Completed:
        """Run `git <arguments>` to its end. The caller judges the return code.

        Output beyond `limit` bytes ends it (`cut`). Output is returned, or passed to `sink` in pieces. `timeout` in
        seconds, then ProcessTimeout (FetchFailed). `extra` is added to the environment. `largest`: bytes of any file
        that it may write. Transient (FetchFailed) if a file with credentials cannot be used.
        """
        self.running += 1
        self.begun += 1
        try:
            with self._login(arguments[0]) as (settings, passed):
                return process.run(
                    ["git", *self._arguments, *settings, *arguments],
                    env={**self._environment, **(extra or {})},
                    timeout=timeout,
                    largest=largest,
                    stdin=stdin,
                    limit=limit,
                    sink=sink,
                    kill_when_cut=True,
                    reason=Reason.FETCH_FAILED,
                    passed=passed,
                )
        finally:
            self.running -= 1

    @contextmanager
    def _login(self, command: str) -> Iterator[tuple[Sequence[str], Sequence[int]]]:
        if self._remote is None or command not in _TALKS:
            yield (), ()
            return
        with self._remote.login.opened(self._remote.origin) as opened:
            yield opened

    def tool(self, argv: Sequence[str], stdin: bytes) -> process.Completed:
        """Run another program in git's environment; times are in UTC."""
        environment = {**self._environment, "TZ": "UTC"}
        return process.run(argv, env=environment, timeout=60.0, stdin=stdin, reason=Reason.FETCH_FAILED)

    def _open(self, remote: Remote) -> None:
        if remote.path is not None:
            self._environment["GIT_CONFIG_GLOBAL"] = str(self.folder / LOCAL_CONFIG)
        login = remote.login
        if login.ca_file:
            # CAPATH is an empty folder, so that the machine's own authorities are not trusted.
            self._environment |= {"GIT_SSL_CAINFO": login.ca_file, "GIT_SSL_CAPATH": str(self.folder / "refs/heads")}
        ssh = login.ssh()
        if ssh:
            self._environment["GIT_SSH_COMMAND"] = ssh


LOCAL_CONFIG = "local.gitconfig"
"""Beside the mirror's own config: settings for the other side of a local remote (see `local_config`)."""


def local_config(path: Path) -> str:
    """The config for the git process that serves a folder of this machine; it reads only this file.

    The operator named the folder, so it may belong to another user. What that user could start with it is switched off
    (see `observe.origin`).
    """
    folders = dict.fromkeys(str(item) for base in (path, path.resolve()) for item in (base, base / ".git"))
    quoted = (item.replace("\\", "\\\\").replace('"', '\\"') for item in folders)
    directories = "".join(f'\tdirectory = "{item}"\n' for item in quoted)
    return f"[safe]\n{directories}"
