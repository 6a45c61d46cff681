"""Plays a life on the fake machine and checks, at every moment and at its end, what must always hold."""

from __future__ import annotations

from contextlib import suppress

from reconciler.loop.turn import Turn
from reconciler.model.outcome import Outcome, Reason
from tests.fakes.life import Life, document
from tests.fakes.machine import Died
from tests.properties import lives
from tests.properties.lives import Back, Befall, Deed, Push, Script, Take, Trouble

BUDGET_MIB, RESERVE_MIB = 2048, 128
UNENDED = 2
"""So many kills in a row are played; after the third the agent asks a person, as it should."""


def play(script: Script) -> Life:
    """Live it, then let everything be quiet, and check how it ended."""
    player = _Player(script)
    for deed in script.deeds:
        player.do(deed)
    player.quiet()
    return player.life


class _Player:
    def __init__(self, script: Script) -> None:
        self.life = Life()
        self.life.document = document(budget=f"{BUDGET_MIB}MiB")
        for image, behaviour in script.behaviours.items():
            self.life.behave(image, lives.ALL[behaviour])
            if image.startswith("cache"):
                self.life.machine.image_volumes[f"sha256:{image}"] = ("/cache",)
        self.contents: dict[str, Push] = {}
        self.volumes: set[str] = set()

    # -- what happens ------------------------------------------------------------------------------------------

    def do(self, deed: Deed) -> None:
        match deed:
            case Push():
                self.push(deed)
            case Back():
                self.push(self.contents[self.life.source.branch[-min(deed.commits, len(self.contents))]])
            case Take():
                self.take(deed.crash_at)
            case Befall():
                self.befall(deed)
            case Trouble():
                self.trouble(deed)

    def push(self, push: Push) -> None:
        self.contents[self.life.push_model(lives.model(push))] = push

    def take(self, crash_at: int | None) -> None:
        unended = self.life.cycle.history.unended
        self.life.start(crash_at if unended < UNENDED else None)
        with suppress(Died):
            self.life.turn()
        self.life.start()
        self.life.stopping = False
        self.check()

    def befall(self, deed: Befall) -> None:
        def happen() -> None:
            if deed.what == "engine away":
                self.life.machine.go_away(deed.seconds)
            elif deed.what == "stream breaks":
                self.life.machine.break_streams()
            elif deed.what == "stop":
                self.life.stopping = True
            elif deed.push is not None:
                self.push(deed.push)

        self.life.during[deed.action] = happen

    def trouble(self, deed: Trouble) -> None:
        life = self.life
        if deed.what == "remote":
            life.source.away = not life.source.away
        elif deed.what == "notes":
            life.reporter.away = not life.reporter.away
        elif deed.what == "time":
            life.machine.advance(10.0**deed.amount / 100)
        else:
            self.suffer(deed)

    def suffer(self, deed: Trouble) -> None:
        running = sorted(item.name for item in self.life.machine.containers.values() if item.state == "running")
        if not running:
            return
        name = running[deed.amount % len(running)]
        if deed.what == "vanishes":
            self.life.machine.vanishes(name)
        elif deed.what == "exits":
            self.life.machine.exits(name, 1)
        else:
            self.life.machine.turns(name, "unhealthy")
            self.life.machine.turns(name, "healthy")

    # -- what holds always -------------------------------------------------------------------------------------

    def check(self) -> None:
        machine = self.life.machine
        assert machine.peak <= (BUDGET_MIB - RESERVE_MIB) << 20
        assert not machine.overlaps
        names = [item.name for item in machine.containers.values()]
        assert len(names) == len(set(names)), names
        assert self.volumes <= machine.volumes.keys()
        self.volumes = set(machine.volumes)
        self.check_removals()
        self.check_journal()

    def check_removals(self) -> None:
        """Nothing is removed while an attempt is open: the verdict comes first."""
        is_open = False
        for effect in self.life.machine.trace:
            is_open = (is_open or effect == "journal started") and effect != "journal ended"
            assert not (is_open and effect.startswith("remove ") and "network" not in effect), effect

    def check_journal(self) -> None:
        condemned: set[str] = set()
        finals: list[str] = []
        for record in self.life.journal.lines:
            if record["kind"] == "prepared":
                assert record["content"] not in condemned, "a bad commit was applied twice"
            if record["kind"] == "condemned":
                assert not lives.is_good(self.contents[record["revision"]]), "a good commit was condemned"
                condemned.add(record["content"])
            if record["kind"] == "ended" and record["final"]:
                finals.append(record["revision"])
            if record["kind"] == "ended" and record["good"]:
                assert lives.is_good(self.contents[record["revision"]]), "a bad commit became last good"
        assert len(finals) == len(set(finals)), "a commit has two final states"

    # -- the end -----------------------------------------------------------------------------------------------

    def quiet(self) -> None:
        """Two turns lead to head or last good; the third and the fourth have nothing to do."""
        life = self.life
        life.during.clear()
        life.source.away = life.reporter.away = life.stopping = False
        life.machine.go_away(0.0)
        life.machine.advance(1000.0)
        life.start()
        turns = []
        for _ in range(2):
            turns.append(life.turn())
            self.check()
        for _ in range(2):
            turns.append(life.turn())
            assert life.effects == 0, (turns, life.machine.trace[-12:])
        self.check_end(turns[-1])

    def check_end(self, turn: Turn) -> None:
        life = self.life
        head = life.source.branch[-1]
        good = life.cycle.history.last_good
        held = turn.outcome is Outcome.HELD and turn.reason is Reason.FILE_MISSING
        wanted = head if lives.is_good(self.contents[head]) and not held else good.revision if good else None
        running = {name: image for name, image in life.running().items() if not image.startswith("job:")}
        assert running == (lives.expected(self.contents[wanted]) if wanted else {}), turn
        assert not [name for name in life.ids() if "standby" in name]
        seen = set(life.cycle.history.seen) - ({head} if held else set())
        assert life.reporter.told.keys() == seen
        self.check_containers(wanted)

    def check_containers(self, wanted: str | None) -> None:
        life = self.life
        wishes = self.contents[wanted].wishes if wanted else ()
        jobs = {"shop-job-1"} if any(wish.name == "job" for wish in wishes) else set()
        allowed = set(lives.expected(self.contents[wanted])) | jobs if wanted else set()
        if wanted:
            assert set(life.ids()) <= allowed, "stray containers"
        policies = {item.restart for item in life.machine.containers.values() if item.service != "job"}
        assert policies <= {"unless-stopped"}
        attached = {id for item in life.machine.containers.values() for id in item.networks.values()}
        assert attached <= {network.id for network in life.machine.networks.values()}
