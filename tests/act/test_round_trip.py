"""What Compose accepts and the policies admit can be created: Compose can read the create-file that lowering makes.

`docker compose config` prints some values in a form that Compose cannot read again. Each entry of FORMS is the body of
one service; all are rendered, lowered and read back with each installed Compose version.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from reconciler.decide.admit.policies import values
from reconciler.decide.admit.policies.subject import Subject
from reconciler.decide.lower.lower import lower
from reconciler.decide.mounts.mount_paths import CommitPaths
from reconciler.decide.mounts.sources import Places, Source
from reconciler.formats.create_file import create_file, differences, escaped
from reconciler.formats.rules import keys
from reconciler.model.creation import Creation
from reconciler.model.desired import Service
from reconciler.model.documents import HostDocument, StackDocument
from tests.fakes.source import TextFiles

DEVICE = "/dev/null"

FORMS = """
annotations: {a: b}
annotations: [a=b]
attach: false
blkio_config: {weight: 300}
blkio_config: {weight: 0}
blkio_config: {weight_device: [{path: /dev/null, weight: 400}]}
blkio_config: {device_read_bps: [{path: /dev/null, rate: 12mb}], device_write_bps: [{path: /dev/null, rate: 1024}]}
blkio_config: {device_read_iops: [{path: /dev/null, rate: 120}], device_write_iops: [{path: /dev/null, rate: "30"}]}
cap_add: [NET_BIND_SERVICE]
cap_drop: [ALL]
cgroup: private
command: echo $$HOME
command: [echo, "$$HOME", ""]
command: []
command: null
command: ""
configs: [one]
configs: [{source: one, target: /etc/one, uid: "1", gid: "1", mode: 0440}]
cpu_count: 1
cpu_period: 100000
cpu_period: "100000"
cpu_quota: 50000
cpu_quota: "50000"
cpu_quota: -1
cpu_rt_period: 1000
cpu_rt_runtime: 400
cpu_shares: 512
cpu_shares: "512"
cpu_shares: 0
cpus: 0.5
cpus: "0.5"
cpus: 1
cpus: 0
cpuset: "0"
cpuset: 0-0
depends_on: [other]
depends_on: {other: {condition: service_started, required: false, restart: true}}
deploy: {mode: replicated, replicas: 2, endpoint_mode: vip, labels: {a: b}}
deploy: {replicas: 0}
deploy: {placement: {constraints: [node.role == manager], max_replicas_per_node: 1, preferences: [{spread: a}]}}
deploy: {resources: {limits: {cpus: "0.5", memory: 32M, pids: 10}, reservations: {cpus: "0.1", memory: 16M}}}
deploy: {resources: {limits: {cpus: 0.5}}}
deploy: {resources: {reservations: {generic_resources: [{discrete_resource_spec: {kind: a, value: 2}}]}}}
deploy: {restart_policy: {condition: on-failure, delay: 5s, max_attempts: 3, window: 2m}}
deploy: {update_config: {parallelism: 1, delay: 1s, failure_action: pause, monitor: 1s, order: stop-first}}
deploy: {update_config: {max_failure_ratio: 0.1}}
deploy: {rollback_config: {parallelism: 0, delay: 1s, failure_action: pause, monitor: 1s, order: stop-first}}
deploy: {rollback_config: {max_failure_ratio: 0}}
dns: 127.0.0.1
dns: [127.0.0.1, "::1"]
dns_opt: ["ndots:1"]
dns_search: example.org
dns_search: [a.example.org, b.example.org]
dns_search: ["."]
domainname: example.org
entrypoint: /bin/sh -c 'sleep 1'
entrypoint: [/bin/sh, -c, sleep 1]
entrypoint: []
entrypoint: null
entrypoint: ""
environment: {A: b, N: 1, F: 1.5, T: true, E: "", D: $$x, Q: "a\\nb"}
environment: [A=b, E=, "D=$$x"]
expose: [80]
expose: ["80/udp", "3000-3005"]
extra_hosts: {a: 127.0.0.1}
extra_hosts: {a: [127.0.0.1, "::1"]}
extra_hosts: ["a:127.0.0.1", "b=::1", "host.docker.internal:host-gateway"]
group_add: [mail, 100]
healthcheck: {test: "true", interval: 1m30s, timeout: 10s, retries: 3, start_period: 40s, start_interval: 5s}
healthcheck: {test: [CMD, "true"], interval: 500ms}
healthcheck: {test: [CMD-SHELL, "echo $$HOME"]}
healthcheck: {test: [NONE]}
healthcheck: {disable: true}
healthcheck: {interval: 5s}
healthcheck: {test: [CMD, "true"], retries: 0, start_period: 0s}
hostname: a
init: true
init: false
ipc: private
ipc: shareable
ipc: none
isolation: default
labels: {a: b, n: "1", d: $$x}
labels: [a=b, c]
links: [other, "other:alias"]
logging: {driver: json-file, options: {max-size: 10m, max-file: "3"}}
logging: {driver: json-file, options: {max-file: 3}}
logging: {driver: none}
mac_address: 02:42:ac:11:65:43
mem_limit: 64m
mem_limit: 67108864
mem_limit: 64.0m
mem_reservation: 32m
mem_reservation: 0
mem_swappiness: 0
mem_swappiness: 60
mem_swappiness: -1
memswap_limit: -1
memswap_limit: 1g
memswap_limit: 0
network_mode: none
network_mode: bridge
network_mode: service:other
networks: [back]
networks: {back: null}
networks: {back: {aliases: [a, b], priority: 1000, ipv4_address: 10.213.7.9}}
networks: {back: {driver_opts: {com.docker.network.endpoint.x: y}}}
networks: {back: {ipv6_address: "fd12:3456::9", link_local_ips: [169.254.8.9]}}
networks: {back: {mac_address: 02:42:ac:11:65:44}}
oom_score_adj: 500
oom_score_adj: 0
pid: service:other
pids_limit: 10
pids_limit: -1
pids_limit: 0
platform: linux/amd64
ports: [80]
ports: ["18080:80", "127.0.0.1:18081:81/udp", "[::1]:18082:82", "3000-3002", "13000-13002:3000-3002"]
ports: [{target: 80, published: "18080", host_ip: 127.0.0.1, protocol: tcp, mode: host, name: web, app_protocol: http}]
ports: [{target: 80, published: 18080}]
ports: [{target: 80, published: 18080-18085}]
pull_policy: missing
read_only: true
restart: "no"
restart: always
restart: on-failure:3
runtime: runc
scale: 2
secrets: [hidden]
secrets: [{source: hidden, target: other, uid: "1", gid: "1", mode: 0400}]
security_opt: ["no-new-privileges:true"]
shm_size: 64m
shm_size: 67108864
shm_size: 0
stdin_open: true
stop_grace_period: 1m30s
stop_grace_period: 0s
stop_grace_period: 1.5s
stop_signal: SIGUSR1
stop_signal: "10"
storage_opt: {size: 1G}
sysctls: {net.core.somaxconn: 1024}
sysctls: [net.core.somaxconn=1024]
tmpfs: /run
tmpfs: ["/run:size=1m,mode=755", /tmp]
tty: true
ulimits: {nproc: 65535, nofile: {soft: 20000, hard: 40000}}
ulimits: {core: 0}
ulimits: {core: {soft: 0, hard: 0}}
ulimits: {nofile: {soft: 0, hard: 1024}}
ulimits: {memlock: -1}
ulimits: {memlock: {soft: -1, hard: -1}}
user: "1000"
user: "0:0"
user: 1000:1000
userns_mode: ""
uts: ""
volumes: ["data:/data", "data:/ro:ro", /anonymous, "./data:/bind", "./data:/bind-ro:ro"]
volumes: [{type: volume, source: data, target: /data, read_only: true, volume: {nocopy: true}}]
volumes: [{type: volume, target: /data}]
volumes: [{type: bind, source: ./data, target: /data, bind: {create_host_path: true, propagation: rprivate}}]
volumes: [{type: bind, source: ./data, target: /data, consistency: cached, bind: {selinux: z}}]
volumes: [{type: tmpfs, target: /t, tmpfs: {size: 1m, mode: 0755}}]
volumes: [{type: tmpfs, target: /t, tmpfs: {size: 0}}]
volumes: [{type: tmpfs, target: /t}]
volumes_from: [other]
volumes_from: ["other:ro"]
working_dir: /tmp
"""

NEWER = """
volumes: [{type: volume, source: data, target: /data, volume: {labels: {a: b}}}]
networks: {back: {gw_priority: 1, interface_name: eth7}}
volumes: [{type: bind, source: ./data, target: /data, bind: {recursive: disabled}}]
volumes: [{type: volume, source: data, target: /data, volume: {subpath: sub}}]
pull_policy: daily
pull_refresh_after: 1h
cpu_percent: 50
cpu_percent: "50"
"""
"""Forms that older versions reject: left out if `config` itself rejects them."""

ELSEWHERE = {
    "build": "a build makes an image; the create-file names it",
    "cgroup": "",
    "container_name": "ours to set when the container has taken its place",
    "develop": "dropped",
    "env_file": "`config` turns it into environment",
    "extends": "`config` resolves it",
    "image": "replaced by its id",
    "label_file": "`config` turns it into labels",
    "profiles": "`config` resolves it",
}
"""Keys of a service that need no form here, and why."""


def services(text: str) -> dict[str, dict[str, Any]]:
    """Name → body, one for each line."""
    lines = [line for line in text.splitlines() if line]
    return {f"s{number}": {"image": "a:1", **yaml.safe_load(line)} for number, line in enumerate(lines)}


def project(bodies: Mapping[str, Any]) -> dict[str, Any]:
    pools = {"config": [{"subnet": "10.213.7.0/24"}, {"subnet": "fd12:3456::/64"}]}
    return {
        "name": "shop",
        "services": {"other": {"image": "a:1", "ports": ["18079:79"]}, **bodies},
        "networks": {"back": {"enable_ipv6": True, "ipam": pools}},
        "volumes": {"data": {}},
        "configs": {"one": {"content": "x $$y"}},
        "secrets": {"hidden": {"environment": "HIDDEN"}},
    }


def compose(binary: Path, document: object, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "HIDDEN": "x"}
    command = [str(binary), "-p", "shop", "--project-directory", "/render", "-f", "-", "config", *arguments]
    return subprocess.run(command, input=json.dumps(document).encode(), env=environment, capture_output=True)


def lowered(binary: Path, bodies: Mapping[str, Any]) -> dict[str, Service]:
    """The services as they would be created."""
    rendered = compose(binary, project(bodies), "--format", "json")
    assert rendered.returncode == 0, rendered.stderr.decode()
    document = HostDocument("mini", (StackDocument("shop", ("compose.yaml",)),))
    source = Source(document.stacks[0], json.loads(rendered.stdout), "/render", {"HIDDEN": "x"}, {"HIDDEN": b"x"})
    files = TextFiles({"compose.yaml": ""}, "c0ffee")
    state = lower(document, [source], files, {}, Places("/state/trees", "/state/data", "/secrets"), "c0ffee")
    return {name: item for (_, name), item in state.services().items()}


def refused(binary: Path, found: Mapping[str, Service]) -> str:
    """Compose's error for the create-file, or its differences from it; '' if it reads what was written."""
    creations = [Creation(item, 1, {}, {"other": "0" * 64}) for item in found.values()]
    written = create_file(creations, {})
    done = compose(binary, escaped(written), "--format", "json")
    if done.returncode:
        return done.stderr.decode()
    return ", ".join(f"{service}.{key} differs" for service, key in differences(written, read(done.stdout)))


