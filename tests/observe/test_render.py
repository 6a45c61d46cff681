"""Compose sees the commit and the operator's values, and nothing else of the machine. With every installed Compose
version."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.confine import can_confine
from reconciler.errors import Transient
from reconciler.model.documents import StackDocument
from reconciler.model.outcome import Reason
from reconciler.model.rendered import Rendered
from reconciler.observe.render import LARGEST_FILE, ComposeRenderer
from reconciler.observe.secrets import SecretStore
from reconciler.process import ProcessTimeout
from tests.commits import CommitFiles
from tests.e2e.host import eventually

STACK = StackDocument("shop", ("compose.yaml",))
AWKWARD = st.text(alphabet="\\'\"$#{}= \n\r\tabn0x1é\u2028\ufeff", max_size=12)
VALUES = AWKWARD | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)


@pytest.fixture
def secrets_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "secrets"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture
def renderer(compose_binary: Path, tmp_path: Path, secrets_dir: Path) -> Iterator[ComposeRenderer]:
    renderer = ComposeRenderer(str(compose_binary), tmp_path / "render", SecretStore(secrets_dir))
    yield renderer
    renderer.close()
    assert list((tmp_path / "render").glob("*")) == []


def put_secret(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.parent.mkdir(exist_ok=True, mode=0o700)
    path.write_text(text)
    path.chmod(0o600)


def compose(text: str) -> str:
    return textwrap.dedent(text)


def one_service(**keys: Any) -> str:
    return json.dumps({"services": {"web": {"image": "x", **keys}}})


def rendered(renderer: ComposeRenderer, files: Mapping[str, Any], stack: StackDocument = STACK) -> Rendered:
    answer = renderer.begin(CommitFiles(files), stack, files)()
    assert answer.violations == ()
    return answer


def environment(renderer: ComposeRenderer, files: Mapping[str, Any], stack: StackDocument = STACK) -> dict[str, Any]:
    found: dict[str, Any] = rendered(renderer, files, stack).model["services"]["web"]["environment"]
    return found


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(VALUES, min_size=10, max_size=25))
def test_every_value_arrives_byte_for_byte(renderer: ComposeRenderer, values: list[str]) -> None:
    env = {f"V{n}": value for n, value in enumerate(values)}
    text = one_service(environment={name: f"${{{name}}}" for name in env})
    assert environment(renderer, {"compose.yaml": text}, StackDocument("shop", ("compose.yaml",), env=env)) == env


def test_the_nearest_value_wins(renderer: ComposeRenderer, secrets_dir: Path) -> None:
    put_secret(secrets_dir, "shop/A", "from a file\n")
    put_secret(secrets_dir, "shop.env", "A=from the env file\nB=from the env file\n")
    files = {
        ".env": "A=committed\nB=committed\nC=committed\nD=committed-$B\n"
        "COMPOSE_PROJECT_NAME=shop\nE=${COMPOSE_PROJECT_NAME}_e",
        "compose.yaml": one_service(environment={name: f"${{{name}}}" for name in "ABCDE"}),
    }
    stack = StackDocument("shop", ("compose.yaml",), env={"A": "stack", "B": "stack", "C": "stack"})
    answer = rendered(renderer, files, stack)
    assert answer.model["services"]["web"]["environment"] == {
        "A": "from a file",
        "B": "from the env file",
        "C": "stack",
        "D": "committed-from the env file",
        "E": "shop_e",
    }
    assert not answer.violations
    assert answer.secrets.keys() == {"A", "B"}
    assert answer.variables["C"] == "stack"


def test_nothing_of_our_own_environment_is_read(renderer: ComposeRenderer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"CANARY": "leak", "COMPOSE_PROFILES": "extra", "COMPOSE_FILE": "other.yaml"}.items():
        monkeypatch.setenv(name, value)
    names = ("CANARY", "PATH", "PWD", "USER", "COMPOSE_PROFILES")
    services = {
        "web": {"image": "x", "environment": {**{name: f"${{{name}}}" for name in names}, "BARE": None, "HOME": None}},
        "extra": {"image": "x", "profiles": ["extra"]},
    }
    model = rendered(renderer, {"compose.yaml": json.dumps({"services": services})}).model
    assert list(model["services"]) == ["web"]
    expected = {**dict.fromkeys(names, ""), "BARE": None, "HOME": None}
    assert model["services"]["web"]["environment"] == expected


def test_names_without_a_value_are_not_set_from_what_compose_was_given(renderer: ComposeRenderer) -> None:
    names = ["HOME", "PATH", "DOCKER_HOST", "DOCKER_CONFIG", "COMPOSE_EXPERIMENTAL_GIT_REMOTE", "TERM"]
    found = environment(renderer, {"compose.yaml": one_service(environment=names)})
    assert found == dict.fromkeys(names)
    own = environment(renderer, {"compose.yaml": one_service(environment=["HOME"]), ".env": "HOME=/root"})
    assert own == {"HOME": "/root"}


def test_what_the_scan_might_miss_the_kernel_refuses(renderer: ComposeRenderer, tmp_path: Path) -> None:
    """These commits are not scanned before Compose gets them."""
    if not can_confine():
        pytest.skip("this kernel has no Landlock")
    for name, text in (("x.env", "A=of-the-host\n"), ("x.yaml", "services: {a: {image: of-the-host}}\n")):
        (tmp_path / name).write_text(text)
    for written in (
        one_service(env_file=f"{tmp_path}/x.env"),
        one_service(env_file=[{"path": "../../../x.env", "required": False}]),
        one_service(extends={"file": f"{tmp_path}/x.yaml", "service": "a"}),
        json.dumps({"include": [f"{tmp_path}/x.yaml"]}),
    ):
        answer = renderer.begin(CommitFiles({"compose.yaml": written}), STACK, ["compose.yaml"])()
        assert "of-the-host" not in f"{answer.model}{answer.violations}"


def test_an_argument_of_a_build_gets_no_value_of_ours(renderer: ComposeRenderer) -> None:
    build = {"context": ".", "args": ["HOME", "DOCKER_HOST", "PATH", "OTHER=/nonexistent"]}
    model = rendered(renderer, {"compose.yaml": one_service(build=build), "Dockerfile": "FROM x"}).model
    assert model["services"]["web"]["build"]["args"] == {"OTHER": "/nonexistent"}


def test_a_home_of_the_stack_s_own(renderer: ComposeRenderer) -> None:
    stack = StackDocument("shop", ("compose.yaml",), env={"HOME": "/srv", "PWD": "/here", "PATH": "/bin"})
    text = one_service(environment={name: f"${{{name}}}" for name in stack.env})
    assert environment(renderer, {"compose.yaml": text}, stack) == stack.env


def test_the_tilde_is_no_home_of_ours(renderer: ComposeRenderer) -> None:
    model = rendered(renderer, {"compose.yaml": one_service(volumes=["~/x:/x"])}).model
    assert model["services"]["web"]["volumes"][0]["source"] == "/nonexistent/x"


def test_a_committed_dotenv_cannot_steer_compose(renderer: ComposeRenderer) -> None:
    files = {
        ".env": "COMPOSE_FILE=evil.yaml\nCOMPOSE_PROJECT_NAME=evil\nCOMPOSE_PROFILES=evil\nDOCKER_HOST=tcp://evil\n",
        "evil.yaml": one_service(privileged=True),
        "compose.yaml": one_service(),
    }
    answer = renderer.begin(CommitFiles(files), STACK, files)()
    assert [(item.path, item.line) for item in answer.violations] == [(".env", line) for line in (1, 2, 4)]
    assert answer.model == {}


@pytest.mark.parametrize("name", ["COMPOSE_PROFILES", "DOCKER_HOST", "A B", "1A", ""])
def test_names_that_compose_would_not_take_as_data(renderer: ComposeRenderer, name: str) -> None:
    stack = StackDocument("shop", ("compose.yaml",), env={name: "x"}, line=7)
    (violation,) = renderer.begin(CommitFiles({"compose.yaml": one_service()}), stack, ["compose.yaml"])().violations
    assert (violation.rule, violation.line) == ("reserved-variable", 7)


def test_a_dollar_stands_for_itself(renderer: ComposeRenderer) -> None:
    text = one_service(environment={"A": "a$$b", "$": "$$$$"}, command=["echo", "$${HOME}"])
    service = rendered(renderer, {"compose.yaml": text}).model["services"]["web"]
    assert (service["environment"], service["command"]) == ({"A": "a$b", "$": "$$"}, ["echo", "${HOME}"])


def test_files_profiles_and_folders(renderer: ComposeRenderer) -> None:
    files = {
        "stacks/shop/compose.yaml": compose("""
            services:
              web:
                image: x
                env_file: web.env
                volumes: ["./conf:/conf", "data:/data"]
                secrets: [token]
              debug: {image: y, profiles: [debug]}
            secrets: {token: {environment: TOKEN}}
            configs: {motd: {content: "hello $NAME"}}
            volumes: {data: {}}
            """),
        "stacks/shop/web.env": "GREETING=hello ${NAME}\n",
        "stacks/shop/.env": "NAME=world\n",
        "stacks/more.yaml": compose("services: {web: {labels: {more: yes}, configs: [motd]}}"),
        ".env": "NAME=wrong\n",
    }
    stack = StackDocument("shop", ("stacks/shop/compose.yaml", "stacks/more.yaml"), profiles=("debug",))
    answer = rendered(renderer, files, stack)
    web = answer.model["services"]["web"]
    assert set(answer.model["services"]) == {"web", "debug"}
    assert web["environment"] == {"GREETING": "hello world"}
    assert web["labels"] == {"more": "yes"}
    assert web["volumes"][0]["source"] == f"{answer.root}/stacks/shop/conf"
    assert answer.model["configs"]["motd"]["content"] == "hello world"
    assert answer.model["secrets"]["token"]["environment"] == "TOKEN"
    assert (answer.model["name"], answer.model["volumes"]["data"]["name"]) == ("shop", "shop_data")


def test_the_same_commit_is_laid_out_once(renderer: ComposeRenderer) -> None:
    files = CommitFiles({"compose.yaml": one_service(), "other.yaml": one_service()})
    roots = {
        renderer.begin(files, StackDocument(name, (f"{name}.yaml",)), [f"{name}.yaml"])().root
        for name in ("compose", "other")
    }
    assert len(roots) == 1
    again = CommitFiles({"compose.yaml": one_service()})
    assert renderer.begin(again, STACK, ["compose.yaml"])().root not in roots
    assert not any(Path(root).exists() for root in roots)


def test_links_and_large_files_are_not_there(renderer: ComposeRenderer) -> None:
    files: dict[str, str | bytes] = {
        "link.env": "/etc/os-release",
        "large.env": b"A=" + b"x" * LARGEST_FILE,
        "compose.yaml": "",
    }
    for name in ("link.env", "large.env"):
        text = one_service(env_file=[name])
        commit = CommitFiles({**files, "compose.yaml": text}, {"link.env": "120000"})
        answer = renderer.begin(commit, STACK, commit.contents)()
        assert [(item.reason, item.path) for item in answer.violations] == [(Reason.FILE_MISSING, name)]


REJECTED = {
    "unknown key": ("services: {web: {image: x, foo: 1}}", Reason.SCHEMA_INVALID, None, "/services/web/foo"),
    "yaml": ("services:\n  web:\n   image: x\n  db: [\n", Reason.PARSE_FAILED, 4, None),
    "twice": ("services:\n  web:\n    image: x\n    image: y\n", Reason.PARSE_FAILED, 4, None),
    "no image": ("services: {web: {}}", Reason.SCHEMA_INVALID, None, "/services/web"),
    "undefined": ("services: {web: {image: x, depends_on: [db]}}", Reason.SCHEMA_INVALID, None, "/services/web"),
    "size": ("services: {web: {image: x, mem_limit: lots}}", Reason.SCHEMA_INVALID, None, "/services/web/mem_limit"),
    "cast": ("services: {web: {image: x, cpus: lots}}", Reason.SCHEMA_INVALID, None, "/services/web/cpus"),
    "required": ('services: {web: {image: "${X:?say}"}}', Reason.SCHEMA_INVALID, None, "/services/web/image"),
    "empty": ("", Reason.PARSE_FAILED, None, None),
    "remote": ('include: ["https://github.com/x/y.git"]', Reason.SCHEMA_INVALID, None, None),
    "artifact": ('include: ["oci://localhost/x"]', Reason.SCHEMA_INVALID, None, None),
    "cycle": (
        "services: {a: {image: x, depends_on: [b]}, b: {image: x, depends_on: [a]}}",
        Reason.SCHEMA_INVALID, None, "/services/a/depends_on",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REJECTED)
def test_what_compose_rejects_is_a_violation_with_its_place(renderer: ComposeRenderer, case: str) -> None:
    text, reason, line, pointer = REJECTED[case]
    stack = StackDocument("shop", ("a/compose.yaml",))
    answer = renderer.begin(CommitFiles({"a/compose.yaml": text}), stack, stack.files)()
    (violation,) = answer.violations
    assert (violation.reason, violation.path, violation.stack) == (reason, "a/compose.yaml", "shop")
    assert (violation.line, violation.pointer) == (line, pointer)
    assert answer.root not in violation.message
    assert answer.model == {}


def test_a_mistake_in_another_file_is_placed_there(renderer: ComposeRenderer) -> None:
    files = {"compose.yaml": "include: [more/db.yaml]", "more/db.yaml": "services: {db: {image: x, foo: 1}}"}
    (violation,) = renderer.begin(CommitFiles(files), STACK, files)().violations
    assert (violation.path, violation.service) == ("more/db.yaml", "db")


def stand_in(tmp_path: Path, script: str, timeout: float = 10) -> ComposeRenderer:
    """A renderer with a program of our own in Compose's place."""
    program = tmp_path / "docker-compose"
    program.write_text(f'#!/bin/sh\nif [ "$1" = version ]; then echo "${{VERSION:-2.26.1}}"; exit; fi\n{script}\n')
    program.chmod(0o755)
    secrets = SecretStore(tmp_path / "secrets")
    return ComposeRenderer(str(program), tmp_path / "render", secrets, timeout=timeout, work=1)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a parent bound its child")
