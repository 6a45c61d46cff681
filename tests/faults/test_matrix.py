"""Every fault at every step of a turn: what it comes to, and what holds afterwards.

A cell is a test `F<row>-<step>`. Steps: F fetch, C read the commit, R render, V look and pre-flight, P pull, K create,
S start, W the gate's wait, X remove the old, L write the verdict down, N write the note, I a turn that corrects.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reconciler.errors import Locked, Transient
from reconciler.loop.turn import Turn
from reconciler.model.outcome import Outcome, Reason
from reconciler.record.lock import StateLock
from tests.fakes.behaviour import always_starting, flapping, out_of_memory, refusing
from tests.fakes.machine import Died, die
from tests.faults.moments import MomentLife

STEPS = ["F", "C", "R", "V", "P", "K", "S", "W", "X", "L", "N", "I"]

MATRIX = """
 #  F C R V P K S W X L N I
 1  R R R R R R R R R R R R   the process is killed
 2  E E E E E E E E - - - E   the engine restarts
 3  A A A A A E E E O E O E   the disk is full
 4  A O O O O O O O O O O H   the remote is away
 5  H - - - - - - - - - - H   the branch is rewritten
 6  A - - - - - - - - - - H   the branch is deleted
 7  - A - - - - - - - - - H   the mirror is damaged
 8  H H H H H H H H H H H H   the journal is lost
 9  - - - - - - - - - - - H   the clock jumps an hour, forth and back
10  - - - - - - U U H H H H   a container runs out of memory
11  - - - - - - U U - - - H   its health flaps
12  - - - - - - U U - - - H   it never becomes healthy
13  Q Q Q Q Q . . - - - - H   its image is not there
14  A A A A B B B - - - - H   its port is taken
15  A A A A A O O O O O O H   nothing outside can be reached
18  K K K K K K K K K K K K   a second agent
19  R R R R R R R R R R R R   the power goes
20  H H H H H H H H H H H H   somebody removes a container
21  N N N N N N N N N N N N   a newer commit
22  . . G Q . . . . . . . .   the content of last good again (R), of a refused one (V)
23  Z Z Z Z Z Z Z Z . . . .   what ran before does not start any more
24  D D D D D D D D D D D D   a defect of ours
"""
"""What becomes of it:

A  the turn fails, nothing was touched, later it succeeds     E  the turn fails on the way, later it succeeds
B  as E, or the machine went back meanwhile                    R  the next process brings it to its end
H  it is corrected or held; no verdict; the commit runs           O  it succeeds, and is told later
Q  refused, nothing was touched                                U  rolled back, and never tried again
Z  the rollback failed, too: it stops and says so              N  the newest commit runs
G  nothing is started                                          K  the second one ends
D  the turn ends with the defect, the next ones go on          -  it goes on unharmed
"""

LEFT_OUT = {
    "B": "no backups are made yet: no step",
    "F16": "no forge is spoken to yet; a note that cannot be written is F4-N",
    "F17": "no forge is spoken to yet; a note that cannot be written is F4-N",
    "F13-K": "Compose in memory creates by id without a look; told on the real engine",
    "F13-S": "as F13-K",
    "F22": "the content is compared once, before anything is pulled or created: R and V stand for both answers",
    "F23-X": "after a good verdict no way leads back; so L, N, I",
}


def cells() -> list[tuple[int, str, str]]:
    rows = [line.split() for line in MATRIX.strip().splitlines()[1:]]
    return [(int(row[0]), step, code) for row in rows for step, code in zip(STEPS, row[1:13], strict=True)]


CELLS = [cell for cell in cells() if cell[2] != "."]


class Story:
    """`app` 1 runs; `app` 2 comes, and at a step of its turn something happens."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.life = MomentLife()
        self.life.commit("1")
        assert self.life.turn().outcome is Outcome.SUCCEEDED
        self.good = self.life.source.branch[-1]
        self.gave_way: list[Locked] = []
        self.more: dict[str, Any] = {}
        self.sha = self.good
        self.branch: list[str] = []

    def happens(self, row: int, step: str) -> None:
        life, fault = self.life, FAULTS[row]
        life.at("V" if step == "I" else step, lambda: fault(self, step))

    def tell(self, step: str) -> Turn | None:
        """The turn in which it happens. None: the process died."""
        life = self.life
        if step == "I":
            self.sha = life.commit("2", **self.more)
            planned = dict(life.moments.planned)
            life.moments.planned.clear()
            assert life.turn().outcome is Outcome.SUCCEEDED
            life.moments.planned.update(planned)
            life.machine.vanishes("shop-db-1")
        self.before = life.ids()
        try:
            return life.turn()
        except Died:
            life.start()
            return None
        except TypeError as error:
            return life.cycle.broken(error)

    def quiet(self) -> None:
        life = self.life
        life.moments.planned.clear()
        life.moments.always.clear()
        life.refusals.clear()
        life.source.away = life.machine.registry_away = life.reporter.away = False
        life.machine.foreign.clear()
        if self.branch:
            life.source.branch = self.branch
        life.machine.advance(700.0)
        for _ in range(3):
            life.turn_or_die()

    def quarantined(self) -> bool:
        return self.sha in self.life.cycle.history.quarantined


