"""The document of `key`."""

from __future__ import annotations

from collections.abc import Sequence

from reconciler.record.contract import Document, document


def key(
    public: str, path: str, made: bool, registered: bool | None, message: str, next_steps: Sequence[str]
) -> Document:
    """`registered` None: the forge was not asked. `message`: why it does not have the key. `next_steps`: for people."""
    return document("Key") | {
        "publicKey": public,
        "path": path,
        "made": made,
        "registered": registered,
        "message": message,
        "next": list(next_steps),
    }
