"""The entries of the agent config that last good needs: `<state>/grants.json`. If it is lost, it begins anew."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

from reconciler.model.times import instant
from reconciler.model.uses import Use, Uses
from reconciler.record.contract import moment


class UseFile:
    """Neither a damaged file nor a full disk is an error."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> Uses:
        """Empty if there is no such file, or it cannot be read."""
        try:
            found = json.loads(self._path.read_bytes())
            return Uses(
                str(found["basis"]),
                {
                    name: Use(instant(item["firstSeen"]), _moment(item["lastUsed"]), item["inUse"] is True)
                    for name, item in found["entries"].items()
                },
            )
        except (OSError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError):
            return Uses()

    def save(self, uses: Uses) -> None:
        """Complete or not at all."""
        entries = {
            name: {"firstSeen": moment(use.since), "lastUsed": moment(use.last), "inUse": use.now}
            for name, use in uses.entries.items()
        }
        text = json.dumps({"basis": uses.basis, "entries": entries}, ensure_ascii=False, indent=1)
        draft = self._path.with_suffix(f".{os.getpid()}")
        with suppress(OSError):
            try:
                draft.write_text(text)
                draft.replace(self._path)
            finally:
                draft.unlink(missing_ok=True)


def _moment(text: str | None) -> float | None:
    return None if text is None else instant(text)
