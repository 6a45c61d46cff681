"""The script of `completion`, in a real bash."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from reconciler.verbs.completion import bash
from tests.hooks.tool import ROOT, script


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        (["sta"], ["status"]),
        (["--on", ""], ["mini", "nas"]),
        (["status", "--on", "m"], ["mini"]),
        (["--on", "mini", "hoo"], ["hooks"]),
        (["hooks", "inst"], ["install"]),
        (["hooks", "install", "--re"], ["--repo"]),
        (["--on", "mini", "deploy", "--d"], ["--dirty"]),
        (["uninstall", "--level", ""], ["agent", "containers", "state"]),
        (["--output", "j"], ["json"]),
    ],
    ids=" ".join,
)
def test_words_that_can_follow_are_offered(tmp_path: Path, typed: list[str], offered: list[str]) -> None:
    if shutil.which("bash") is None:
        pytest.skip("bash is not installed")
    program = f'PYTHONPATH={ROOT} exec {sys.executable} -m reconciler "$@"'
    script(tmp_path / "bin/reconciler", program)
    hosts = tmp_path / ".config/reconciler/hosts.yaml"
    hosts.parent.mkdir(parents=True)
    hosts.write_text("hosts: [{name: mini, ssh: mini}, {name: nas, ssh: nas}]\n")
    words = " ".join(f"'{word}'" for word in ["reconciler", *typed])
    asked = f'{bash()}\nCOMP_WORDS=({words}); COMP_CWORD={len(typed)}; _reconciler; printf "%s\\n" "${{COMPREPLY[@]}}"'
    environment = {"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin", "HOME": str(tmp_path)}
    done = subprocess.run(["bash", "-c", asked], capture_output=True, text=True, env=environment, timeout=60)
    assert (done.stderr, sorted(done.stdout.split())) == ("", offered)
