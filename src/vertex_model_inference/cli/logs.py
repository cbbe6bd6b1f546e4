"""Logs go to stderr, so that what a command prints on stdout can be piped."""

from __future__ import annotations

import logging
import sys

__all__ = ["to_stderr"]


def to_stderr() -> None:
    """Send our logs (and the retries that stamina tells of) to stderr: readable on a terminal, JSON elsewhere."""
    import structlog

    terminal = sys.stderr.isatty()
    # Plain tracebacks: the pretty ones print local variables, and with them whatever secrets those hold.
    render = (
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        if terminal
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *([] if terminal else [structlog.processors.format_exc_info]),
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
