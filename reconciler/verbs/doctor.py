"""`doctor`: checks whether everything that an agent needs is there. Each check runs, whatever the others find."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from reconciler.errors import ReconcilerError
from reconciler.formats.quantities import shown
from reconciler.model.checks import UNMEASURED, Check, EngineFacts
from reconciler.ownership import SECRETS, STATE, faults
from reconciler.record import summary
from reconciler.values import dataclass
from reconciler.verbs import Answer

SKEW = 5.0
"""Seconds by which the engine's clock may differ: health and logs are judged by its times."""
LEAST_FREE = 2 << 30
"""Free bytes that the state folder's disk should have; with less, the next fetch or build may fill it."""
OLDEST_ENGINE = 25
MIB = 1 << 20

Found = tuple[bool | None, str, str]
"""ok (None: not checked), message, hint."""


@dataclass(frozen=True, slots=True)
class Probes:
    """Functions that read the machine. Each may raise ReconcilerError, which is then the finding.

    `endpoint`: the engine's address. `compose`: path and version. `remote`: the branch's head. `budget`: bytes, None if
    no commit is known. `visible`: whether containers see a folder, None without any image. `journal`: number of
    records. `secrets`: reads them all. `lock`: the holder's pid (None: nobody), and whether it is an agent. `kept`: why
    notes are not pushed, if so. `forge`: its answer, None if none is configured. `notify`: whether notifications can be
    sent, None if none are configured.
    """

    endpoint: Callable[[], str]
    engine: Callable[[], EngineFacts]
    compose: Callable[[], tuple[str, tuple[int, int]]]
    remote: Callable[[], str]
    budget: Callable[[], int | None]
    visible: Callable[[Path], bool | None]
    journal: Callable[[], int]
    secrets: Callable[[], object]
    lock: Callable[[], tuple[int | None, bool]]
    kept: Callable[[], str | None] = lambda: None
    forge: Callable[[], Found] | None = None
    engine_read: Callable[[], Found] | None = None
    notify: Callable[[], Found] | None = None


