"""A network that one stack owns and another one uses: replaced, rolled back, removed and missing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e.host import Host
from tests.e2e.services import BROKEN, stated
from tests.e2e.together import Together

pytestmark = pytest.mark.engine
together = Together()

GRANT = {"policy": "external-network", "reason": "the network of the proxy"}


def push(host: Host, web: dict[str, Any], *, owner: bool = True, **edge: Any) -> str:
    """The host's stack owns the network `edge`, and its second stack uses it. `edge`: the network's definition."""
    second, name = f"{host.stack}b", f"{host.stack}_edge"
    host.stacks = [second, host.stack]  # the order in which they are removed at the end
    stacks = [{"name": second, "files": ["user.yaml"]}]
    networks = {"edge": {"name": name, **edge}}
    files = {
        "user.yaml": json.dumps(
            {
                "services": {"web": {**web, "networks": ["edge"]}},
                "networks": {"edge": {"name": name, "external": True}},
            }
        )
    }
    if owner:
        stacks.insert(0, {"name": host.stack, "files": ["owner.yaml"]})
        proxy = {"services": {"proxy": {**stated("1"), "networks": ["edge"]}}, "networks": networks}
        files["owner.yaml"] = json.dumps(proxy)
    return host.push_files({f"desired-state/{host.name}.yaml": host.host_document(stacks=stacks), **files})


def users(host: Host) -> set[str]:
    """Names of the running containers in the network, without the host's."""
    found = host.engine.inspect_network(f"{host.stack}_edge")["Containers"].values()
    return {item["Name"].removeprefix(host.stack) for item in found}


@together.with_every_compose
def test_a_replaced_network_takes_the_users_of_other_stacks_along(host: Host) -> None:
    host.configure(grants=[GRANT])
    push(host, stated("1"))
    assert host.once()["outcome"] == "Succeeded"
    push(host, BROKEN, internal=True)
    turn = host.once()
    assert turn["outcome"] == "RolledBack", turn["message"]
    assert users(host) == {"-proxy-1", "b-web-1"}
    push(host, stated("1"), internal=True)
    turn = host.once()
    assert turn["outcome"] == "Succeeded", turn["message"]
    assert users(host) == {"-proxy-1", "b-web-1"}
    assert host.once()["effects"] == 0


@together.with_one_compose
def test_a_network_that_somebody_removed_comes_back_with_its_containers(host: Host) -> None:
    host.configure(grants=[GRANT])
    push(host, stated("1"))
    assert host.once()["outcome"] == "Succeeded"
    for container in host.engine.containers(filters={"network": f"{host.stack}_edge"}):
        host.engine.stop(container["Id"], timeout=1)
    host.engine.remove_network(f"{host.stack}_edge")
    turn = host.once()
    assert (turn["outcome"], turn["reason"]) == ("Succeeded", "DriftCorrected"), turn["message"]
    assert users(host) == {"-proxy-1", "b-web-1"}
    assert host.once()["effects"] == 0
    push(host, stated("1"), owner=False)
    turn = host.once()
    assert turn["outcome"] == "Succeeded", turn["message"]
    assert users(host) == {"b-web-1"}, "another stack still uses it"


@together.with_one_compose
def test_a_missing_external_network_is_named_with_its_remedy(host: Host) -> None:
    host.configure(grants=[GRANT])
    push(host, stated("1"), owner=False)
    turn = host.once()
    assert (turn["outcome"], turn["reason"]) == ("Failed", "DependencyNotReady")
    assert turn["message"].endswith(f"uses the external network {host.stack}_edge, which does not exist")
    host.engine.create_network(f"{host.stack}_edge", labels={"com.docker.compose.project": host.stack})
    assert host.once()["outcome"] == "Succeeded"


@together.with_every_compose
def test_two_networks_exchange_their_ranges_and_one_gets_another_name(host: Host) -> None:
    host.configure(address_pool=["10.0.0.0/8"])
    base = 8 * (int(host.name[1:5], 16) % 30)
    one, two = (f"10.231.{base + number}.0/24" for number in (1, 2))

    def pushed(first: str, second: str, key: str = "a", **more: Any) -> str:
        networks = {name: {"ipam": {"config": [{"subnet": text}]}} for name, text in ((key, first), ("b", second))}
        return host.push({"web": stated("1", networks=[key, "b"]), **more}, networks=networks)

    def addresses() -> dict[str, str]:
        found = host.container("web")["NetworkSettings"]["Networks"]
        return {name.rpartition("_")[2]: item["IPAddress"].rpartition(".")[0] + ".0/24" for name, item in found.items()}

    pushed(one, two)
    assert host.once()["outcome"] == "Succeeded"
    pushed(two, one, bad={**BROKEN, "depends_on": ["web"]})
    turn = host.once()
    assert turn["outcome"] == "RolledBack", turn["message"]
    assert addresses() == {"a": one, "b": two}
    pushed(two, one, key="c")
    turn = host.once()
    assert turn["outcome"] == "Succeeded", turn["message"]
    assert addresses() == {"c": two, "b": one}
    assert host.once()["effects"] == 0
