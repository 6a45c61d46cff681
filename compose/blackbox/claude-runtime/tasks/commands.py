"""`task submit|follow|result|cancel|list`, called through `docker exec`."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from tasks.events import told
from tasks.settings import Settings
from tasks.store import Refused, Store, new_id
from tasks.task import CANCELLED, ENDED, FAILED, INTERRUPTED, SUCCEEDED, TIMED_OUT, Task

CODES = {SUCCEEDED: 0, FAILED: 1, CANCELLED: 3, TIMED_OUT: 3, INTERRUPTED: 3}
NOT_ENDED = 4
SHOWN = 20


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    submit = verbs.add_parser("submit", help="a new task; its id goes to stdout. The prompt: arguments, or stdin")
    submit.add_argument("prompt", nargs="*")
    submit.add_argument("--in", dest="folder", default="", help="a folder of the workspace; made if it is not there")
    submit.add_argument("--clone", default="", help="the repository that this folder begins as")
    submit.add_argument("--model", default="", help="another model")
    submit.add_argument("--minutes", type=float, help="how long it may take")
    submit.add_argument("--usd", type=float, help="how much it may cost")
    submit.add_argument("--once", action="store_true", help="do not begin it again after an interruption")
    submit.add_argument("--follow", action="store_true", help="and see what it does")
    for name, about in (("follow", "what it does, until it ends"), ("result", "its answer, or why there is none")):
        verb = verbs.add_parser(name, help=f"{about}; the exit code says how it ended")
        verb.add_argument("id", help="as submit printed it, or `last`")
        verb.add_argument("--output", choices=["text", "json"], default="text")
    cancel = verbs.add_parser("cancel", help="end it, or take it from the queue")
    cancel.add_argument("id")
    listed = verbs.add_parser("list", help=f"the last {SHOWN} tasks")
    listed.add_argument("--output", choices=["text", "json"], default="text")


def main(settings: Settings, given: argparse.Namespace) -> int:
    """Exit code. 0: succeeded. 1: failed. 2: wrong request. 3: cancelled, timed out, interrupted. 4: not ended."""
    store = Store(settings.tasks)
    try:
        if given.verb == "submit":
            return _submit(settings, store, given)
        if given.verb == "list":
            return _list(store, given.output)
        task = store.find(given.id)
    except Refused as error:
        print(error, file=sys.stderr)
        return 2
    if given.verb == "cancel":
        return _cancel(store, task)
    return _follow(store, task, given.output) if given.verb == "follow" else _result(task, given.output)


def _submit(settings: Settings, store: Store, given: argparse.Namespace) -> int:
    if given.clone and not given.folder:
        given.folder = Path(given.clone.rstrip("/").replace(":", "/")).name.removesuffix(".git")
    folder = (settings.workspace / given.folder).resolve()
    if not folder.is_relative_to(settings.workspace.resolve()):
        raise Refused(f"{given.folder} lies outside of the workspace")
    prompt, now = " ".join(given.prompt) if given.prompt else sys.stdin.read(), time.time()
    task = Task(
        new_id(now), now, folder=given.folder, clone=given.clone, model=given.model, once=given.once,
        minutes=given.minutes or settings.minutes, usd=given.usd or settings.usd,
    )  # fmt: skip
    store.submit(prompt, task)
    print(task.id, flush=True)
    if not (settings.key or settings.token):
        text = "it waits: there is no key (secret ANTHROPIC_API_KEY or CLAUDE_CODE_OAUTH_TOKEN)"
        print(text, file=sys.stderr)
        return 0
    return _follow(store, task, "text") if given.follow else 0


def _follow(store: Store, task: Task, output: str) -> int:
    at, rest = 0, b""
    path = store.path(task, "log.jsonl")
    while True:
        # The status is read before the log, so that the log of an ended task is complete.
        task = store.find(task.id)
        if path.exists():
            with path.open("rb") as file:
                file.seek(at)
                new = file.read()
            at += len(new)
            *lines, rest = (rest + new).split(b"\n")
            for line in lines:
                text = line.decode(errors="replace")
                shown = text if output == "json" else told(text)
                if shown:
                    print(shown, flush=True)
        if task.status in ENDED:
            if output == "text":
                print(f"{task.id} {task.status}", file=sys.stderr)
            return CODES[task.status]
        time.sleep(0.3)


def _result(task: Task, output: str) -> int:
    if output == "json":
        print(json.dumps(task.document))
    elif task.status not in ENDED:
        print(f"{task.id} is {task.status}: `task follow {task.id}`", file=sys.stderr)
    else:
        print(task.text)
    return CODES.get(task.status, NOT_ENDED)


def _cancel(store: Store, task: Task) -> int:
    if task.status in ENDED:
        print(f"{task.id} has ended: {task.status}", file=sys.stderr)
        return 2
    store.cancel(task)
    until = time.monotonic() + 15
    while (task := store.find(task.id)).status not in ENDED and time.monotonic() < until:
        time.sleep(0.1)
    print(f"{task.id} {task.status}")
    return 0 if task.status == CANCELLED else NOT_ENDED if task.status not in ENDED else 2


def _list(store: Store, output: str) -> int:
    tasks = store.all()[-SHOWN:]
    if output == "json":
        print(json.dumps({"tasks": [task.document for task in tasks]}))
        return 0
    print(f"{'ID':20}{'STATUS':12}{'TRIES':>5}{'SECONDS':>9}{'USD':>7}  PROMPT")
    for task in tasks:
        seconds = (task.ended or time.time()) - task.started if task.started else 0
        prompt = store.path(task, "prompt").read_text(errors="replace").split("\n")[0]
        spent = f"{task.spent:7.2f}" if task.spent is not None else "      ?"
        print(f"{task.id:20}{task.status:12}{task.attempts:5}{seconds:9.1f}{spent}  {prompt}"[:100])
    return 0
