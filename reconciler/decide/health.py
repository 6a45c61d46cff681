"""Health of one container: its observations are folded into a Track, and the Track is judged against its gate."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from enum import Enum, auto

from reconciler.formats.quantities import shown
from reconciler.model.desired import Condition, Service
from reconciler.model.documents import Gate
from reconciler.model.observed import KILL, OOM, Container
from reconciler.model.outcome import Reason
from reconciler.values import dataclass

RESTART_DELAYS = (1.0, 2.0, 4.0)
"""Seconds before we start a container again if its policy restarts it; the exit after the last one is final."""

FLIPS = 3
"""Changes from healthy to unhealthy that fail a service, however short each was."""


class State(Enum):
    WAITING = auto()
    GOOD = auto()
    DOWN = auto()
    FAILED = auto()


@dataclass(frozen=True, slots=True)
class Track:
    """One container during this rollout. Times are monotonic seconds.

    `since`: when we started it or first observed it. `changed`: the commit changes the service, so it must pass the
    gate. A container that the commit does not change may be unhealthy for a moment while its neighbours are switched.
    `changed_by_hand`: outside changes to it meanwhile.
    """

    service: Service
    id: str
    since: float
    changed: bool
    state: str = "created"
    health: str = "none"
    exit_code: int = 0
    started_at: str = ""
    good_since: float | None = None
    bad_since: float | None = None
    unhealthy_since: float | None = None
    flips: int = 0
    exits: int = 0
    exited_at: float | None = None
    oom: bool = False
    changed_by_hand: str = ""

    @property
    def running(self) -> bool:
        return self.state == "running"


@dataclass(frozen=True, slots=True)
class Verdict:
    state: State
    reason: Reason | None = None
    message: str = ""


def observe(track: Track, container: Container | None, events: Collection[str], now: float, late: float = 0.0) -> Track:
    """Fold one look at the container into its track. `events`: OOM, or KILL if we did not send it.

    The engine can lose the event of an OOM while we are disconnected, and clears the container's OOM mark at its next
    start; so either counts. `late`: seconds since the look before. If a container waits for its next start because we
    were stopping others, its deadlines move by the time we were busy: since it may have exited, or since its start was
    due.
    """
    if container is None:
        return replace(track, state="removed", health="none", good_since=None, bad_since=_first(track.bad_since, now))
    restarted = track.started_at not in ("", container.started_at)
    good = _good(track.service, container) and not (track.changed and _cut_off(track.service, container))
    unhealthy = container.running and container.health == "unhealthy"
    exited = container.state in ("exited", "dead")
    newly_exited = exited and (track.exited_at is None or restarted) and container.started_at != ""
    return replace(
        track,
        since=track.since + (late if newly_exited else _overdue(track, now) if exited else 0.0),
        state=container.state,
        health=container.health,
        exit_code=container.exit_code,
        started_at=container.started_at,
        good_since=(_first(None if restarted else track.good_since, now) if good else None),
        bad_since=None if good else _first(track.bad_since, now),
        unhealthy_since=_first(None if restarted else track.unhealthy_since, now) if unhealthy else None,
        flips=track.flips + (unhealthy and track.unhealthy_since is None and track.good_since is not None),
        exits=track.exits + newly_exited,
        exited_at=(now if newly_exited else track.exited_at) if exited else None,
        oom=track.oom or OOM in events or container.oom_killed,
        changed_by_hand=_changed_by_hand(track.service, container, events),
    )


def postponed(track: Track, seconds: float) -> Track:
    """The track after a time without observations: its deadlines move by that time."""
    return replace(
        track,
        since=track.since + seconds,
        bad_since=_later(track.bad_since, seconds),
        unhealthy_since=_later(track.unhealthy_since, seconds),
        exited_at=_later(track.exited_at, seconds),
    )


def was_stopped(track: Track, container: Container | None) -> bool:
    """Whether it has stopped since the last look."""
    return track.state == "running" and container is not None and container.state in ("exited", "dead")


def judge(track: Track, gate: Gate, now: float) -> Verdict:
    """The verdict of the track at `now`."""
    verdict = _judge(track, gate, now)
    if verdict.state is State.FAILED and track.changed_by_hand:
        return _failed(Reason.DEPENDENCY_NOT_READY, f"{_name(track)}: somebody {track.changed_by_hand} its container")
    return verdict


def _judge(track: Track, gate: Gate, now: float) -> Verdict:
    name = _name(track)
    if track.oom and track.changed:
        hint = " (the default limit; set mem_limit)" if track.service.memory_default else ""
        return _failed(Reason.OUT_OF_MEMORY, f"{name} ran out of its {shown(track.service.memory)}{hint}")
    if track.good_since is not None:
        return Verdict(State.GOOD)
    if track.state in ("exited", "dead", "removed"):
        return _judge_exit(track, name)
    return _judge_running(track, gate, name, now)


def met(track: Track, condition: Condition) -> bool:
    """Whether a dependent that waits for `condition` may start."""
    if condition is Condition.COMPLETED:
        return track.state == "exited" and track.exit_code == 0 and track.good_since is not None
    return track.good_since is not None


def start_again_at(track: Track) -> float | None:
    """When to start an exited container again; None: it is not started."""
    if track.state != "exited" or track.exited_at is None or track.good_since is not None:
        return None
    if not restarts(track) or track.exits > _restart_limit(track):
        return None
    return track.exited_at + RESTART_DELAYS[track.exits - 1]


def restarts(track: Track) -> bool:
    """Whether an exit is followed by another start: by its own policy, or because the commit does not change the
    service."""
    return not track.changed or track.service.restart != "no"


def _overdue(track: Track, now: float) -> float:
    """Seconds since its next start was due."""
    due = start_again_at(track)
    return 0.0 if due is None else max(0.0, now - due)


def _judge_exit(track: Track, name: str) -> Verdict:
    if track.state == "removed":
        return _failed(Reason.DEPENDENCY_NOT_READY, f"{name}: somebody removed its container")
    if track.exited_at is not None and restarts(track) and track.exits <= _restart_limit(track):
        return Verdict(State.DOWN)
    times = f" {track.exits} times" if track.exits > 1 else ""
    return _failed(Reason.CRASHED, f"{name} exited{times} (exit code {track.exit_code})")


def _judge_running(track: Track, gate: Gate, name: str, now: float) -> Verdict:
    if track.flips >= FLIPS:
        return _failed(Reason.HEALTH_CHECK_FAILED, f"{name} became unhealthy {track.flips} times")
    if track.unhealthy_since is not None and now - track.unhealthy_since >= gate.unhealthy_grace:
        return _failed(Reason.HEALTH_CHECK_FAILED, f"{name} has been unhealthy for {gate.unhealthy_grace:g} s")
    begun = track.since if track.changed else max(track.since, track.bad_since or track.since)
    if now - begun >= gate.healthy_deadline:
        state = track.health if track.health != "none" else track.state
        return _failed(
            Reason.HEALTH_CHECK_FAILED, f"{name} is still {state} {gate.healthy_deadline:g} s after its start"
        )
    return Verdict(State.WAITING)


def _good(service: Service, container: Container) -> bool:
    if container.state == "running":
        return container.health in ("none", "healthy")
    return service.completes and container.state == "exited" and container.exit_code == 0 and bool(container.started_at)


def _changed_by_hand(service: Service, container: Container, events: Collection[str]) -> str:
    """Changes to a container that no commit can cause, so the commit is not at fault."""
    if container.state == "paused":
        return "paused"
    if _cut_off(service, container):
        return "disconnected"
    # Programs that restart unhealthy containers (autoheal) send signals, too; a good container starts again after
    # those.
    return "stopped" if KILL in events and container.state == "exited" else ""


def _name(track: Track) -> str:
    return f"{track.service.stack}/{track.service.name}"


def _cut_off(service: Service, container: Container) -> bool:
    """Running, even healthy, but disconnected from one of its networks: nobody can reach it."""
    return container.running and not {endpoint.network for endpoint in service.endpoints} <= container.networks


def _restart_limit(track: Track) -> int:
    policy, _, times = track.service.restart.partition(":")
    if track.changed and policy == "on-failure" and times.isdigit():
        return min(int(times) or len(RESTART_DELAYS), len(RESTART_DELAYS))
    return len(RESTART_DELAYS)


def _first(earlier: float | None, now: float) -> float:
    return now if earlier is None else earlier


def _later(moment: float | None, seconds: float) -> float | None:
    return None if moment is None else moment + seconds


def _failed(reason: Reason, message: str) -> Verdict:
    return Verdict(State.FAILED, reason, message)
