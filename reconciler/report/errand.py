"""The process of an errand: reads it from stdin, does it, and prints the outcome as JSON."""

from __future__ import annotations

import contextlib
import importlib
import json
import logging
import resource
import sys
from typing import Any
from urllib.parse import urlsplit

from reconciler.decide.redact import Redactor
from reconciler.formats.targets import parts, shown
from reconciler.later import extra

MEMORY = 256 << 20
"""Bytes that the process may have: a target may answer without end."""

SAID = 300
"""Characters of what a target says."""

MISSING = f"the library apprise is not installed: {extra('notify')}"

KINDS = {"success": "success", "recovered": "success", "held": "warning", "budget": "warning", "environment": "warning"}
"""Event → apprise's word, which some targets show as a colour; `failure` for the others."""


def main() -> None:
    """Do the errand and end."""
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    out, sys.stdout = sys.stdout, sys.stderr
    errand = json.load(sys.stdin)
    url = errand.get("fetch") or errand["url"]
    clean = Redactor(parts(url)).clean
    try:
        ok, message = fetched(url, clean) if "fetch" in errand else sent(errand)
    except Exception as error:  # a plugin of apprise may raise anything
        ok, message = False, f"{type(error).__name__}: {error}"
    json.dump({"ok": ok, "message": clean(message)[:SAID]}, out)


def sent(errand: dict[str, Any]) -> tuple[bool, str]:
    """Send by apprise; without a title only check the address. Returns whether that worked, and a message."""
    try:
        apprise: Any = importlib.import_module("apprise")
        plugins: Any = importlib.import_module("apprise.common")
    except ImportError:
        return False, MISSING
    said = _Listener()
    logging.getLogger("apprise").addHandler(said)
    logging.getLogger("apprise").setLevel(logging.WARNING)
    # Keep nothing on the disk, make no keys, link no third party's pictures, and leave text that looks like an escape
    # or an emoji as it is.
    asset = apprise.AppriseAsset(
        app_id="reconciler", app_desc="reconciler", app_url="", image_url_mask="", image_url_logo="", async_mode=False,
        interpret_escapes=False, interpret_emojis=False, pgp_autogen=False, pem_autogen=False,
        storage_mode=plugins.PersistentStoreMode.MEMORY,
    )  # fmt: skip
    target = apprise.Apprise.instantiate(errand["url"], asset=asset)
    if target is None:
        return False, f"apprise cannot use {shown(errand['url'])}: {said.text() or 'the address is not complete'}"
    if "title" not in errand:
        return True, "the address is understood"
    if "overflow=" not in errand["url"]:
        target.overflow_mode = plugins.OverflowMode.TRUNCATE
    if "redirect=" not in errand["url"]:
        target.redirects = False
    sender = apprise.Apprise(asset=asset)
    sender.add(target)
    kind = apprise.NotifyType(KINDS.get(errand["event"], "failure"))
    body = errand["body"].strip() or errand["title"]  # apprise sends nothing without a body
    ok = sender.notify(title=errand["title"], body=body, notify_type=kind, body_format=apprise.NotifyFormat.TEXT)
    return bool(ok), said.text() or ("accepted" if ok else "it was not accepted")


def fetched(url: str, clean: Any) -> tuple[bool, str]:
    """One GET, bounded like requests to forges. Returns whether it was answered, and a message."""
    from reconciler.report.answers import ForgeError
    from reconciler.report.web import Web

    place = urlsplit(url)
    try:
        Web(f"{place.scheme}://{place.netloc}", {"Accept": "*/*"}, clean).ask(
            "GET", place._replace(scheme="", netloc="").geturl() or "/", parse=False
        )
    except ForgeError as error:
        return False, error.message
    return True, "answered"


class _Listener(logging.Handler):
    """Keeps apprise's warnings."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._told: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self._told.append(record.getMessage())

    def text(self) -> str:
        return "; ".join(dict.fromkeys(self._told))