def test_a_stack_that_is_too_much_work_is_refused(tmp_path: Path, secrets_dir: Path) -> None:
    renderer = stand_in(tmp_path, "while :; do :; done")
    (violation,) = renderer.begin(CommitFiles({"compose.yaml": ""}), STACK, STACK.files)().violations
    assert (violation.rule, violation.path, violation.stack) == ("too-complex", "compose.yaml", "shop")


def test_a_machine_that_has_no_time_quarantines_nothing(tmp_path: Path, secrets_dir: Path) -> None:
    with pytest.raises(ProcessTimeout):
        stand_in(tmp_path, "exec sleep 9", timeout=0.5).begin(CommitFiles({"compose.yaml": ""}), STACK, STACK.files)()


def test_several_stacks_are_rendered_at_the_same_time(tmp_path: Path, secrets_dir: Path) -> None:
    """Each waits until the other one runs."""
    script = f"""
      echo $$ > {tmp_path}/$2.begun
      while ! [ -s {tmp_path}/one.begun ] || ! [ -s {tmp_path}/two.begun ]; do sleep 0.05; done
      echo '{{"services": {{"'$2'": {{}}}}}}'"""
    renderer, files = stand_in(tmp_path, script), CommitFiles({"compose.yaml": ""})
    stacks = [StackDocument(name, ("compose.yaml",)) for name in ("one", "two")]
    begun = [renderer.begin(files, stack, stack.files) for stack in stacks]
    assert [list(finish().model["services"]) for finish in begun] == [["one"], ["two"]]


