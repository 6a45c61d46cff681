"""Writes a commit's outcome as a git note: in the mirror, and pushed to the source."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Protocol

from reconciler.effects import Effects
from reconciler.errors import Transient
from reconciler.log import logger
from reconciler.model.outcome import RETRIED, FinalReport, Reason
from reconciler.process import Completed

TRIES = 3
"""Number of pushes in one turn, if somebody else writes there, too."""

SELDOM = 600.0
"""Seconds between two reads of a remote's notes through git, while there is nothing to report."""

LARGEST = 64 << 20
"""Bytes that a fetch of the remote's notes may write: some 50,000 notes."""

_PUSH_TIMEOUT = 60.0
_LIST_TIMEOUT = 20.0
_SUBJECT = "Notes added by 'git notes add'"
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*")
_INDENT = " " * 4
_FETCH = (
    "--quiet", "--no-tags", "--no-auto-maintenance", "--no-write-fetch-head", "--no-recurse-submodules",
    "--end-of-options",
)  # fmt: skip


class Git(Protocol):
    """Git on the mirror, allowed to contact the remote (see `observe.git`)."""

    def run(
        self, *arguments: str, timeout: float = ..., stdin: bytes | None = None, extra: Mapping[str, str] | None = None,
        largest: int | None = None,
    ) -> Completed: ...  # fmt: skip


class Redacts(Protocol):
    def clean(self, text: str, multiline: bool = False) -> str: ...


def note_text(final: FinalReport, redactor: Redacts) -> str:
    """The note: one line for lists, text for people, git trailers for scripts.

    All of the text is indented, so that no log line and no subject looks like a trailer or the end of the text.
    """
    text = "\n".join([final.message, *(["", *final.lines] if final.lines else [])])
    body = "\n".join((_INDENT + line).rstrip() for line in redactor.clean(text, multiline=True).split("\n"))
    head = f"{final.host} {final.state} {final.reason}"
    return "\n\n".join(part for part in (head, body.strip("\n"), _trailers(final)) if part.strip()) + "\n"


def _trailers(final: FinalReport) -> str:
    values = {
        "State": final.state,
        "Reason": final.reason,
        "Revision": final.revision,
        "Attempt": final.attempt,
        "Content-Key": final.content,
        "Reverted-To": final.reverted_to,
        "Duration": f"{final.duration:.1f}s",
        "Host": final.host,
    }
    return "\n".join(f"Reconciler-{key}: {value}" for key, value in values.items() if value is not None)


