"""The dashboard of the Blackbox stack's agents."""

from __future__ import annotations

from dashboards.model import Board, Kind, Panel, Query, Row, Unit, number

AGENTS = Board(
    "agents",
    "Agents",
    "What ralph-agent and claude-runtime do, and what it costs.",
    (
        Row(
            "Ralph",
            (
                Panel(
                    "What it does",
                    (Query("ralph_status == 1", "{{agent}}: {{status}}"),),
                    Kind.STATES,
                    words={1: "yes"},
                ),
                Panel(
                    "Circuit breaker",
                    (Query("ralph_breaker_state == 1", "{{agent}}: {{state}}"),),
                    Kind.STATES,
                    words={1: "yes"},
                ),
                Panel(
                    "Turns, each hour",
                    (Query("increase(ralph_turns_total[1h])", "{{agent}}: {{result}}"),),
                    stacked=True,
                ),
                Panel(
                    "Breaker opened",
                    (Query("increase(ralph_breaker_opens_total[1h])", "{{agent}}: {{cause}}"),),
                    stacked=True,
                ),
                Panel(
                    "Cost today",
                    (
                        Query("ralph_cost_usd_today", "{{agent}}"),
                        Query("ralph_cost_usd_per_day_limit", "{{agent}}: limit"),
                    ),
                    unit=Unit.USD,
                    width=8,
                    about="Days are UTC's.",
                ),
                Panel(
                    "Turns begun in the last hour",
                    (
                        Query("ralph_calls_last_hour", "{{agent}}"),
                        Query("ralph_calls_per_hour_limit", "{{agent}}: limit"),
                    ),
                    width=8,
                ),
                Panel(
                    "Time",
                    (
                        Query("ralph_last_turn_seconds", "{{agent}}: last turn"),
                        Query(
                            "time() - (ralph_last_progress_timestamp_seconds > 0)", "{{agent}}: since the last progress"
                        ),
                    ),
                    unit=Unit.SECONDS,
                    width=8,
                ),
            ),
        ),
        Row(
            "Claude tasks",
            (
                number("Key", "claude_ready", words={1: "there", 0: "missing"}, good=1),
                number("Oldest queued task waits", "claude_oldest_queued_seconds", Unit.SECONDS, width=5),
                number("Cost", "claude_cost_usd_total", Unit.USD, "Since the worker began."),
                Panel("Tasks that are kept", (Query("claude_tasks", "{{status}}"),), stacked=True, width=24),
                Panel(
                    "Attempts, each hour", (Query("increase(claude_attempts_total[1h])", "{{status}}"),), stacked=True
                ),
                Panel("Cost, each hour", (Query("increase(claude_cost_usd_total[1h])", "cost"),), unit=Unit.USD),
            ),
        ),
    ),
)
