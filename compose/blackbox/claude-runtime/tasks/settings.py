"""Settings from the environment. Keys are read from files; only a task has them in its environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

MODEL, TOOLS = "claude-sonnet-4-5", "Bash"


@dataclass(frozen=True, slots=True)
class Settings:
    """`minutes`, `usd` and `model` are defaults: a task may ask for other values."""

    model: str = MODEL
    url: str = ""
    key: str = ""
    token: str = ""
    deploy_key: str = ""
    known_hosts: str = ""
    tools: str = TOOLS
    at_once: int = 1
    attempts: int = 2
    """How many times a task is started in all, if it is interrupted or killed."""
    minutes: float = 30.0
    usd: float = 5.0
    keep_days: float = 30.0
    port: int = 9471
    data: Path = Path("/data")
    workspace: Path = Path("/workspace")
    own: Path = Path("/tmp/tasks")  # noqa: S108 - a tmpfs of the container's own
    servers: Path = Path("/opt/claude-runtime/mcp.json")
    claude: str = "claude"

    @property
    def tasks(self) -> Path:
        return self.data / "tasks"

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Settings:
        """ValueError if a value that must be a number is none."""
        secrets = Path(environ.get("SECRETS", "/run/secrets"))
        return cls(
            model=environ.get("ANTHROPIC_MODEL") or MODEL,
            url=environ.get("ANTHROPIC_BASE_URL", ""),
            key=_optional(secrets / "anthropic_key"),
            token=_optional(secrets / "claude_token"),
            deploy_key=_optional(secrets / "claude_deploy_key"),
            known_hosts=_optional(secrets / "git_known_hosts"),
            tools=environ.get("CLAUDE_TOOLS") or TOOLS,
            at_once=int(environ.get("CLAUDE_AT_ONCE") or 1),
            attempts=int(environ.get("CLAUDE_ATTEMPTS") or 2),
            minutes=float(environ.get("CLAUDE_TASK_MINUTES") or 30),
            usd=float(environ.get("CLAUDE_TASK_USD") or 5),
            keep_days=float(environ.get("CLAUDE_KEEP_DAYS") or 30),
        )


def _optional(path: Path) -> str:
    return path.read_text().strip() if path.exists() else ""
