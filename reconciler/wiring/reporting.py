"""The adapters for reports to the forge: the outbox of the acting process, and its published status."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from pathlib import Path

from reconciler.decide.redact import Redactor
from reconciler.effects import Effects
from reconciler.model.history import History
from reconciler.model.status import Channel
from reconciler.ownership import CERTIFICATES, require
from reconciler.record.seal import Seal
from reconciler.report import box as boxes
from reconciler.report.channels import channels
from reconciler.report.delivery import Access, Delivery, Forge
from reconciler.report.messages import COMMENTS, STATUSES, Policy
from reconciler.report.outbox import Outbox
from reconciler.report.token import basis, read_token
from reconciler.settings import SAME_REPOSITORY, ForgeSettings, Settings

FILE = "outbox.json"
PREVIEW_FILE = "preview.json"
MARK = "mark.json"
"""The key of the hidden line in comments. It has a file of its own, because comments live longer than the outbox."""

WITH_DEPLOYMENTS = ("github", "gitlab")


class ForgeReport:
    """Made only if the agent config names a forge. `output`: whether reports contain output of the commit's
    programs."""

    def __init__(
        self, settings: Settings, forge: ForgeSettings, output: bool, state: Path, environ: Mapping[str, str],
        redactor: Redactor,
    ) -> None:  # fmt: skip
        self.settings = forge
        self._branch, self._environ, self._redactor = settings.source.branch, environ, redactor
        self._previews = settings.preview == SAME_REPOSITORY
        self._file = boxes.BoxFile(state / FILE, Effects(), forge.place)
        self._preview_file = state / PREVIEW_FILE
        deployments = settings.deployments and forge.kind in WITH_DEPLOYMENTS
        mark = Seal(state / MARK, tuple)
        self.policy = Policy(
            settings.host, settings.statuses, settings.comments, deployments, settings.log_lines, output, mark
        )
        self._client: tuple[str, Forge] | None = None
        self._outbox: Outbox[History] | None = None
        self._box: boxes.Box | None = None
        self._changes = 0
        self._known: tuple[History, int, tuple[Channel, ...]] | None = None

    def outbox(self, stop: threading.Event) -> Outbox[History]:
        """The outbox; only for the holder of the state lock. Its writes do not count as effects of a turn."""
        self._box = self._file.load(time.time())

        def keep(box: boxes.Box) -> None:
            self._changes += 1
            self._file.save(box)

        delivery = Delivery(self._box, self.policy, self._access, keep, self.clean, time.time)
        self._outbox = Outbox(delivery, stop)
        return self._outbox

    def channels(self, history: History) -> tuple[Channel, ...]:
        """Computed once while neither the journal nor the outbox changes: an agent at rest asks after each turn."""
        known, changes = self._known, self._changes
        if self._box is None or known is None or known[0] is not history or known[1] != changes:
            found = channels(history, self.policy, self._box or self._file.stored())
            self._known = known = (history, changes, found)
        return known[2]

    def preview(self) -> Channel:
        """The channel of comments and statuses on pull requests, from the file of the process that judges them."""
        from reconciler.report.preview_box import load

        box = load(self._preview_file, self.settings.place)
        return Channel("preview", box.pending, box.delivered_at, box.trouble)

    def look(self) -> str:
        """Ask the forge for the repository. Raises ForgeError or Usage."""
        return self._access().forge().look()

    def lacking(self) -> list[str]:
        """Scopes that the token lacks for the enabled channels. Raises ForgeError or Usage."""
        from reconciler.report.scopes import lacking

        # A preview needs statuses, and comments on pull requests. On GitHub these need a scope that cannot be tried.
        more = (STATUSES,) if self.settings.kind == "github" else (STATUSES, COMMENTS)
        channels = {*self.policy.channels, *(more if self._previews else ())}
        return lacking(self._access().forge(), self.settings.kind, sorted(channels))

    def register_key(self, title: str, public: str) -> tuple[bool, str]:
        """See `report.deploy_keys`. Raises ForgeError or Usage."""
        from reconciler.report.deploy_keys import register

        return register(self.settings, self.token(), self._redactor.clean, title, public)

    def token(self) -> str:
        """The forge's token, masked from now on. Usage if it, or the forge's ca_file, cannot be used."""
        if self.settings.ca_file:
            require(self.settings.ca_file, CERTIFICATES)
        return read_token(self.settings, self._environ, self._redactor.register)

    def _access(self) -> Access:
        token = self.token()
        mark = basis(self.settings, token)
        return Access(mark, lambda: self._connected(mark, token))

    def _connected(self, mark: str, token: str) -> Forge:
        """The present client, unless config or token have changed since."""
        if self._client is None or self._client[0] != mark:
            from reconciler.report.forge import connect

            if self._client is not None:
                self._client[1].close()
            self._client = (mark, connect(self.settings, token, self._redactor.clean, self._branch))
            if self._outbox is not None:
                self._outbox.worked = True
        return self._client[1]

    def clean(self, text: str) -> str:
        """A whole text without secrets."""
        return self._redactor.clean(text, multiline=True)

    def clean_line(self, text: str) -> str:
        """A text without secrets, on one line."""
        return self._redactor.clean(text)
