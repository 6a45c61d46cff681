"""Long simulation: millions of steps in random lives, from a seed that makes them again.

python -m tests.simulator.soak --steps 1000000 --seed 1

Ends with 1 at the first life that ends badly, after printing its shortest form and the seed of its batch.
"""

from __future__ import annotations

import argparse
import sys
import time
from itertools import count
from typing import Any

from hypothesis import Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test
from loguru import logger

from tests.simulator.machine import SETTINGS, Asking, Reporting, Simulator

BATCH = 200
"""Lives made from one seed: few enough to play again in seconds."""


def play(
    number: int, length: int, *, lives: int = BATCH, shrink: bool = True, kind: type[Simulator] = Simulator
) -> int:
    """Play `lives` lives of seed `number`; returns how many steps they had. `shrink`: look for the shortest bad life.
    `kind`: which rules they have."""
    steps = 0

    @seed(number)
    class Counted(kind):  # type: ignore[valid-type]  # a parameter as the base
        def check_invariants(self, *args: Any, **kwargs: Any) -> None:
            nonlocal steps
            steps += 1
            super().check_invariants(*args, **kwargs)

    chosen = settings(SETTINGS, max_examples=lives, stateful_step_count=length)
    run_state_machine_as_test(Counted, settings=chosen if shrink else settings(chosen, phases=[Phase.generate]))
    return steps


def main() -> int:
    parser = argparse.ArgumentParser(description="Random lives of a machine, for as many steps as you like.")
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--lives", type=int, help="number of lives to play, all of one seed, instead of --steps")
    parser.add_argument("--seed", type=int, default=1, help="of the first batch; the next batch takes the next number")
    parser.add_argument("--length", type=int, default=30, help="greatest number of steps in one life")
    parser.add_argument("--no-shrink", action="store_true", help="end at once with the life that ends badly, as it is")
    parser.add_argument("--plan", action="store_true", help="ask `plan` before every turn, which has to agree with it")
    parser.add_argument("--report", action="store_true", help="tell a forge and people, over a network that fails")
    asked = parser.parse_args()
    kind = Asking if asked.plan else Reporting if asked.report else Simulator
    logger.disable("reconciler.report")
    began, done = time.monotonic(), 0
    for number in count(asked.seed):
        try:
            done += play(number, asked.length, lives=asked.lives or BATCH, shrink=not asked.no_shrink, kind=kind)
        except BaseException:
            sys.stderr.write(f"seed {number} has a life that ends badly: --seed {number} --length {asked.length}\n")
            raise
        sys.stdout.write(f"seed {number}: {done:,} steps, {time.monotonic() - began:.0f} s\n")
        sys.stdout.flush()
        if asked.lives or done >= asked.steps:
            return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
