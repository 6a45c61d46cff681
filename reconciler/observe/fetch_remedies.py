"""The remedy for each error that git reports in a fetch. `fetch_faults` fills in the names in braces."""

from __future__ import annotations

import re

_LATER = "the remote cannot be reached or broke off; it is asked again later"
_CA = (
    "no authority that is trusted here signed the certificate of {host}: put the certificate of its CA (PEM) into"
    " {certs} (http.sslCAInfo of git's own configuration is not read), or add it to the certificates of the machine"
    " (update-ca-certificates)"
)
_KEY = "{host} does not take {key}; `ssh{port} -T {login}` as the agent's user shows whether it is taken"
_KNOWN = "`ssh-keyscan{scan} {host} >> {hosts}`"
_NO_DISK = r"no space left|disk quota|unable to (?:create temporary|write)|write error|file too large"
DISK = re.compile(_NO_DISK, re.IGNORECASE)
"""Errors that are caused by our own disk."""

REMEDIES = tuple(
    (re.compile(pattern, re.IGNORECASE), hint)
    for pattern, hint in (
        (
            "couldn't find remote ref",
            "the branch is not there (any more): push it again, or fix source.branch in the agent config",
        ),
        (
            r"promisor remote|lazy fetching disabled",
            "the source is a partial clone, which lacks files: run `git{at} config --unset"
            " remote.origin.partialclonefilter` and `git{at} fetch --refetch` there",
        ),
        (
            r"alternate object path|object directory .* does not exist",
            "the source borrows objects of another repository (objects/info/alternates), which is not there or may not"
            " be read: bring it back; then `git{at} repack -a -d` there makes the source whole",
        ),
        (_NO_DISK, "make room on the disk that holds the state folder"),
        (
            "dubious ownership",
            "give the repository to the user that the agent runs as, or run the agent as its owner",
        ),
        (
            r"certificate has expired|certificate is not yet valid|not activated",
            "see whether this machine's clock is right; if it is, the certificate of {host} has to be renewed",
        ),
        (
            r"subject name|does not match (?:target )?host|hostname mismatch",
            "the certificate of {host} is for other names: write one of them into source.url",
        ),
        (
            r"setting certificate (?:verify locations|file)|adding trust anchors|problem with the ssl ca cert|"
            r"error reading ca cert",
            "the file with certificates cannot be read: correct {certs}",
        ),
        (
            r"certificate verif|server verification failed|certificate problem|self[- ]signed|unknown ca|issuer cert",
            _CA,
        ),
        (
            r"remote host identification has changed|host key for .* has changed|revoked host key",
            "the key of {host} has changed: ask its operator whether that is right; if so,"
            f" `ssh-keygen -f {{hosts}} -R '{{known}}'` and {_KNOWN} as the agent's user",
        ),
        (
            "host key verification failed|host key is known",
            "the agent's user does not know {host}: compare what `ssh-keyscan{scan} {host} | ssh-keygen -lf -` prints"
            f" with what whoever runs it publishes, then {_KNOWN} as that user",
        ),
        (
            r"unprotected private key|bad permissions",
            "other users can read the key, so ssh does not use it: chmod 600 it",
        ),
        (
            r"cannot run ssh|ssh: (?:command )?not found",
            "install the ssh client (openssh-client) where the agent's PATH finds it",
        ),
        (
            r"unable to find remote helper|remote-https: not found|'remote-https' is not a git command",
            "this git cannot speak https: install git with it (git-remote-https)",
        ),
        (r"permission denied \(|too many authentication failures|no supported authentication", _KEY),
        (
            r"authentication failed|could not read (?:username|password)|error: 401|invalid (?:username|credentials)|"
            r"http basic: access denied",
            "{token}",
        ),
        (
            r"code 407|proxy authentication",
            "the proxy needs a name and password: https_proxy=http://USER:PASSWORD@PROXY in the agent's environment",
        ),
        (
            r"error: 403|access denied|write access to repository not granted|not authorized|permission to .* denied",
            "{host} accepts the key or token, but it may not read the repository: {scope}",
        ),
        (
            r"mismatched algorithms|object format|unknown hash|unsupported hash",
            "the repository uses sha256 object ids; use one with sha1",
        ),
        (r"redirect|error: 30\d", "redirects are not followed: write the address that it leads to into source.url"),
        (
            r"does not appear to be a git repository|repository .*not found|repository .*does not exist|error: 404|"
            r"project you were looking for could not be found",
            "see whether source.url in the agent config is right and the repository is still there{unseen}",
        ),
        (
            r"could not resolve|name or service not known|temporary failure in name resolution",
            "{host} cannot be resolved now: see whether source.url is right and the machine's name server answers;"
            " it is asked again later",
        ),
        (
            r"permission denied|unable to (?:open|access) .*denied",
            "let the user that the agent runs as read the repository, and enter the folders above it",
        ),
        (
            r"unable to access|connection|timed out|timeout|operation too slow|unreachable|no route|"
            r"could not read from remote|hung up|early eof|remote error|shallow update|protocol",
            _LATER,
        ),
    )
)
