"""Every key of the Compose schema that takes a path, a size, a count or a duration, from the schema itself.

For any value, nothing uses more than the plan says, and nothing outside its places is mounted. A new key is in no table
below, and fails.
"""

from __future__ import annotations

import json
import os
import posixpath
import re
from collections.abc import Callable, Iterator
from importlib.resources import files
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from reconciler.decide.admit.policies.bounds import LARGEST_LOG_BUFFER, MOST_PIDS, SHORTEST_PROBE
from reconciler.decide.admit.policies.conflicts import MOST_REPLICAS
from reconciler.decide.plan import planner
from reconciler.formats.quantities import seconds
from reconciler.formats.rules import keys
from reconciler.loop.prepare import Preparer
from reconciler.model.documents import LONGEST_STOP, MIB
from reconciler.model.observed import ObservedState
from reconciler.model.outcome import Intent
from tests.decide.test_compose_keys import model_with
from tests.fakes.life import ROOT, RULES, CanonicalRenderer, document
from tests.fakes.source import TextFiles

EXAMPLES = int(os.environ.get("RECONCILER_EXAMPLES", "300")) // 15
BUDGET = 64 << 30

NUMBER = {"integer", "number"}
DURATION = re.compile(r"(interval|timeout|period|delay|window|monitor|_after)$")
SIZE = re.compile(r"(size|memory|mem_limit|mem_reservation|memswap_limit)$")
PATH = re.compile(r"(path|file|source|context|contexts|dockerfile|directory|_dir|tmpfs|devices|volumes)(\[\]|\.\*)?$")
WORDS = re.compile(r"(labels|annotations|args|environment|options|driver_opts|ssh|sysctls|runtime_flags)\.\*$")
"""Maps whose values may be numbers and mean what their keys say; those that cost something stand in MAPS."""
MAPS = {"services.*.logging.options.*", "volumes.*.driver_opts.*"}

within = [0, 1, 6 * MIB, 64 * MIB, LARGEST_LOG_BUFFER, MOST_PIDS, MOST_REPLICAS, 1 << 31, (1 << 63) - 1]
near = st.sampled_from(within).flatmap(lambda bound: st.sampled_from([bound - 1, bound, bound + 1]))
whole = near | st.integers(-2, 99)
sizes = whole.map(str)
durations = st.sampled_from(["0s", "1ns", "99ms", "100ms", "1s", "9m59s", "10m0s", "10m1s", "5m0s", "9999h0m0s", "-1s"])
paths = st.sampled_from(
    ["", ".", "..", "/", "/etc/passwd", ROOT, f"{ROOT}/a", "../etc", "a/../../b", "a" * 256, "a/" * 300, "~", "a\nb"]
)


def types() -> dict[str, set[str]]:
    """key → the JSON types that the schema lets it have."""
    schema = json.loads(files("reconciler").joinpath("data/compose-spec.schema.json").read_text())
    found: dict[str, set[str]] = {}
    for path, kind in _types(schema, schema["definitions"], "", frozenset()):
        found.setdefault(path, set()).add(kind)
    return found


def _types(part: Any, definitions: Any, path: str, above: frozenset[str]) -> Iterator[tuple[str, str]]:
    if "$ref" in part:
        name = part["$ref"].rpartition("/")[2]
        if name not in above:
            yield from _types(definitions[name], definitions, path, above | {name})
        return
    kinds = part.get("type") or []
    yield from ((path, kind) for kind in ([kinds] if isinstance(kinds, str) else kinds))
    below = [(f"{path}.{key}" if path else key, value) for key, value in (part.get("properties") or {}).items()]
    below += [(f"{path}.*", item) for key, item in (part.get("patternProperties") or {}).items() if key != "^x-"]
    below += [(f"{path}.*", part["additionalProperties"])] if isinstance(part.get("additionalProperties"), dict) else []
    below += [(f"{path}[]", part["items"])] if isinstance(part.get("items"), dict) else []
    below += [(path, value) for word in ("oneOf", "anyOf", "allOf") for value in part.get(word, ())]
    for key, value in below:
        yield from _types(value, definitions, key, above)


