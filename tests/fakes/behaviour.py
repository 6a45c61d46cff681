"""Behaviour of a running container: the script that a test gives to an image, or to one spec of a service."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Behaviour:
    """Seconds count from each start of the container.

    `health`: (seconds, status) in order; only for services with a healthcheck. `exits_after` with `exit_code`: the
    first `exit_times` starts end so (None: each one does). `oom_after`: the kernel kills a process for memory; PID 1,
    too, if `oom_kills`. `ignores_stop`: runs until the grace period is over. `stop_takes`: seconds after the stop
    signal. `refuses`: the engine's words for not starting it. `needs`: services of its stack without which it exits 1.
    """

    health: tuple[tuple[float, str], ...] = ((0.5, "healthy"),)
    exits_after: float | None = None
    exit_code: int = 0
    exit_times: int | None = None
    oom_after: float | None = None
    oom_kills: bool = False
    ignores_stop: bool = False
    stop_takes: float = 0.1
    refuses: str = ""
    needs: tuple[str, ...] = ()
    log: tuple[str, ...] = ("started",)
    probe: str = "probed"

    def exit_of_start(self, number: int) -> tuple[float, int] | None:
        """(seconds, code) of the exit that ends start `number` (from 1); None: it keeps running."""
        if self.exits_after is None or (self.exit_times is not None and number > self.exit_times):
            return None
        return self.exits_after, self.exit_code


STEADY = Behaviour()


def healthy(after: float) -> Behaviour:
    return Behaviour(health=((after, "healthy"),))


def never_healthy(after: float = 2.0) -> Behaviour:
    """`unhealthy` from `after` seconds on; until then `starting`."""
    return Behaviour(health=((after, "unhealthy"),))


def always_starting() -> Behaviour:
    return Behaviour(health=())


def flapping(period: float, flips: int = 20) -> Behaviour:
    """Healthy first, then a change every `period` seconds."""
    words = ("healthy", "unhealthy")
    return Behaviour(health=tuple(((n + 1) * period, words[n % 2]) for n in range(flips)))


def crashing(after: float, code: int = 1, times: int | None = None) -> Behaviour:
    """Exits `after` seconds after each start, or after the first `times` starts only."""
    return Behaviour(exits_after=after, exit_code=code, exit_times=times)


def one_shot(takes: float = 1.0, code: int = 0) -> Behaviour:
    return Behaviour(exits_after=takes, exit_code=code)


def out_of_memory(after: float, kills: bool = False) -> Behaviour:
    return Behaviour(oom_after=after, oom_kills=kills)


def refusing(words: str) -> Behaviour:
    return Behaviour(refuses=words)
