"""`validate --file` on stacks of other people: Compose's result without policies, named rules with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.formats.rules import rules
from tests.corpus.oracle import compose_says, denied, validated, validation
from tests.corpus.public import FOLDERS, copied, needs_corpus, newest_compose

pytestmark = needs_corpus

REFUSED = {
    "minecraft": {"absolute-bind"},
    "pihole-cloudflared-DoH": {"absolute-bind", "capability", "network-subnet"},
    "plex": {"absolute-bind", "host-namespace"},
    "portainer": {"docker-socket"},
    "traefik-golang": {"docker-socket"},
    "wireguard": {"absolute-bind", "capability"},
}


def test_there_are_39_stacks() -> None:
    assert len(FOLDERS) == 39
    assert set(REFUSED) < set(FOLDERS)


@pytest.mark.parametrize("name", FOLDERS)
def test_without_policies_it_must_agree_with_compose(name: str, tmp_path: Path, compose_binary: Path) -> None:
    file = copied(name, tmp_path)
    document = validation(compose_binary, file)
    assert compose_says(compose_binary, file).valid
    assert denied(document) == []
    assert document["valid"]
    assert {row["service"] for row in document["budget"]["rows"]}


@pytest.mark.parametrize("name", FOLDERS)
def test_each_refusal_must_name_its_rule_and_its_place(name: str, tmp_path: Path) -> None:
    file = copied(name, tmp_path)
    code, document = validated(newest_compose(), file)
    expected = REFUSED.get(name, set())
    assert {item["rule"] for item in denied(document)} == expected
    assert (code, document["valid"]) == ((1, False) if expected else (0, True))
    lines = file.read_text().splitlines()
    for item in document["violations"]:
        assert item["rule"] in rules()
        assert item["path"] == file.name
        assert item["hint"]
        assert lines[item["line"] - 1][item["column"] - 1 :].strip(), item
