"""`--adopt`: the plan follows from what runs, and a container that was replaced is reported."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

from reconciler.bootstrap import adoption, agent, linux, linux_facts
from reconciler.bootstrap.model import parse
from reconciler.bootstrap.places import Have
from reconciler.settings import load_settings
from tests.bootstrap.facts import WANTED, facts, names, plan
from tests.bootstrap.test_linux import FINISHED

ADOPT = replace(WANTED, adopt=True)
RUNS = Have(projects={"shop": "/home/me/shop", "tools": "/opt/tools"}, closed=("/home/me",))


def test_the_commit_from_what_runs_takes_the_place_of_the_empty_one() -> None:
    made = names(plan(facts(have=RUNS), ADOPT))
    assert "first-commit" not in made
    order = ("packages", "config", "way-1", "repository", "adopt", "service")
    assert [*order] == [name for name in made if name in order]
    install = next(change for change in plan(facts(have=RUNS), ADOPT).changes if change.name == "packages")
    assert "acl" in install.arguments["commands"][0]
    assert "adopt" not in names(plan(facts(have=RUNS)))


def test_without_projects_and_on_a_second_run_nothing_is_adopted() -> None:
    empty = plan(facts(), ADOPT)
    assert {"adopt", "first-commit"} & {*names(empty)} == {"first-commit"}
    assert any("nothing is adopted" in note for note in empty.notes)
    config = {**(FINISHED.have.config or {}), "adopt": ["shop", "tools"]}
    again = plan(replace(FINISHED, have=replace(FINISHED.have, projects=RUNS.projects, config=config)), ADOPT)
    assert (names(again), again.refusals) == ([], ())
    later = plan(replace(FINISHED, have=replace(FINISHED.have, projects={"new": "/srv/new"})), ADOPT)
    assert names(later) == []
    assert any(note.startswith("new: runs on this machine and is not adopted") for note in later.notes)


def test_an_existing_config_gets_the_consent_or_is_refused() -> None:
    have = replace(FINISHED.have, commit=False, projects=RUNS.projects)
    added = plan(replace(FINISHED, have=have), ADOPT)
    assert names(added) == ["consent", "adopt", "service"]
    consent = next(change for change in added.changes if change.name == "consent")
    assert 'adopt: ["shop", "tools"]' in consent.arguments["commands"][0]
    other = replace(have, config={**(have.config or {}), "adopt": ["old"]})
    [refusal] = plan(replace(FINISHED, have=other), ADOPT).refusals
    assert 'adopt: ["old", "shop", "tools"]' in refusal.hint


def test_the_consent_is_a_line_of_its_own(tmp_path: Path) -> None:
    config = tmp_path / "reconciler.yaml"
    places = replace(linux.places(ADOPT), config=str(config))
    have = replace(FINISHED.have, commit=False, projects=RUNS.projects)
    consent = next(item for item in adoption.before(places, have, ADOPT) if item.name == "consent")
    for there in ("trust: owner", "trust: owner\n"):
        config.write_text(there)
        subprocess.run(["sh", "-c", consent.arguments["commands"][0]], check=True)
        assert config.read_text() == 'trust: owner\nadopt: ["shop", "tools"]\n'


def test_the_config_with_consent_is_valid(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    path = tmp_path / "reconciler.yaml"
    path.write_bytes(agent.config(linux.places(ADOPT), ADOPT, adoption.consent(RUNS, ADOPT)))
    path.chmod(0o640)
    assert load_settings(str(path), {}).adopt == ("shop", "tools")


def test_a_remote_repository_gets_one_to_fetch_from() -> None:
    remote = replace(ADOPT, repository="https://forge.example/me/home.git")
    made = plan(facts(have=RUNS), remote)
    commands = next(change for change in made.changes if change.name == "adopt").arguments["commands"]
    assert "/srv/git/adopted.git" in commands[0]
    assert "adopt" not in names(plan(facts(have=replace(RUNS, adopted=True)), remote))


def test_the_script_is_one_for_sh() -> None:
    for wanted in (ADOPT, replace(ADOPT, repository="https://forge.example/me/home.git")):
        change = adoption.commit(linux.places(wanted), RUNS, wanted)
        subprocess.run(["sh", "-n", "-c", change.arguments["commands"][0]], check=True)


def test_a_container_that_was_replaced_is_reported() -> None:
    one, two = "1 2026-11-29T14:00:00Z shop /shop-web-1", "2 2026-11-29T14:00:00Z tools /tools-tool-1"
    found = adoption.kept(f"{one}\n{two}", f"{two}\n{one}\n", frozenset({"shop", "tools"}))
    assert (found.ok, found.message == "2 containers of shop, tools: none was restarted") == (True, True)
    assert adoption.kept(f"{one}\n{two}", one, frozenset({"shop"})).ok
    lost = adoption.kept(one, one.replace("14:00", "14:01"), frozenset({"shop"}))
    assert (lost.ok, "shop-web-1" in lost.message) == (False, True)
    assert adoption.kept("", one, frozenset({"shop"})).ok is None


def test_projects_are_read_from_lines() -> None:
    have = linux_facts.have(parse("project=shop /home/me/my shop\nclosed=/home/me\nclosed=/home/me\nadopted=yes\n"))
    assert (have.projects, have.closed, have.adopted) == ({"shop": "/home/me/my shop"}, ("/home/me",), True)
