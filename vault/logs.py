"""Logs: JSON lines of ids and codes. A key that is not on the list is dropped and counted, whatever somebody meant by it."""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import orjson
import structlog

ALLOWED = frozenset(
    {
        *("event", "level", "timestamp", "method", "route", "status", "ms", "request_id", "trace_id", "controller"),
        *("controller_id", "subject_id", "entry_id", "decision_id", "problem", "refusal", "code", "kind", "where", "step"),
        *("batch", "sqlstate", "constraint"),
    }
)


def configure_logs() -> None:
    """Write log lines to stderr from now on, in this process."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            only_allowed,
            structlog.processors.JSONRenderer(serializer=_encoded),
        ],
        logger_factory=structlog.BytesLoggerFactory(sys.stderr.buffer),
    )


def only_allowed(_logger: Any, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Return the line without keys that are not on the list; `dropped` says how many there were."""
    unknown = line.keys() - ALLOWED
    for key in unknown:
        del line[key]
    if unknown:
        line["dropped"] = len(unknown)
    return line


def _encoded(line: Any, **_options: Any) -> bytes:
    return orjson.dumps(line, default=lambda _: "***")