# -- what can happen ---------------------------------------------------------------------------------------------


def full(story: Story, step: str) -> None:
    def refuse(effect: str) -> None:
        if effect.startswith(("journal", "tree", "rendered", "pin", "pull", "note")):
            raise Transient(Reason.DISK_FAILED, "no space left on device")

    story.life.refusals.append(refuse)
    if step == "P":
        refuse("pull")
    if step == "N":
        story.life.reporter.away = True
    if step == "L":
        refuse("journal")


def away(story: Story, step: str) -> None:
    story.life.source.away = story.life.reporter.away = True
    if step == "N":
        raise Transient(Reason.FETCH_FAILED, "the remote does not answer")


def partition(story: Story, step: str) -> None:
    away(story, step)
    story.life.machine.registry_away = True


def rewritten(story: Story, step: str) -> None:
    story.branch = list(story.life.source.branch)
    story.life.source.rewind(len(story.branch))
    story.life.commit("other")


def deleted(story: Story, step: str) -> None:
    story.branch = list(story.life.source.branch)
    story.life.source.branch = []


def damaged(story: Story, step: str) -> None:
    story.life.source.pinned.clear()
    if step == "C":
        raise KeyError("the mirror does not have it")


def jump(story: Story, step: str) -> None:
    clock = story.life.machine.clock
    clock.offset += 3600.0
    story.life.machine.at(clock.seconds + 1.0, lambda: setattr(clock, "offset", -3600.0))


def memory(story: Story, step: str) -> None:
    if step in ("S", "W"):
        story.life.machine.behave("sha256:app:2", out_of_memory(0.5))
    if step == "W":
        story.life.machine.runs_out_of_memory("shop-app-1")
    elif step != "S":
        story.life.machine.runs_out_of_memory("shop-app-1", kills=True)


def flaps(story: Story, step: str) -> None:
    machine = story.life.machine
    if step == "S":
        story.life.machine.behave("sha256:app:2", flapping(0.7))
    else:
        for n in range(8 if step == "W" else 2):
            word = "healthy" if n % 2 else "unhealthy"
            machine.at(machine.clock.seconds + 1.1 * (n + 1), lambda word=word: machine.turns("shop-app-1", word))


def never(story: Story, step: str) -> None:
    if step == "S":
        story.life.machine.behave("sha256:app:2", always_starting())
    elif step == "W":
        story.life.machine.turns("shop-app-1", "unhealthy")
        story.life.machine.named("shop-app-1").life += 1


def no_image(story: Story, step: str) -> None:
    story.life.machine.registry.pop("app:2", None)


def port(story: Story, step: str) -> None:
    story.life.machine.add_foreign("holder", 1 << 20, [("", 8080, "tcp")])


def second(story: Story, step: str) -> None:
    with pytest.raises(Locked) as given:
        StateLock(story.folder).acquire()
    assert given.value.exit_code == 75
    story.gave_way.append(given.value)


def power(story: Story, step: str) -> None:
    story.life.machine.restart_engine(1.0)
    raise Died


def removed(story: Story, step: str) -> None:
    if "shop-app-1" in story.life.ids():
        story.life.machine.vanishes("shop-app-1")


def no_way_back(story: Story, step: str) -> None:
    story.life.behave("app:1", refusing("exec format error"))


def defect(story: Story, step: str) -> None:
    raise TypeError("nobody has thought of this")


