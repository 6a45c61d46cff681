"""A page for the browser (a large document with a picture and a button, served by Python), and an MCP client."""

from __future__ import annotations

from html import escape
from pathlib import Path

from benchmarks.stack.corpus import documents
from tests.stack.blackbox import FOLDER, compose_document

SERVICE = {
    "library": {
        "build": "./model-stub",
        "entrypoint": ["python3", "-m", "http.server", "8080", "--directory", "/srv"],
        "restart": "unless-stopped",
        "init": True,
        "read_only": True,
        "volumes": ["./library:/srv:ro"],
        "networks": [name for name in ("web", "mcp") if name in compose_document()["networks"]],
        "mem_limit": "64m",
        "healthcheck": {
            "test": ["CMD", "python3", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/')"],
            "interval": "10s", "start_period": "20s", "start_interval": "1s",
        },
    }
}  # fmt: skip
_SCRIPT = "document.querySelector('p').textContent = 'Pressed'; for (const c of document.querySelectorAll('canvas')) {"
_SCRIPT += "const x = c.getContext('2d'); for (let i = 0; i < 500; i++) x.fillRect(i, (i * 7) % 600, 9, 9) }"


def files() -> dict[str, str | bytes]:
    """The files of the page and of the client, for the commit."""
    rows = "".join(f"<tr><td>{escape(item['title'])}<td>{escape(item['content'])}" for item in documents(300))
    html = f'<!doctype html><title>Library</title><p>Fresh</p><button onclick="{_SCRIPT}">Press</button>'
    html += "<canvas width=1200 height=600></canvas>" * 4 + f"<table>{rows}</table>"
    client = (Path(__file__).parent / "inside/mcp.py").read_bytes()
    return {f"{FOLDER}/library/index.html": html, f"{FOLDER}/library/mcp.py": client}
