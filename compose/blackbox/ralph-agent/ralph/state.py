"""The state of an agent, which survives restarts, and how a turn changes it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ralph.breaker import OPEN, Breaker
from ralph.settings import Limits
from ralph.turn import Turn

HOUR = 3600.0
INDICATORS = 2
SIGNALS = 5
"""So many turns in a row with the exit signal end the work, even if no turn says that the work is complete."""
_LONGEST_WAIT = {True: 3600.0, False: 300.0}


@dataclass(frozen=True, slots=True)
class State:
    """Times are seconds since 1970. `finished`: digest of the prompt whose work is complete. `paused`: the reason that
    a person gave."""

    turns: int = 0
    calls: tuple[float, ...] = ()
    day: str = ""
    usd_today: float = 0.0
    usd_total: float = 0.0
    breaker: Breaker = field(default_factory=Breaker)
    indicators: int = 0
    signals: int = 0
    finished: str = ""
    paused: str = ""
    put_off_until: float = 0.0
    put_off_why: str = ""
    in_a_row: int = 0
    """Turns in a row that failed, or that the API asked to wait."""
    last_progress: float = 0.0
    last_turn: Mapping[str, Any] = field(default_factory=dict)
    results: Mapping[str, int] = field(default_factory=dict)
    opens: Mapping[str, int] = field(default_factory=dict)

    def begun(self, limits: Limits, now: float) -> State:
        """The state when a turn begins. The turn counts as a call, whatever its result."""
        calls = tuple(at for at in self.calls if now - HOUR < at <= now)
        breaker = self.breaker.at(now, limits)
        return replace(self.at(now), turns=self.turns + 1, calls=(*calls, now), breaker=breaker)

    def at(self, now: float) -> State:
        """The state at this time. On a new day (UTC) the day's costs are 0."""
        day = datetime.fromtimestamp(now, UTC).date().isoformat()
        return self if day == self.day else replace(self, day=day, usd_today=0.0)

    def after(self, turn: Turn, limits: Limits, prompt: str, now: float) -> State:
        # A killed turn has not reported its cost. The most that it may have cost counts.
        usd = limits.usd_per_turn if turn.usd is None else turn.usd
        breaker = self.breaker.after(turn, limits, now)
        opened = breaker.state == OPEN and (self.breaker.state != OPEN or breaker.opened != self.breaker.opened)
        indicators = self.indicators + 1 if turn.complete else 0
        signals = self.signals + 1 if turn.signal else 0
        done = (turn.signal and indicators >= INDICATORS) or signals >= SIGNALS
        state = self.at(now)._put_off(turn, limits, now)
        return replace(
            state,
            usd_today=state.usd_today + usd,
            usd_total=state.usd_total + usd,
            breaker=breaker,
            indicators=0 if done else indicators,
            signals=0 if done else signals,
            finished=prompt if done else state.finished,
            last_progress=now if turn.progress else state.last_progress,
            last_turn={"number": self.turns, "ended": now, "result": turn.result, **asdict(turn)},
            results=_more(self.results, turn.result),
            opens=_more(self.opens, breaker.cause) if opened else self.opens,
        )

    def _put_off(self, turn: Turn, limits: Limits, now: float) -> State:
        """After a failure the next turn waits, each time longer: up to 5 min, or up to 1 h if the API asks to wait."""
        if not turn.error or turn.interrupted:
            return replace(self, in_a_row=0, put_off_until=0.0, put_off_why="")
        first = 6 * limits.retry if turn.limited else limits.retry
        wait = min(first * 2 ** min(self.in_a_row, 10), _LONGEST_WAIT[turn.limited])
        return replace(self, in_a_row=self.in_a_row + 1, put_off_until=now + wait, put_off_why=turn.error)


def load(path: Path) -> tuple[State, str]:
    """The state, and '' or why it could not be read. In the latter case the state is new, and the old file is renamed
    to `.corrupt`."""
    try:
        document = json.loads(path.read_text())
        values = {name: document[name] for name in State.__dataclass_fields__ if name in document}
        kept = document["breaker"]
        breaker = {name: kept[name] for name in Breaker.__dataclass_fields__ if name in kept}
        breaker["outputs"] = tuple(int(item) for item in breaker["outputs"])
        values |= {"breaker": Breaker(**breaker), "calls": tuple(float(at) for at in values.get("calls", ()))}
        return State(**values), ""
    except FileNotFoundError:
        return State(), ""
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        path.replace(path.with_suffix(".corrupt"))
        return State(), f"{type(error).__name__}: {error}"


def save(state: State, path: Path) -> None:
    """Write the state as a whole: after a crash the file is the old or the new one."""
    new = path.with_suffix(".new")
    with new.open("w") as file:
        json.dump(asdict(state), file)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def _more(counts: Mapping[str, int], name: str) -> dict[str, int]:
    return {**counts, name: counts.get(name, 0) + 1}
