"""The report store: where a worker puts the reports."""

from datetime import timedelta
from pathlib import Path

import obstore
from obstore.store import LocalStore, ObjectStore, from_url
from pydantic import ValidationError
from zooaudit.contract import Report, report_key


def open_store(location: str) -> ObjectStore:
    """The report store: a local folder, or a URL such as ``s3://bucket/prefix``."""
    if "://" not in location:
        return LocalStore(Path(location).absolute(), mkdir=True)
    return from_url(
        location,
        client_options={"timeout": "60s", "allow_http": True},  # if AWS_ENDPOINT_URL says so
        retry_config={"retry_timeout": timedelta(minutes=5)},
    )


def stored_report(store: ObjectStore, identifier: str) -> Report | None:
    """The report of that audit, if the store has it whole."""
    try:
        report = Report.model_validate_json(bytes(obstore.get(store, report_key(identifier)).bytes()))
    except (FileNotFoundError, ValidationError):
        return None
    return report if report.id == identifier else None