def is_refused(key: str) -> bool:
    """Whether it, or one above it, is refused whatever it says: tests/decide/test_compose_keys.py proves that."""
    known, parts = keys(), re.split(r"(?=\.|\[\])", key)
    above = ["".join(parts[: n + 1]) for n in range(len(parts))]
    return any(known[path].always for path in above if path in known)


def amounts() -> dict[str, st.SearchStrategy[Any]]:
    """Each key in question → values for it."""
    found: dict[str, st.SearchStrategy[Any]] = {}
    for key, kinds in types().items():
        if is_refused(key) or (WORDS.search(key) and key not in MAPS):
            continue
        if SIZE.search(key):
            found[key] = sizes
        elif DURATION.search(key) and "number" not in kinds:
            found[key] = durations
        elif PATH.search(key) and "string" in kinds:
            found[key] = paths
        elif kinds & NUMBER:
            found[key] = whole
    return found


def _at_most(limit: int) -> Callable[[Any], bool]:
    return lambda value: 0 <= int(value) <= limit


CAPS: dict[str, Callable[[Any], bool]] = {
    "services.*.deploy.replicas": _at_most(MOST_REPLICAS),
    "services.*.scale": _at_most(MOST_REPLICAS),
    "services.*.pids_limit": _at_most(MOST_PIDS),
    "services.*.deploy.resources.limits.pids": _at_most(MOST_PIDS),
    "services.*.stop_grace_period": lambda value: seconds(value) <= LONGEST_STOP,
    "services.*.healthcheck.interval": lambda value: not 0 < seconds(value) < SHORTEST_PROBE,
    "services.*.healthcheck.start_interval": lambda value: not 0 < seconds(value) < SHORTEST_PROBE,
    "services.*.mem_limit": _at_most(BUDGET),
    "services.*.deploy.resources.limits.memory": _at_most(BUDGET),
    "services.*.memswap_limit": lambda value: int(value) in (0, 64 * MIB),
}
"""Key → whether an admitted value is within its cap."""

IN_LIMIT = "its pages count into the container's own limit"
SHARE = "a share, a rate or a priority among containers, of time alone"
KERNEL = "the kernel's own bound, within the container's limit"
IGNORED = "Compose and we ignore it on one machine"
OF_GATE = "the gate has deadlines of its own"
LAID_OUT = "only what the commit has, or lies below the data folder, is read or mounted; too-large bounds it"
OF_BUILD = "a build has the operator's limits"
INSIDE = "a place inside of the container"
NAMED = "names what stands elsewhere in the model"
NAMES = ("build.secrets[].source", "configs[].source", "secrets[].source")
SHORT = "Compose prints the long form, whose keys stand here as well"
SHORTENED = ("build.additional_contexts[]", "ports[]", "volumes[]")
BY_NAME = "what each option costs is tried in test_bounds.py"
FREE = {
    **{f"services.*.{name}": IN_LIMIT for name in ("shm_size", "volumes[].tmpfs.size", "tmpfs", "tmpfs[]")},
    **{f"services.*.{name}": SHARE for name in (
        "blkio_config.device_read_bps[].rate", "blkio_config.device_read_iops[].rate",
        "blkio_config.device_write_bps[].rate", "blkio_config.device_write_iops[].rate",
        "blkio_config.weight", "blkio_config.weight_device[].weight", "cpu_count", "cpu_percent", "cpu_period",
        "cpu_quota", "cpu_rt_period", "cpu_rt_runtime", "cpu_shares", "cpus", "deploy.resources.limits.cpus",
        "mem_reservation", "mem_swappiness", "oom_score_adj", "networks.*.gw_priority", "networks.*.priority",
    )},
    **{f"services.*.blkio_config.{name}[].path": SHARE for name in (
        "device_read_bps", "device_read_iops", "device_write_bps", "device_write_iops", "weight_device",
    )},
    **dict.fromkeys(("services.*.ulimits.*", "services.*.ulimits.*.hard", "services.*.ulimits.*.soft"), KERNEL),
    **{f"services.*.deploy.{name}": IGNORED for name in (
        "placement.max_replicas_per_node", "resources.reservations.cpus", "resources.reservations.memory",
        "resources.reservations.generic_resources[].discrete_resource_spec.value", "restart_policy.delay",
        "restart_policy.max_attempts", "restart_policy.window", "rollback_config.delay",
        "rollback_config.max_failure_ratio", "rollback_config.monitor", "rollback_config.parallelism",
        "update_config.delay", "update_config.max_failure_ratio", "update_config.monitor", "update_config.parallelism",
    )},
    **{f"services.*.healthcheck.{name}": OF_GATE for name in ("retries", "start_period", "timeout")},
    "services.*.pull_refresh_after": IGNORED,
    **dict.fromkeys((
        "configs.*.file", "secrets.*.file", "include[].env_file", "include[].env_file[]", "include[].path",
        "include[].path[]", "include[].project_directory", "services.*.env_file", "services.*.env_file[]",
        "services.*.env_file[].path", "services.*.extends.file", "services.*.label_file", "services.*.label_file[]",
        "services.*.volumes[].source", "services.*.volumes[].bind.create_host_path",
        "services.*.build.additional_contexts.*", "services.*.build.context",
        "services.*.build.dockerfile",
    ), LAID_OUT),
    **{f"services.*.build.{name}": OF_BUILD for name in (
        "secrets[].mode", "shm_size", "ulimits.*", "ulimits.*.hard", "ulimits.*.soft",
    )},
    **{f"services.*.{name}": INSIDE for name in (
        "working_dir", "volumes[].volume.subpath", "configs[].mode", "secrets[].mode", "volumes[].tmpfs.mode",
        "expose[]", "group_add[]",
    )},
    **{f"services.*.{name}": NAMED for name in NAMES},
    **{f"services.*.{name}": SHORT for name in SHORTENED},
    **dict.fromkeys((
        "services.*.logging.options.*", "volumes.*.driver_opts.*", "services.*.ports[].published",
        "services.*.ports[].target",
    ), BY_NAME),
}  # fmt: skip
"""Key → why no value of it takes more than the plan says."""