FAULTS: dict[int, Callable[[Story, str], object]] = {
    1: lambda story, step: die(),
    2: lambda story, step: story.life.machine.restart_engine(30.0),
    3: full,
    4: away,
    5: rewritten,
    6: deleted,
    7: damaged,
    8: lambda story, step: story.life.journal.lines.clear(),
    9: jump,
    10: memory,
    11: flaps,
    12: never,
    13: no_image,
    14: port,
    15: partition,
    18: second,
    19: power,
    20: removed,
    21: lambda story, step: story.life.commit("3") and None,
    22: lambda story, step: None,
    23: no_way_back,
    24: defect,
}


# -- what it comes to --------------------------------------------------------------------------------------------


def check(story: Story, code: str, turn: Turn | None, row: int) -> None:
    life = story.life
    outcome = turn.outcome if turn else None
    match code:
        case "-" | "O":
            assert outcome is Outcome.SUCCEEDED, turn
            assert (story.sha in life.reporter.told) is (code == "-")
        case "A":
            assert outcome in (Outcome.FAILED, Outcome.HELD), turn
            assert life.ids() == story.before
        case "E" | "B":
            assert outcome is Outcome.FAILED, turn
        case "Q":
            assert outcome is Outcome.REJECTED, turn
            assert life.ids() == story.before
        case "U":
            assert outcome is Outcome.ROLLED_BACK, turn
        case "Z":
            assert outcome is Outcome.ROLLBACK_FAILED, turn
        case "R":
            assert turn is None
        case "G":
            assert outcome in (Outcome.SUCCEEDED, Outcome.UNCHANGED), turn
            assert life.ids() == story.before
        case "D":
            assert turn is not None
            assert turn.reason is Reason.INTERNAL_ERROR
        case "K":
            assert len(story.gave_way) == 1
            assert outcome is Outcome.SUCCEEDED, turn
    if code in "QUZ":
        assert story.quarantined()
    else:
        assert not story.quarantined(), turn


def check_end(story: Story, code: str, row: int) -> None:
    life = story.life
    app = {"Q": "app:1", "U": "app:1", "G": "app:1", "N": "app:3", "Z": ""}.get(code, "app:2")
    if app:
        assert life.running() == {"shop-db-1": "db:1", "shop-app-1": app}
    life.turn()
    assert life.effects == 0, life.machine.trace[-10:]
    invariants(story)


def invariants(story: Story) -> None:
    life = story.life
    machine = life.machine
    assert machine.peak <= (4 << 30) - (128 << 20), "memory"
    assert "shop_data" in machine.volumes, "volumes"
    assert not [item for item in machine.trace if "volume" in item and not item.startswith("create volume")]
    assert not machine.overlaps
    if not life.cycle.history.last or life.cycle.history.last.outcome is not Outcome.ROLLBACK_FAILED:
        assert not [name for name in life.ids() if "standby" in name]
    finals = [item["revision"] for item in life.journal.lines if item["kind"] == "ended" and item["final"]]
    assert len(set(finals)) == len(finals), "one final state"
    assert set(finals) <= {*life.reporter.told}, "told"


def test_what_is_not_told_has_a_reason() -> None:
    told = {row for row, _, _ in CELLS}
    without = {f"F{row}" for row in range(1, 24) if row not in told}
    missing = {f"F{row}" for row, _, code in cells() if code == "."}
    assert without | missing <= {name.partition("-")[0] for name in LEFT_OUT}


@pytest.mark.parametrize(("row", "step", "code"), CELLS, ids=[f"F{row}-{step}" for row, step, _ in CELLS])
def test_a_fault_at_a_step(tmp_path: Path, row: int, step: str, code: str) -> None:
    story = Story(tmp_path)
    life = story.life
    life.defective = row == 24
    if row == 18:
        lock = StateLock(tmp_path)
        lock.acquire()
    if row == 14:
        story.more = {"ports": [{"target": 80, "published": "8080", "protocol": "tcp", "mode": "ingress"}]}
    if row == 23 or (row, step) == (22, "V"):
        life.machine.behave("sha256:app:2", always_starting())
    if (row, step) == (22, "V"):
        life.commit("2")
        life.turn()
    story.happens(row, step)
    if step != "I":
        story.sha = life.commit("1" if (row, step) == (22, "R") else "2", **story.more)
    turn = story.tell(step)
    check(story, code, turn, row)
    story.quiet()
    check_end(story, code, row)
