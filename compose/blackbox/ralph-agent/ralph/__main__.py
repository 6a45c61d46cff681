"""The loop, and what a person asks of it."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from types import FrameType

from serving import serve

from ralph import commands
from ralph.agent import Agent, log
from ralph.metrics import render
from ralph.settings import Settings
from ralph.slots import claim


def run(settings: Settings) -> int:
    stopping = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        stopping.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    slot, lock = claim(settings.data / "agents")
    with lock:
        agent = Agent(settings, slot, stopping)
        serve(settings.port, lambda: render(agent.state, agent.move, settings.limits, slot.name, agent.clock()))
        log("started", agent=slot.name, metrics=settings.port)
        agent.run()
    return 0


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="ralph", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("run", help="the loop, until SIGTERM: what the container does")
    for name, about in commands.VERBS.items():
        verb = verbs.add_parser(name, help=about)
        verb.add_argument("agent", nargs="?", type=int, help="its number; without one: the agent of this container")
        if name == "pause":
            verb.add_argument("--reason", default="", help="told by status")
        if name in ("status", "turns"):
            verb.add_argument("--output", choices=["text", "json"], default="text")
    given = parser.parse_args(arguments)
    settings = Settings.from_environment()
    return run(settings) if given.verb == "run" else commands.main(settings, given)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
