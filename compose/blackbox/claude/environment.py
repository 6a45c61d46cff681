"""The environment of a Claude Code process: only the container's variables that it needs."""

from __future__ import annotations

import os
from pathlib import Path

PASSED_ON = ("PATH", "LANG", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY")


def passed_on(home: Path) -> dict[str, str]:
    """Variables for every program of a task, git and its tools included."""
    return {name: os.environ[name] for name in PASSED_ON if name in os.environ} | {"HOME": str(home)}


def of_claude(key: str, token: str, url: str, own: Path) -> dict[str, str]:
    """Further variables for Claude Code. `key` takes precedence over `token`. Empty values are left out; with an empty
    `url` Claude Code uses its default. Settings and temporary files are in `own`, which the caller removes."""
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
