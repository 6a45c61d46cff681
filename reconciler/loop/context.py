"""The parts that a turn works with, and the values that one turn keeps for the next."""

from __future__ import annotations

from reconciler.loop.attention import Attention
from reconciler.loop.ledger import Ledger
from reconciler.loop.machine import Foreseen, Machine
from reconciler.loop.options import Options, Ports
from reconciler.loop.request_handler import RequestHandler
from reconciler.loop.stall_watchdog import StallWatchdog
from reconciler.loop.states import States
from reconciler.model.observed import ObservedState
from reconciler.model.plan import Plan
from reconciler.values import dataclass


@dataclass(slots=True)
class TurnContext:
    """Parts, without a method of its own.

    `looked`: the observed state of this turn, if the turn has changed nothing since. `planned`: the last plan that it
    made. `foreseen`: what the head would find on the machine. `settled`: the last look in which every service of last
    good had its containers, with the inputs of that judgement. `compared`: when the containers were found as applied,
    and which. `let_run`: the attempt whose leftovers may run. `use_noted`: last good (revision, content) whose use of
    grants is recorded. `engine_noted`: this process has recorded the engine's abilities.
    """

    ports: Ports
    options: Options
    ledger: Ledger
    watchdog: StallWatchdog
    handler: RequestHandler
    attention: Attention
    states: States
    machine: Machine
    looked: ObservedState | None = None
    planned: Plan | None = None
    foreseen: Foreseen | None = None
    settled: tuple[ObservedState, object] | None = None
    compared: tuple[float, object] | None = None
    let_run: str | None = None
    use_noted: tuple[str, str] | None = None
    engine_noted: bool = False


def context_of(ports: Ports, options: Options, ledger: Ledger) -> TurnContext:
    watchdog = options.watchdog or StallWatchdog(ports.clock)
    handler = RequestHandler(
        ledger, ports.source, ports.requests, ports.clock, options.host, options.require_fast_forward
    )
    attention = Attention(ledger, handler, options, watchdog, ports.clock)
    states = States(ports, ledger, watchdog, options.host)
    machine = Machine(ports, options, ledger, watchdog, states)
    return TurnContext(ports, options, ledger, watchdog, handler, attention, states, machine)
