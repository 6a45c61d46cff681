"""Git's credentials for the source: files of the operator, which are read again at each start of git.

A credential helper for one origin gives git the token through a pipe. Arguments would be readable for every user of the
machine, and a variable would be inherited by every program that git starts.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import field

from reconciler.errors import Transient, Usage
from reconciler.formats.forges import place_of
from reconciler.model.outcome import Reason
from reconciler.ownership import CERTIFICATES, HOST_KEYS, PRIVATE_KEY, SOURCE_TOKEN, require
from reconciler.settings import Settings
from reconciler.token_file import read_token_file
from reconciler.values import dataclass

SSH = "ssh -oBatchMode=yes -oConnectTimeout=15 -oServerAliveInterval=15"
USER = "git"
"""The default user name for a token: GitHub, GitLab, Gitea and Forgejo check only the token."""


@dataclass(frozen=True, slots=True)
class Login:
    """`username` and `password` of the address, or a user name for `token_file`.

    `signed`: commits must be signed, so the transfer needs no encryption. `forge`: the kind of forge, '' if it is
    unknown. `register` gets each secret that is read, and masks it.
    """

    username: str | None = None
    password: str | None = field(default=None, repr=False)
    token_file: str | None = None
    ca_file: str | None = None
    key_file: str | None = None
    known_hosts_file: str | None = None
    signed: bool = False
    forge: str = ""
    register: Callable[[Sequence[str]], None] = field(default=lambda values: None, repr=False, compare=False)

    @property
    def is_secret(self) -> bool:
        """Whether a secret is sent."""
        return bool(self.token_file) or self.password is not None

    def ssh(self) -> str | None:
        """The command that starts ssh with the configured files, for a shell; None if there are none."""
        if not self.key_file and not self.known_hosts_file:
            return None
        words = [SSH]
        if self.key_file:
            words += ["-oIdentitiesOnly=yes", "-i", shlex.quote(self.key_file)]
        if self.known_hosts_file:
            words += ["-oStrictHostKeyChecking=yes", "-oUpdateHostKeys=no", "-oGlobalKnownHostsFile=/dev/null"]
            words += [shlex.quote(f"-oUserKnownHostsFile={self.known_hosts_file}")]
        return " ".join(words)

    @contextmanager
    def opened(self, origin: str) -> Iterator[tuple[list[str], list[int]]]:
        """Options for one start of git, and descriptors that it must inherit. `origin`: scheme, host and port that
        get the secret. Transient (FetchFailed) if a file cannot be used."""
        try:
            secret = self._secret()
            self._check_files()
        except Usage as error:
            raise Transient(Reason.FETCH_FAILED, error.message, error.hint, error.details) from None
        if secret is None:
            yield [], []
            return
        reading, writing = os.pipe()
        try:
            # The text fits into the pipe's buffer, so this write does not wait for a reader.
            name = USER if self.username is None else self.username
            os.write(writing, f"username={name}\npassword={secret}\n".encode())
            os.close(writing)
            writing = -1
            helper = f'!f() {{ test "$1" != get || cat /dev/fd/{reading}; }}; f'
            yield ["-c", f"credential.{origin}.helper={helper}"], [reading]
        finally:
            for descriptor in (reading, writing):
                with suppress(OSError):
                    os.close(descriptor)

    def _secret(self) -> str | None:
        if not self.token_file:
            return self.password
        token = read_token_file(self.token_file, SOURCE_TOKEN)
        self.register([token])
        return token

    def _check_files(self) -> None:
        for path, demand in (
            (self.ca_file, CERTIFICATES), (self.key_file, PRIVATE_KEY), (self.known_hosts_file, HOST_KEYS),
        ):  # fmt: skip
            if not path:
                continue
            require(path, demand)
            if not os.access(path, os.R_OK):
                there = os.path.lexists(path)
                told = f"{demand.what} {path} " + ("may not be read by this user" if there else "does not exist")
                make = "make one: `reconciler key`" if demand is PRIVATE_KEY and not there else ""
                raise Usage(Reason.USAGE_INVALID, told, make or "correct `source` in the agent config, or the file")


NOBODY = Login()


def login_of(settings: Settings, register: Callable[[Sequence[str]], None]) -> Login:
    """The credentials in the agent config."""
    source, forge = settings.source, settings.forge
    place = place_of(source.url, forge.kind if forge else "")
    return Login(
        source.username or None, None, source.token_file, source.ca_file, source.key_file, source.known_hosts_file,
        bool(source.allowed_signers or source.gpg_home), place.kind if place else "", register,
    )  # fmt: skip
