"""A user's repository for tests: real git, no configuration but its own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "A Person",
    "GIT_AUTHOR_EMAIL": "person@example.org",
    "GIT_COMMITTER_NAME": "A Person",
    "GIT_COMMITTER_EMAIL": "person@example.org",
    "GIT_COMMITTER_DATE": "1767225600 +0100",
}


def _data(content: bytes | str) -> bytes:
    data = content.encode() if isinstance(content, str) else content
    return b"data %d\n" % len(data) + data


class Repository:
    """A bare repository that commits are written into without a checkout."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self.git("init", "-q", "--bare", "-b", "main", ".")

    def git(self, *arguments: str, stdin: bytes = b"") -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=self.folder, input=stdin, capture_output=True, check=False, env=ENVIRONMENT
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode().strip()

    def blob(self, data: bytes | str) -> str:
        return self.git("hash-object", "-w", "--stdin", stdin=data.encode() if isinstance(data, str) else data)

    def tree(self, files: Mapping[str, bytes | str]) -> str:
        """A tree of regular files; a '/' in a path makes folders."""
        folders: dict[str, dict[str, bytes | str]] = {}
        lines = []
        for path, data in files.items():
            name, slash, rest = path.partition("/")
            if slash:
                folders.setdefault(name, {})[rest] = data
            else:
                lines.append(("100644", "blob", self.blob(data), name.encode()))
        lines += [("040000", "tree", self.tree(inside), name.encode()) for name, inside in folders.items()]
        return self.raw_tree(lines)

    def raw_tree(self, lines: list[tuple[str, str, str, bytes]]) -> str:
        """A tree of (mode, type, object, name), written as given where git lets us, by hand where it does not."""
        listing = b"".join(f"{mode} {kind} {oid}\t".encode() + name + b"\0" for mode, kind, oid, name in lines)
        return self.git("mktree", "-z", "--missing", stdin=listing)

    def literal_tree(self, lines: list[tuple[str, str, str, bytes]]) -> str:
        """A tree in exactly this form and order, be it broken."""
        data = b"".join(mode.encode() + b" " + name + b"\0" + bytes.fromhex(oid) for mode, _, oid, name in lines)
        return self.git("hash-object", "-w", "--stdin", "-t", "tree", "--literally", stdin=data)

    def commit_tree(self, tree: str, message: str = "change", parent: str | None = None) -> str:
        return self.git("commit-tree", tree, *(("-p", parent) if parent else ()), "-m", message)

    def head(self, branch: str = "main") -> str:
        return self.git("rev-parse", "--verify", f"refs/heads/{branch}")

    def push(self, files: Mapping[str, bytes | str], branch: str = "main", message: str = "change") -> str:
        """The branch's next commit: these regular files and no others."""
        ref = f"refs/heads/{branch}"
        stream = [
            b"commit " + ref.encode(),
            b"committer A Person <person@example.org> 1767225600 +0100",
            _data(message),
        ]
        if self.git("for-each-ref", ref):
            stream.append(f"from {ref}^0".encode())
        stream.append(b"deleteall")
        for path, content in files.items():
            stream += [f"M 100644 inline {path}".encode(), _data(content)]
        self.git("fast-import", "--quiet", stdin=b"\n".join(stream) + b"\n")
        return self.head(branch)

    def set(self, sha: str, branch: str = "main") -> str:
        self.git("update-ref", f"refs/heads/{branch}", sha)
        return sha
