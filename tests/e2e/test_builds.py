"""Builds by the whole agent: on top of each other, with secrets, and never over foreign images."""

from __future__ import annotations

import uuid

import pytest

from tests.e2e.host import Host
from tests.e2e.services import IMAGE, service
from tests.e2e.together import Together

pytestmark = pytest.mark.engine
together = Together()
TOLD = ("outcome", "reason", "message", "hint")


@together.with_one_compose
def test_an_image_may_build_on_another_one_with_a_secret_of_the_host(host: Host) -> None:
    secret = f"hush-{uuid.uuid4().hex}"
    (host.secrets / host.stack).mkdir(mode=0o700)
    (host.secrets / host.stack / "TOKEN").write_text(secret)
    (host.secrets / host.stack / "TOKEN").chmod(0o600)
    services = {
        "app": service(image=None, build={"context": "app", "secrets": ["TOKEN"]}),
        "zbase": service(image="team/zbase:1", build="zbase"),
    }
    files: dict[str, str | bytes] = {
        "zbase/Dockerfile": f"# syntax=docker/dockerfile:1\nFROM {IMAGE}\nRUN echo base >/base\n",
        "app/Dockerfile": "FROM team/zbase:1\nRUN --mount=type=secret,id=TOKEN wc -c </run/secrets/TOKEN >/length\n",
    }
    host.push(services, files, secrets={"TOKEN": {"environment": "TOKEN"}})
    turn = host.once()
    assert (turn.code, turn["outcome"]) == (0, "Succeeded"), turn["message"]
    assert host.exec("app-1", "cat /base /length") == f"base\n{len(secret)}"
    assert not host.engine.images("team/zbase")
    services["app"]["build"]["args"] = {"TOKEN": "${TOKEN}"}
    sha = host.push(services, files, secrets={"TOKEN": {"environment": "TOKEN"}})
    denied = [item["rule"] for item in host.validate(sha)["violations"] if item["level"] == "deny"]
    assert denied == ["build-secret-arg"]
    assert all(secret not in text for text in host.outputs)


@together.with_one_compose
def test_a_commit_that_takes_the_name_of_a_foreign_image_must_be_held(host: Host) -> None:
    theirs = f"{host.stack}-theirs:1"
    host.engine.tag(IMAGE, *theirs.split(":"))  # type: ignore[arg-type]  # name and tag
    before = host.engine.inspect_image(theirs)["Id"]
    dockerfile = f"FROM {IMAGE}\nRUN : {uuid.uuid4().hex}\n"
    for build, text in (
        ({"image": theirs, "build": "app"}, dockerfile),
        ({"image": None, "build": {"context": "app", "tags": [theirs]}}, dockerfile),
        ({"image": None, "build": "app"}, f"{dockerfile}COPY --from={theirs} /etc/hostname /x\n"),
        ({"image": theirs, "pull_policy": "always"}, dockerfile),
    ):
        host.push({"app": service(**build)}, {"app/Dockerfile": text})
        turn = host.once()
        assert (turn["outcome"], turn["reason"]) == ("Held", "PolicyViolation"), turn["message"]
        assert theirs in turn["message"]
        foretold = host.plan()
        assert [foretold[key] for key in TOLD] == [turn[key] for key in TOLD]
        assert host.engine.inspect_image(theirs)["Id"] == before
    host.engine.remove_image(theirs)


@together.with_one_compose
def test_the_pull_policies_never_and_build_are_followed(host: Host) -> None:
    name = f"{host.stack}-late:1"
    dockerfile = f"FROM {IMAGE}\nRUN : {uuid.uuid4().hex}\n"
    services = {
        "app": service(image=name, pull_policy="never"),
        "own": service(image=None, build="own", pull_policy="build"),
    }
    host.push(services, {"own/Dockerfile": dockerfile})
    turn = host.once()
    assert (turn["outcome"], turn["reason"]) == ("Held", "PullFailed")
    assert f"{name} is not on this machine, and pull_policy is never" in turn["message"]
    foretold = host.plan()
    assert [foretold[key] for key in TOLD] == [turn[key] for key in TOLD]
    host.engine.tag(IMAGE, *name.split(":"))  # type: ignore[arg-type]  # name and tag
    assert host.once()["outcome"] == "Succeeded"
    own = host.container("own")
    before = own["Id"]
    by_hand = host.engine.create_container(own["Image"], ["sleep", "60"], name=f"{host.stack}-by-hand")["Id"]
    host.engine.start(by_hand)
    assert host.status()["sync"] == "Synced"  # the image has Compose's labels, and this is no container of the stack
    host.push(services, {"own/Dockerfile": dockerfile, "README.md": "x"})
    turn = host.once()
    assert turn["outcome"] == "Succeeded", turn["message"]
    assert host.container("own")["Id"] == before  # built anew, with the same result
    assert host.engine.inspect_container(by_hand)["State"]["Running"]
    host.engine.remove_container(by_hand, force=True)
    host.engine.remove_image(name, force=True)
