"""What a token lacks is found out before anything is to be told, and nothing comes of it."""

from __future__ import annotations

import pytest

from reconciler.report.forge import connect
from reconciler.report.messages import COMMENTS, DEPLOYMENTS, STATUSES
from reconciler.report.scopes import lacking
from reconciler.settings import ForgeSettings
from tests.report.fake_forge import TOKEN, serving

CHANNELS = (STATUSES, COMMENTS, DEPLOYMENTS)
NEEDED = {
    ("github", STATUSES): "`repo:status`",
    ("github", COMMENTS): "`public_repo`",
    ("github", DEPLOYMENTS): "`repo_deployment`",
    ("gitlab", STATUSES): "`api`",
    ("gitlab", COMMENTS): "`api`",
    ("gitea", STATUSES): "`write:repository`",
    ("gitea", COMMENTS): "`write:issue`",
}


@pytest.mark.parametrize("kind", ["github", "gitlab", "gitea"])
def test_each_missing_scope_is_named_and_nothing_is_made(kind: str) -> None:
    with serving(kind) as forge:
        client = connect(ForgeSettings(kind, forge.api, "me/home"), TOKEN, str, "main")
        assert lacking(client, kind, CHANNELS) == []
        for channel in CHANNELS:
            forge.scopes.discard(channel)
            found = lacking(client, kind, (channel,))
            scope = NEEDED.get((kind, channel))
            assert len(found) == (scope is not None)
            assert scope is None or scope in found[0]
        client.close()
        assert (forge.statuses, forge.comments, forge.deployments, forge.wrong) == ([], [], [], [])
