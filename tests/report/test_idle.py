"""The cost of an agent at rest: none without a forge, and no HTTP with one that has got everything."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import json, sys, threading
from pathlib import Path
from reconciler.decide.redact import Redactor
from reconciler.effects import Effects
from reconciler.model.history import History
from reconciler.settings import load_settings
from reconciler.wiring.reading import Reading
import reconciler.wiring.working

settings = load_settings(sys.argv[1], {"RECONCILER_REPORT_FORGE_TOKEN": "t"})
reading = Reading(settings, Redactor(), {"RECONCILER_REPORT_FORGE_TOKEN": "t"}, Effects())
if reading.forge:
    with reading.forge.outbox(threading.Event()) as outbox:
        outbox.hear(History())
    reading.forge.channels(History())
if reading.notifications:
    reading.notifications.channels()
    with reading.notifications.outbox(threading.Event()):
        reading.notifications.hear(History(), None)
libraries = ("reconciler.report", "requests", "urllib3", "apprise", "ssl", "http.client", "reconciler.formats.targets")
print(json.dumps([name for name in sys.modules if name.startswith(libraries)]))
"""


def loaded(folder: Path, report: str, more: str = "") -> list[str]:
    (folder / "state").mkdir(mode=0o700, exist_ok=True)
    config = folder / "reconciler.yaml"
    source = "source: {url: 'https://github.com/me/home'}"
    config.write_text(f"host: mini\n{source}\nstate: {folder}/state\nreport: {report}\n{more}")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(config)], capture_output=True, text=True, check=True, timeout=60
    )
    found: list[str] = json.loads(done.stdout)
    return found


def test_without_a_forge_nothing_of_it_is_loaded(tmp_path: Path) -> None:
    assert loaded(tmp_path, "{}") == []


def test_with_nothing_to_tell_no_http_is_loaded(tmp_path: Path) -> None:
    found = loaded(tmp_path, "{forge: {}}")
    assert "reconciler.report.delivery" in found
    assert [name for name in found if not name.startswith("reconciler.report")] == []
    assert "reconciler.report.comment" not in found


def test_notifications_load_neither_apprise_nor_http(tmp_path: Path) -> None:
    found = loaded(tmp_path, "{}", "notify: [{url: 'ntfy://topic'}]\nheartbeat: {url: 'https://hc-ping.com/x'}\n")
    assert "reconciler.report.notifier" in found
    assert not [name for name in found if not name.startswith("reconciler.")]
    assert "reconciler.report.web" not in found
    assert "reconciler.report.errand" not in found