def read(printed: bytes) -> Any:
    return json.loads(printed.replace(b"$$", b"$"))


def newer(binary: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, body in services(NEWER).items():
        if not compose(binary, project({name: body}), "--quiet").returncode:
            yield f"newer-{name}", body


def test_compose_reads_every_create_file(compose_binary: Path) -> None:
    bodies = services(FORMS) | dict(newer(compose_binary))
    found = lowered(compose_binary, bodies)
    if refused(compose_binary, found):
        told = {
            str(bodies[name]): words
            for name, item in found.items()
            if name in bodies and (words := refused(compose_binary, {name: item}))
        }
        pytest.fail("\n".join(f"{body}: {words.strip()}" for body, words in told.items()))


def test_no_value_that_compose_prints_of_them_is_taken_for_a_wrong_one(compose_binary: Path) -> None:
    bodies = services(FORMS) | dict(newer(compose_binary))
    rendered = json.loads(compose(compose_binary, project(bodies), "--format", "json").stdout)
    subject = Subject("shop", rendered, "/render", CommitPaths(TextFiles({}, "c0ffee")))
    assert len(list(subject.services())) > len(bodies)
    assert [finding.message for finding in values.findings(subject, 64 << 20)] == []


def test_a_name_without_a_value_is_not_left_to_the_environment_of_compose(compose_binary: Path) -> None:
    found = lowered(compose_binary, {"s0": {"image": "a:1", "environment": ["NOWHERE", "SET=x"]}})
    assert create_file([Creation(found["s0"], 1, {}, {})], {})["services"]["s0"]["environment"] == {"SET": "x"}


def test_every_key_of_a_service_has_a_form() -> None:
    written = {key for body in services(FORMS + NEWER).values() for key in body}
    named = {path.split(".")[2].split("[")[0] for path, key in keys().items() if _usable(path, key.always)}
    assert named - written - ELSEWHERE.keys() == set()


def _usable(path: str, always: bool) -> bool:
    return path.startswith("services.*.") and not always and not path.startswith("services.*.x-")
