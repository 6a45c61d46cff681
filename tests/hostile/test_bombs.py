"""Files that are made to cost time or memory, through `validate` with real Compose: each ends in time, with little
memory, by a rule."""

from __future__ import annotations

import resource
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from reconciler.decide.redact import Redactor
from reconciler.observe.render import ComposeRenderer
from reconciler.parser import parse
from reconciler.settings import Settings, SourceSettings
from reconciler.wiring import assembly
from tests.decide.test_scan_limits import REFUSED

HEAD = "services:\n  web:\n    image: x:1\n"
SECONDS = 5.0
"""Seconds of processor time: ours, and Compose's."""
MEMORY = 300 << 20
"""Bytes by which this process may grow, for any input."""


def nested(depth: int, opening: str) -> str:
    return opening * depth + "}" * depth


def rooted(all_have: str, but_the_first: str = "") -> str:
    lines = [
        f"  s{n}: {{image: x:1, privileged: true, {all_have}, {but_the_first if n else ''}}}\n" for n in range(300)
    ]
    return f"services:\n{''.join(lines)}volumes: {{all: {{}}}}\n"


BOMBS: Mapping[str, Mapping[str, str]] = {
    **{name: {"compose.yaml": data.decode("latin-1")} for name, (data, _) in REFUSED.items() if name != "binary"},
    "a giant number": {"compose.yaml": f"{HEAD}    mem_limit: {'9' * 400_000}\n"},
    "a giant number of replicas": {"compose.yaml": f"{HEAD}    scale: {'9' * 18}\n"},
    "a giant float": {"compose.yaml": f"{HEAD}    cpus: 1e999999999\n"},
    "a giant duration": {"compose.yaml": f"{HEAD}    stop_grace_period: {'9' * 30}h\n"},
    "long keys": {"compose.yaml": HEAD + "".join(f"    x-{'k' * 90_000}{n}: v\n" for n in range(9))},
    "a pattern of the names": {"compose.yaml": f"{HEAD}    environment: {{{'A_KEY' * 40_000}_: x}}\n"},
    "sysctls by pattern": {"compose.yaml": f"{HEAD}    sysctls: {{{'net.ipv4.conf.' * 9_000}x: '1'}}\n"},
    "defaults in defaults": {"compose.yaml": f"{HEAD}    command: '{nested(20_000, '${A:-')}'\n"},
    "defaults of the environment": {
        "compose.yaml": f"{HEAD}    command: $A\n",
        ".env": f"A={nested(9_000, '${A:-')}\n",
    },
    "values of values": {
        "compose.yaml": f"{HEAD}    command: $V39\n",
        ".env": "V0=xxxxxxxxxx\n" + "".join(f"V{n}=$V{n - 1}$V{n - 1}\n" for n in range(1, 40)),
    },
    "includes of one another": {
        "compose.yaml": "include: [a0.yaml, a0.yaml]\n",
        **{f"a{n}.yaml": f"include: [a{n + 1}.yaml, a{n + 1}.yaml]\n" for n in range(18)},
        "a18.yaml": HEAD,
    },
    "extends of files of files": {
        "compose.yaml": "services: {web: {extends: {file: a0.yaml, service: web}}}\n",
        **{
            f"a{n}.yaml": f"services: {{web: {{extends: {{file: a{n + 1}.yaml, service: web}}}}}}\n" for n in range(400)
        },
        "a400.yaml": HEAD,
    },
    "layers of dependencies": {
        "compose.yaml": "services:\n"
        + "".join(
            f"  s{n}x{k}: {{image: x, depends_on: [s{n - 1}x0, s{n - 1}x1]}}\n" for n in range(1, 40) for k in (0, 1)
        )
        + "  s0x0: {image: x}\n  s0x1: {image: x}\n",
    },
    "dependencies that others extend": {
        "compose.yaml": "services:\n  base: {image: x}\n"
        + "".join(f"  s{n}: {{extends: {{file: b.yaml, service: s{n}}}}}\n" for n in range(40)),
        "b.yaml": "services:\n"
        + "".join(f"  s{n}: {{image: x, depends_on: [{', '.join(f's{m}' for m in range(n))}]}}\n" for n in range(40)),
    },
    "many that are equal to root and write one volume": {"compose.yaml": rooted("volumes: ['all:/all']")},
    "many that are equal to root and share their processes": {
        "compose.yaml": rooted("volumes: ['/srv:/srv', 'all:/all']", "pid: 'service:s0'")
    },
    "many that are equal to root and lend their volumes": {
        "compose.yaml": rooted("volumes: ['/srv:/srv', 'all:/all']", "volumes_from: [s0]")
    },
    "a file that is read for each service": {
        "compose.yaml": "services:\n"
        + "".join(f"  s{n}: {{extends: {{file: b.yaml, service: s{n}}}}}\n" for n in range(900)),
        "b.yaml": "services:\n"
        + "".join(
            f"  s{n}: {{image: x:1, environment: {{{', '.join(f'k{m}: v' for m in range(20))}}}}}\n" for n in range(900)
        ),
    },
}


def validate(compose: Path, folder: Path) -> dict[str, Any]:
    settings = Settings("mini", SourceSettings("/nowhere"), str(folder / "state"), compose=str(compose))
    application = assembly.build(settings, stop=threading.Event(), redactor=Redactor())
    return dict(application.validate(parse(["validate", "--file", str(folder / "compose.yaml")]))[1])


def worked(who: int) -> float:
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


HARMLESS = {"long keys", "a giant float", "sysctls by pattern",
            "a pattern of the names", "extends of files of files"}  # fmt: skip
"""Files that may be valid, if that is found in time."""


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_ends_in_time(newest_compose: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # A busy machine needs longer for the same work, and the work is what is judged here.
    monkeypatch.setitem(vars(ComposeRenderer)["__init__"].__kwdefaults__, "timeout", 120.0)
    for path, text in BOMBS[name].items():
        (tmp_path / path).write_bytes(text.encode())
    compose = worked(resource.RUSAGE_CHILDREN)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()
    document = validate(newest_compose, tmp_path)
    assert time.process_time() - began < SECONDS
    assert worked(resource.RUSAGE_CHILDREN) - compose < SECONDS + 0.5
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < MEMORY
    denied = [item for item in document["violations"] if item["level"] == "deny"]
    assert denied or name in HARMLESS
    assert all(item["rule"] and item["message"] and len(item["message"]) < 2_000 for item in denied)
