"""What a process of Claude Code gets to know: nothing of its container but what it needs."""

from __future__ import annotations

import os
from pathlib import Path

PASSED_ON = ("PATH", "LANG", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY")


def passed_on(home: Path) -> dict[str, str]:
    """What any program of a task gets, git and its tools included."""
    return {name: os.environ[name] for name in PASSED_ON if name in os.environ} | {"HOME": str(home)}


def of_claude(key: str, token: str, url: str, own: Path) -> dict[str, str]:
    """What Claude Code gets beside it. `key` goes before `token`; empty ones are left out, and an empty `url` is its
    own. Settings and temporary files lie in `own`, and go with it."""
    for name in ("config", "temporary"):
        (own / name).mkdir(parents=True, exist_ok=True)
    optional = {
        "ANTHROPIC_API_KEY": key, "CLAUDE_CODE_OAUTH_TOKEN": "" if key else token, "ANTHROPIC_BASE_URL": url,
    }  # fmt: skip
    return {
        **{name: value for name, value in optional.items() if value},
        "CLAUDE_CONFIG_DIR": str(own / "config"),
        "CLAUDE_CODE_TMPDIR": str(own / "temporary"),
        "TMPDIR": str(own / "temporary"),
        "DISABLE_AUTOUPDATER": "1",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    }
