"""Settings from the environment. Keys are read from files; only a turn has them in its environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

MODEL = "claude-sonnet-4-5"


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of the breaker, of calls and of costs."""

    no_progress: int = 3
    same_error: int = 5
    denials: int = 2
    decline: float = 70.0
    """Per cent by which a turn's output may be shorter than the mean of the turns before."""
    cooldown: float = 1800.0
    """Seconds that a breaker stays open."""
    retry: float = 10.0
    """Seconds to wait after a first failure; six times that if the API asks to wait. They double with each failure."""
    calls_per_hour: int = 100
    usd_per_day: float = 20.0
    usd_per_turn: float = 2.0


@dataclass(frozen=True, slots=True)
class Settings:
    """Times in seconds. `repository` empty: the workspace begins as an empty repository."""

    limits: Limits
    model: str = MODEL
    url: str = ""
    key: str = ""
    token: str = ""
    tools: str = "Bash"
    repository: str = ""
    turn_seconds: float = 900.0
    pause_between: float = 5.0
    grace: float = 75.0
    """Seconds that a running turn gets after SIGTERM."""
    data: Path = Path("/data")
    workspaces: Path = Path("/workspace")
    own: Path = Path("/tmp/ralph")  # noqa: S108 - a tmpfs of the container's own
    """Files of this container alone: the number of its agent, its heartbeat, and the files of a turn."""
    claude: str = "claude"
    port: int = 9470

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Settings:
        """ValueError if a value that must be a number is none."""
        secrets = Path(environ.get("SECRETS", "/run/secrets"))

        def number(name: str, default: float) -> float:
            return float(environ.get(name) or default)

        limits = Limits(
            no_progress=int(number("RALPH_NO_PROGRESS", 3)),
            same_error=int(number("RALPH_SAME_ERROR", 5)),
            denials=int(number("RALPH_DENIALS", 2)),
            decline=number("RALPH_DECLINE_PERCENT", 70),
            cooldown=60 * number("RALPH_COOLDOWN_MINUTES", 30),
            retry=number("RALPH_RETRY_SECONDS", 10),
            calls_per_hour=int(number("RALPH_CALLS_PER_HOUR", 100)),
            usd_per_day=number("RALPH_USD_PER_DAY", 20),
            usd_per_turn=number("RALPH_USD_PER_TURN", 2),
        )
        return cls(
            limits=limits,
            model=environ.get("ANTHROPIC_MODEL") or MODEL,
            url=environ.get("ANTHROPIC_BASE_URL", ""),
            key=_optional(secrets / "anthropic_key"),
            token=_optional(secrets / "claude_token"),
            tools=environ.get("RALPH_TOOLS") or "Bash",
            repository=environ.get("RALPH_REPOSITORY", ""),
            turn_seconds=60 * number("RALPH_TURN_MINUTES", 15),
            pause_between=number("RALPH_PAUSE_SECONDS", 5),
        )


def _optional(path: Path) -> str:
    return path.read_text().strip() if path.exists() else ""
