"""Rollouts are mostly waiting: several at once take hardly longer than one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from tests.e2e.host import Host

AT_ONCE = 4

Case = TypeVar("Case")
End = TypeVar("End")


@contextmanager
def started(cases: Iterable[Case], tell: Callable[[Case], End]) -> Iterator[dict[Case, Future[End]]]:
    """Each case is told in a thread; its result is there, or raised, where a test asks for it."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        try:
            yield {case: pool.submit(tell, case) for case in cases}
        finally:
            pool.shutdown(cancel_futures=True)


def with_every_compose(story: Callable[[Host], None]) -> Callable[[list[Host]], None]:
    """A test that runs on one host for each Compose version, at once."""

    def test(hosts: list[Host]) -> None:
        with ThreadPoolExecutor(len(hosts)) as pool:
            ended = [(host, pool.submit(story, host)) for host in hosts]
        for host, future in ended:
            error = future.exception()
            if error is not None:
                error.add_note(f"with {host.compose}")
                raise error

    test.__name__, test.__doc__ = story.__name__, story.__doc__
    return test
