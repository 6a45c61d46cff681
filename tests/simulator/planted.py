"""Bugs to plant in a copy of the product, to see that the simulator finds them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Bug:
    """`right` stands once in `file` (below reconciler/); with `wrong` in its place the product has this bug.

    `asks`: it is one of `plan`, which is asked before every turn. `tells`: it is one of the deliveries. `lives`:
    number of lives within which it must be found; 0: 200,000 steps.
    """

    name: str
    file: str
    right: str
    wrong: str
    asks: bool = False
    tells: bool = False
    lives: int = 0


FEW = 300
"""Number of lives within which a bug of an order must be found."""

BUGS = (
    Bug(
        "the same bad content is tried under another sha",
        "model/history.py",
        "if bad.content == content), None)",
        "if bad.content is content and not content), None)",
    ),
    Bug(
        "a verdict is not written down before the rollback",
        "loop/rollback.py",
        "    if not quarantined:\n        return roll_back(context, replace(",
        "    if True:\n        return roll_back(context, replace(",
    ),
    Bug(
        "the peak of memory is not looked at",
        "decide/plan/bounds.py",
        "if step.memory_after > limit + leeway(diff)), None)",
        "if step.memory_after > 2 * limit + leeway(diff)), None)",
        lives=FEW,
    ),
    Bug(
        "standbys stay",
        "decide/plan/planner.py",
        '            for item in self.pairings[key].extras:\n                self._remove(item, "replaced")',
        '            for item in self.pairings[key].extras[1:]:\n                self._remove(item, "replaced")',
    ),
    Bug(
        "a successor never gets the aliases",
        "decide/plan/start_first.py",
        "if item is None or item.id in self._builder.begun or aliases_missing(endpoint, item):",
        "if item is not None and aliases_missing(endpoint, item):",
        lives=FEW,
    ),
    Bug(
        "an old container stops before its successor has the aliases",
        "decide/plan/start_first.py",
        "            self._take_over(service, group)\n            serving",
        "            self._stop(service, update, partners(group, olds), TAKES_OVER)\n"
        "            self._take_over(service, group)\n            serving",
        lives=FEW,
    ),
    Bug(
        "a rollback stops the failed container first",
        "decide/plan/switching.py",
        "            if self._rolls(service):\n                continue",
        "            if self._rolls(service) and not self.start_first.keys:\n                continue",
        lives=FEW,
    ),
    Bug(
        "the memory of a second container is not counted",
        "decide/plan/start_first.py",
        "self._builder.memory.start(key, footprint.of_service(service),",
        "self._builder.memory.start(key, 0,",
        lives=FEW,
    ),
    Bug(
        "a second container stays after the rollout",
        "decide/plan/start_first.py",
        '        self._stop(service, update, olds, "too many")',
        '        self._stop(service, update, olds[1:], "too many")',
        lives=FEW,
    ),
    Bug(
        "more than `parallelism` are replaced at a time",
        "decide/plan/start_first.py",
        "    size = parallelism or max(1, len(slots))",
        "    size = max(1, len(slots))",
        lives=FEW,
    ),
    Bug(
        "a trial goes on to the switch whatever becomes of it",
        "loop/rollout.py",
        "            self._prove(self._health_gate, step)",
        "            pass",
    ),
    Bug(
        "restart policies are not set after the verdict",
        "decide/plan/planner.py",
        '                    if service.restart != "no":\n                        yield service, slot',
        '                    if service.restart == "no":\n                        yield service, slot',
    ),
    Bug(
        "a rewritten branch is followed",
        "loop/heads.py",
        "        if is_followed(head.sha, self.history, self._ports.source, strict):\n            self._see(head)",
        "        if True:\n            self._see(head)",
    ),
    Bug(
        "heads that were overtaken get no final state",
        "loop/heads.py",
        "        self._supersede_undecided(head)\n\n",
        "        pass\n\n",
    ),
    Bug(
        "a fault of the environment quarantines",
        "loop/advance.py",
        "quarantined = error.failure.reason is not Reason.DEPENDENCY_NOT_READY",
        "quarantined = True",
    ),
    Bug(
        "the mirror's memory of bad commits is not asked",
        "loop/ledger.py",
        '            if kind == "bad":',
        '            if kind == "worse":',
    ),
    Bug(
        "a commit that drops most services is applied",
        "decide/hold/shrinking.py",
        "len(gone) <= len(before) * SHRINK:",
        "len(gone) <= len(before):",
    ),
    Bug(
        "ports of others are met in the middle of a rollout",
        "loop/advance.py",
        "    check_ports(context.ports, desired, observed)\n",
        "    pass\n",
    ),
    Bug(
        "addresses of others are met in the middle of a rollout",
        "loop/advance.py",
        "    check_addresses(plan, desired, observed)\n",
        "    pass\n",
    ),
    Bug(
        "a volume changes hands while its holder runs",
        "decide/plan/exclusive.py",
        "                if pairing.service.key != service.key and ports:",
        "                if pairing.service.key != service.key and ports and thing[0] != VOLUME:",
    ),
    Bug(
        "a port changes hands while its holder runs",
        "decide/plan/exclusive.py",
        "                if pairing.service.key != service.key and ports:",
        "                if pairing.service.key != service.key and ports and thing[0] != PORT:",
    ),
    Bug(
        "candidates are placed by the name that they got by chance",
        "decide/slots.py",
        "        if not item.running and inherited in names:",
        "        if not names and inherited in names:",
    ),
    Bug(
        "a namespace user stays cut off from its owner",
        "decide/drift/corrections.py",
        "            if (since or 0.0) > (started or 0.0):",
        "            if (since or 0.0) < 0.0:",
    ),
    Bug(
        "guests in a network are met in the middle of a rollout",
        "loop/judge.py",
        "        if network.containers <= ours or not (",
        "        if True or not (",
    ),
    Bug(
        "a service starts on an empty volume beside its full one",
        "decide/hold/vanishing.py",
        "            elif old.source not in used and _has_data(old, observed, filled, places):",
        "            elif old.source in used and _has_data(old, observed, filled, places):",
    ),
    Bug(
        "plan ignores a suspension",
        "loop/rehearsal.py",
        "        self._records = list(records)\n",
        '        self._records = [item for item in records if item["kind"] != "requested"]\n',
        asks=True,
    ),
    Bug(
        "plan skips drift",
        "loop/rehearsal.py",
        "    plan = cycle.planned if begins or done else None",
        "    plan = cycle.planned if begins and cycle.planned.intent is not Intent.REPAIR else None",
        asks=True,
    ),
    Bug(
        "plan does not see what was changed by hand beside a commit",
        "loop/advance.py",
        "foreseen.back, steps, drifted)",
        "foreseen.back, steps)",
        asks=True,
    ),
    Bug(
        "a status whose answer was lost is sent again, and the forge is not asked",
        "report/delivery.py",
        "        uncertain = bool(entry.sending) or",
        "        uncertain = False and",
        tells=True,
    ),
    Bug(
        "a notice that may have arrived does not say so",
        "report/notifier.py",
        "        again = bool(target.sending or target.tries)",
        "        again = bool(target.tries)",
        tells=True,
    ),
    Bug(
        "a commit is told again when it is looked at again",
        "report/watches.py",
        "    if target.commits.get(attempt.revision) == verdict.fact:",
        "    if target.commits.get(attempt.revision) == verdict.fact and at % 2 < 1:",
        tells=True,
    ),
    Bug(
        "a notice is taken off the list before it is sent",
        "report/notifier.py",
        "        if sent.ok:\n            del target.items",
        "        if True:\n            del target.items",
        tells=True,
    ),
)


def source(bug: Bug) -> str:
    return (ROOT / "reconciler" / bug.file).read_text()


def simulate_with(bug: Bug, folder: Path) -> subprocess.CompletedProcess[str]:
    """The simulator, on a copy of the product that has this bug."""
    for name in ("reconciler", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "reconciler" / bug.file).write_text(source(bug).replace(bug.right, bug.wrong))
    command = [sys.executable, "-m", "tests.simulator.soak", "--no-shrink"]
    command += ["--lives", str(bug.lives)] if bug.lives else ["--steps", "200000"]
    command += ["--plan"] if bug.asks else ["--report"] if bug.tells else []
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
