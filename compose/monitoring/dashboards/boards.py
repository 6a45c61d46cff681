"""The dashboards for every machine, and the list of all dashboards. A test checks that each query has an answer."""

from __future__ import annotations

from dashboards.agents import AGENTS
from dashboards.brain import BRAIN
from dashboards.model import Board, Kind, Panel, Query, Row, Unit, number

_WORKING_SET = "stack_service:reconciler_container_memory_working_set_bytes:sum"
_LIMIT = "stack_service:reconciler_container_memory_limit_bytes:sum"
_CPU = "stack_service:reconciler_container_cpu_seconds:rate5m"
_OF = '{stack=~"$stack"}'
_SERVICE = "{{stack}}/{{service}}"

HOST = Board(
    "host",
    "Host",
    "The machine and its agent, as the monitor sees them.",
    (
        Row(
            "State",
            (
                number("Sync", "reconciler_sync", words={1: "Synced", 0: "not Synced"}, good=1),
                number("Health", "reconciler_health", words={1: "Healthy", 0: "not Healthy"}, good=1),
                number("Agent", "reconciler_agent_up", words={1: "well", 0: "silent"}, good=1),
                number(
                    "Last good",
                    "time() - reconciler_last_good_timestamp_seconds",
                    Unit.SECONDS,
                    "Time since the newest good commit was proven.",
                ),
                number("Active alerts", "count(reconciler_alert_active) or vector(0)", bad=1),
                number(
                    "Age of the metrics",
                    "time() - max(node_textfile_mtime_seconds)",
                    Unit.SECONDS,
                    "The monitor writes its metrics every 15 s.",
                    bad=120,
                ),
            ),
        ),
        Row(
            "Memory",
            (
                Panel(
                    "Budget",
                    (
                        Query('reconciler_budget_bytes{kind=~"budget|steady_limit|committed|reserve"}', "{{kind}}"),
                        Query(f"sum({_WORKING_SET})", "working sets"),
                    ),
                    unit=Unit.BYTES,
                    about="What containers may take (limits), and what they take.",
                ),
                Panel(
                    "Memory",
                    (
                        Query("reconciler_machine_memory_bytes", "machine: all"),
                        Query("reconciler_machine_memory_available_bytes", "machine: available"),
                        Query("reconciler_machine_swap_used_bytes", "machine: swap in use"),
                        Query("node_memory_MemTotal_bytes", "engine: all"),
                        Query("node_memory_MemAvailable_bytes", "engine: available"),
                    ),
                    unit=Unit.BYTES,
                    about="On a Mac the engine has a virtual machine of its own.",
                ),
            ),
        ),
        Row(
            "Processors and disks",
            (
                Panel(
                    "Processors in use",
                    (
                        Query("reconciler_machine_cpu_ratio", "machine"),
                        Query("machine:node_cpu_busy:ratio_rate5m", "engine"),
                    ),
                    unit=Unit.SHARE,
                    width=8,
                    top=1,
                ),
                Panel(
                    "Load",
                    (Query("node_load1", "1 min"), Query("node_load5", "5 min"), Query("node_load15", "15 min")),
                    width=8,
                ),
                Panel(
                    "Free on disks",
                    (Query("machine:reconciler_disk_free:ratio", "{{mount}}"),),
                    unit=Unit.SHARE,
                    width=8,
                    top=1,
                ),
            ),
        ),
        Row(
            "What watches",
            (
                Panel(
                    "Sources of metrics",
                    (Query("up", "{{job}} {{instance}}"),),
                    Kind.STATES,
                    width=8,
                    good=1,
                    words={1: "up", 0: "down"},
                ),
                Panel(
                    "Memory of what watches",
                    (Query("process_resident_memory_bytes", "{{job}}"),),
                    unit=Unit.BYTES,
                    width=8,
                ),
                Panel("Series in memory", (Query("prometheus_tsdb_head_series", "series"),), width=8),
            ),
        ),
    ),
)

