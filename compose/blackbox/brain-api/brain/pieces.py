"""Pieces: the texts of an artifact that are embedded and searched. And the digests that show a change."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from brain.chunks import digest, split
from brain.schemas import ArtifactIn


@dataclass(frozen=True, slots=True)
class Piece:
    """One text that is embedded and searched."""

    heading: str
    body: str
    digest: str

    @property
    def text(self) -> str:
        return f"{self.heading}\n{self.body}"


def pieces(title: str, content: str, chunks: Sequence[str] | None) -> list[Piece]:
    """At least one piece, so that an artifact without content is found by its title. Equal texts are one piece."""
    bodies = [body.strip() for body in (split(content) if chunks is None else chunks)]
    texts = dict.fromkeys(body for body in bodies if body) or {"": None}
    return [Piece(title, body, digest(title, body)) for body in texts]


def artifact_digest(item: ArtifactIn) -> str:
    document = item.model_dump(mode="json", exclude={"path"})
    return hashlib.sha256(json.dumps(document, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
