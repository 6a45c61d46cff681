"""Settings from the environment. Secrets are read from files and are in no environment variable."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Settings:
    """`embedding_url` empty: the model in the image. `anthropic_key` empty: no questions in natural language."""

    postgres_host: str
    postgres_password: str
    neo4j_url: str
    neo4j_password: str
    api_keys: str
    embedding_model: str
    embedding_dimensions: int
    embedding_url: str = ""
    embedding_key: str = ""
    anthropic_url: str = ""
    anthropic_model: str = ""
    anthropic_key: str = ""
    pool_size: int = 10
    model_folder: Path = Path("/opt/model")

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Settings:
        """KeyError, ValueError or OSError if something is missing or unreadable: the program could not work."""
        secrets = Path(environ.get("SECRETS", "/run/secrets"))
        return cls(
            postgres_host=environ["POSTGRES_HOST"],
            postgres_password=_secret(secrets / "postgres_brain"),
            neo4j_url=environ["NEO4J_URL"],
            neo4j_password=_secret(secrets / "neo4j_password"),
            api_keys=_secret(secrets / "brain_api_keys"),
            embedding_model=environ["EMBEDDING_MODEL"],
            embedding_dimensions=int(environ["EMBEDDING_DIMENSIONS"]),
            embedding_url=environ.get("EMBEDDING_URL", "").rstrip("/"),
            embedding_key=_optional(secrets / "embedding_key"),
            anthropic_url=environ.get("ANTHROPIC_BASE_URL", "").rstrip("/"),
            anthropic_model=environ.get("ANTHROPIC_MODEL", ""),
            anthropic_key=_optional(secrets / "anthropic_key"),
            pool_size=int(environ.get("POOL_SIZE", "10")),
        )


def _secret(path: Path) -> str:
    text = path.read_text().strip()
    if not text:
        raise ValueError(f"{path} is empty")
    return text


def _optional(path: Path) -> str:
    return path.read_text().strip() if path.exists() else ""
