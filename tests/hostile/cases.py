"""Everything that policies deny, as people would write it. One line each, so that its place can be checked."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    """A service with `line` breaks `rule`. `section`: `line` is in that top-level section instead, as the definition of
    an object that the service uses by `use`."""

    rule: str
    line: str
    section: str = ""
    use: str = ""


def _mount(source: str, **options: str) -> str:
    parts = "".join(f", {key}: {value}" for key, value in options.items())
    return f'volumes: [{{type: bind, source: "{source}", target: /in{parts}}}]'


SERVICE = {
    "privileged": Case("privileged", "privileged: true"),
    "host network": Case("host-namespace", "network_mode: host"),
    "host pid": Case("host-namespace", "pid: host"),
    "host ipc": Case("host-namespace", "ipc: host"),
    "host uts": Case("host-namespace", "uts: host"),
    "host cgroup": Case("host-namespace", "cgroup: host"),
    "host users": Case("host-namespace", "userns_mode: host"),
    "host pid with a blank": Case("host-namespace", 'pid: " host"'),
    "host uts with a colon": Case("host-namespace", 'uts: "host:"'),
    "another engine's word": Case("host-namespace", 'ipc: "ns:/proc/1/ns/ipc"'),
    "container's network": Case("foreign-container", "network_mode: container:abc"),
    "container's pid": Case("foreign-container", "pid: container:abc"),
    "container's ipc": Case("foreign-container", "ipc: container:abc"),
    "container's volumes": Case("foreign-container", "volumes_from: [container:abc]"),
    "external links": Case("foreign-container", "external_links: [blog_db_1]"),
    "network by mode": Case("external-network", "network_mode: blog_default"),
    "devices": Case("devices", 'devices: ["/dev/sda:/dev/sda"]'),
    "device rules": Case("devices", 'device_cgroup_rules: ["b *:* rwm"]'),
    "reserved devices": Case("devices", "deploy: {resources: {reservations: {devices: [{capabilities: [gpu]}]}}}"),
    "capability": Case("capability", "cap_add: [SYS_ADMIN]"),
    "all capabilities": Case("capability", "cap_add: [all]"),
    "seccomp": Case("security-opt", 'security_opt: ["seccomp:unconfined"]'),
    "apparmor": Case("security-opt", 'security_opt: ["apparmor=unconfined"]'),
    "label": Case("security-opt", 'security_opt: ["label:disable"]'),
    "sysctls": Case("sysctl", 'sysctls: {kernel.shm_rmid_forced: "1"}'),
    "sysctl list": Case("sysctl", "sysctls: [kernel.msgmax=1]"),
    "runtime": Case("runtime", "runtime: /in/evil"),
    "cgroup parent": Case("cgroup-parent", "cgroup_parent: /"),
    "no killing": Case("oom-kill-disable", "oom_kill_disable: true"),
    "score": Case("oom-score", "oom_score_adj: -1000"),
    "group": Case("group-add", "group_add: [docker]"),
    "group 0": Case("group-add", 'group_add: ["0"]'),
    "credentials": Case("credential-spec", "credential_spec: {file: spec.json}"),
    "annotation": Case("runtime-annotation", "annotations: {run.oci.handler: evil}"),
    "annotation of another runtime": Case(
        "runtime-annotation", "annotations: {io.katacontainers.config.hypervisor.path: /in/evil}"
    ),
    "develop": Case("develop", "develop: {watch: [{path: ., action: sync, target: /in}]}"),
    "socket": Case("docker-socket", 'volumes: ["/var/run/docker.sock:/s"]'),
    "socket elsewhere": Case("docker-socket", _mount("/srv/run/docker.sock")),
    "socket around": Case("docker-socket", 'volumes: ["/var/./run//docker.sock:/s:ro"]'),
    "reading the engine": Case("engine-read", 'volumes: ["/run/reconciler/engine:/in:ro"]'),
    "reading output": Case("engine-logs", 'volumes: ["/run/reconciler/./engine-logs:/in:ro"]'),
    "a socket for others": Case("engine-read-write", _mount("/var/run/reconciler/engine")),
    "around the socket": Case("absolute-bind", 'volumes: ["/run/reconciler:/in:ro"]'),
    "beside the socket": Case("absolute-bind", 'volumes: ["/run/reconciler/engine/..:/in:ro"]'),
    "bind": Case("absolute-bind", 'volumes: ["/etc:/in:ro"]'),
    "long bind": Case("absolute-bind", _mount("/etc")),
    "root": Case("absolute-bind", 'volumes: ["/:/in"]'),
    "home": Case("absolute-bind", 'volumes: ["~/.ssh:/in"]'),
    "bind above": Case("absolute-bind", 'volumes: ["../../../../../../etc:/in"]'),
    "propagation": Case("bind-propagation", _mount("./data", bind="{propagation: rshared}")),
    "pipe": Case("mount-type", "volumes: [{type: npipe, source: x, target: /in}]"),
    "our label": Case("reserved-label", "labels: {dev.reconciler.host: other}"),
    "our label in a list": Case("reserved-label", "labels: [dev.reconciler.spec=x]"),
    "Compose's label": Case("reserved-label", "labels: {com.docker.compose.project: blog}"),
    "remote build": Case("build-remote", 'build: "https://example.org/x.git"'),
    "git build": Case("build-remote", 'build: {context: "git@example.org:x.git#main"}'),
    "build outside": Case("build-outside", "build: ../../.."),
    "build of root": Case("build-outside", "build: {context: /}"),
    "Dockerfile outside": Case("build-outside", "build: {context: ., dockerfile: ../../../Dockerfile}"),
    "Dockerfile of the host": Case("build-outside", "build: {context: ., dockerfile: /etc/passwd}"),
    "front end": Case("build-frontend", 'build: {context: ., dockerfile_inline: "# syntax=evil/f\\nFROM x"}'),
    "front end later": Case("build-frontend", 'build: {context: ., dockerfile_inline: "\\n  #  SYNTAX = e\\nFROM x"}'),
    "contexts outside": Case("build-outside", "build: {context: ., additional_contexts: {a: /etc}}"),
    "contexts in a list": Case("build-outside", "build: {context: ., additional_contexts: [a=../../../etc]}"),
    "remote contexts": Case("build-remote", "build: {context: ., additional_contexts: {a: 'docker-image://x'}}"),
    "build network": Case("build-network", "build: {context: ., network: host}"),
    "build of a container's network": Case("build-network", "build: {context: ., network: container:x}"),
    "build cache": Case("build-cache", 'build: {context: ., cache_from: ["type=local,src=/etc"]}'),
    "build cache of two kinds": Case(
        "build-cache", 'build: {context: ., cache_from: ["type=registry,ref=x,type=local,src=/etc"]}'
    ),
    "build cache in capitals": Case("build-cache", 'build: {context: ., cache_from: ["TYPE=local,src=/etc"]}'),
    "build cache out": Case("build-cache", 'build: {context: ., cache_to: ["type=local,dest=/etc"]}'),
    "build privileged": Case("build-privileged", "build: {context: ., privileged: true}"),
    "entitlements": Case("build-privileged", "build: {context: ., entitlements: [security.insecure]}"),
    "build keys": Case("build-ssh", "build: {context: ., ssh: [default]}"),
    "build secrets": Case("build-secrets", "build: {context: ., secrets: [tok]}"),
    "build label": Case("reserved-label", "build: {context: ., labels: {dev.reconciler.spec: x}}"),
    "logs": Case("logging-driver", "logging: {driver: syslog, options: {syslog-address: 'unixgram:///run/x'}}"),
    "copies of logs": Case("log-size", "logging: {driver: journald, options: {cache-max-size: 100g}}"),
    "id as a name": Case("invalid-name", f"container_name: {'0a' * 32}"),
    "odd name": Case("invalid-name", 'container_name: "an odd name"'),
    "name of a standby": Case("invalid-name", "container_name: blog-db-1.standby"),
    "replicas": Case("too-many-replicas", "scale: 2000000000"),
    "deployed replicas": Case("too-many-replicas", "deploy: {replicas: 100000}"),
    "grace of weeks": Case("stop-grace-period", "stop_grace_period: 1000h"),
    "grace of a second more": Case("stop-grace-period", "stop_grace_period: 10m1s"),
    "negative grace": Case("stop-grace-period", "stop_grace_period: -1s"),
    "one port twice": Case("port-conflict", 'ports: ["7001:1", "7001:2"]'),
}

NEWER = {
    "gpus": Case("devices", "gpus: all"),
    "provider": Case("provider", "provider: {type: ./evil}"),
    "after start": Case("lifecycle-hook", 'post_start: [{command: ["true"], privileged: true}]'),
    "before stop": Case("lifecycle-hook", 'pre_stop: [{command: ["true"]}]'),
    "socket of the API": Case("api-socket", "use_api_socket: true"),
    "volume's label": Case(
        "reserved-label",
        "volumes: [{type: volume, source: v0, target: /in, volume: {labels: {dev.reconciler.host: x}}}]",
    ),
    "image mount": Case("mount-type", "volumes: [{type: image, source: x, target: /in}]"),
}
"""Keys that Compose 2.26 does not know, and therefore rejects itself."""


def _object(rule: str, section: str, definition: str) -> Case:
    use = {"volumes": "volumes: [NAME:/in]"}.get(section, f"{section}: [NAME]")
    return Case(rule, f"NAME: {definition}", section, use)


TOP = {
    "driver": _object("network-driver", "networks", "{driver: macvlan, driver_opts: {parent: eth0}}"),
    "overlay": _object("swarm-only", "networks", "{driver: overlay}"),
    "bridge": _object("network-driver", "networks", "{driver_opts: {com.docker.network.bridge.name: docker0}}"),
    "addresses": _object("network-driver", "networks", "{ipam: {driver: dhcp}}"),
    "subnet": _object("network-subnet", "networks", "{ipam: {config: [{subnet: 8.8.8.0/24}]}}"),
    "private subnet": _object("network-subnet", "networks", "{ipam: {config: [{subnet: 192.168.1.0/24}]}}"),
    "gateway alone": _object("network-subnet", "networks", "{ipam: {config: [{gateway: 192.168.1.1}]}}"),
    "network label": _object("reserved-label", "networks", "{labels: {dev.reconciler.host: x}}"),
    "external network": _object("external-network", "networks", "{external: true, name: blog_default}"),
    "host by name": _object("reserved-name", "networks", "{name: host}"),
    "volume driver": _object("volume-driver", "volumes", "{driver: sshfs}"),
    "bind by volume": _object("volume-driver", "volumes", "{driver_opts: {type: none, o: bind, device: /}}"),
    "share by volume": _object("volume-driver", "volumes", "{driver_opts: {type: nfs, o: addr=192.0.2.1}}"),
    "external volume": _object("external-volume", "volumes", "{external: true, name: blog_db}"),
    "id of another network": _object("reserved-name", "networks", f"{{name: {'0a' * 32}}}"),
    "volume by path": _object("reserved-name", "volumes", "{name: /etc}"),
    "volume label": _object("reserved-label", "volumes", "{labels: {com.docker.compose.project: blog}}"),
    "config": _object("outside-file", "configs", "{file: /etc/passwd}"),
    "config above": _object("outside-file", "configs", "{file: ../../../../etc/passwd}"),
    "external config": _object("swarm-only", "configs", "{external: true}"),
    "template of a config": _object("swarm-only", "configs", "{content: x, template_driver: golang}"),
    "template of a secret": _object("swarm-only", "secrets", "{environment: TOK, template_driver: golang}"),
    "secret": _object("outside-file", "secrets", "{file: /etc/shadow}"),
    "external secret": _object("swarm-only", "secrets", "{external: true}"),
}
