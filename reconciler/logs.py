"""Logs, on stderr, for the operator. Every line passes the redactor; no text is used as a template."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from reconciler import log
from reconciler.decide.redact import Redactor
from reconciler.errors import Usage
from reconciler.model.outcome import Reason

if TYPE_CHECKING:
    from loguru import Logger, Message, Record

LEVELS = ("TRACE", "DEBUG", "INFO", "SUCCESS", "WARNING", "ERROR", "CRITICAL")

LARGEST = 10 << 20
"""Bytes of a log file, after which it becomes `FILE.1` in place of the one before."""

LINE = "{time:YYYY-MM-DDTHH:mm:ss.SSS!UTC}Z {level:<7} {message}"


def start_logs(level: str, redactor: Redactor, file: str | None = None) -> None:
    """Send logs from `level` up to stderr. Usage if there is no such level.

    `file`: the file to which the service manager has directed stderr, if nothing else keeps it small.
    """
    if level.upper() not in LEVELS:
        raise Usage(
            Reason.USAGE_INVALID,
            f"RECONCILER_LOG_LEVEL is {level!r}, which is no level",
            f"one of {', '.join(LEVELS)}",
        )

    def tidy(record: Record) -> None:
        record["message"] = redactor.clean(record["message"])

    def write(message: Message) -> None:
        # A trace has several lines and may quote anything, so it is masked as a whole.
        try:
            sys.stderr.write(redactor.clean(message, multiline=True))
            sys.stderr.flush()
            if file:
                _keep_small(file)
        except OSError:
            log.logger.remove()

    def set_up(logger: Logger) -> None:
        logger.remove()
        logger.configure(patcher=tidy)
        logger.add(write, level=level.upper(), format=LINE, diagnose=False, backtrace=False, catch=False)

    log.prepare(set_up)


def _keep_small(file: str) -> None:
    """Keep the log in two files of LARGEST bytes at most. Nothing is done while it is small, or if stderr is another
    file."""
    here = os.fstat(sys.stderr.fileno())
    if here.st_size < LARGEST or not os.path.samestat(here, os.stat(file)):
        return
    os.replace(file, f"{file}.1")
    new = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    for stream in (1, 2):
        os.dup2(new, stream)
    os.close(new)
