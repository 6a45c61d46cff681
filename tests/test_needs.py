"""What `validate --grants` prints, pasted where it says, makes the commit valid. With real Compose."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from reconciler.decide.redact import Redactor
from reconciler.effects import Effects
from reconciler.errors import Usage
from reconciler.observe.folder import FolderFiles
from reconciler.output import masked
from reconciler.record.text import Style, render
from reconciler.settings import load_settings
from reconciler.verbs.validate import validate_files
from reconciler.wiring.reading import Reading
from tests.corpus.public import newest_compose
from tests.test_permissions import HOME, OBJECTS

PROXY = {
    "services": {"edge": {"image": "edge:1", "networks": ["front", "back"]}},
    "networks": {"front": {"name": "front"}, "back": {}},
    "volumes": {"shared": {"name": "shared"}},
}
MEDIA = {
    "services": {
        "films": {"image": "films:1", "volumes": ["/mnt/nas/films:/films", "/mnt/nas/in:/in"], "networks": ["web"]},
        "music": {"image": "music:1", "volumes": ["/mnt/nas/music:/music", "${DATA}:/data"], "networks": ["web"]},
        "usage": {
            "image": "usage:1",
            "command": ["--words", "${TOKEN:?of the NAS}", "x: 'y' \"z\"\n\t# no comment"],
            "environment": {"TOKEN": "${TOKEN}", "LANG": "en"},
            "pid": "host",
            "privileged": True,
            "cap_add": ["SYS_ADMIN", "SYS_PTRACE", "NET_ADMIN"],
            "volumes": ["/:/host:ro", "/dev/disk:/disk:ro", "/etc/x y:/x:ro", "shared:/shared"],
        },
    },
    "networks": {"web": {"name": "front", "external": True}, "lan": {"name": "lan", "external": True}},
    "volumes": {"shared": {"external": True, "name": "shared"}},
}
COMMITS: dict[str, dict[str, Any]] = {
    "a home": {"home": {"services": HOME, **OBJECTS}},
    "stacks that lend": {"proxy": PROXY, "media": MEDIA},
    "names alone": {"one": {"services": {"a": {"image": "a:1", "command": "${A:?} $B"}}}},
    "nothing": {"proxy": PROXY},
}


class Commits:
    """A repository, an agent config and secrets, and what `validate --grants` says of them as text."""

    def __init__(self, base: Path, stacks: dict[str, Any]) -> None:
        self.repository, self.config = base / "repository", base / "agent" / "reconciler.yaml"
        self.secrets, self.base = base / "secrets", base
        for folder in (self.repository / "desired-state", self.config.parent, self.secrets):
            folder.mkdir(parents=True, mode=0o700)
        (self.repository / "proxy.toml").write_text("x")
        for name, model in stacks.items():
            (self.repository / f"{name}.yaml").write_text(json.dumps(model))
        self.stacks = [{"name": name, "files": [f"{name}.yaml"]} for name in stacks]
        self.settings: dict[str, Any] = {}

    def validate(self) -> tuple[int, list[str], dict[str, Any]]:
        """Exit code, the lines for people at 80 columns, and the document."""
        document = {"apiVersion": "reconciler/v1", "kind": "Host", "metadata": {"name": "mini"}}
        text = json.dumps({**document, "spec": {"stacks": self.stacks}})
        (self.repository / "desired-state" / "mini.yaml").write_text(text)
        usual = {"host": "mini", "source": {"url": str(self.repository)}, "state": str(self.base / "state")}
        paths = {"compose": str(newest_compose()), "secrets_dir": str(self.secrets)}
        self.config.write_text(json.dumps({**usual, **paths, **self.settings}))
        self.config.chmod(0o600)
        given = load_settings(str(self.config), os.environ)
        preparer = Reading(given, Redactor(), os.environ, Effects()).preparer(self.base / "render", "mini", True)
        code, found = validate_files(FolderFiles(self.repository), "", "mini", True, lambda *_: preparer, grants=True)
        return code, render(masked(found, Redactor()), Style(), 0).splitlines(), dict(found)

    def paste(self, lines: list[str], fill: Callable[[str], str]) -> None:
        """Each block to where its first line says. `fill` writes the reasons."""
        for block in re.split(r"\n\n", "\n".join(lines)):
            heading, _, body = block.partition("\n")
            if heading.startswith("# In the agent's config"):
                self.settings |= yaml.safe_load(fill(body))
            elif export := re.fullmatch(r"# In the Host document, at the stack (.*):", heading):
                next(item for item in self.stacks if item["name"] == export[1]).update(yaml.safe_load(body))
            elif names := re.fullmatch(r"# In <secrets_dir>/(.*), with their values:", heading):
                (self.secrets / names[1]).touch(mode=0o600)
                (self.secrets / names[1]).write_text(re.sub("=$", "=/srv/value", body, flags=re.MULTILINE))


@pytest.mark.parametrize("name", COMMITS)
def test_what_is_printed_makes_the_commit_valid_where_it_is_pasted(tmp_path: Path, name: str) -> None:
    commits = Commits(tmp_path, COMMITS[name])
    code, lines, document = commits.validate()
    assert document["needs"]["others"] == []
    if document["needs"]["variables"]:
        commits.paste(lines, str)
        code, lines, document = commits.validate()
        assert document["needs"]["variables"] == []
    if document["needs"]["grants"]:
        commits.paste(lines, str)
        with pytest.raises(Usage):
            commits.validate()
        commits.paste(lines, lambda text: text.replace('reason: ""', "reason: tested"))
        code, lines, document = commits.validate()
    assert (code, document["valid"], lines) == (0, True, lines[-1:])
    assert document["needs"] == {"grants": [], "binds": [], "exports": [], "variables": [], "others": []}
