"""Runs tests at the same time. Rollouts mostly wait, so several at once take hardly longer than one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from tests.e2e.host import Host, new_host

AT_ONCE = 4

Case = TypeVar("Case")
End = TypeVar("End")
Story = Callable[[Host], None]
Told = Mapping[str, Mapping[Path, Future[None]]]
"""Name of a test → its result with each Compose version that it runs with."""


@contextmanager
def started(cases: Iterable[Case], tell: Callable[[Case], End]) -> Iterator[dict[Case, Future[End]]]:
    """Each case runs in a thread; a test that asks for it gets its result or its error."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        try:
            yield {case: pool.submit(tell, case) for case in cases}
        finally:
            pool.shutdown(cancel_futures=True)


class Together:
    """The tests of a module that run at the same time, each on a host of its own. The module calls it `together`."""

    def __init__(self) -> None:
        self._stories: dict[str, tuple[Story, bool]] = {}

    def with_one_compose(self, story: Story) -> Callable[[Told], None]:
        """A test that runs with the newest Compose."""
        return self._test(story, every=False)

    def with_every_compose(self, story: Story) -> Callable[[Told], None]:
        """A test that runs with every installed Compose version."""
        return self._test(story, every=True)

    @contextmanager
    def told(self, names: Collection[str], folder: Path, composes: list[Path]) -> Iterator[Told]:
        """Start these tests. `composes`: oldest first."""
        cases = [
            (name, compose)
            for name, (_, every) in self._stories.items()
            for compose in (composes if every else composes[-1:])
            if name in names
        ]

        def tell(case: tuple[str, Path]) -> None:
            name, compose = case
            with new_host(folder / f"{name}-{composes.index(compose)}", compose) as host:
                try:
                    self._stories[name][0](host)
                except AssertionError as error:
                    error.add_note("\n".join(["The last output of the agent:", *host.outputs[-2:]]))
                    raise

        with started(cases, tell) as futures:
            yield {
                name: {compose: futures[name, compose] for other, compose in cases if other == name} for name in names
            }

    def _test(self, story: Story, every: bool) -> Callable[[Told], None]:
        name = story.__name__
        self._stories[name] = story, every

        def test(told: Told) -> None:
            for compose, future in told[name].items():
                error = future.exception()
                if error is not None:
                    error.add_note(f"with {compose}")
                    raise error

        test.__name__, test.__doc__ = name, story.__doc__
        return test
