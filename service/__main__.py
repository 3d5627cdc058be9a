"""``python -m service`` runs the API."""

import logging
import os
import sys

import uvicorn
from pydantic import ValidationError
from zooaudit.contract.logs import configure
from zooaudit.contract.settings import faults_of, unknown_settings

from service.api_keys import entries_with_misspelt_roles
from service.app import create_app
from service.connections import BACKLOG, BoundedProtocol, make_room
from service.log_limits import LogLimit
from service.settings import ServiceSettings, faults_here

log = logging.getLogger("zooaudit.service")


def main() -> int:
    """Run until a signal stops the process. Returns 2 when the settings cannot be used."""
    try:
        settings = ServiceSettings()
        faults = list(faults_here(settings))
    except ValidationError as error:
        faults = faults_of(error)
    if faults:
        print(*faults, sep="\n", file=sys.stderr)
        return 2
    configure(settings.log_format)
    for handler in logging.getLogger().handlers:
        handler.addFilter(LogLimit())
    for unknown in unknown_settings(os.environ):
        log.warning(unknown)
    for number in entries_with_misspelt_roles(key.get_secret_value() for key in settings.api_keys):
        log.warning("ZOOAUDIT_API_KEYS: entry %d names no role (read, submit, admin), so all of it is one key", number)

    class Protocol(BoundedProtocol):
        limits = make_room()

    uvicorn.run(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # else the audit log would have whatever address a client on this machine writes there
        http=Protocol,
        ws="none",
        backlog=BACKLOG,
        timeout_graceful_shutdown=5,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
