"""Notifications from process to process: exactly once, digests, targets that are away, the heartbeat."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from reconciler.decide.redact import Redactor
from reconciler.effects import Effects
from reconciler.model.history import Attempt, History
from reconciler.report.courier import Sent
from reconciler.report.notice_text import TWICE
from reconciler.report.notices import Standing
from reconciler.report.notifier import Heard, Notifier, Wanted, channels
from reconciler.report.notify_box import NotifyBox, NotifyFile, keys, read
from reconciler.report.watches import Teller
from reconciler.settings import HeartbeatSettings, NotifySettings
from tests.report.attempts import back, bad, good, history
from tests.report.targets import Letters

WELL = Standing(True, "a" * 40, (), stalled=False)
BROKEN = Standing(False, "a" * 40, (("shop/db", "Degraded"),), stalled=False)
URL, OTHER = "json://127.0.0.1/canary-key-of-the-target", "discord://canary-webhook/canary-token"
NO = Sent(False, "Connection refused")


@dataclass
class Agent:
    """`start` is a new process."""

    folder: Path
    letters: Letters = field(default_factory=Letters)
    targets: tuple[NotifySettings, ...] = (NotifySettings(URL, on=("failure", "recovered", "degraded", "success")),)
    heartbeat: HeartbeatSettings | None = None
    now: float = 50.0
    redactor: Redactor = field(default_factory=Redactor)

    def __post_init__(self) -> None:
        self.start()

    @property
    def wanted(self) -> Wanted:
        return Wanted(self.targets, self.heartbeat, Teller("mini"))

    def start(self, crash_at: int | None = None, crash: Callable[[], None] = lambda: None) -> None:
        file = NotifyFile(self.folder / "notifications.json", Effects(crash_at, crash))
        box = file.load(self.targets, self.now)
        self.notifier = Notifier(box, self.wanted, self.letters, file.save, self._clean, lambda: self.now)

    def tell(self, told: History, now: Standing = WELL, most: int = 300) -> float | None:
        """Everything that is due now; returns what the last step did."""
        for _ in range(most):
            wait = self.notifier.step(Heard(told, now))
            if wait is None or wait > 0:
                return wait
        raise AssertionError(f"no end after {most} steps")

    def tell_all(self, told: History, now: Standing = WELL) -> None:
        for _ in range(1000):
            wait = self.tell(told, now)
            if wait is None:
                return
            self.now += wait
        raise AssertionError("it never ends")

    def _clean(self, text: str) -> str:
        return self.redactor.clean(text, multiline=True)


def test_each_commit_is_told_once_across_restarts(tmp_path: Path) -> None:
    agent = Agent(tmp_path)
    assert agent.tell(history(good())) is None
    agent.start()
    assert agent.tell(history(good(), bad())) is None
    for _ in range(3):
        agent.start()
        assert agent.tell(history(good(), bad())) is None
    assert agent.letters.titles == ["mini: aaaaaaaaaaaa healthy after 41 s", "mini: bbbbbbbbbbbb rolled back"]
    assert [event for *_, event in agent.letters.sent] == ["success", "failure"]


def test_a_box_that_is_lost_or_of_another_version_tells_nothing_old(tmp_path: Path) -> None:
    agent = Agent(tmp_path)
    agent.tell(history(good(), bad()))
    for content in (None, "", "[]", '{"v": 99}', '{"v": 1, "targets": {"x": {}}, "beat": {}}', "[" * 100_000):
        path = tmp_path / "notifications.json"
        path.unlink() if content is None else path.write_text(content)
        agent.now = 1000.0
        agent.start()
        agent.tell(history(good(), bad()))
    assert len(agent.letters.sent) == 2


def test_a_target_that_is_away_gets_it_later(tmp_path: Path) -> None:
    agent = Agent(tmp_path, Letters([NO, NO, NO]), now=300.0)
    agent.start()
    agent.notifier.box.targets[keys(agent.targets)[0]].floor = 0.0
    wait = agent.tell(history(bad()))
    assert wait is not None
    assert 8.0 <= wait <= 12.0
    (channel,) = channels(agent.notifier.box, agent.wanted)
    assert (channel.name, channel.pending) == ("notifications", 1)
    assert channel.error == "notifications: json://127.0.0.1/***: Connection refused"
    agent.start()
    agent.tell_all(history(bad()))
    bodies = [body for _, _, body, _ in agent.letters.sent]
    assert [TWICE in body for body in bodies] == [False, True, True, True], "an earlier one may have arrived"
    (channel,) = channels(agent.notifier.box, agent.wanted)
    assert (channel.pending, channel.error) == (0, None)
    assert channel.last_delivered_at == agent.now


def test_a_target_that_is_away_for_a_day_gets_the_newer_ones(tmp_path: Path) -> None:
    agent = Agent(tmp_path)
    agent.letters.answers = [NO] * 200
    agent.tell(history(good()))
    agent.now += 80_000.0
    agent.tell(history(good(), bad(at=80_000.0)))
    agent.now += 10_000.0
    agent.letters.answers = []
    agent.tell_all(history(good(), bad(at=80_000.0)))
    assert agent.letters.titles[-1] == "mini: bbbbbbbbbbbb rolled back"
    assert "1 given up after a day" not in str(channels(agent.notifier.box, agent.wanted)), "it answers again"


def test_quiet_hours_end_with_one_message(tmp_path: Path) -> None:
    agent = Agent(tmp_path, targets=(NotifySettings(URL, quiet="00:00-23:59"),))
    wait = agent.tell(history(good(), bad(), back()))
    assert wait is not None
    assert 0 < wait <= 300.0
    assert agent.tell(history(good(), bad(), back()), BROKEN) is not None
    agent.now += 31.0
    assert agent.tell(history(good(), bad(), back()), BROKEN) is not None
    assert agent.letters.sent == []
    agent.targets = (NotifySettings(URL),)
    agent.now += 100.0
    agent.start()
    agent.tell(history(good(), bad(), back()), BROKEN)
    ((_, title, body, event),) = agent.letters.sent
    assert title == "mini: 3 notices"
    lines = [line[18:] for line in body.splitlines()]
    assert lines == [
        "bbbbbbbbbbbb rolled back",
        "recovered: cccccccccccc healthy, nothing had to restart",
        "degraded: shop/db",
    ]
    assert event == "failure"


def test_quiet_hours_follow_the_time_zone_of_the_machine(tmp_path: Path) -> None:
    agent = Agent(tmp_path, targets=(NotifySettings(URL, quiet="09:00-10:00"),))
    with pytest.MonkeyPatch.context() as machine:
        machine.setenv("TZ", "UTC")
        agent.tell(history(good(), bad()))
        assert len(agent.letters.sent) == 1
        machine.setenv("TZ", "JST-9")
        agent.tell(history(good(), bad(), back()))
        assert len(agent.letters.sent) == 1
    time.tzset()


def test_fifty_commits_at_once_are_few_messages(tmp_path: Path) -> None:
    agent = Agent(tmp_path)
    told = history(*(bad(f"{n:040x}", 100.0 + n, f"{n}-x") for n in range(50)))
    assert agent.tell(told) is None
    assert agent.letters.titles == ["mini: 50 notices"]


def test_each_target_has_its_own_memory(tmp_path: Path) -> None:
    one, two = NotifySettings(URL, on=("failure",)), NotifySettings(OTHER, on=("degraded",))
    agent = Agent(tmp_path, targets=(one,))
    agent.tell(history(bad()))
    agent.now = 400.0
    agent.targets = (two, one)
    agent.start()
    agent.tell(history(bad()), BROKEN)
    agent.now += 30.0
    agent.tell(history(bad()), BROKEN)
    assert [(url, title) for url, title, _, _ in agent.letters.sent] == [
        (URL, "mini: bbbbbbbbbbbb rolled back"), (OTHER, "mini: degraded: shop/db"),
    ]  # fmt: skip
    agent.targets = (two,)
    agent.start()
    assert list(agent.notifier.box.targets) == keys([two]), "what nobody names any more is forgotten"


def test_no_address_and_no_secret_is_kept_or_sent(tmp_path: Path) -> None:
    agent = Agent(tmp_path, Letters([Sent(False, f"cannot reach {URL}")]))
    agent.redactor.register(["canary-secret-4711", URL])
    agent.tell(history(bad(message="the password is canary-secret-4711 \x1b[31m\u202e")))
    agent.tell_all(history(bad(message="the password is canary-secret-4711 \x1b[31m\u202e")))
    said = "".join(title + body for _, title, body, _ in agent.letters.sent)
    assert "canary" not in said
    assert "\x1b" not in said
    assert "\u202e" not in said
    box = (tmp_path / "notifications.json").read_text()
    assert "canary-key" not in box
    assert (tmp_path / "notifications.json").stat().st_mode & 0o077 == 0


def test_a_disk_that_is_full_sends_nothing_twice(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    agent = Agent(folder)
    folder.rename(tmp_path / "away")
    for _ in range(5):
        wait = agent.tell(history(bad()))
        assert wait is not None
        agent.now += wait
    assert agent.letters.sent == []
    (tmp_path / "away").rename(folder)
    agent.tell_all(history(bad()))
    assert agent.letters.titles == ["mini: bbbbbbbbbbbb rolled back"]


# -- the heartbeat ---------------------------------------------------------------------------------------------


def test_the_heartbeat_goes_on_while_all_is_well(tmp_path: Path) -> None:
    beat = HeartbeatSettings("https://hc.example.org/canary-key-of-the-check", 60.0)
    agent = Agent(tmp_path, targets=(), heartbeat=beat, now=1000.0)
    assert agent.tell(History()) == 60.0
    agent.now += 30.0
    assert agent.tell(History()) == 30.0
    agent.start()
    assert agent.tell(History()) == 30.0, "another process goes on where the last one was"
    agent.now += 30.0
    agent.tell(History())
    assert agent.letters.fetched == [beat.url] * 2
    agent.now += 600.0
    assert agent.tell(History(), BROKEN) is None
    assert agent.tell(History(), Standing()) is None
    assert len(agent.letters.fetched) == 2
    agent.letters.answers = [NO]
    assert agent.tell(History()) == 60.0
    (channel,) = channels(agent.notifier.box, agent.wanted)
    assert channel.error == "heartbeat: https://hc.example.org/***: Connection refused"
    agent.now += 60.0
    agent.tell(History())
    (channel,) = channels(read(tmp_path / "notifications.json") or NotifyBox(), agent.wanted)
    assert (channel.error, channel.last_delivered_at) == (None, agent.now)
    agent.now = 10.0
    assert agent.tell(History()) == 60.0, "the clock was set back"
    assert len(agent.letters.fetched) == 5


# -- whole lives -----------------------------------------------------------------------------------------------


class Died(Exception):
    """The process is gone."""


def die() -> None:
    raise Died


class BadNetwork(Letters):
    """`chance` decides what becomes of an errand; `arrived`: (title, body) of what did."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self.chance, self.hurt = chance, 0
        self.arrived: list[tuple[str, str]] = []

    def send(self, url: str, title: str, body: str, event: str) -> Sent:
        hurt = self.hurt > 0 and self.chance.random() < 0.5
        self.hurt -= hurt
        if hurt and self.chance.random() < 0.5:
            return NO
        self.arrived.append((title, body))
        if hurt and self.chance.random() < 0.5:
            raise Died
        return Sent(not hurt, "the answer got lost" if hurt else "accepted")


