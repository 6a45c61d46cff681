"""Logs, on stderr, for the operator. Every line passes the redactor; no text is ever taken for a template."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from reconciler.decide.redact import Redactor
from reconciler.errors import Usage
from reconciler.model.outcome import Reason

if TYPE_CHECKING:
    from loguru import Message, Record

LEVELS = ("TRACE", "DEBUG", "INFO", "SUCCESS", "WARNING", "ERROR", "CRITICAL")

LINE = "{time:YYYY-MM-DDTHH:mm:ss.SSS!UTC}Z {level:<7} {message}"


def start_logs(level: str, redactor: Redactor) -> None:
    """Send logs from `level` up to stderr. Usage where there is no such level."""
    from loguru import logger

    if level.upper() not in LEVELS:
        raise Usage(
            Reason.USAGE_INVALID,
            f"RECONCILER_LOG_LEVEL is {level!r}, which is no level",
            f"one of {', '.join(LEVELS)}",
        )

    def tidy(record: Record) -> None:
        record["message"] = redactor.clean(record["message"])

    def write(message: Message) -> None:
        # A trace has several lines and may quote anything: it is masked as a whole.
        try:
            sys.stderr.write(redactor.clean(message, multiline=True))
            sys.stderr.flush()
        except OSError:
            logger.remove()

    logger.remove()
    logger.configure(patcher=tidy)
    logger.add(write, level=level.upper(), format=LINE, diagnose=False, backtrace=False, catch=False)
