"""docs/policies.md, made from the table: `python -m reconciler.decide.policies.manual > docs/policies.md`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator

from reconciler.decide.policies import builds, mounts, objects, privileges
from reconciler.formats.rules import Key, Rule, keys, rules
from reconciler.model.outcome import Level

_INTRO = """\
# Policies

*Made from `reconciler/data/compose-keys.json`; do not edit by hand.*

Every commit is judged before anything is touched, by Compose's canonical model (what `docker compose config` prints):
no spelling of the YAML can hide a setting. What is **refused** makes the commit invalid; a **warning** never does. Each
key of the Compose specification has its place in the table at the end; a key that is not in it is refused until
somebody has judged it.

The operator can allow what is marked *can be granted*, in the agent's own configuration on the host and never in the
repository. `policy` is the rule, or the key as Compose calls it; `*` stands for every stack or service. Networks and
volumes belong to no service: there, `service` has to be `'*'`.

```yaml
grants:
  - {policy: docker-socket, stack: proxy, service: traefik, reason: reads container labels}
binds:
  - {path: /srv/media, host: /srv/media, reason: the film collection}
```

"""


def manual() -> str:
    """The whole document."""
    return "\n".join(line.rstrip() for line in _lines()) + "\n"


def _lines() -> Iterator[str]:
    yield from _INTRO.splitlines()
    every = rules().values()
    yield from _rules("Refused, can be granted", (rule for rule in every if rule.granted))
    refused = (rule for rule in every if rule.level is Level.DENY and not rule.granted)
    yield from _rules("Refused, whatever the operator grants", refused)
    yield from _rules("Warnings", (rule for rule in every if rule.level is Level.WARN))
    yield from _values()
    yield from _keys()


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
    if key.kind == "hygiene":
        return "never"
    return "always" if key.always else "by value"


def _code(values: Iterable[str]) -> str:
    return ", ".join(f"`{value}`" for value in sorted(values) if value)


if __name__ == "__main__":
    sys.stdout.write(manual())