def test_what_was_begun_ends_with_the_files(tmp_path: Path, secrets_dir: Path) -> None:
    put_secret(secrets_dir, "shop/TOKEN", "hunter2")
    renderer = stand_in(tmp_path, f"echo $$ > {tmp_path}/pid; exec sleep 60")
    renderer.begin(CommitFiles({"compose.yaml": ""}), STACK, STACK.files)
    eventually(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip())
    renderer.close()
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists()
    assert list((secrets_dir / ".scratch").iterdir()) == []


def test_secrets_stay_out_of_the_state_folder(tmp_path: Path, secrets_dir: Path) -> None:
    put_secret(secrets_dir, "shop/TOKEN", "hunter2")
    seen = tmp_path / "seen"
    renderer = stand_in(tmp_path, f"/bin/grep -rl hunter2 {tmp_path}/render {secrets_dir} > {seen}; echo '{{}}'")
    renderer.begin(CommitFiles({"compose.yaml": ""}), STACK, STACK.files)()
    of_the_host = set() if can_confine() else {secrets_dir / "shop"}
    assert {Path(line).parent for line in seen.read_text().splitlines()} == {secrets_dir / ".scratch"} | of_the_host
    assert list((secrets_dir / ".scratch").iterdir()) == []


def test_a_compose_that_is_too_old(tmp_path: Path, secrets_dir: Path) -> None:
    renderer = stand_in(tmp_path, "exit 0")
    program = tmp_path / "docker-compose"
    program.write_text(program.read_text().replace("2.26.1", "2.19.1"))
    with pytest.raises(Transient, match=r"2\.19\.1"):
        renderer.begin(CommitFiles({"compose.yaml": ""}), STACK, STACK.files)()


def test_a_compose_that_is_killed_quarantines_nothing(tmp_path: Path, secrets_dir: Path) -> None:
    with pytest.raises(Transient, match="shop"):
        stand_in(tmp_path, "kill -9 $$").begin(CommitFiles({"compose.yaml": ""}), STACK, STACK.files)()


def test_only_what_is_named_is_laid_out(tmp_path: Path, secrets_dir: Path) -> None:
    seen = tmp_path / "seen"
    renderer = stand_in(tmp_path, f"/usr/bin/find {tmp_path}/render -type f > {seen}; echo '{{}}'")
    files = CommitFiles({"a/compose.yaml": "", "a/app.env": "", "a/page.html": "", "b/other.yaml": ""})
    stack = StackDocument("shop", ("a/compose.yaml",))
    answer = renderer.begin(files, stack, ["a/compose.yaml", "a/app.env"])()
    root = Path(answer.root)
    assert {Path(line) for line in seen.read_text().splitlines()} == {
        root / "a/compose.yaml",
        root / "a/app.env",
        root.parent / "shop.env",
    }
    renderer.close()
    assert list((tmp_path / "render").iterdir()) == []
