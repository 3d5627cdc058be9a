"""``python -m service`` runs the API."""

import logging
import sys

import uvicorn
from pydantic import ValidationError

from service.app import create_app
from service.connections import BACKLOG, BoundedProtocol, make_room
from service.log_limits import LogLimit
from service.security import is_loopback
from service.settings import ServiceSettings


def main() -> int:
    """Run until a signal stops the process. Returns 2 when the settings cannot be used."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    for handler in logging.getLogger().handlers:
        handler.addFilter(LogLimit())
    try:
        settings = ServiceSettings()
    except ValidationError as error:
        for item in error.errors(include_input=False):
            print(f"ZOOAUDIT_{'.'.join(map(str, item['loc'])).upper()}: {item['msg']}", file=sys.stderr)
        return 2
    if not settings.api_keys and not is_loopback(settings.host):
        print(
            f"Without ZOOAUDIT_API_KEYS the service listens on loopback only, not on {settings.host}. "
            "Set keys, or ZOOAUDIT_HOST=127.0.0.1.",
            file=sys.stderr,
        )
        return 2

    class Protocol(BoundedProtocol):
        limits = make_room()

    uvicorn.run(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        http=Protocol,
        ws="none",
        backlog=BACKLOG,
        timeout_graceful_shutdown=5,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
