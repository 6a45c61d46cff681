"""`doctor`: checks everything that an agent needs. Each check runs, whatever the others find."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from reconciler.decide.hold.limits import remedy
from reconciler.errors import ReconcilerError
from reconciler.formats.quantities import shown
from reconciler.model.checks import UNMEASURED, VERSION_CHECK, Check, EngineFacts, LogFacts
from reconciler.model.engine import HOST, REMOTE, VM, Engine
from reconciler.ownership import SECRETS, STATE, faults
from reconciler.record import summary
from reconciler.values import dataclass
from reconciler.verbs import Answer
from reconciler.verbs.doctor_logs import judge as judge_logs

LEAST_FREE = 2 << 30
"""Free bytes that the state folder's disk should have; with less, the next fetch or build may fill it."""
PLACES = {HOST: "on this machine", VM: "in a virtual machine", REMOTE: "on another machine"}

Found = tuple[bool | None, str, str]
"""ok (None: not checked), message, hint."""


@dataclass(frozen=True, slots=True)
class Probes:
    """Functions that read the machine. Each may raise ReconcilerError, which is then the finding.

    `endpoint`: the engine's address. `others`: sockets of further engines, if nobody has named an engine. `compose`:
    path and version. `remote`: the branch's head. `budget`: bytes, None if no commit is known. `visible`: path that
    containers must see → whether they do, None without any image. `journal`: number of records. `secrets`: reads all of
    them. `lock`: the holder's pid (None: nobody), and whether it is an agent. `kept`: why notes are not pushed, None if
    they are. `forge`: its answer, None if none is configured. `notify`: whether notifications can be sent, None if none
    are configured. `version`: whether this program is the version that the branch asks for. `logs`: how long the logs
    of containers can get. `confined`: whether the kernel keeps Compose to the files of the commit that it reads.
    """

    endpoint: Callable[[], str]
    engine: Callable[[], EngineFacts]
    compose: Callable[[], tuple[str, tuple[int, int]]]
    remote: Callable[[], str]
    budget: Callable[[], int | None]
    visible: Callable[[], Mapping[str, bool | None]]
    journal: Callable[[], int]
    secrets: Callable[[], object]
    lock: Callable[[], tuple[int | None, bool]]
    others: Callable[[], Sequence[str]] = tuple
    kept: Callable[[], str | None] = lambda: None
    forge: Callable[[], Found] | None = None
    engine_read: Callable[[], Found] | None = None
    notify: Callable[[], Found] | None = None
    version: Callable[[], Found] | None = None
    logs: Callable[[Engine], LogFacts] | None = None
    confined: Callable[[], bool] = lambda: True


class Doctor:
    """`state` and `secrets`: folders of the agent config. `least_free`: free bytes that the disk should have. `owner`:
    the agent config trusts pushers. `advisory`: it allows engines that enforce no memory limits."""

    def __init__(
        self, state: Path, secrets: Path | None, probes: Probes, least_free: int = LEAST_FREE, owner: bool = False,
        advisory: bool = False,
    ) -> None:  # fmt: skip
        self._state, self._secrets, self._probes, self._least_free = state, secrets, probes, least_free
        self._owner, self._advisory = owner, advisory
        self._found: Engine | None = None

    def examine(self) -> Answer:
        checks = tuple(self._checks())
        return (1 if any(item.ok is False for item in checks) else 0), summary.doctor(checks, self._found)

    def _checks(self) -> Iterator[Check]:
        yield self._check("endpoint", self._endpoint)
        try:
            facts = self._probes.engine()
        except ReconcilerError as error:
            yield Check("engine", False, error.message, error.hint)
            away: Found = None, "not checked: the engine does not answer", ""
            yield from (Check(name, *away) for name in ("clock", "memory", "limits", "statistics", "logs", "visible"))
        else:
            self._found = engine = facts.engine
            yield Check("engine", True, _engine(engine))
            yield self._check("clock", lambda: self._clock(engine))
            yield self._check("memory", lambda: self._memory(engine))
            yield self._check("limits", lambda: self._limits(engine))
            yield self._check("statistics", lambda: self._statistics(facts))
            if (logs := self._probes.logs) is not None:
                yield self._check("logs", lambda: judge_logs(logs(engine), engine))
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
            *(((VERSION_CHECK, self._probes.version),) if self._probes.version else ()),
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
        others = self._probes.others()
        more = f"; not used, as nothing names them: {', '.join(others)}" if others else ""
        return True, address + more, ""

    def _clock(self, engine: Engine) -> Found:
        if not engine.is_skewed:
            return True, f"{abs(engine.ahead):.1f} s apart", ""
        which = "ahead of" if engine.ahead > 0 else "behind"
        hint = "set both clocks by NTP; a virtual machine's falls behind in sleep: start it again"
        return False, f"the engine's clock is {abs(engine.ahead):.0f} s {which} this machine's", hint

    def _limits(self, engine: Engine) -> Found:
        if engine.limits:
            swap = "swap is counted" if engine.swap else "swap is not counted: a container may use more of it"
            return True, f"memory limits are enforced; {swap}", ""
        told = "memory limits are accepted, but not enforced"
        if self._advisory:
            return True, f"{told}; budget: advisory allows that", ""
        return False, told, f"{remedy(engine)}; until then commits are held, unless `budget: advisory` is set"

    def _memory(self, facts: Engine) -> Found:
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
        seen = self._probes.visible()
        if self._found is not None:
            self._found = replace(self._found, seen=seen)
        for path, sees in seen.items():
            if sees is None:
                return None, "not checked: the engine has no image for this check", ""
            if not sees and not os.path.exists(path):
                return False, f"{path} does not exist", "make it, or take it out of the agent config"
            if not sees:
                hint = "choose one that the engine's machine shares (below $HOME)"
                return False, f"containers do not see {path}", hint
        own = [name for name, path in (("the state folder", self._state), ("secrets_dir", self._secrets)) if path]
        granted = len(seen) - len(own)
        more = [f"{granted} path{'s' if granted > 1 else ''} of binds"] if granted > 0 else []
        *most, last = [*own, *more]
        return True, f"containers see {', '.join(most)}{' and ' if most else ''}{last}", ""

    def _compose(self) -> Found:
        path, (major, minor) = self._probes.compose()
        if self._found is not None:
            self._found = replace(self._found, compose=f"{major}.{minor}")
        beside = (
            "" if self._probes.confined() else "; the kernel does not keep it to a commit's files, only our scan does"
        )
        return True, f"version {major}.{minor}, {path}{beside}", ""

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


def _engine(engine: Engine) -> str:
    """`Docker Engine 26.1.5, rootless, API 1.44 (of 1.24 to 1.45), overlay2, cgroup v2, on this machine`."""
    spoken = f" (of {engine.oldest_api} to {engine.newest_api})" if engine.newest_api else ""
    parts = [
        f"{engine.product} {engine.version}",
        *(["rootless"] if engine.rootless else []),
        f"API {engine.api}{spoken}",
        engine.storage,
        f"cgroup v{engine.cgroup}" if engine.cgroup else "",
        PLACES[engine.machine],
    ]
    return ", ".join(part for part in parts if part)


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
