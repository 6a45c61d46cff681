"""Public stacks that plain Compose has started: adopted without a restart, changed in one service, reverted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
import yaml

from tests.corpus.life import PublicStack, leave
from tests.corpus.public import needs_corpus, newest_compose
from tests.corpus.stacks import STACKS
from tests.e2e.host import new_host
from tests.e2e.project import Project

# The first of these tests builds the images.
pytestmark = [needs_corpus, pytest.mark.engine, pytest.mark.timeout(1500)]

ALWAYS = ("flask-redis", "gitea-postgres", "nginx-golang-postgres", "prometheus-grafana")
BESIDES = (
    "apache-php", "django", "elasticsearch-logstash-kibana", "nextcloud-redis-mariadb", "nginx-flask-mysql",
    "nginx-nodejs-redis", "postgresql-pgadmin", "react-express-mongodb", "traefik-golang",
)  # fmt: skip
BY_NAME = {stack.name: stack for stack in STACKS}
CASES = [pytest.param(name, id=name, marks=[pytest.mark.soak] if name in BESIDES else []) for name in ALWAYS + BESIDES]


@pytest.fixture
def public(
    request: pytest.FixtureRequest, engine: docker.APIClient, public_images: None, tmp_path: Path
) -> Iterator[PublicStack]:
    with new_host(tmp_path, newest_compose()) as host:
        made = PublicStack(BY_NAME[request.param], host)
        made.needs_a_free_machine(engine)
        yield made


def started(public: PublicStack) -> Project:
    """The stack in a folder as it was published, running."""
    env = public.source.parent / ".env"
    files = {path.replace("/./", "/"): text for path, text in public.stack.beside().items()}
    files |= {public.source.name: public.published} | ({".env": env.read_text()} if env.exists() else {})
    project = Project(public.host, files)
    project.up(**public.stack.env)
    return project


def adopted(project: Project, public: PublicStack) -> None:
    """`init`, with the operator's entries for what the policies would deny."""
    made = project.init()
    assert (made.code, made["restarts"]) == (0, []), made.document
    document = project.folder / f"desired-state/{public.host.name}.yaml"
    written = json.loads(document.read_text())
    written["spec"]["stacks"][0]["env"] = dict(public.stack.env)
    document.write_text(json.dumps(written))
    config = yaml.safe_load(public.host.config.read_text())
    public.host.config.write_text(json.dumps(config | leave(public.stack)))


@pytest.mark.parametrize("public", CASES, indirect=True)
def test_a_public_stack_that_runs_must_be_adopted_without_a_restart(public: PublicStack) -> None:
    project = started(public)
    public.answers()
    before = project.lives()
    adopted(project, public)
    project.commit()
    first = project.once()
    assert (first.code, first["outcome"]) == (0, "Succeeded"), first.document
    assert project.lives() == before
    assert project.once()["effects"] == 0

    project.commit({public.source.name: public.changed()})
    second = project.once()
    assert (second.code, second["outcome"]) == (0, "Succeeded"), second.document
    after = project.lives()
    assert [name for name in before if after.get(name) != before[name]] == [public.name(public.stack.change)]
    public.answers()

    project.revert()
    third = project.once()
    assert (third.code, third["outcome"]) == (0, "Succeeded"), third.document
    again = project.lives()
    assert [name for name in before if again.get(name) != after[name]] == [public.name(public.stack.change)]
    public.answers()
    assert project.once()["effects"] == 0
