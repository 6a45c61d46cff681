"""Each folder of tests/cases/lower: a stack as Compose renders it, and its create-file.

`compose.yaml` is what people write; `model.json` is Compose's canonical form of it; `setting.yaml` is the rest: files
of the commit, images with a health check, values of the host.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from reconciler.decide.lower.lower import lower
from reconciler.decide.lower.wanted_images import wants
from reconciler.decide.mounts.digests import digest
from reconciler.decide.mounts.sources import Places, Source
from reconciler.model.desired import DesiredState, Service
from reconciler.model.documents import MIB, BindGrant, HostDocument, StackDocument
from reconciler.model.images import Image
from reconciler.model.observed import LABEL_SPEC
from tests.fakes.source import TextFiles
from tests.golden import folders, matches

ROOT = "/render"
DEFAULT_MEMORY = 512 * MIB
OWN = ("name", "stack", "spec", "config", "image", "trees")


def lowered(case: Path) -> tuple[DesiredState, Mapping[str, str]]:
    """The stack of a case, with short words instead of digests."""
    path = case / "setting.yaml"
    setting = yaml.safe_load(path.read_text()) if path.exists() else {}
    models = {"shop": json.loads((case / "model.json").read_text())} | (setting.get("others") or {})
    files = TextFiles(setting.get("files") or {}, "c0ffee")
    documents = tuple(
        StackDocument(
            name, ("compose.yaml",), depends_on=tuple(setting.get("depends_on", ())) if name == "shop" else ()
        )
        for name in models
    )
    variables, secrets = setting.get("variables") or {}, setting.get("secrets", ())
    sources = [
        Source(one, models[one.name], ROOT, variables, {name: variables[name].encode() for name in secrets})
        for one in documents
    ]
    document = HostDocument("mini", documents, default_memory=DEFAULT_MEMORY)
    binds = tuple(BindGrant(item["path"], item["host"], "said so") for item in setting.get("binds", ()))
    found = wants(sources, files)
    checked = setting.get("images") or {}
    images = {want.key: Image(f"id of {want.ref}", healthcheck=want.ref in checked) for want in found}
    places = Places("/state/trees", "/state/data", "/secrets", binds)
    state = lower(document, sources, files, {} if setting.get("absent") else images, places, "c0ffee")
    return state, {want.key: f"<key of {want.ref}>" for want in found}


def text_of(state: DesiredState, words: Mapping[str, str]) -> str:
    """The create-file (`services`), and beside it what the switch needs to know."""
    names = {**dict(_tree_names(state)), **words}
    stack = next(item for item in state.stacks if item.name == "shop")
    told = {
        "services": {service.name: _config(service) for service in stack.services},
        "switch": {service.name: _beside(service) for service in stack.services},
        "networks": {item.name: item.definition for item in stack.networks},
        "volumes": {item.name: item.definition for item in stack.volumes},
        "trees": [_set(tree) for tree in state.trees],
    }
    text = json.dumps({key: value for key, value in told.items() if value}, indent=2, ensure_ascii=False)
    for old, new in names.items():
        text = text.replace(old, new)
    return text + "\n"


def _config(service: Service) -> dict[str, Any]:
    labels = {key: "<spec>" if key == LABEL_SPEC else value for key, value in service.config["labels"].items()}
    return {**service.config, "labels": labels}


def _beside(service: Service) -> dict[str, Any]:
    return {key: value for key, value in _set(service).items() if key not in OWN}


def _set(item: Any) -> dict[str, Any]:
    """Fields that are not at their default."""
    told = {}
    for field in dataclasses.fields(item):
        value = getattr(item, field.name)
        if value != field.default and value not in ((), {}):
            told[field.name] = [_set(one) for one in value] if field.name in ("depends_on", "endpoints") else value
    return told


def _tree_names(state: DesiredState) -> Iterable[tuple[str, str]]:
    for tree in state.trees:
        yield tree.digest, f"<tree of {tree.path or tree.secret or tree.content!r}>"


@pytest.mark.parametrize("case", folders("lower"), ids=lambda case: case.name)
def test_lower(case: Path) -> None:
    state, words = lowered(case)
    matches(case / "create.json", text_of(state, words))


@pytest.mark.parametrize("case", folders("lower"), ids=lambda case: case.name)
def test_lowering_is_the_same_each_time(case: Path) -> None:
    first, second = lowered(case)[0], lowered(case)[0]
    assert first == second
    assert first.content == second.content


def changed(case: str, change: Any) -> tuple[Service, Service]:
    """Service web of a case, before and after a change of its model."""
    model = json.loads((folders("lower")[0].parent / case / "model.json").read_text())
    services = []
    for act in (lambda _: None, change):
        act(model)
        document = HostDocument("mini", (StackDocument("shop", ("compose.yaml",)),), default_memory=DEFAULT_MEMORY)
        source = Source(document.stacks[0], model, ROOT, {}, {})
        files = TextFiles({"nginx.conf": "a"}, "c0ffee")
        state = lower(document, [source], files, {}, Places("/state/trees", "/state/data"), "c0ffee")
        services.append(state.services()["shop", "web"])
    return services[0], services[1]


@pytest.mark.parametrize(
    "change",
    [
        lambda model: model["services"]["web"].update(image="nginx:2"),
        lambda model: model["services"]["web"].update(restart="always"),
        lambda model: model["services"]["web"].update(container_name="other"),
        lambda model: model["services"]["web"].update(mem_limit="1048576"),
        lambda model: model["services"]["web"]["labels"].update(own="other"),
        lambda model: model["networks"]["default"].update(internal=True),
    ],
)
def test_what_makes_another_service_of_it(change: Any) -> None:
    before, after = changed("plain", change)
    assert before.spec != after.spec


@pytest.mark.parametrize(
    "change",
    [
        lambda model: model["services"]["web"].update(deploy={"replicas": 3}),
        lambda model: model["services"]["web"].update(pull_policy="always"),
        lambda model: model["services"].update(other=model["services"]["web"]),
        lambda model: model["networks"].update(unused={"name": "shop_unused"}),
        lambda model: model["services"]["web"].update(profiles=["x"]),
    ],
)
def test_what_leaves_the_service_as_it_is(change: Any) -> None:
    before, after = changed("plain", change)
    assert before.spec == after.spec


def test_the_digest_of_a_value_does_not_know_the_order_of_keys() -> None:
    assert digest({"a": 1, "b": [1, 2]}) == digest({"b": [1, 2], "a": 1})
    assert digest({"a": [1, 2]}) != digest({"a": [2, 1]})
