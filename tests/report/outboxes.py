"""An outbox in one process after another, over a real forge on loopback, with a clock that only tests move."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from reconciler.decide.redact import Redactor
from reconciler.effects import Effects
from reconciler.model.history import History
from reconciler.report.box import BoxFile
from reconciler.report.delivery import Access, Delivery, Forge
from reconciler.report.forge import connect
from reconciler.report.messages import Policy
from reconciler.report.token import basis
from reconciler.settings import ForgeSettings
from tests.report.fake_forge import TOKEN, FakeForge

POLICY = Policy("mini", deployments=True)


@dataclass
class Sender:
    """`start` is a new process."""

    forge: FakeForge
    folder: Path
    policy: Policy = POLICY
    token: str = TOKEN
    now: float = 1000.0
    redactor: Redactor = field(default_factory=Redactor)
    settings: ForgeSettings | None = None
    clients: dict[str, Forge] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.start()

    def start(self, crash_at: int | None = None, crash: Callable[[], None] = lambda: None) -> None:
        self.effects = Effects(crash_at, crash)
        file = BoxFile(self.folder / "outbox.json", self.effects, self._settings.place)
        self.delivery = Delivery(
            file.load(self.now), self.policy, self._access, file.save, self._clean, lambda: self.now
        )

    def step(self, history: History) -> float | None:
        return self.delivery.step(history)

    def tell(self, history: History, most: int = 300) -> float | None:
        """Everything that is due now; returns what the last step did."""
        for _ in range(most):
            wait = self.delivery.step(history)
            if wait is None or wait > 0:
                return wait
        raise AssertionError(f"no end after {most} steps")

    def tell_all(self, history: History) -> None:
        """Until nothing is left, however long that takes."""
        for _ in range(500):
            wait = self.tell(history)
            if wait is None:
                return
            self.now += wait
        raise AssertionError("it never ends")

    @property
    def _settings(self) -> ForgeSettings:
        return self.settings or ForgeSettings(self.forge.kind, self.forge.api, "me/home")

    def _access(self) -> Access:
        settings = self._settings
        mark = basis(settings, self.token)
        if mark not in self.clients:
            self.clients[mark] = connect(settings, self.token, self.redactor.clean, "main")
        return Access(mark, lambda: self.clients[mark])

    def _clean(self, text: str) -> str:
        return self.redactor.clean(text, multiline=True)