class NoteWriter:
    """Writes notes on commits. Notes in the remote are never believed: ours are made from the journal, and replace them
    whenever somebody changes them. The ref belongs to this host alone.

    Refs of the mirror: our notes; what we pushed last (`sent`) and our notes in it (`of`); what the remote had when
    this mirror was new (`found`), of which the notes on commits that the journal does not know are kept. `push` False:
    the notes stay in the mirror. `read`: a ref of the mirror, without a process. `peek`: the same of the remote: '' for
    none, None if only git can tell. `fetching`, `pushing`: options for git.
    """

    def __init__(
        self, git: Git, address: str, host: str, *, push: bool, effects: Effects, redactor: Redacts,
        read: Callable[[str], str | None], peek: Callable[[str], str | None] = lambda ref: None,
        fetching: Sequence[str] = (), pushing: Callable[[], Sequence[str]] = tuple,
    ) -> None:  # fmt: skip
        if not _HOST.fullmatch(host) or host.endswith(".lock"):
            raise ValueError(f"{host!r} cannot stand in the name of a ref")
        self._git, self._address, self._push = git, address, push
        self._read, self._peek, self._fetching, self._pushing = read, peek, fetching, pushing
        self._effects, self._redactor = effects, redactor
        self._ref, self._found = f"refs/notes/reconciler/{host}", f"refs/notes/found/{host}"
        self._whole, self._sent, self._of = f"refs/notes/whole/{host}", f"refs/sent/{host}", f"refs/sent-of/{host}"
        self._identity = _identity(host)
        self._looked_at = float("-inf")
        self.error: str | None = None

    def tell(self, report: FinalReport) -> bool:
        """Write the note, unless it exists already, and push it. False: not yet, try again later."""
        return self._told([report])

    def keep(self, reports: Callable[[], Iterable[FinalReport]]) -> None:
        """Restore missing notes. `reports`: all final reports, for a new mirror."""
        ours, sent = self._read(self._ref), self._read(self._sent)
        if sent is None if self._push else ours is None:
            told = list(reports())
            if told:
                self._told(told, restore=True)
        elif ours is not None and self._push and not self._as_sent(ours):
            self._told([])

    def _told(self, reports: Sequence[FinalReport], *, restore: bool = False) -> bool:
        try:
            if not self._write(reports, restore):
                return False
            return not self._push or self._read(self._ref) is None or self._publish()
        except Transient as fault:
            self._fail(f"the notes are not written yet: {fault.message}")
            return False

    # -- ours --------------------------------------------------------------------------------------------------

    def _write(self, reports: Sequence[FinalReport], restore: bool) -> bool:
        """Write the notes that the mirror does not have yet. A final state does not change; only an operator's `retry`
        changes it. If a commit is gone, its note is skipped."""
        known = self._known([report.revision for report in reports])
        present = self._listed(self._ref) if known and self._read(self._ref) else {}
        new = []
        for report in reports:
            there = present.get(report.revision)
            if report.revision not in known:
                level = "DEBUG" if restore else "WARNING"
                logger.log(level, "commit {} is not in the mirror any more: no note", report.revision)
            elif there is None or any(line.startswith(RETRIED) for line in report.lines):
                text = note_text(report, self._redactor).encode()
                if there != _blob(text):
                    new.append((report.revision, text))
        if not new:
            return True
        self._effects.point(f"note {new[-1][0]}")
        done = self._git.run("fast-import", "--quiet", "--date-format=now", stdin=self._stream(new))
        return self._well(done, "written")

    def _known(self, revisions: Sequence[str]) -> set[str]:
        if not revisions:
            return set()
        asked = "".join(f"{sha}^{{commit}}\n" for sha in revisions).encode()
        answer = self._git.run("cat-file", "--batch-check", stdin=asked).stdout.decode(errors="replace")
        return {line.split(" ")[0] for line in answer.splitlines() if line.split(" ")[1:2] == ["commit"]}

    def _stream(self, notes: Sequence[tuple[str, bytes]]) -> bytes:
        who = f"{self._identity['GIT_COMMITTER_NAME']} <{self._identity['GIT_COMMITTER_EMAIL']}>"
        lines = [f"commit {self._ref}", f"committer {who} now", f"data {len(_SUBJECT)}", _SUBJECT]
        if self._read(self._ref):
            lines.append(f"from {self._ref}^0")
        parts = ["\n".join(lines).encode()]
        parts += [f"N inline {sha}\ndata {len(text)}\n".encode() + text for sha, text in notes]
        return b"\n".join(parts) + b"\n"

    def _listed(self, ref: str) -> dict[str, str]:
        """Commit → blob of its note. Transient if this is no tree of notes, or too large."""
        done = self._git.run("notes", "--ref", ref, "list", timeout=_LIST_TIMEOUT)
        if done.returncode != 0 or done.cut:
            raise Transient(Reason.FETCH_FAILED, f"{ref} holds no notes", "the mirror may be deleted")
        pairs = (line.split(" ") for line in done.stdout.decode(errors="replace").splitlines())
        return {sha: blob for blob, sha in pairs}

    # -- there -------------------------------------------------------------------------------------------------

    def _as_sent(self, ours: str) -> bool:
        """Whether the remote still has what we pushed, as far as that is known without much work."""
        sent = self._read(self._sent)
        there = self._peek(self._ref)
        if there is None:
            seldom, self._looked_at = self._looked_at, time.monotonic()
            if self._looked_at - seldom < SELDOM:
                self._looked_at = seldom
                there = sent
        return sent is not None and there == sent and self._read(self._of) == ours

    def _publish(self) -> bool:
        """Push our notes. Bounded: if another program changes the ref each time, the next turn tries again."""
        for _ in range(TRIES):
            there = self._there()
            if there is None:
                return False
            ours, sent = self._read(self._ref) or "", self._read(self._sent)
            if there and sent is None and self._read(self._found) is None:
                self._take(there, ours)
            whole = self._joined(ours)
            done = self._send(whole, there) if whole != there else None
            if done is None or done.returncode == 0:
                self._git.run("update-ref", self._of, ours)
                self._git.run("update-ref", self._sent, whole)
                self.error = None
                return True
            if b"[rejected]" not in done.stdout and not self._cleared():
                return self._well(done, "pushed")
        self._fail(f"the notes cannot be pushed: another program changes {self._ref} in the remote each time")
        return False

    def _there(self) -> str | None:
        """The sha of the ref in the remote, '' if there is none, None if the remote cannot be asked."""
        known = self._peek(self._ref)
        if known is not None:
            return known
        listed = self._list(self._ref)
        known = (listed or {}).get(self._ref, "")
        if known.startswith("ref: "):
            self._fail(
                f"{self._ref} there stands for {known[5:]}, which is not overwritten; to delete it: "
                f"git symbolic-ref --delete {self._ref}"
            )
            return None
        return None if listed is None else known

    def _list(self, *patterns: str) -> dict[str, str] | None:
        """Ref in the remote → sha, or 'ref: …' if it is symbolic. None if the remote cannot be asked."""
        options = (*self._fetching, "--symref", "--end-of-options")
        done = self._git.run("ls-remote", *options, self._address, *patterns, timeout=_PUSH_TIMEOUT)
        if not self._well(done, "asked for"):
            return None
        found: dict[str, str] = {}
        for line in done.stdout.decode(errors="replace").splitlines():
            value, _, name = line.partition("\t")
            found.setdefault(name, value)
        return found

    def _cleared(self) -> bool:
        """Delete refs that prevent ours from being made: one in the place of a folder above it, or one below it.
        Returns whether there was one. Both names belong to this agent, or to nobody."""
        above = self._ref.rpartition("/")[0]
        listed = self._list(above, f"{self._ref}/*") or {}
        found = [name for name in listed if name == above or name.startswith(f"{self._ref}/")]
        if not found:
            return False
        self._effects.point(f"clear {found[0]}")
        gone = [f":{name}" for name in found]
        options = ("--porcelain", "--no-verify", *self._pushing(), "--end-of-options")
        return self._git.run("push", *options, self._address, *gone, timeout=_PUSH_TIMEOUT).returncode == 0

    def _take(self, there: str, ours: str) -> None:
        """Fetch the remote's notes, to keep those on other commits. Overwrites a ref that cannot be read as notes."""
        fetch = ("fetch", *self._fetching, *_FETCH, self._address, f"+{self._ref}:{self._found}")
        for _ in range(2):
            with suppress(Transient):
                if self._git.run(*fetch, timeout=_LIST_TIMEOUT, largest=LARGEST).returncode == 0:
                    self._listed(self._found)
                    return
        logger.warning("the ref {} of the remote ({}) cannot be read as notes and is overwritten", self._ref, there)
        self._git.run("update-ref", self._found, ours)

    def _joined(self, ours: str) -> str:
        """Our notes, and the fetched notes on other commits."""
        found = self._read(self._found)
        if found is None or found == ours:
            return ours
        theirs = self._listed(self._found)
        if self._listed(self._ref).items() <= theirs.items():
            return found
        self._git.run("update-ref", self._whole, ours)
        done = self._git.run(
            "notes", "--ref", self._whole, "merge", "-q", "-s", "ours", self._found, extra=self._identity
        )
        return self._read(self._whole) or ours if done.returncode == 0 else ours

    def _send(self, whole: str, there: str) -> Completed:
        self._effects.point(f"push notes {whole}")
        return self._git.run(
            "push", "--porcelain", "--no-verify", f"--force-with-lease={self._ref}:{there}", *self._pushing(),
            "--end-of-options", self._address, f"{whole}:{self._ref}", timeout=_PUSH_TIMEOUT,
        )  # fmt: skip

    def _well(self, done: Completed, what: str) -> bool:
        if done.returncode != 0:
            refusals = [line for line in done.stdout.splitlines() if line.startswith(b"!")]
            said = " ".join(b" ".join([*refusals, *done.stderr.splitlines()]).decode(errors="replace").split())
            self._fail(f"the notes cannot be {what}: {self._redactor.clean(said)[:400]}")
        return done.returncode == 0

    def _fail(self, error: str) -> None:
        level = "DEBUG" if error == self.error else "WARNING"
        self.error, self._looked_at = error, float("-inf")
        logger.log(level, "{}; it is tried again later", error)


def _blob(text: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(text) + text, usedforsecurity=False).hexdigest()


def _identity(host: str) -> dict[str, str]:
    name, address = "reconciler", f"reconciler@{host}"
    return {
        f"GIT_{role}_{part}": value
        for role in ("AUTHOR", "COMMITTER")
        for part, value in (("NAME", name), ("EMAIL", address))
    }
