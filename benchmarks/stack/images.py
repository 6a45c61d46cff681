"""python -m benchmarks.stack.images: build every image of the stack from nothing, one after the other; times, sizes.

Exit 1 when all of them take longer than 15 minutes, or one changed line of brain-api longer than 20 s.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.stack.blackbox import FOLDER, ROOT, compose_document

ALL, CHANGE = 900.0, 20.0
"""The bars in seconds."""


def main() -> int:
    times: dict[str, float] = {}
    print(f"{'image':18}{'built in':>10}{'size':>10}\n{'-' * 38}")
    for name in builds():
        begun = time.monotonic()
        build(name, "--no-cache")
        times[name] = time.monotonic() - begun
        print(f"{name:18}{times[name]:8.0f} s{size(name):7.0f} MB", flush=True)
    change = timed_change()
    print(f"{'all':18}{sum(times.values()):8.0f} s\n\none changed line of brain-api: {change:.1f} s")
    subprocess.run(["docker", "image", "rm", "--force", *map(tag, times)], capture_output=True, check=False)
    return int(sum(times.values()) > ALL or change > CHANGE)


def builds() -> dict[str, dict[str, Any]]:
    """Service → its `build` section."""
    services = compose_document()["services"]
    found = {name: item["build"] for name, item in services.items() if "build" in item}
    return {name: {"context": item} if isinstance(item, str) else item for name, item in found.items()}


def build(name: str, *options: str, folder: Path | None = None) -> None:
    """Build the image of a service. `folder`: a build context that replaces the service's own."""
    how = builds()[name]
    others = how.get("additional_contexts", {}).items()
    contexts = [f"--build-context={other}={ROOT / FOLDER / path}" for other, path in others]
    place = str(folder or ROOT / FOLDER / how["context"])
    command = ["docker", "build", "--quiet", *options, *contexts, "--tag", tag(name), place]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{name}: {done.stderr}")


def timed_change() -> float:
    """Seconds of a build after one changed line of brain-api."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(ROOT / FOLDER / builds()["brain-api"]["context"], folder, dirs_exist_ok=True)
        with (Path(folder) / "brain/__init__.py").open("a") as program:
            program.write("# another line\n")
        begun = time.monotonic()
        build("brain-api", folder=Path(folder))
        return time.monotonic() - begun


def size(name: str) -> float:
    """The size of an image in MB (millions of bytes)."""
    done = subprocess.run(["docker", "image", "inspect", tag(name)], capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout)[0]["Size"]) / 1e6


def tag(name: str) -> str:
    return f"blackbox-size-{name}"


if __name__ == "__main__":
    sys.exit(main())
