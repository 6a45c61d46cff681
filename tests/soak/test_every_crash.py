"""Every crash point of the reference rollout, forward and back, with every Compose version."""

from __future__ import annotations

from pathlib import Path

import docker
import pytest

from tests.conftest import find_compose
from tests.e2e import reference
from tests.e2e.reference import FLOWS
from tests.e2e.together import AT_ONCE, started

pytestmark = [pytest.mark.engine, pytest.mark.soak, pytest.mark.timeout(7200)]


@pytest.mark.parametrize("flow", FLOWS)
@pytest.mark.parametrize("compose", find_compose(), ids=lambda path: path.parent.name)
def test_a_crash_at_every_effect_must_be_corrected(
    engine: docker.APIClient, images: dict[str, str], tmp_path: Path, compose: Path, flow: str
) -> None:
    effects = reference.effects(tmp_path / "undisturbed", compose, flow)

    def tell(part: int) -> list[int]:
        points = range(1 + part, effects + 1, AT_ONCE)
        return list(reference.crashes(tmp_path / str(part), compose, flow, points))

    with started(range(AT_ONCE), tell) as futures:
        corrected = [n for future in futures.values() for n in future.result()]
    assert sorted(corrected) == list(range(1, effects + 1))
