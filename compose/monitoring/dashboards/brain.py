"""The dashboard of the Blackbox stack's databases, brain-api and file-watcher."""

from __future__ import annotations

from dashboards.model import Board, Kind, Panel, Query, Row, Unit

BRAIN = Board(
    "brain",
    "Brain",
    "brain-api, its databases, and the watcher that feeds it.",
    (
        Row(
            "brain-api",
            (
                Panel(
                    "Reaches",
                    (Query("brain_dependency_up", "{{dependency}}"),),
                    Kind.STATES,
                    width=8,
                    good=1,
                    words={1: "yes", 0: "no"},
                ),
                Panel(
                    "Requests",
                    (Query("route:brain_http_requests:rate5m", "{{route}}"),),
                    unit=Unit.PER_SECOND,
                    width=8,
                    stacked=True,
                ),
                Panel(
                    "p95 of requests",
                    (Query("route:brain_http_request_seconds:p95_5m", "{{route}}"),),
                    unit=Unit.SECONDS,
                    width=8,
                ),
                Panel(
                    "Answers by status",
                    (Query("sum by (status) (rate(brain_http_requests_total[5m]))", "{{status}}"),),
                    unit=Unit.PER_SECOND,
                    width=8,
                    stacked=True,
                ),
                Panel(
                    "Waiting",
                    (
                        Query("brain_embeddings_pending", "pieces without an embedding"),
                        Query("brain_graph_pending", "artifacts whose links are not drawn"),
                        Query("brain_pool_requests_waiting", "requests for a connection"),
                    ),
                    width=8,
                ),
                Panel("Texts embedded", (Query("rate(brain_embedded_texts_total[5m])", "each second"),), width=8),
            ),
        ),
        Row(
            "file-watcher",
            (
                Panel("Files", (Query("watcher_files", "taken in"), Query("watcher_pending", "pending")), width=8),
                Panel(
                    "Changes, each hour",
                    (
                        Query("increase(watcher_ingested_total[1h])", "taken in"),
                        Query("increase(watcher_deleted_total[1h])", "removed"),
                        Query("increase(watcher_failures_total[1h])", "failed"),
                    ),
                    width=8,
                ),
                Panel("Duration of a scan", (Query("watcher_scan_seconds", "scan"),), unit=Unit.SECONDS, width=8),
            ),
        ),
        Row(
            "PostgreSQL",
            (
                Panel(
                    "Connections",
                    (
                        Query("sum(pg_stat_database_numbackends)", "in use"),
                        Query("max(pg_settings_max_connections)", "at most"),
                    ),
                    width=8,
                ),
                Panel("Size", (Query('pg_database_size_bytes{datname="brain"}', "brain"),), unit=Unit.BYTES, width=8),
                Panel(
                    "Transactions",
                    (
                        Query('rate(pg_stat_database_xact_commit{datname="brain"}[5m])', "committed"),
                        Query('rate(pg_stat_database_xact_rollback{datname="brain"}[5m])', "rolled back"),
                    ),
                    width=8,
                ),
            ),
        ),
    ),
)
