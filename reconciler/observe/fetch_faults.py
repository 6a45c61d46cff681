"""What git says when a fetch or a push fails, in words that a person can act on."""

from __future__ import annotations

import re

from reconciler.errors import Transient
from reconciler.formats.quantities import shown
from reconciler.model.outcome import Reason

_SHOWN_LINES = 3
LONGEST = 400
"""Characters of what git says."""
_NOISE = re.compile(r"^(?:Please make sure you have|and the repository exists|remote: *$|hint: |warning: )")

_KNOWN = tuple(
    (re.compile(pattern, re.IGNORECASE), reason, hint)
    for pattern, reason, hint in (
        (
            "couldn't find remote ref",
            Reason.FETCH_FAILED,
            "the branch is not there (any more): push it again, or mend source.branch in the agent config",
        ),
        (
            r"no space left|disk quota|unable to (?:create temporary|write)|write error|file too large",
            Reason.DISK_FAILED,
            "make room on the disk that holds the state folder",
        ),
        (
            "dubious ownership",
            Reason.FETCH_FAILED,
            "give the repository to the user that the agent runs as, or run the agent as its owner",
        ),
        (
            r"permission denied|authentication failed|could not read (?:username|password)|access denied|"
            r"host key verification|error: 40[13]|unable to (?:open|access) .*denied",
            Reason.FETCH_FAILED,
            "give the user that the agent runs as a key or token that may read the repository",
        ),
        (
            r"mismatched algorithms|object format|unknown hash|unsupported hash",
            Reason.FETCH_FAILED,
            "the repository uses sha256 object ids; use one with sha1",
        ),
        (
            r"redirect",
            Reason.FETCH_FAILED,
            "redirects are not followed: write the address that it leads to into source.url",
        ),
        (
            r"does not appear to be a git repository|repository .*not found|repository .*does not exist|error: 404",
            Reason.FETCH_FAILED,
            "see whether source.url in the agent config is right and the repository is still there",
        ),
        (
            r"could not resolve|unable to access|connection|timed out|timeout|operation too slow|unreachable|"
            r"could not read from remote|hung up|early eof|remote error|shallow update|protocol",
            Reason.FETCH_FAILED,
            "the remote cannot be reached or broke off; it is asked again later",
        ),
    )
)


def known_fault(what: str, stderr: bytes) -> Transient | None:
    """The fault, when it is plainly not the mirror's. `what` could not be done: 'fetch branch main from …'."""
    text = stderr.decode(errors="replace")
    for pattern, reason, hint in _KNOWN:
        if pattern.search(text):
            return _fault(reason, what, text, hint)
    return None


def unknown_fault(what: str, stderr: bytes) -> Transient:
    """The fault, when nothing better is known than git's own words."""
    return _fault(Reason.FETCH_FAILED, what, stderr.decode(errors="replace"), "it is tried again later")


def too_large(what: str, most: int) -> Transient:
    """Git was killed because what it fetched took more than `most` bytes."""
    return Transient(
        Reason.DISK_FAILED,
        f"cannot {what}: it is larger than {shown(most)}, which may be used of the disk",
        "make room on the disk that holds the state folder, of which a part stays free for others, or take large files "
        "out of the branch's history",
    )


def timed_out(what: str, seconds: float) -> Transient:
    """Git was killed because its time was over."""
    return Transient(
        Reason.FETCH_FAILED,
        f"cannot {what}: no end within {seconds:g} s",
        "see whether the remote is slow or waits for something; it is asked again later",
    )


def _fault(reason: Reason, what: str, text: str, hint: str) -> Transient:
    lines = [_printable(line) for line in text.splitlines() if line.strip() and not _NOISE.match(line)]
    said = "; ".join(lines[:_SHOWN_LINES]) or "git gave no reason"
    return Transient(reason, f"cannot {what}: {said if len(said) <= LONGEST else said[:LONGEST] + '…'}", hint)


def _printable(line: str) -> str:
    return "".join(character if character.isprintable() else " " for character in line).strip()