SERVICES = Board(
    "services",
    "Services",
    "What each service takes, and how it is.",
    (
        Row(
            "State",
            (
                number("Services", f"count(reconciler_service_health{_OF})"),
                number("Degraded", f"sum(reconciler_service_degraded{_OF})", bad=1),
                number("Restarts, 1 h", f"sum(increase(reconciler_container_restarts_total{_OF}[1h]))", bad=1),
                number("Kills for memory, 1 h", f"sum(increase(reconciler_container_oom_kills_total{_OF}[1h]))", bad=1),
                number("Working sets", f"sum({_WORKING_SET}{_OF})", Unit.BYTES),
                number("Limits", f"sum({_LIMIT}{_OF})", Unit.BYTES),
                Panel(
                    "Health",
                    (Query(f"reconciler_service_health{_OF}", _SERVICE),),
                    Kind.STATES,
                    width=24,
                    height=10,
                    words={1: "Healthy", 0: "not Healthy"},
                    good=1,
                ),
            ),
        ),
        Row(
            "Use",
            (
                Panel(
                    "Working set", (Query(f"{_WORKING_SET}{_OF}", _SERVICE),), unit=Unit.BYTES, stacked=True, height=10
                ),
                Panel("Processors", (Query(f"{_CPU}{_OF}", _SERVICE),), stacked=True, height=10, about="In cores."),
                Panel(
                    "Share of the limit",
                    (Query(f"sort_desc({_WORKING_SET}{_OF} / {_LIMIT})", _SERVICE),),
                    Kind.BARS,
                    Unit.SHARE,
                    top=1,
                    bad=0.9,
                    height=12,
                ),
                Panel(
                    "Running for",
                    (Query(f"sort(time() - reconciler_container_start_timestamp_seconds{_OF})", "{{container}}"),),
                    Kind.BARS,
                    Unit.SECONDS,
                    height=12,
                ),
            ),
        ),
        Row(
            "Addresses",
            (
                Panel(
                    "Endpoints",
                    (Query(f"reconciler_endpoint_up{_OF}", "{{endpoint}}"),),
                    Kind.STATES,
                    width=24,
                    good=1,
                    words={1: "up", 0: "down"},
                    about="As the monitor asks them, on the machine.",
                ),
                Panel(
                    "Answers", (Query("probe_success", "{{instance}}"),), Kind.STATES, good=1, words={1: "yes", 0: "no"}
                ),
                Panel("Time to the answer", (Query("probe_duration_seconds", "{{instance}}"),), unit=Unit.SECONDS),
            ),
        ),
    ),
    by_stack=True,
)

ROLLOUTS = Board(
    "rollouts",
    "Rollouts",
    "Commits, their outcomes, and what they cost.",
    (
        Row(
            "Now",
            (
                number("Rollout", "reconciler_rollout_active", words={1: "under way", 0: "none"}),
                number("Stalled", "reconciler_stalled", words={1: "yes", 0: "no"}, bad=1),
                number("Suspended", "reconciler_suspended", words={1: "yes", 0: "no"}),
                number("Fetched", "time() - reconciler_last_fetch_timestamp_seconds", Unit.SECONDS),
                number("Fetch", "reconciler_fetch_failing", words={1: "fails", 0: "works"}, bad=1),
                number("Head is known for", "time() - reconciler_head_timestamp_seconds", Unit.SECONDS),
            ),
        ),
        Row(
            "Outcomes",
            (
                Panel("Attempts, all", (Query("reconciler_attempts_total", "{{outcome}}"),), Kind.BARS),
                Panel(
                    "Attempts, each hour",
                    (Query("increase(reconciler_attempts_total[1h])", "{{outcome}}"),),
                    stacked=True,
                ),
                Panel("Drift corrections", (Query("reconciler_drift_corrections_total", "corrections"),)),
                Panel(
                    "Looks at the engine that failed",
                    (Query("increase(reconciler_engine_errors_total[1h])", "each hour"),),
                ),
            ),
        ),
        Row(
            "Time",
            (
                Panel(
                    "Duration of rollouts",
                    (
                        Query(
                            "reconciler_rollout_duration_seconds_sum / reconciler_rollout_duration_seconds_count",
                            "mean",
                        ),
                        Query(
                            "histogram_quantile(0.95, sum by (le) (reconciler_rollout_duration_seconds_bucket))", "p95"
                        ),
                    ),
                    unit=Unit.SECONDS,
                    about="Of all rollouts in the journal.",
                ),
                Panel(
                    "Downtime by rollouts",
                    (Query("reconciler_downtime_seconds_total", _SERVICE),),
                    Kind.BARS,
                    Unit.SECONDS,
                ),
            ),
        ),
    ),
)

BOARDS = (HOST, SERVICES, ROLLOUTS, AGENTS, BRAIN)
