"""python -m benchmarks.stack: bring the whole stack up, work all of it at once, tell what it took.

Exit 1 when a bar is missed: limits, memory, kills, speed of search, recall; with --soak: when something grows.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from benchmarks.stack import report, soak
from benchmarks.stack.corpus import documents
from benchmarks.stack.load import Load, Worker, working
from benchmarks.stack.plot import picture
from benchmarks.stack.recall import recall
from benchmarks.stack.running import running, say
from benchmarks.stack.sampling import Sampler
from benchmarks.stack.work import browser, files, ingest, ralph, search, task
from tests.stack.blackbox import Blackbox

WORKERS = (
    Worker("ingest", ("brain-api",), ingest.run),
    Worker("search", ("brain-api",), search.run),
    Worker("files", ("file-watcher",), files.run),
    Worker("ralph", ("ralph-agent",), ralph.run),
    Worker("tasks", ("claude-runtime",), task.run),
    Worker("browser", ("mcp-playwright", "library"), browser.run),
)
SOAKING = ("files", "ralph", "tasks", "browser")
"""The workers of --soak, which run for hours."""

IDLE = 20.0
"""Seconds of rest before the load."""

LONGEST = 1200.0
"""Seconds beyond the given minutes that the ingest may take."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stack", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0, help="how long all work at once, at least")
    parser.add_argument("--documents", type=int, default=3000, help="how many are ingested")
    parser.add_argument("--soak", type=float, metavar="MINUTES", help="agents and watcher alone: does anything grow?")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="write memory over time as an SVG")
    parser.add_argument("--output", choices=("text", "json"), default="text")
    chosen = parser.parse_args()
    with running() as stack:
        return _soaked(stack, chosen) if chosen.soak else _loaded(stack, chosen)


def _workers(stack: Blackbox) -> list[Worker]:
    there = {item["Config"]["Labels"]["com.docker.compose.service"] for item in stack.host.containers().values()}
    return [worker for worker in WORKERS if there.issuperset(worker.needs)]


def _loaded(stack: Blackbox, chosen: argparse.Namespace) -> int:
    load, workers = Load(stack, documents(chosen.documents)), _workers(stack)
    with Sampler(stack.host) as sampler:
        time.sleep(IDLE)
        begin = sampler.now()
        say(f"working for {chosen.minutes:g} minutes: {', '.join(worker.name for worker in workers)}")
        with working(load, workers):
            time.sleep(60 * chosen.minutes)
            _until_ingested(load)
        end = sampler.now()
    settled(load)
    found, told = report.rows(sampler.series, begin, end), report.figures(sampler, load, recall(load))
    if chosen.plot:
        chosen.plot.write_text(picture(sampler.series, {"load begins": begin}))
    if chosen.output == "json":
        print(json.dumps(report.document(found, told, load), indent=1))
    else:
        print(report.table(found, told), *(f"unexpected: {problem}" for problem in load.problems[:10]), sep="\n")
    return int(any(figure.missed for figure in told))


def _soaked(stack: Blackbox, chosen: argparse.Namespace) -> int:
    load, workers = Load(stack, documents(500)), _workers(stack)
    workers = [worker for worker in workers if worker.name in SOAKING]
    say(f"working for {chosen.soak:g} minutes: {', '.join(worker.name for worker in workers)}")
    with Sampler(stack.host, every=5.0) as sampler, soak.Queries(load) as queries, working(load, workers):
        time.sleep(60 * chosen.soak)
    if not any(item.samples for item in sampler.series.values()):
        load.problems.append("the engine answered no statistics: nothing was measured")
    opened = queries.opened
    found = [soak.kept(name, item, opened.get(name, soak.Opened())) for name, item in sorted(sampler.series.items())]
    ooms, restarts = (sum(getattr(item, what) for item in sampler.series.values()) for what in ("ooms", "restarts"))
    told = {"work": dict(load.counts), "oomEvents": ooms, "restarts": restarts, "problems": load.problems[:50]}
    if chosen.plot:
        chosen.plot.write_text(picture(sampler.series, {}))
    if chosen.output == "json":
        print(json.dumps({"services": soak.document(found), **told}, indent=1))
    else:
        print(soak.table(found), "", *(f"{name}: {value}" for name, value in told.items()), sep="\n")
    return int(any(item.leaks for item in found) or bool(ooms or restarts or load.problems))


def _until_ingested(load: Load) -> None:
    """Wait until all documents are ingested, and one minute more. A slow machine needs longer than the load's time."""
    late = not load.ingested.is_set()
    load.ingested.wait(LONGEST)
    if late:
        time.sleep(60.0)


def settled(load: Load) -> None:
    """Wait until embeddings and graph are complete, and check that no acknowledged document is missing."""
    for _ in range(300):
        counted = load.ask("GET", "/api/v1/stats")
        if counted and counted["embeddings_pending"] == counted["graph_pending"] == 0:
            break
        time.sleep(1.0)
    stored = int(load.stack.psql("SELECT count(*) FROM artifacts WHERE starts_with(path, 'library/')"))
    if not counted or counted["embeddings_pending"] or counted["graph_pending"]:
        load.problems.append(f"not caught up after 5 minutes: {counted}")
    if not load.ingested.is_set():
        load.problems.append("the documents were not all taken in before the end")
    elif stored != len(load.documents):
        load.problems.append(f"{stored} documents are stored, {len(load.documents)} were acknowledged")


if __name__ == "__main__":
    sys.exit(main())
