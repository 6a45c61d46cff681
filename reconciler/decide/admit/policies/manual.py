"""docs/policies.md, made from the table of rules and keys."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from reconciler.decide.admit.policies import builds, mounts, objects, privileges
from reconciler.formats import grants as forms
from reconciler.formats.bundles import bundles
from reconciler.formats.rules import Key, Rule, Values, keys, rules
from reconciler.model.outcome import Level

_INTRO = """\
# Policies

*Made from `reconciler/data/compose-keys.json` and `bundles.json`; do not edit by hand.*

Every commit is judged before anything is touched, by Compose's canonical model (what `docker compose config` prints):
no spelling of the YAML can hide a setting. A **denial** rejects the commit; a **warning** never does. Each
key of the Compose specification has its place in the table at the end; a key that is not in it is refused until
somebody has judged it.

The operator can grant rules that are marked *can be granted*, in the agent config on the host and never in the
repository. Each denial prints the line that would allow exactly it; `reconciler validate --grants` prints
everything that a commit needs, ready to paste: grants, binds, exports, and unset variables. If a stack mounts
three or more paths of one data folder, one bind for that folder stands for them. Reasons are left empty, and the agent
does not start until each is written.

## Grants

```yaml
grants:
  - {policy: capability, values: [NET_ADMIN], stack: away, service: tunnel, reason: makes its own routes}
  - {policy: devices, values: [/dev/ttyUSB0], stack: home, service: zigbee, reason: the stick}
  - {policy: host-namespace, values: [network_mode], stack: home, service: assistant, reason: finds lamps by broadcast}
  - {policy: volume-driver, values: ["nfs://nas.lan"], stack: media, service: '*', reason: the films are on the NAS}
  - {bundle: vpn, stack: away, service: tunnel, reason: the way home}
```

`policy` is the rule, or Compose's name of the key. `values` limit it: a grant for one value allows no other value,
and if the table says *required*, the agent does not start with a grant without values. `privileged` is a rule of its
own. `*` stands for every stack or service. Networks and volumes belong to no service: there, `service` has to be `'*'`.
Resources that a service gets from another one (`volumes_from`, `pid: service:x`, `network_mode: service:x`) need a
grant for both.

