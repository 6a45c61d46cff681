"""Reports on open pull requests, by real HTTP. The machine's verdicts are given."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from reconciler.decide.redact import Redactor
from reconciler.errors import Transient
from reconciler.model.history import Planned
from reconciler.model.outcome import Level, Reason, Violation
from reconciler.record import text
from reconciler.record.text.layout import Style
from reconciler.reference import output_schema
from reconciler.report import preview_box
from reconciler.report.forge import connect, web_of
from reconciler.report.messages import Policy, State
from reconciler.report.preview import Verdict
from reconciler.report.preview_box import PreviewBox
from reconciler.report.pulls import MOST, Pull, pulls_of
from reconciler.settings import ForgeSettings
from reconciler.verbs import Answer
from reconciler.verbs.preview import AGAIN, LONGEST, TRIES, NotAdmitted, Preview, Teller
from tests.report.fake_forge import TOKEN, Comment, FakeForge, OpenPull, Reply, serving

SHAS = [f"{n:x}" * 40 for n in range(1, 10)]
CONTEXT = "reconciler/mini/preview"
PLANNED = Planned(("shop/web",), (), (), (("shop/web", 40.0),), 100 << 20, 160 << 20, 200 << 20, 400 << 20)
GOOD = Verdict(State.SUCCESS, planned=PLANNED)
FAILURE = {"github": "failure", "gitlab": "failed", "gitea": "failure"}


@dataclass
class Machine:
    """Returns given verdicts, and records which pull requests it judged."""

    verdicts: dict[int, Verdict | BaseException | None] = field(default_factory=dict)
    rolling: bool = False
    head: str = "main-1"
    judged: list[int] = field(default_factory=list)
    takes: float = 0.0
    clock: list[float] = field(default_factory=lambda: [1000.0])

    def busy(self) -> bool:
        return self.rolling

    def basis(self) -> str:
        return self.head

    def judge(self, pull: Pull) -> Verdict | None:
        self.judged.append(pull.number)
        self.clock[0] += self.takes
        verdict = self.verdicts.get(pull.number, GOOD)
        if isinstance(verdict, BaseException):
            raise verdict
        return verdict


@dataclass
class Host:
    """One machine. Each `look` stands for a new process."""

    forge: FakeForge
    folder: Path
    machine: Machine = field(default_factory=Machine)
    redactor: Redactor = field(default_factory=Redactor)
    policy: Policy = field(default_factory=lambda: Policy("mini", seal=lambda digest: f"sealed{digest}"))
    repository: str = "me/home"

    def look(self) -> Answer:
        settings, path = self._settings, self.folder / "preview.json"
        pulls = pulls_of(settings.kind, web_of(settings, TOKEN, self.redactor.clean), settings.repository)
        teller = Teller(
            settings.kind, self.policy, pulls, lambda branch: connect(settings, TOKEN, str, branch),
            lambda told: self.redactor.clean(told, multiline=True),
        )  # fmt: skip
        box, clock = preview_box.load(path, settings.place), self.machine.clock
        try:
            answer = Preview(
                box, self.machine, teller, "main", lambda kept: preview_box.save(path, kept), lambda: clock[0]
            ).run()
        finally:
            pulls.close()
        Draft202012Validator(output_schema()).validate(answer[1])
        assert all(len(line) <= 80 for line in text.render(answer[1], Style(False, 80), 0.0).splitlines())
        return answer

    @property
    def box(self) -> PreviewBox:
        return preview_box.load(self.folder / "preview.json", self._settings.place)

    @property
    def _settings(self) -> ForgeSettings:
        return ForgeSettings(self.forge.kind, self.forge.api, self.repository)


@pytest.fixture(params=["github", "gitlab", "gitea"])
def forge(request: pytest.FixtureRequest) -> Iterator[FakeForge]:
    with serving(request.param) as made:
        yield made
        assert made.wrong == []
        assert made.tokens <= {TOKEN}


@pytest.fixture
def host(forge: FakeForge, tmp_path: Path) -> Host:
    return Host(forge, tmp_path)


def outcomes(answer: Answer) -> dict[int, str]:
    return {item["number"]: item["outcome"] for item in answer[1]["pullRequests"]}


def test_one_comment_and_one_status_are_kept_up_to_date(host: Host, forge: FakeForge) -> None:
    forge.open.append(OpenPull(4, "new-web", SHAS[0]))
    assert outcomes(host.look()) == {4: "Success"}
    assert forge.states(SHAS[0], CONTEXT) == ["success"]
    (comment,) = forge.comments_of("pull 4")
    assert comment.startswith("<!-- reconciler:mini -->\n<!-- preview:4 -->\n<!-- seal:sealed")
    assert "- restarts `shop/web`, down for at most 40 s" in comment
    assert "memory 100 MiB before, 160 MiB after, at most 200 of 400 MiB" in comment
    before = len(forge.requests)
    assert outcomes(host.look()) == {4: "Unchanged"}
    assert [item for item in forge.requests[before:] if not item.startswith("GET ")] == []

    violation = Violation(
        Reason.POLICY_VIOLATION, "privileged", "is @everyone <b>`privileged`", "Remove it.", "compose.yaml", 3, 5
    )
    warning = Violation(Reason.POLICY_VIOLATION, "image-latest", "moves", "", "compose.yaml", 2, level=Level.WARN)
    host.machine.verdicts[4] = Verdict(State.FAILURE, "PolicyViolation: bad", None, (violation, warning), SHAS[8])
    forge.open[0] = OpenPull(4, "new-web", SHAS[1])
    assert outcomes(host.look()) == {4: "Failure"}
    assert forge.states(SHAS[1], CONTEXT) == [FAILURE[forge.kind]]
    (comment,) = forge.comments_of("pull 4")
    assert "it would be rejected" in comment
    assert "    compose.yaml:3:5: privileged: is @everyone <b>`privileged`" in comment
    assert "<summary>1 warning</summary>" in comment
    assert f"merged into `main` at `{SHAS[8][:12]}`" in comment


def test_an_unchanged_pull_request_is_judged_again_after_a_change_elsewhere_or_an_hour(
    host: Host, forge: FakeForge
) -> None:
    forge.open.append(OpenPull(4, "new-web", SHAS[0]))
    host.look()
    host.look()
    assert host.machine.judged == [4]
    host.machine.head = "main-2"
    host.look()
    assert host.machine.judged == [4, 4]
    host.machine.clock[0] += AGAIN + 1
    host.look()
    assert host.machine.judged == [4, 4, 4]
    assert forge.states(SHAS[0], CONTEXT) == ["success"]
    assert len(forge.comments_of("pull 4")) == 1


def test_an_id_of_another_repository_is_not_used(host: Host, forge: FakeForge) -> None:
    forge.open.append(OpenPull(4, "new-web", SHAS[0]))
    host.look()
    forge.comments[0] = theirs = Comment(forge.comments[0].id, "pull 9", "talk of others")
    host.repository, host.machine.head = "me/moved", "main-2"
    host.machine.verdicts[4] = Verdict(State.FAILURE, "PolicyViolation: bad", None, (), SHAS[8])
    host.look()
    assert theirs.body == "talk of others"
    assert len(forge.comments_of("pull 4")) == 1


def test_only_pull_requests_from_the_repository_into_the_watched_branch_are_judged(
    host: Host, forge: FakeForge
) -> None:
    forge.open += [
        OpenPull(1, "theirs", SHAS[0], fork=True), OpenPull(2, "ours", SHAS[1], base="other"),
        OpenPull(3, "ours", "not a sha"), OpenPull(4, "", SHAS[2]), OpenPull(5, "ours", SHAS[3]),
    ]  # fmt: skip
    assert outcomes(host.look()) == {5: "Success"}
    assert host.machine.judged == [5]
    assert {item["sha"] for item in forge.statuses} == {SHAS[3]}


def test_a_pull_request_that_is_not_admitted_gets_no_answer(host: Host, forge: FakeForge) -> None:
    forge.open.append(OpenPull(4, "new-web", SHAS[0]))
    host.machine.verdicts[4] = NotAdmitted("commit 111111111111 is not signed")
    code, document = host.look()
    assert (code, document["pullRequests"][0]["outcome"]) == (0, "NotAdmitted")
    assert (forge.statuses, forge.comments) == ([], [])


def test_closed_pull_requests_are_forgotten(host: Host, forge: FakeForge) -> None:
    forge.open += [OpenPull(n, f"b{n}", SHAS[n]) for n in (1, 2)]
    host.look()
    del forge.open[0]
    host.look()
    assert list(host.box.pulls) == ["2"]
    assert len(forge.comments_of("pull 1")) == 1


def test_nothing_is_asked_while_a_rollout_is_open(host: Host, forge: FakeForge) -> None:
    forge.open.append(OpenPull(4, "new-web", SHAS[0]))
    host.machine.rolling = True
    code, document = host.look()
    assert (code, document["pullRequests"]) == (0, [])
    assert "a rollout is open" in document["message"]
    assert forge.requests == []


def test_count_and_time_are_bounded(host: Host, forge: FakeForge) -> None:
    forge.open += [OpenPull(n, f"b{n}", f"{n:040x}") for n in range(1, MOST + 31)]
    host.machine.takes = LONGEST / 4
    host.look()
    assert len(host.machine.judged) == 5
    host.machine.takes = 0.0
    host.look()
    assert len(set(host.machine.judged)) == MOST, "those that were not judged come first"
    assert len(host.machine.judged) == MOST


def test_a_judgement_that_never_ends_is_given_up_until_the_pull_request_changes(host: Host, forge: FakeForge) -> None:
    forge.open += [OpenPull(1, "bomb", SHAS[0]), OpenPull(2, "fine", SHAS[1])]

    class Killed(BaseException):
        pass

    box = host.folder / "preview.json"
    host.machine.verdicts[1] = Killed()
    for n in range(1, TRIES + 1):
        with pytest.raises(Killed):
            host.look()
        assert json.loads(box.read_text())["pulls"]["1"]["tries"] == n
    host.machine.verdicts.clear()
    host.machine.judged.clear()
    assert outcomes(host.look()) == {1: "Error", 2: "Success"}
    assert host.machine.judged == [2]
    assert "it takes too long" in forge.comments_of("pull 1")[0]
    forge.open[0] = OpenPull(1, "bomb", SHAS[2])
    assert outcomes(host.look())[1] == "Success"


def test_a_pull_request_that_cannot_be_judged_does_not_prevent_the_others(host: Host, forge: FakeForge) -> None:
    forge.open += [OpenPull(n, f"b{n}", SHAS[n]) for n in (1, 2, 3)]
    host.machine.verdicts |= {1: Transient(Reason.FETCH_FAILED, "cannot fetch branch b1", "push it"), 2: None}
    code, document = host.look()
    assert code == 1
    assert outcomes((code, document)) == {1: "Failed", 2: "Moved", 3: "Success"}
    assert host.box.trouble == "preview: pull request 1: cannot fetch branch b1. push it"
    assert host.box.pending == 2
    host.machine.verdicts.clear()
    assert host.look()[0] == 0
    assert host.box.trouble is None


def test_the_missing_scope_is_named_and_the_report_tried_again(host: Host, forge: FakeForge) -> None:
    forge.open.append(OpenPull(4, "new-web", SHAS[0]))
    forge.scopes.discard("comments")
    assert host.look()[0] == 1
    trouble = host.box.trouble or ""
    assert "lacks a scope" in trouble
    scope = {"github": "Pull requests", "gitlab": "Developer", "gitea": "`write:issue`"}[forge.kind]
    assert scope in trouble
    forge.scopes.add("comments")
    assert outcomes(host.look()) == {4: "Success"}
    assert host.box.trouble is None


def test_no_request_is_sent_while_the_forge_asks_for_a_pause(host: Host, forge: FakeForge) -> None:
    forge.faults.append(Reply(429, {"message": "slow down"}, {"Retry-After": "90"}))
    assert host.look()[0] == 1
    before = len(forge.requests)
    host.machine.clock[0] += 80
    assert host.look()[0] == 1
    assert len(forge.requests) == before
    host.machine.clock[0] += 20
    assert host.look()[0] == 0


def test_without_the_file_our_comment_is_found_by_its_mark_and_a_forged_one_stays(host: Host, forge: FakeForge) -> None:
    forge.open.append(OpenPull(4, "new-web", SHAS[0]))
    forged = "<!-- reconciler:mini -->\n<!-- preview:4 -->\n<!-- seal:guess -->\nmine"
    forge.comments.append(Comment(900, "pull 4", forged))
    host.look()
    (host.folder / "preview.json").write_text("{")
    host.machine.verdicts[4] = Verdict(State.PENDING, "ConsentMissing: drops most services")
    host.look()
    first, second = forge.comments_of("pull 4")
    assert first == forged
    assert "it would be held" in second
    assert forge.states(SHAS[0], CONTEXT) == ["success", "pending"]


def test_a_deleted_comment_is_made_again_and_a_locked_pull_request_is_reported(host: Host, forge: FakeForge) -> None:
    forge.open += [OpenPull(4, "new-web", SHAS[0]), OpenPull(5, "other", SHAS[1])]
    forge.locked.add(5)
    assert outcomes(host.look()) == {4: "Success", 5: "Failed"}
    assert "locked" in (host.box.trouble or "")
    forge.comments.clear()
    forge.locked.clear()
    host.machine.verdicts[4] = Verdict(State.ERROR, "EngineUnavailable: it does not answer")
    host.machine.head = "main-2"
    assert outcomes(host.look()) == {4: "Error", 5: "Success"}
    assert len(forge.comments_of("pull 4")) == len(forge.comments_of("pull 5")) == 1


def test_no_secrets_and_control_characters_are_sent(host: Host, forge: FakeForge) -> None:
    host.redactor.register(["canary-secret-99"])
    forge.open.append(OpenPull(4, "new-web", SHAS[0]))
    told = "bad: canary-secret-99 \x1b[31m\u202e` @all <script>"
    host.machine.verdicts[4] = Verdict(State.FAILURE, told + "x" * 9999)
    host.look()
    sent = "".join(forge.raw)
    assert [word for word in ("canary-secret", "\\u001b", "\\u202e") if word in sent] == []
    (comment,) = forge.comments_of("pull 4")
    assert "``bad: *** \ufffd` @all <script>xxx" in comment
