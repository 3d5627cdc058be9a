"""The log of the service and of the workers: text for people, or a JSON object on each line for programs."""

import json
import logging
import re
import sys
import threading
from datetime import UTC, datetime
from types import TracebackType
from typing import Literal

LogFormat = Literal["text", "json"]

TEXT = "%(asctime)s %(levelname)s %(message)s"
AUDIT_ID = re.compile(r"(?<![0-9a-zA-Z])[0-9a-f]{32}(?![0-9a-zA-Z])")
"""What the id of an audit looks like; messages name the audit by it (see ``audit_id``)."""


def configure(log_format: LogFormat) -> None:
    """Write the log of this process to standard error in this format, from INFO on.

    As JSON it also holds what Python itself would write there: warnings, and errors that end a thread or the process.
    """
    logging.basicConfig(level=logging.INFO, format=TEXT)
    if log_format == "json":
        for handler in logging.getLogger().handlers:
            handler.setFormatter(JsonFormatter())
        logging.captureWarnings(True)
        sys.excepthook = _log_end
        threading.excepthook = _log_end_of_thread


class JsonFormatter(logging.Formatter):
    """Formats a record as a JSON object on one line. ``audit`` is there if the message names an audit, and
    ``exception``, a traceback, if there was one."""

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": message,
        }
        if found := AUDIT_ID.search(message):
            line["audit"] = found[0]
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


def _log_end(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, traceback)
    else:
        logging.getLogger("zooaudit").critical("the process ends by an error", exc_info=(kind, error, traceback))


def _log_end_of_thread(ended: threading.ExceptHookArgs) -> None:
    error = ended.exc_value or ended.exc_type()
    info = (ended.exc_type, error, ended.exc_traceback)
    logging.getLogger("zooaudit").error("a thread ends by an error", exc_info=info)