Values have one form, in which they are compared: capabilities without `CAP_`, in capitals; devices by their path on the
host (a CDI device by its name, graphics cards that are reserved as `gpu`, a control group's rule word by word); sysctls
with dots; namespaces by their key (`pid`, `network_mode`); shares as `nfs://SERVER/PATH` or `cifs://SERVER/PATH`, of
which a grant may name the server alone; networks and volumes by their name on the engine.

## Paths

```yaml
binds:
  - {path: /srv, stack: media, read_only: false, reason: films and music}
  - {path: /lib/modules, stack: away, service: tunnel, reason: WireGuard looks for its module}
```

`binds` let commits mount a path and what lies below. They may only be read unless the entry says `read_only: false`; a
mount that could write is then refused with the line to write, never turned into another. Of several entries the one
with the longest path decides, then the one that names the service. `host` says where the path really lies on this
machine. The clocks, `/etc/localtime` and `/etc/timezone`, need no entry where they are only read.

## Unused grants

`reconciler policy unused` names the entries that nothing has used for 30 days, and ends with 1 where there are some.
An entry or bundle counts as used while it allows something that last good asks for, even if another entry allows it
too. One that was never used counts from the day on which the agent met it. The agent keeps the record in
`<state>/grants.json`; the file can be deleted, and the record begins anew.

## Grants equal to root

Some grants give root on the machine, and messages say so: `privileged`, the engine's socket, capabilities like
`SYS_ADMIN`, disks and memory among the devices, `pid: host`, and paths such as `/`, `/etc`, `/run`, `/root`, the state
folder, and (to be written) `/boot`, `/dev`, `/sys`, `/usr`. `/proc` is among them even where it is only read: below
`<pid>/root` it holds every other container's files, writable. Who can choose the image or the command of such a
service is root, so the entry must name both:

```yaml
grants:
  - policy: docker-socket
    stack: proxy
    service: traefik
    image: traefik:v3.1
    command: [--providers.docker]
    rest: 9f86d081884c7d659a2feaa0c55ad015
    reason: reads container labels
```

`entrypoint` and `command` are compared word by word; left out, the service must not set them. `rest` is a digest of
all else that decides what the service does: environment (without secrets), health check, user, and mounts with the
files that the commit mounts there. It also covers every service, of any stack, that can write where this one reads, or
that shares its processes or shared memory (`pid`, `ipc`), and everything that such a service is built from. It is left
out where there is none of these. The refusal prints the whole line; look at the commit, then paste it. Images that the
commit builds cannot be pinned, however their name is spelled. The owner of an image can move its tags: pin a digest
(`image: traefik@sha256:…`) if that matters. A commit is held until `accept` when a pinned service would read a volume
or data folder that is there already, or when somebody else could write in one while the pinned service is away. Such
a service answers everybody on its networks: put a proxy for the engine's socket into a network with only its users.

Without `image` such entries count only if `source.allowed_signers` (or `gpg_home`) prevents everybody else from
changing what runs; otherwise they are refused when the agent starts.

## Who may push

```yaml
trust: owner
```

`trust: strangers`, the default, applies all denials without a grant. `trust: owner` means that who can push is the
operator: **everybody who can push to the branch can then become root on this machine.** A denial that a grant could
lift becomes a warning that ends with *allowed by trust: owner*, and no pin is needed. Rules against mistakes still
deny: everything under *whatever the operator grants* below, what belongs to others on the machine, and what would end
the agent (its own folders to be written, `oom_kill_disable`, a negative `oom_score_adj`, a `cgroup_parent` past the
memory budget). Of these, a grant or bind can allow only what would end the agent. `init` asks on a terminal;
otherwise it writes `owner` where the repository is a bare one on this machine that only the same user can write to.
`doctor` and `status` say which one is in force.

"""


def manual() -> str:
    """The whole document."""
    return "\n".join(line.rstrip() for line in _lines()) + "\n"


def _lines() -> Iterator[str]:
    yield from _INTRO.splitlines()
    every = rules().values()
    yield from _granted(rule for rule in every if rule.granted)
    refused = (rule for rule in every if rule.level is Level.DENY and not rule.granted)
    yield from _rules("Refused, whatever the operator grants", refused)
    yield from _rules("Warnings", (rule for rule in every if rule.level is Level.WARN))
    yield from _bundles()
    yield from _values()
    yield from _keys()


def _granted(chosen: Iterable[Rule]) -> Iterator[str]:
    yield from ("## Refused, can be granted", "", "| rule | values | why | remedy |", "|---|---|---|---|")
    for rule in chosen:
        values = "an entry under `binds`" if rule.id == "absolute-bind" else ""
        values = values if rule.values is Values.NONE else f"{rule.values.value}: `{rule.example}`"
        yield f"| `{rule.id}` | {values} | {rule.why} | {rule.hint} |"
    yield ""


def _bundles() -> Iterator[str]:
    yield from ("## Bundles", "")
    yield (
        "A bundle stands for the grants and binds that one kind of service needs; `stack` and `service` have to be "
        "named. What of it is equal to root counts only for a service that the entry pins (`image`, …, as above), or "
        "where commits are signed. None holds `nested-mount`: a service that others of its stack write around (films "
        "below what a sorter may write) needs that grant for just this path, or mounts the outer folder as well."
    )
    for name, bundle in bundles().items():
        yield from ("", f"### `{name}`", "", f"{bundle.purpose}.", "")
        for policy, values in bundle.grants:
            root = any(forms.root(policy, value) for value in values or ("",))
            yield f"- `{policy}`{': ' + _code(values) if values else ''}{_ROOT if root else ''}"
        for path, read_only in bundle.binds:
            how = "read" if read_only else "written"
            yield f"- bind `{path}`, {how}{_ROOT if forms.root_path(path, read_only=read_only) else ''}"
    yield ""


_ROOT = " (equal to root: pin it)"


def _rules(title: str, chosen: Iterable[Rule]) -> Iterator[str]:
    yield from (f"## {title}", "", "| rule | why | remedy |", "|---|---|---|")
    for rule in chosen:
        yield f"| `{rule.id}` | {rule.why} | {rule.hint} |"
    yield ""


def _values() -> Iterator[str]:
    yield from ("## Values that need no grant", "", "| key | values |", "|---|---|")
    shims = "`runc`, and shims of containerd by their full name (`io.containerd.NAME.vN`)"
    for key, values in (
        ("cap_add", _code(privileges.SAFE_CAPABILITIES)),
        ("security_opt", _code(privileges.SAFE_SECURITY)),
        ("sysctls", _code(privileges.SAFE_SYSCTLS)),
        ("runtime", shims),
        ("volumes[].type", _code(mounts.MOUNT_TYPES)),
        ("networks.*.driver", _code(objects.NETWORK_DRIVERS)),
        ("networks.*.driver_opts", _code(objects.NETWORK_OPTIONS)),
        ("volumes.*.driver_opts", "`type: tmpfs`, `device: tmpfs` with `o:` of " + _code(objects.TMPFS_OPTIONS)),
        ("build.network", _code(builds.SAFE_NETWORKS)),
    ):
        yield f"| `{key}` | {values} |"
    yield ""


def _keys() -> Iterator[str]:
    yield from ("## Every key", "", "| key | class | refused | rules |", "|---|---|---|---|")
    for key in keys().values():
        if key.kind != "allow":
            yield f"| `{key.path}` | {key.kind} | {_refused(key)} | {', '.join(f'`{rule}`' for rule in key.rules)} |"
    yield from ("", "Allowed whatever their value:", "")
    yield ", ".join(f"`{key.path}`" for key in keys().values() if key.kind == "allow")


def _refused(key: Key) -> str:
    if key.kind == "warn":
        return "never"
    return "always" if key.always else "by value"


def _code(values: Iterable[str]) -> str:
    return ", ".join(f"`{value}`" for value in sorted(values) if value)
