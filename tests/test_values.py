"""Our `dataclass` makes the same classes as the standard library's, as far as this program uses them."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import FrozenInstanceError, field
from typing import Any

import pytest

from reconciler import values

Decorate = Callable[[type], Any]


def point(decorate: Decorate) -> Any:
    class Point:
        """With each kind of field."""

        x: int
        names: Mapping[str, str] = field(default_factory=dict)
        secret: str = field(default="s", repr=False)
        taken: float = field(default=0.0, compare=False)
        tail: tuple[int, ...] = ()

        @property
        def twice(self) -> int:
            return 2 * self.x

    return decorate(Point)


def one(decorate: Decorate) -> Any:
    class One:
        only: float

    return decorate(One)


def none(decorate: Decorate) -> Any:
    class Nothing:
        pass

    return decorate(Nothing)


FORMS: list[dict[str, bool]] = [
    {"frozen": True, "slots": True},
    {"frozen": True},
    {"slots": True},
    {"slots": True, "eq": False},
]


def pair(make: Callable[[Decorate], Any], form: Mapping[str, bool]) -> tuple[Any, Any]:
    return make(values.dataclass(**form)), make(dataclasses.dataclass(**form))


@pytest.mark.parametrize("form", FORMS, ids=str)
@pytest.mark.parametrize("make", [point, one, none], ids=lambda make: make.__name__)
def test_instances_are_shown_and_compared_as_those_of_the_standard_library(
    make: Callable[[Decorate], Any], form: Mapping[str, bool]
) -> None:
    ours, theirs = pair(make, form)
    known: dict[str, list[tuple[Any, ...]]] = {
        "Point": [(1,), (1, {"a": "b"}, "t", 9.0, (2,)), (2,)],
        "One": [(1.5,), (2.5,)],
    }
    given = known.get(ours.__name__, [()])
    mine, yours = ([kind(*arguments) for arguments in given] for kind in (ours, theirs))
    assert list(map(repr, mine)) == list(map(repr, yours))
    assert [a == b for a in mine for b in map(copy.copy, mine)] == [
        a == b for a in yours for b in map(copy.copy, yours)
    ]
    assert mine[0] != yours[0]  # of another class
    assert (ours.__hash__ is None) == (theirs.__hash__ is None)
    assert ours.__match_args__ == theirs.__match_args__
    assert [hasattr(item, "__dict__") for item in mine] == [hasattr(item, "__dict__") for item in yours]
    assert list(map(dataclasses.asdict, mine)) == list(map(dataclasses.asdict, yours))


def test_a_hash_is_that_of_what_is_compared() -> None:
    ours, _ = pair(one, FORMS[0])
    assert len({ours(1.0), ours(1.0), ours(2.0)}) == 2
    nan = float("nan")
    assert ours(nan) == ours(nan)  # as in the standard library, where a tuple holds the very same object
    hollow, _ = pair(none, FORMS[0])
    assert {hollow(), hollow()} == {hollow()}


@pytest.mark.parametrize("form", FORMS[:2], ids=str)
def test_a_frozen_instance_cannot_be_changed(form: Mapping[str, bool]) -> None:
    for kind in pair(point, form):
        item = kind(1)
        with pytest.raises(FrozenInstanceError, match="cannot assign to field 'x'"):
            item.x = 2
        with pytest.raises(FrozenInstanceError, match="cannot delete field 'x'"):
            del item.x
        assert (item.x, item.twice) == (1, 2)


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_copies_can_differ(form: Mapping[str, bool]) -> None:
    for kind in pair(point, form):
        item = kind(1)
        changed = dataclasses.replace(item, x=5, tail=(1,))
        assert (changed.x, changed.tail, changed.secret, item.x) == (5, (1,), "s", 1)
        assert kind(1).names is not kind(1).names
        assert copy.deepcopy(item).names is not item.names


@pytest.mark.parametrize(
    ("given", "named"),
    [((), {}), ((1, 2, 3, 4, 5, 6), {}), ((1,), {"y": 1}), ((1,), {"x": 1})],
    ids=["missing", "too many", "unknown", "twice"],
)
def test_wrong_arguments_are_named_each_time(given: tuple[int, ...], named: dict[str, int]) -> None:
    ours, theirs = pair(point, FORMS[0])
    for _ in range(2):  # the first call compiles
        told = []
        for kind in (ours, theirs):
            with pytest.raises(TypeError) as wrong:
                kind(*given, **named)
            told.append(str(wrong.value))
        assert told[0] == told[1]


def test_what_it_does_not_know_is_refused() -> None:
    class Own:
        x: int = field(init=False, default=1)

    class Named:
        x: int = field(kw_only=True)

    for kind in (Own, Named):
        with pytest.raises(TypeError, match="needs the standard library's dataclass"):
            values.dataclass(frozen=True)(kind)
    with pytest.raises(TypeError, match="order"):
        values.dataclass(order=True)(Own)


def test_post_init_is_called() -> None:
    @values.dataclass(slots=True)
    class Doubled:
        x: int

        def __post_init__(self) -> None:
            self.x *= 2

    assert [Doubled(2).x, Doubled(x=3).x] == [4, 6]


def test_a_method_of_the_class_stays() -> None:
    @values.dataclass(frozen=True, slots=True)
    class Quiet:
        word: str

        def __repr__(self) -> str:
            return "***"

    assert repr(Quiet("hunter2")) == "***"


@values.dataclass(frozen=True, slots=True)
class Sent:
    x: int
    y: tuple[int, ...] = ()


def test_pickles_are_read_again() -> None:
    sys.modules.setdefault(__name__, sys.modules[Sent.__module__])
    assert pickle.loads(pickle.dumps(Sent(1, (2,)))) == Sent(1, (2,))


def test_methods_are_not_compiled_while_a_module_is_imported() -> None:
    code = (
        "import builtins; real = builtins.exec; seen = []\n"
        "builtins.exec = lambda *a, **k: (seen.append(a[0]) if isinstance(a[0], str) else None, real(*a, **k))[1]\n"
        "import reconciler.model.status, reconciler.model.plan\n"
        "print(sum(text.startswith('def __create_fn__') for text in seen))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0"
