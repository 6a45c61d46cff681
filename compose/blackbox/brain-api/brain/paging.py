"""The cursor: where a page ended. Opaque to clients, and still right if artifacts come or go meanwhile."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from brain.errors import ApiError


@dataclass(frozen=True, slots=True)
class Cursor:
    at: datetime
    id: UUID

    def text(self) -> str:
        return base64.urlsafe_b64encode(f"{self.at.isoformat()} {self.id}".encode()).decode().rstrip("=")

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """ApiError if this is not a cursor that we have made."""
        try:
            at, _, identity = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode().partition(" ")
            return cls(datetime.fromisoformat(at), UUID(identity))
        except (ValueError, binascii.Error) as error:
            raise ApiError("the cursor is not one of ours", "bad_cursor") from error
