"""The projects that `init` takes from a folder: their names, files and profiles are those of running projects."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.formats.compose_names import ComposeFolder
from reconciler.model.observed import Container, Started
from reconciler.observe.folder import FolderFiles
from reconciler.observe.project import compose_folder, find_folders
from reconciler.verbs.init_projects import Choice, choose, with_profiles

COMPOSE = "services:\n  web: {image: nginx}\n"
PROFILES = """services:
  web: {image: nginx}
  debug: {image: nginx, profiles: [tools, all]}
  trace: {image: nginx, profiles: [tools]}
  seed: {image: nginx, profiles: ["${NAME:-once}"]}
"""


def folder(root: Path, **files: str) -> Path:
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("_yml", ".yml").replace("_env", ".env")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def chosen(root: Path, *started: Started) -> Choice:
    def look(path: Path) -> ComposeFolder:
        return compose_folder(path)

    return choose(root, find_folders(root), started, look, FolderFiles(root), "")


def names(choice: Choice) -> dict[str, tuple[str, ...]]:
    return {item.name: item.files for item in choice.projects}


@pytest.mark.parametrize(
    ("files", "name"),
    [
        ({"compose_yml": COMPOSE}, "myshop"),
        ({"compose_yml": "name: pages\n" + COMPOSE}, "pages"),
        ({"compose_yml": "name: Pages\n" + COMPOSE}, "pages"),
        ({"compose_yml": "name: pages-${X}\n" + COMPOSE}, "myshop"),
        ({"compose_yml": "x-a: &a {b: 1}\nname: pages\n" + COMPOSE}, "pages"),
        ({"compose_yml": "name: pages\n" + COMPOSE, "_env": "COMPOSE_PROJECT_NAME=paperless\n"}, "paperless"),
        ({"docker-compose_yml": COMPOSE, "_env": "COMPOSE_PROJECT_NAME='Paper Less'\n"}, "paperless"),
    ],
)
def test_the_name_is_the_one_that_compose_would_use(tmp_path: Path, files: dict[str, str], name: str) -> None:
    assert list(names(chosen(folder(tmp_path / "My Shop!", **files)))) == [name]


def test_projects_with_one_name_get_distinct_names_with_a_note(tmp_path: Path) -> None:
    files = {"x__web__compose_yml": COMPOSE, "y__web__compose_yml": COMPOSE, "z__compose_yml": "name: web\n" + COMPOSE}
    choice = chosen(folder(tmp_path, **files))
    assert list(names(choice)) == ["x-web", "y-web", "z-web"]
    assert choice.notes[0] == (
        "x/web/compose.yml: the stack is called x-web, because more than one project here is called web"
    )
    runs = Started("web", str(tmp_path / "y/web"), (str(tmp_path / "y/web/compose.yml"),))
    assert list(names(chosen(tmp_path, runs))) == ["x-web", "web", "z-web"]


def test_a_name_that_was_made_distinct_belongs_to_no_other_project(tmp_path: Path) -> None:
    files = {"x__web__compose_yml": COMPOSE, "y__web__compose_yml": COMPOSE, "x-web__compose_yml": COMPOSE}
    found = list(names(chosen(folder(tmp_path, **files))))
    assert sorted(found) == ["x-web", "x-web-2", "y-web"]


def test_a_running_project_keeps_its_name_and_files(tmp_path: Path) -> None:
    root = folder(tmp_path / "shop", compose_yml=COMPOSE, prod_yml=COMPOSE, compose_override_yml=COMPOSE)
    runs = Started("other", str(root), (str(root / "compose.yml"), str(root / "prod.yml")), (str(root / "prod.env"),))
    [project] = chosen(root, runs).projects
    assert (project.name, project.files, project.env_files) == ("other", ("compose.yml", "prod.yml"), ("prod.env",))
    two = [runs, Started("more", str(root), (str(root / "compose.yml"),))]
    assert names(chosen(root, *two)) == {"other": ("compose.yml", "prod.yml"), "more": ("compose.yml",)}


def test_a_running_project_is_found_at_any_depth_and_file_name(tmp_path: Path) -> None:
    root = folder(tmp_path, compose_yml=COMPOSE, a__b__c__d__stack_yml=COMPOSE)
    runs = Started("deep", str(root / "a/b/c/d"), (str(root / "a/b/c/d/stack.yml"),))
    assert names(chosen(root, runs))["deep"] == ("a/b/c/d/stack.yml",)


def test_a_running_project_with_a_file_elsewhere_is_left_out(tmp_path: Path) -> None:
    root = folder(tmp_path / "shop", compose_yml=COMPOSE)
    outside = folder(tmp_path, more_yml=COMPOSE) / "more.yml"
    choice = chosen(root, Started("shop", str(root), (str(root / "compose.yml"), str(outside))))
    assert choice.projects == ()
    assert str(outside) in choice.left[0].reason
    gone = chosen(root, Started("shop", str(root), (str(root / "compose.yml"), str(root / "gone.yml"))))
    assert "gone.yml" in gone.left[0].reason


@pytest.mark.parametrize(
    ("files", "taken"),
    [
        ({"docker-compose.postgres_yml": COMPOSE}, ("docker-compose.postgres.yml",)),
        ({"compose_yml": COMPOSE, "compose.prod_yml": COMPOSE}, ("compose.yml",)),
        ({"compose_yml": COMPOSE, "docker-compose_yml": COMPOSE}, ("compose.yml",)),
        ({"a_yml": COMPOSE, "b__c_yml": COMPOSE, "_env": "COMPOSE_FILE=a.yml:b/c.yml"}, ("a.yml", "b/c.yml")),
        ({"a_yml": "", "b_yml": "", "_env": "COMPOSE_PATH_SEPARATOR=;\nCOMPOSE_FILE=a.yml;b.yml"}, ("a.yml", "b.yml")),
    ],
)  # fmt: skip
def test_the_files_are_those_that_compose_reads(tmp_path: Path, files: dict[str, str], taken: tuple[str, ...]) -> None:
    [project] = chosen(folder(tmp_path, **files)).projects
    assert project.files == taken


def test_compose_file_may_name_a_file_in_a_folder_below(tmp_path: Path) -> None:
    root = folder(tmp_path / "shop", docker__stack_yml=COMPOSE, _env="COMPOSE_FILE=docker/stack.yml\n")
    assert names(chosen(root)) == {"shop": ("docker/stack.yml",)}
    path = str(root / "docker/stack.yml")
    assert names(chosen(root, Started("own", str(root / "docker"), (path,)))) == {"own": ("docker/stack.yml",)}
    choice = chosen(root, Started("own", str(root), (path,)))
    assert choice.projects == ()
    assert "--project-directory" in choice.left[0].reason


def test_a_link_is_left_out_with_its_reason(tmp_path: Path) -> None:
    root = folder(tmp_path / "shop", real_yml=COMPOSE)
    (root / "compose.yaml").symlink_to("real.yml")
    choice = chosen(root)
    assert choice.projects == ()
    assert choice.left[0].reason.startswith("'compose.yaml' is a symbolic link")


def test_of_several_possible_compose_files_none_is_guessed(tmp_path: Path) -> None:
    files = {"docker-compose.a_yml": COMPOSE, "docker-compose.b_yml": COMPOSE}
    choice = chosen(folder(tmp_path, **files))
    assert choice.projects == ()
    assert choice.left[0].reason.endswith("name those that count in .env: COMPOSE_FILE=docker-compose.a.yml")


def test_a_running_project_is_found_behind_a_link_and_with_spaces_in_its_path(tmp_path: Path) -> None:
    root = folder(tmp_path / "home lab", **{"My Blog__compose_yml": COMPOSE})
    (tmp_path / "link").symlink_to(root)
    runs = Started("blog", str(tmp_path / "link/My Blog"), (str(tmp_path / "link/My Blog/compose.yml"),))
    assert names(chosen(root, runs)) == {"blog": ("My Blog/compose.yml",)}


@pytest.mark.parametrize(
    ("env", "runs", "profiles"),
    [
        ("", ["web"], ()),
        ("", ["web", "debug"], ("all",)),
        ("", ["web", "debug", "trace"], ("all", "tools")),
        ("", ["trace", "seed"], ("once", "tools")),
        ("COMPOSE_PROFILES=tools, x\n", ["debug", "trace"], ("tools", "x")),
        ("COMPOSE_PROFILES=*\n", ["web"], ("all", "once", "tools")),
    ],
)
def test_profiles_are_those_of_running_services(
    tmp_path: Path, env: str, runs: list[str], profiles: tuple[str, ...]
) -> None:
    root = folder(tmp_path / "shop", compose_yml=PROFILES, _env=env)
    [project] = chosen(root).projects
    there = [Container(name, name, "shop", name, 1, "running") for name in runs]
    gone = [Container("x", "x", "shop", "seed", 1, "exited"), Container("y", "y", "else", "seed", 1, "running")]
    assert set(with_profiles(project, FolderFiles(root), project.files, [*there, *gone]).profiles) == set(profiles)