class Doctor:
    """`state` and `secrets`: folders of the agent config. `least_free`: free bytes that the disk should have. `owner`:
    the config trusts pushers."""

    def __init__(
        self, state: Path, secrets: Path | None, probes: Probes, least_free: int = LEAST_FREE, owner: bool = False
    ) -> None:
        self._state, self._secrets, self._probes, self._least_free = state, secrets, probes, least_free
        self._owner = owner

    def examine(self) -> Answer:
        checks = tuple(self._checks())
        return (1 if any(item.ok is False for item in checks) else 0), summary.doctor(checks)

    def _checks(self) -> Iterator[Check]:
        yield self._check("endpoint", self._endpoint)
        try:
            facts = self._probes.engine()
        except ReconcilerError as error:
            yield Check("engine", False, error.message, error.hint)
            away: Found = None, "not checked: the engine does not answer", ""
            yield from (Check(name, *away) for name in ("clock", "memory", "statistics", "visible"))
        else:
            yield self._check("engine", lambda: self._engine(facts))
            yield self._check("clock", lambda: self._clock(facts))
            yield self._check("memory", lambda: self._memory(facts))
            yield self._check("statistics", lambda: self._statistics(facts))
            yield self._check("visible", self._visible)
        for name, look in self._others():
            yield self._check(name, look)

    def _others(self) -> Sequence[tuple[str, Callable[[], Found]]]:
        return (
            ("compose", self._compose),
            ("remote", self._remote),
            ("state", self._state_folder),
            ("disk", self._disk),
            ("lock", self._lock),
            ("journal", self._journal),
            ("secrets", self._secrets_dir),
            ("trust", self._trust),
            *((("forge", self._probes.forge),) if self._probes.forge else ()),
            *((("engine-read", self._probes.engine_read),) if self._probes.engine_read else ()),
            *((("notify", self._probes.notify),) if self._probes.notify else ()),
        )

    def _check(self, name: str, look: Callable[[], Found]) -> Check:
        try:
            return Check(name, *look())
        except ReconcilerError as error:
            return Check(name, False, error.message, error.hint)
        except OSError as error:
            return Check(name, False, f"{error.filename or name}: {error.strerror}", "see who owns it, and its mode")

    # -- the engine and Compose --------------------------------------------------------------------------------

    def _endpoint(self) -> Found:
        address = self._probes.endpoint()
        path = Path(address.removeprefix("unix://"))
        if not address.startswith("unix://"):
            return True, address, ""
        if not path.exists():
            hint = "start the engine, or say where it is: DOCKER_HOST, `docker context use`, or `engine` in the config"
            return False, f"there is no socket {path}", hint
        if not stat.S_ISSOCK(path.stat().st_mode):
            return False, f"{path} is no socket", "correct `engine` in the agent config, or DOCKER_HOST"
        if not os.access(path, os.R_OK | os.W_OK):
            return False, f"{path} may not be used by this user", "run the agent as a member of the socket's group"
        return True, address, ""

    def _engine(self, facts: EngineFacts) -> Found:
        major = facts.version.partition(".")[0]
        old = major.isdecimal() and int(major) < OLDEST_ENGINE
        return not old, f"version {facts.version}", f"at least Engine {OLDEST_ENGINE} is needed" if old else ""

    def _clock(self, facts: EngineFacts) -> Found:
        if abs(facts.ahead) <= SKEW:
            return True, f"{abs(facts.ahead):.1f} s apart", ""
        which = "ahead of" if facts.ahead > 0 else "behind"
        hint = "set both clocks by NTP; a virtual machine's falls behind in sleep: start it again"
        return False, f"the engine's clock is {abs(facts.ahead):.0f} s {which} this machine's", hint

    def _memory(self, facts: EngineFacts) -> Found:
        engine = f"the engine has {shown(facts.memory)}"
        try:
            budget = self._probes.budget()
        except ReconcilerError as error:
            return None, f"{engine}; its budget cannot be told: {error.message}", ""
        if budget is None:
            return None, f"{engine}; no commit is known yet, so neither is its budget", ""
        told = f"budget {shown(budget)}, {engine}"
        if budget <= facts.memory:
            return True, told, ""
        return False, told, "lower spec.memory.budget, or give the engine's machine more memory"

    def _statistics(self, facts: EngineFacts) -> Found:
        if facts.measured is None:
            return None, "not checked: no container runs", ""
        if facts.measured:
            return True, "what containers use is measured", ""
        hint = "switch on the kernel's memory controller (`docker info` warns): limits may not hold either"
        return False, UNMEASURED, hint

    def _visible(self) -> Found:
        if not self._state.is_dir():
            return None, "not checked: the state folder does not exist yet", ""
        folders = {"the state folder": self._state}
        if self._secrets is not None and os.access(self._secrets, os.W_OK | os.X_OK):
            folders["secrets_dir"] = self._secrets
        for folder in folders.values():
            seen = self._probes.visible(folder.resolve())
            if seen is None:
                return None, "not checked: the engine has no image for this check", ""
            if not seen:
                hint = "choose one that the engine's machine shares (below $HOME)"
                return False, f"containers do not see {folder}", hint
        return True, f"containers see {' and '.join(folders)}", ""

    def _compose(self) -> Found:
        path, (major, minor) = self._probes.compose()
        return True, f"version {major}.{minor}, {path}", ""

    # -- git and the state folder ------------------------------------------------------------------------------

    def _remote(self) -> Found:
        kept = self._probes.kept()
        return True, f"the branch is at {self._probes.remote()[:12]}" + (f"; {kept}" if kept else ""), ""

    def _state_folder(self) -> Found:
        for fault in faults(str(self._state), STATE):
            return False, fault.message, fault.remedy
        if not self._state.exists():
            above = _existing(self._state)
            writable = os.access(above, os.W_OK | os.X_OK)
            told = f"{self._state} does not exist yet" + ("" if writable else f", and {above} may not be written")
            return writable, told, "" if writable else f"make it, owned by this user: install -d -m 700 {self._state}"
        return _private(self._state)

    def _disk(self) -> Found:
        free = shutil.disk_usage(_existing(self._state)).free
        enough = free >= self._least_free
        return enough, f"{shown(free)} are free", "" if enough else "make room on the disk of the state folder"

    def _lock(self) -> Found:
        pid, agent = self._probes.lock()
        if pid is None:
            return True, "no agent is running", ""
        if agent:
            return True, f"an agent is running, process {pid}", ""
        return False, f"process {pid or '(unknown)'} holds the state folder and is no agent", "see what it is"

    def _journal(self) -> Found:
        return True, f"{self._probes.journal()} records", ""

    def _trust(self) -> Found:
        if self._owner:
            return True, "trust: owner, so whoever can push to the branch can become root on this machine", ""
        return True, "trust: strangers, so commits need a grant for each denied setting", ""

    def _secrets_dir(self) -> Found:
        if self._secrets is None:
            return True, "no secrets_dir is set", ""
        for fault in faults(str(self._secrets), SECRETS):
            return False, fault.message, fault.remedy
        if not self._secrets.is_dir():
            return False, f"there is no folder {self._secrets}", f"make it: install -d -m 700 {self._secrets}"
        found = _private(self._secrets)
        if found[0]:
            self._probes.secrets()
        return found


def _private(folder: Path) -> Found:
    status = folder.stat()
    if not stat.S_ISDIR(status.st_mode):
        return False, f"{folder} is no folder", "move it away"
    if status.st_mode & 0o077:
        return False, f"{folder} is open to other users", f"chmod 700 {folder}"
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        return False, f"{folder} may not be written", f"chmod 700 {folder}"
    return True, str(folder), ""


def _existing(folder: Path) -> Path:
    """The folder, or its nearest existing parent."""
    return next(item for item in (folder, *folder.parents) if item.exists())
