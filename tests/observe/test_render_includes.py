"""Relative paths in included and extended files mean the same as for Compose in a plain checkout."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from reconciler.decide.read.scan import scan
from reconciler.model.documents import StackDocument
from reconciler.observe.render import ComposeRenderer
from reconciler.observe.secrets import SecretStore
from tests.commits import CommitFiles

SERVICE = {
    "image": "x:${TAG:-none}",
    "volumes": ["./data:/data", "../up:/up:ro"],
    "env_file": ["app.env"],
    "build": {"context": "./src", "dockerfile": "Dockerfile", "additional_contexts": {"lib": "../lib"}},
    "configs": ["conf"],
}
PART: dict[str, Any] = {"services": {"part": SERVICE}, "configs": {"conf": {"file": "./conf.txt"}}}
MORE: dict[str, Any] = {"services": {"part": {"volumes": ["./more:/more"], "environment": {"A": "${TAG:-none}"}}}}
SMALL: dict[str, Any] = {"services": {"part": {"image": "x", "volumes": ["./data:/data"], "build": "./src"}}}
EMPTY: dict[str, Any] = {"services": {"main": {"image": "y:${TAG:-none}", "volumes": ["./own:/own"]}}}
ENV = dict.fromkeys(
    ("app.env", "common/app.env", "common/deep/app.env", "stack/app.env", "stack/in/app.env", "base/app.env"), "E=1\n"
)
UNREAD = {"common/README": "x", "base/src/Dockerfile": "FROM x\n", "stack/in/notes": "x", "plain/notes": "x"}


def including(*entries: Any, **more: Any) -> dict[str, Any]:
    return {"include": list(entries), **EMPTY, **more}


def extending(file: str, service: str, name: str = "main", **more: Any) -> dict[str, Any]:
    return {"services": {name: {"extends": {"file": file, "service": service}, **more}}}


CASES: dict[str, dict[str, Any]] = {
    "a text": {"stack/compose.yaml": including("../common/compose.yaml"), "common/compose.yaml": PART},
    "a list of paths": {
        "stack/compose.yaml": including({"path": ["../common/compose.yaml", "../common/deep/more.yaml"]}),
        "common/compose.yaml": PART, "common/deep/more.yaml": MORE,
    },
    "a list that begins deeper": {
        "stack/compose.yaml": including({"path": ["../common/deep/compose.yaml", "../common/more.yaml"]}),
        "common/deep/compose.yaml": PART, "common/more.yaml": MORE,
    },
    "a folder inside": {
        "stack/compose.yaml": including({"path": "in/deep/compose.yaml", "project_directory": "in"}),
        "stack/in/deep/compose.yaml": PART,
    },
    "a folder outside with a .env": {
        "stack/compose.yaml": including({"path": "in/compose.yaml", "project_directory": "../common"}),
        "stack/in/compose.yaml": PART, "common/.env": "TAG=common\n", "stack/.env": "OTHER=1\n",
    },
    "a folder outside of which Compose reads nothing else": {
        "stack/compose.yaml": including({"path": "in/compose.yaml", "project_directory": "../plain"}),
        "stack/in/compose.yaml": SMALL,
    },
    "a folder of which all lies deeper": {
        "stack/compose.yaml": including({"path": "in/compose.yaml", "project_directory": "../base"}),
        "stack/in/compose.yaml": SMALL,
    },
    "a folder that is not there": {
        "stack/compose.yaml": including({"path": "in/compose.yaml", "project_directory": "../nowhere/deep"}),
        "stack/in/compose.yaml": {"services": {"part": {"image": "x", "volumes": ["./data:/data"]}}},
    },
    "the root": {
        "stack/compose.yaml": including({"path": "../common/compose.yaml", "project_directory": ".."}),
        "common/compose.yaml": SMALL,
    },
    "a folder by a variable": {
        "stack/compose.yaml": including({"path": "in/compose.yaml", "project_directory": "${WHERE}"}),
        "stack/in/compose.yaml": {"services": {"part": {"image": "x", "volumes": ["./data:/data"]}}},
        "stack/.env": "WHERE=../plain\n",
    },
    "one env file": {
        "stack/compose.yaml": including({"path": "../common/compose.yaml", "env_file": "../common/deep/one.env"}),
        "common/compose.yaml": PART, "common/deep/one.env": "TAG=one\n", "common/.env": "TAG=no\n",
    },
    "several env files": {
        "stack/compose.yaml": including(
            {"path": "../common/compose.yaml", "env_file": ["one.env", "../common/two.env"], "project_directory": "in"}
        ),
        "common/compose.yaml": PART, "stack/one.env": "TAG=one\nX=1\n", "common/two.env": "TAG=two-${X}\n",
    },
    "nested": {
        "stack/compose.yaml": including("../common/compose.yaml"),
        "common/compose.yaml": {
            "include": ["deep/compose.yaml"], "services": {"middle": {"image": "m", "volumes": ["./m:/m"]}},
        },
        "common/deep/compose.yaml": PART,
    },
    "nested with folders": {
        "stack/compose.yaml": including({"path": "../common/compose.yaml", "project_directory": "in"}),
        "common/compose.yaml": {
            "include": [{"path": "../../common/deep/compose.yaml", "project_directory": "../../plain"}],
            "services": {"middle": {"image": "m", "volumes": ["./m:/m"]}},
        },
        "common/deep/compose.yaml": {"services": {"part": {"image": "x", "volumes": ["./data:/data", "../up:/up"]}}},
    },
    "extended": {
        "stack/compose.yaml": {
            **extending("../common/compose.yaml", "part"), "configs": {"conf": {"file": "./conf.txt"}},
        },
        "common/compose.yaml": PART,
    },
    "extended twice": {
        "stack/compose.yaml": extending("../common/compose.yaml", "middle"),
        "common/compose.yaml": extending("deep/compose.yaml", "part", "middle", volumes=["./m:/m"], env_file="app.env"),
        "common/deep/compose.yaml": SMALL,
    },
    "included and extended": {
        "stack/compose.yaml": including({"path": "in/compose.yaml", "project_directory": "../base"}),
        "stack/in/compose.yaml": extending("../common/deep/x.yaml", "part", "part"),
        "common/deep/x.yaml": SMALL,
    },
    "two files of the stack": {
        "stack/compose.yaml": EMPTY, "stack/in/more.yaml": including("../common/compose.yaml"),
        "common/compose.yaml": PART,
    },
}  # fmt: skip


def text(content: Any) -> str:
    return content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False)


def plain(compose: Path, folder: Path, files: Sequence[str]) -> Any:
    """Compose's model in a checkout, started as a person starts it; None where it refuses."""
    named = [part for path in files for part in ("-f", os.path.relpath(folder / path, folder / "stack"))]
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}
    done = subprocess.run(
        [str(compose), "-p", "shop", *named, "config", "--format", "json"], cwd=folder / "stack", env=environment,
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    return json.loads(done.stdout.replace(str(folder), "ROOT")) if done.returncode == 0 else None


@pytest.mark.parametrize("name", CASES)
def test_paths_are_those_of_a_plain_checkout(compose_binary: Path, tmp_path: Path, name: str) -> None:
    contents = {path: text(content) for path, content in {**ENV, **UNREAD, **CASES[name]}.items()}
    checkout = tmp_path / "checkout"
    for path, content in contents.items():
        (checkout / path).parent.mkdir(parents=True, exist_ok=True)
        (checkout / path).write_text(content)
    used = [path for path in ("stack/compose.yaml", "stack/in/more.yaml") if path in contents]
    files = CommitFiles(contents)
    stack = StackDocument("shop", tuple(used))
    found = scan(files, stack, {})
    renderer = ComposeRenderer(str(compose_binary), tmp_path / "render", SecretStore(None))
    try:
        one = renderer.begin(files, stack, found.named)()
    finally:
        renderer.close()

    expected = plain(compose_binary, checkout, used)
    ours = json.loads(json.dumps(one.model).replace(one.root, "ROOT")) if one.model else None
    assert expected is not None
    assert ours == expected, one.violations
