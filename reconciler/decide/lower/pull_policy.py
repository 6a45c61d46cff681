"""`pull_policy`: which images a new commit pulls although the machine has them, and which are never pulled.

As Compose does at `up`. A turn that only keeps last good running asks no registry.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from reconciler.model.images import Image, ImageWant
from reconciler.model.outcome import Level, Reason, Violation

RULE = "image-missing"

_EVERY = re.compile(r"every_((?:[0-9]+[wdhms])+)")
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_AGES = {"daily": _SECONDS["d"], "weekly": _SECONDS["w"]}


def longest_age(policy: str | None) -> float | None:
    """Seconds after which an image is pulled anew: 0 is always, None never."""
    if policy == "always":
        return 0.0
    every = _EVERY.fullmatch(policy or "")
    if every is None:
        return _AGES.get(policy or "")
    return sum(int(number) * _SECONDS[unit] for number, unit in re.findall(r"([0-9]+)([wdhms])", every[1]))


def stricter(one: ImageWant, other: ImageWant) -> str | None:
    """If two services use one image, the policy that pulls it more often counts for both."""
    return min(one, other, key=_rank).pull_policy


def _rank(want: ImageWant) -> tuple[float, bool]:
    if want.build is not None:
        return 0.0, want.pull_policy != "build"
    age = longest_age(want.pull_policy)
    return float("inf") if age is None else age, _fetches_nothing(want.pull_policy)


def is_fetched_anew(want: ImageWant, image: Image, now: float) -> bool:
    """Whether a new commit pulls the image although the machine has it. `now`: Unix seconds."""
    if want.build is not None:
        return want.pull_policy == "build"
    age = longest_age(want.pull_policy)
    return age is not None and now >= image.tagged + age


def unobtainable(missing: Iterable[ImageWant]) -> tuple[Violation, ...]:
    """Missing images that `pull_policy` forbids to pull."""
    return tuple(
        Violation(Reason.PULL_FAILED, RULE, *_told(want), stack=want.stack, service=want.service)
        for want in missing
        if want.build is None and _fetches_nothing(want.pull_policy)
    )


def moved_tags(
    wants: Iterable[ImageWant], named: Mapping[str, Image], chosen: Mapping[str, Image]
) -> tuple[Violation, ...]:
    """Tags that name another image on this machine than the one that keeps running, because the commit does not change
    their services."""
    return tuple(
        Violation(
            Reason.POLICY_VIOLATION,
            "moved-tag",
            f"{want.ref} names another image on this machine now; the image of last good keeps running",
            "to run the new image, change its tag or another setting of the service in the file",
            level=Level.WARN,
            stack=want.stack,
            service=want.service,
        )
        for want in wants
        if want.key in named and want.key in chosen and named[want.key].id != chosen[want.key].id
    )


def _fetches_nothing(policy: str | None) -> bool:
    """`build` without anything to build is `never`."""
    return policy in ("never", "build")


def _told(want: ImageWant) -> tuple[str, str]:
    platform = f" for {want.platform}" if want.platform else ""
    nothing = " and the service has no build" if want.pull_policy == "build" else ""
    return (
        f"{want.ref} is not on this machine{platform}, and pull_policy is {want.pull_policy}{nothing}",
        f"bring it here (docker load, docker build -t {want.ref} …) or drop pull_policy; it is tried again by itself",
    )
