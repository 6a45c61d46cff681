"""Holds a commit on an engine that accepts memory limits and does not enforce them. Pure.

There the sum of the limits says nothing about the memory that containers use: one of them can take all of it.
"""

from __future__ import annotations

from reconciler.model.desired import DesiredState
from reconciler.model.engine import HOST, Engine

_DELEGATE = (
    "let systemd delegate the memory controller to the engine's user: `Delegate=cpu cpuset io memory pids` in "
    "/etc/systemd/system/user@.service.d/delegate.conf, then reboot"
)
_HYBRID = "boot the machine with cgroup v2 (systemd.unified_cgroup_hierarchy=1), which rootless engines need for limits"
_KERNEL = (
    "add cgroup_enable=memory to the kernel's command line (Raspberry Pi OS: in the one line of "
    "/boot/firmware/cmdline.txt), then reboot"
)
_ELSEWHERE = "switch on the memory controller of the kernel that the engine runs on (`docker info` warns until then)"


def unenforced(desired: DesiredState, engine: Engine | None) -> str | None:
    """The message, if the commit has services whose limits would not be enforced."""
    services = sum(len(stack.services) for stack in desired.stacks if not stack.suspended)
    if engine is None or engine.limits or not services:
        return None
    some = "the limit of its service" if services == 1 else f"the limits of its {services} services"
    return f"the engine accepts memory limits but does not enforce them, so {some} would have no effect"


def remedy(engine: Engine) -> str:
    """How to have limits enforced on this machine."""
    if engine.rootless:
        return _HYBRID if engine.cgroup == "1" else _DELEGATE
    return _KERNEL if engine.machine == HOST else _ELSEWHERE
