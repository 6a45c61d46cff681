"""Two judgements of a Compose file: Compose's own, and the product's without its policies."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reconciler.decide.redact import Redactor
from reconciler.parser import parse
from reconciler.settings import Settings, SourceSettings
from reconciler.wiring import assembly
from tests.conftest import ROOT

ENVIRONMENT = {"HOME": "/nonexistent", "PATH": os.environ["PATH"]}


@dataclass(frozen=True)
class Opinion:
    """`said`: the printed text about it, for people."""

    valid: bool
    said: str


def compose_says(compose: Path, *files: Path) -> Opinion:
    """Whether `docker compose config` reads the files."""
    named = [part for file in files for part in ("-f", str(file))]
    done = subprocess.run(
        [str(compose), "-p", "stack", *named, "config", "--quiet"], capture_output=True, text=True, timeout=60,
        stdin=subprocess.DEVNULL, env=ENVIRONMENT, cwd=files[0].parent,
    )  # fmt: skip
    return Opinion(done.returncode == 0, done.stderr)


def validation(compose: Path, *files: Path, policies: bool = False) -> dict[str, Any]:
    """The Validation document, made in this process, because hundreds of files would need hundreds of interpreters."""
    settings = Settings("mini", SourceSettings("/nowhere"), str(files[0].parent / "state"), compose=str(compose))
    application = assembly.build(settings, stop=threading.Event(), redactor=Redactor())
    _, document = application.validate(
        parse(["validate", "--policies", "on" if policies else "off", "--file", *map(str, files)])
    )
    return dict(document)


def product_says(compose: Path, *files: Path) -> Opinion:
    """Whether `validate --file … --policies off` finds the files valid."""
    document = validation(compose, *files)
    told = (f"{item['path']}:{item['line']}: {item['rule']} {item['message']}" for item in denied(document))
    return Opinion(bool(document["valid"]), "\n".join(told))


def denied(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [item for item in document["violations"] if item["level"] == "deny"]


def validated(compose: Path, file: Path) -> tuple[int, dict[str, Any]]:
    """Exit code and Validation document of the command itself, with policies."""
    config = file.parent.parent / "reconciler.yaml"
    source = {"url": "/nowhere"}
    config.write_text(json.dumps({"host": "mini", "source": source, "state": "/nowhere", "compose": str(compose)}))
    command = [sys.executable, "-m", "reconciler", "--config", str(config), "--output", "json", "validate"]
    done = subprocess.run(
        [*command, "--file", str(file)], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL,
        cwd=ROOT,
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, json.loads(done.stdout)
