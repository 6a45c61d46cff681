"""The check of `doctor` for logs: whether old lines are deleted, and what to do if not."""

from __future__ import annotations

from reconciler.model.checks import LogFacts
from reconciler.model.engine import HOST, Engine

MOST_NAMED = 5
"""Containers that one message names."""

_SETTING = '{"log-driver": "local", "log-opts": {"max-size": "10m", "max-file": "3"}}'
_PLACES = {
    "Colima": "under `docker:` in ~/.colima/default/colima.yaml, then `colima restart`",
    "Docker Desktop": "in Settings > Docker Engine, then Apply & restart",
    "OrbStack": "in ~/.orbstack/config/docker.json, then `orb restart docker`",
}
_HOST = "in /etc/docker/daemon.json, then `sudo systemctl restart docker`"
_ROOTLESS = "in ~/.config/docker/daemon.json, then `systemctl --user restart docker`"
_ELSEWHERE = "in the daemon.json of the engine's machine, then restart the engine"
KEEP = "Existing containers keep their driver until they are made anew."


def judge(facts: LogFacts, engine: Engine) -> tuple[bool, str, str]:
    """ok, message and hint. Logs of managed containers that grow without bound are a finding; a default of the engine
    that only concerns other containers is reported with its remedy, but is no finding."""
    if facts.growing:
        named = ", ".join(facts.growing[:MOST_NAMED])
        more = len(facts.growing) - MOST_NAMED
        told = f"logs without bound (json-file without max-size): {named}{f' and {more} more' if more > 0 else ''}"
        hint = "write `logging: {driver: local}` for these services and push: a new container gets it, and data stays"
        return False, told, hint
    if facts.bounded and not facts.others:
        return True, f"the engine's default is {facts.driver}; old lines are deleted", ""
    told = "logs of managed containers are bounded"
    if facts.others:
        some = "1 other container has" if facts.others == 1 else f"{facts.others} other containers have"
        told += f"; {some} json-file without max-size, which can fill the disk"
    if facts.bounded:
        return True, told, f"make these containers anew: they get the engine's default, {facts.driver}"
    unseen = " (if no max-size is set there)" if facts.bounded is None else ""
    told += f"; the engine's default is {facts.driver} without rotation{unseen}"
    return True, told, f"write {_SETTING} {_place(engine)}. {KEEP}"


def _place(engine: Engine) -> str:
    if engine.product in _PLACES:
        return _PLACES[engine.product]
    if engine.machine != HOST:
        return _ELSEWHERE
    return _ROOTLESS if engine.rootless else _HOST
