"""A headless Chromium, controlled over a pipe with its DevTools protocol. It needs no library and no port."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.e2e.host import eventually

AUDIT = Path(__file__).with_name("audit.js")


class Browser:
    """One page of the browser. `send` and `hear`: our ends of the two pipes."""

    def __init__(self, send: int, hear: int) -> None:
        self._send, self._hear, self._number, self._rest = send, hear, 0, b""
        target = self._ask("Target.createTarget", {"url": "about:blank"})["targetId"]
        self._session = self._ask("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]

    def open(self, url: str, scheme: str = "light", width: int = 1200) -> None:
        """Load a page and wait until it shows live data. `scheme`: the reader's preferred colours, light or dark."""
        media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        self._ask("Emulation.setEmulatedMedia", media, page=True)
        shape = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self._ask("Emulation.setDeviceMetricsOverride", shape, page=True)
        self._ask("Page.navigate", {"url": url}, page=True)
        script = "location.href !== 'about:blank' && document.querySelector('[data-state]')?.textContent === 'Live'"
        eventually(lambda: self.value(script), 30)

    def value(self, script: str) -> Any:
        """The value of a JavaScript expression in the page."""
        asked = {"expression": script, "returnByValue": True, "awaitPromise": True}
        answer = self._ask("Runtime.evaluate", asked, page=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def picture(self, file: Path, highest: int = 4000) -> None:
        """Write the whole page, at most `highest` pixels of it, as PNG."""
        width, height = self.value("[innerWidth, document.documentElement.scrollHeight]")
        clip = {"x": 0, "y": 0, "width": width, "height": min(height, highest), "scale": 1}
        asked = {"format": "png", "captureBeyondViewport": True, "clip": clip}
        file.write_bytes(base64.b64decode(self._ask("Page.captureScreenshot", asked, page=True)["data"]))

    def faults(self) -> list[str]:
        """Faults of accessibility: contrast, names, labels, structure."""
        found: list[str] = self.value(AUDIT.read_text("utf-8"))
        return found

    def _ask(self, method: str, parameters: Mapping[str, Any], page: bool = False) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        message |= {"sessionId": self._session} if page else {}
        os.write(self._send, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            data = os.read(self._hear, 1 << 16)
            assert data, "the browser has ended"
            self._rest += data
        message, _, self._rest = self._rest.partition(b"\0")
        answer: dict[str, Any] = json.loads(message)
        return answer


@contextmanager
def browser(chromium: str, folder: Path) -> Iterator[Browser]:
    """A running Chromium. `folder`: for its profile. Chromium reads from descriptor 3 and writes to 4; the shell dash
    knows no descriptors above 9."""
    (hears, send), (hear, says) = os.pipe(), os.pipe()
    command = [chromium, "--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe",
               f"--user-data-dir={folder}"]  # fmt: skip
    pipes = f'exec "$@" 3<&{hears} 4>&{says}'
    process = subprocess.Popen(
        ["bash", "-c", pipes, "bash", *command],
        pass_fds=(hears, says),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(hears)
    os.close(says)
    try:
        yield Browser(send, hear)
    finally:
        os.close(send)
        os.close(hear)
        process.kill()
        process.wait()
