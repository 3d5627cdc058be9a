"""The report store, into which a worker puts the reports."""

from datetime import timedelta
from pathlib import Path

import obstore
from obstore.store import LocalStore, ObjectStore, from_url
from pydantic import ValidationError
from zooaudit.contract import Report, report_key


def open_store(location: str) -> ObjectStore:
    """Open the report store in a local folder, or at a URL such as ``s3://bucket/prefix``."""
    if "://" not in location:
        return LocalStore(Path(location).absolute(), mkdir=True)
    return from_url(
        location,
        client_options={"timeout": "60s", "allow_http": True},  # if AWS_ENDPOINT_URL is http:
        retry_config={"retry_timeout": timedelta(minutes=5)},
    )


def stored_report(store: ObjectStore, identifier: str) -> Report | None:
    """Read the report of an audit; None when the store has none, or only a damaged one."""
    try:
        report = Report.model_validate_json(bytes(obstore.get(store, report_key(identifier)).bytes()))
    except (FileNotFoundError, ValidationError):
        return None
    return report if report.id == identifier else None
