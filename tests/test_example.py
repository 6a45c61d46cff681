"""This repository describes a machine itself; this description must be valid."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_example_is_valid_without_a_warning(tmp_path: Path) -> None:
    secrets = tmp_path / "secrets"
    secrets.mkdir(mode=0o700)
    (secrets / "demo-shop.env").touch(mode=0o600)
    (secrets / "demo-shop.env").write_text("SHOP_DB_PASSWORD=not-a-real-one\n")
    config = tmp_path / "reconciler.yaml"
    config.write_text(f"host: demo\nsource: {{url: {ROOT}}}\nstate: {tmp_path}/state\nsecrets_dir: {secrets}\n")
    command = [sys.executable, "-m", "reconciler", "--config", str(config), "--output", "json", "validate", str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["violations"]) == (0, [])
    assert [row["service"] for row in answer["budget"]["rows"]] == ["db", "proxy", "web"]
