"""The adapters of `key`: the path of the deploy key, and the forge."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from reconciler.errors import Transient, Usage
from reconciler.model.outcome import Reason
from reconciler.verbs import Answer, key
from reconciler.wiring.reading import Reading


def make_key(parts: Reading, register: bool) -> Answer:
    """Make or show the deploy key. `register`: also register it with the forge; Usage if the config has no forge."""
    settings = parts.settings
    named, steps = settings.source.key_file, []
    path = Path(named) if named else parts.state / key.KEPT
    if not named:
        steps.append(f"Write `key_file: {path}` below `source` in the agent config.")
    if parts.source.remote.protocol != "ssh":
        steps.append("Write an address for ssh into `source.url`. The key is of no use for other addresses.")
    if register and parts.forge is None:
        hint = "name the forge, and its token: `report: {forge: {token_file: FILE}}`, see docs/reporting.md"
        raise Usage(Reason.USAGE_INVALID, "--register needs a forge in the agent config", hint)
    steps.append(
        "Let the forge know the line above as a deploy key of the repository that may only read: by hand, or by "
        "`reconciler key --register` with a token in `report.forge`."
    )
    told = partial(_register, parts) if register else None
    return key.key(path, settings.host, parts.environ, steps, told)


def _register(parts: Reading, public: str) -> tuple[bool, str]:
    from reconciler.report.answers import ForgeError

    forge = parts.forge
    assert forge is not None
    try:
        return forge.register_key(f"reconciler on {parts.settings.host}", public)
    except ForgeError as error:
        hint = "the key is made; ask again: `reconciler key --register`"
        raise Transient(Reason.FETCH_FAILED, f"the forge was not told of the key: {error.message}", hint) from None