def test_every_key_of_the_schema_that_takes_an_amount_or_a_path_has_its_bound() -> None:
    assert amounts().keys() == CAPS.keys() | FREE.keys()
    assert not CAPS.keys() & FREE.keys()


@pytest.mark.parametrize("key", sorted(key for key in amounts() if FREE.get(key) not in (NAMED, SHORT)))
def test_whatever_stands_there_takes_no_more_than_the_plan_says(key: str) -> None:
    @settings(max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(amounts()[key])
    def tried(value: Any) -> None:
        admitted = judged(key, value)
        event("admitted" if admitted else "denied")
        assert not admitted or key not in CAPS or CAPS[key](value), f"{value} is admitted"

    tried()


def judged(key: str, value: Any) -> bool:
    """Whether the commit is admitted. It is judged without a crash, and its plan is what was promised."""
    model = model_with(key, value)
    web = model.setdefault("services", {"web": {}}).setdefault("web", {})
    web.setdefault("image", "web:1")
    for kind in ("configs", "secrets"):
        for item in web.get(kind) or ():
            item["source"] = "given"
            model[kind] = {"given": {"content": "x"}}
    if key.endswith("volumes[].source"):
        web["volumes"] = [{"type": "bind", "source": posixpath.normpath(posixpath.join(ROOT, value)), "target": "/x"}]
    texts = {"desired-state/mini.yaml": document(budget="64GiB"), "shop.yaml": json.dumps(model), "a": "a"}
    preparer = Preparer(CanonicalRenderer(), RULES)
    prepared = preparer.prepare(TextFiles(texts, "0" * 40))
    if prepared.denied:
        return False
    assert prepared.budget is not None
    assert prepared.budget.over_bytes == 0
    desired = preparer.lower(prepared, {}, "0" * 40)
    nothing = ObservedState(memory_total=BUDGET, complete=True, log_driver="json-file")
    plan = planner.plan(desired, nothing, intent=Intent.ADVANCE, base=None)
    assert not plan.violations
    assert plan.peak == prepared.budget.peak_bytes
    for service in desired.services().values():
        assert plan.peak >= service.replicas * service.memory
        for mount in service.config.get("volumes") or ():
            source = str(mount.get("source") or "")
            assert mount["type"] != "bind" or source.startswith((f"{RULES.places.trees}/", f"{RULES.places.data}/"))
    return True
