"""Settings from the environment. A wrong value ends the program with a message that names it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """Times in seconds, sizes in bytes. Each folder in `folder` is watched; paths in brain-api begin with its name."""

    folder: Path
    state: Path
    brain: str
    key: str
    rescan: float = 30.0
    quiet: float = 2.0
    longest_change: float = 60.0
    empty: float = 600.0
    audit: float = 6 * 3600.0
    largest: int = 4 << 20
    port: int = 8001

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Settings:
        def number(name: str, default: float) -> float:
            text = environment.get(name) or str(default)
            try:
                value = float(text)
            except ValueError:
                value = 0.0
            if value <= 0:
                raise SystemExit(f"{name} is {text!r} and has to be a number above 0")
            return value

        key_file = Path(environment.get("BRAIN_API_KEY_FILE", "/run/secrets/watcher_key"))
        try:
            key = key_file.read_text().strip()
        except OSError as error:
            raise SystemExit(f"the key for brain-api cannot be read: {error}") from error
        return cls(
            folder=Path(environment.get("WATCHED", "/watched")),
            state=Path(environment.get("STATE", "/state")),
            brain=environment.get("BRAIN_API_URL", "http://brain-api:8000"),
            key=key,
            rescan=number("RESCAN_SECONDS", cls.rescan),
            quiet=number("QUIET_SECONDS", cls.quiet),
            longest_change=number("LONGEST_CHANGE_SECONDS", cls.longest_change),
            empty=number("EMPTY_SECONDS", cls.empty),
            audit=number("AUDIT_SECONDS", cls.audit),
            largest=int(number("LARGEST_FILE_KIB", cls.largest / 1024) * 1024),
            port=int(number("PORT", cls.port)),
        )