def check(network: BadNetwork, told: History) -> None:
    """Each commit arrived; more than once only with the remark that it may be the second time."""
    for sha in told.finals:
        ours = [item for item in network.arrived if sha[:12] in (item[1] if item[0].endswith("notices") else item[0])]
        assert ours, sha
        assert sum(TWICE not in body for _, body in ours) <= 1, ours


@pytest.mark.parametrize("seed", range(30))
def test_any_network_and_any_deaths_lose_and_repeat_nothing(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    network = BadNetwork(chance)
    agent = Agent(tmp_path, network)
    done: list[Attempt] = []
    for n in range(1, 9):
        done.append(chance.choice([good, bad])(f"{n:012d}{0:028d}", 100.0 * n, f"{n}-x"))
        agent.now = max(agent.now, 100.0 * n)
        network.hurt = 3
        try:
            agent.start(chance.randrange(1, 8) if chance.random() < 0.7 else None, die)
            for _ in range(chance.randrange(8)):
                agent.now += agent.notifier.step(Heard(history(*done), WELL)) or 0.0
        except Died:
            agent.start()
    network.hurt = 0
    agent.start()
    agent.tell_all(history(*done))
    check(network, history(*done))


def test_a_death_at_every_single_write(tmp_path: Path) -> None:
    told = [history(good()), history(good(), bad()), history(good(), bad(), back())]
    for crash_at in range(1, 40):
        folder = tmp_path / str(crash_at)
        folder.mkdir()
        network = BadNetwork(random.Random(0))
        agent = Agent(folder, network)
        agent.start(crash_at, die)
        died = False
        for moment in told:
            try:
                agent.tell_all(moment)
            except Died:
                died = True
                agent.start()
                agent.tell_all(moment)
        check(network, told[-1])
        if not died:
            assert len(network.arrived) == 3
            return
    raise AssertionError("more writes than there should be")


def test_what_is_on_the_disk_is_what_was_there(tmp_path: Path) -> None:
    agent = Agent(tmp_path, Letters([NO]))
    agent.tell(history(bad()), BROKEN)
    agent.now += 31.0
    agent.tell(history(bad()), BROKEN)
    before = json.loads((tmp_path / "notifications.json").read_text())
    agent.start()
    agent.notifier._kept()
    assert json.loads((tmp_path / "notifications.json").read_text()) == before
