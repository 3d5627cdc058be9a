"""What the settings of the service and of the workers have in common: their names, and what a value must be.

Settings are read from environment variables. A message about one never repeats its value if that may hold a password.
"""

import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from pydantic import AfterValidator, SecretStr, ValidationError

from zooaudit.contract.mistakes import said

PREFIX = "ZOOAUDIT_"
SETTINGS = (
    *("redis_url", "store", "api_keys", "host", "port", "datasets", "checkpoints", "models", "device", "memory_gib"),
    *("keys_guard_reads", "max_queued_per_key", "max_images_per_key_day", "keep_days", "keep_audits"),
    *("show_images", "log_format"),
    *("callback_url", "callback_secret", "callback_private"),
    *("decode_processes", "cache_gib", "job_timeout_s", "worker_ttl_s", "stop_grace_s"),
)
"""The settings of the service and of the workers."""
CLIENT_SETTINGS = ("url", "api_key")

MAX_SECONDS = 366 * 86_400
"""The longest time that a setting may name. Much longer ones overflow the system's timers."""

_REDIS_NUMBERS = ("db", "socket_timeout", "socket_connect_timeout", "health_check_interval", "max_connections")
_REDIS_TEXTS = ("client_name", "socket_keepalive", "retry_on_timeout", "protocol", "username", "password")


def redis_url(value: SecretStr) -> SecretStr:
    """Check the URL of a Redis server. Raises ValueError, whose message repeats no part of the URL."""
    url = value.get_secret_value().strip()
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError(f"its host or port cannot be read; {_REDIS_FORM}") from None
    if not url.startswith(("redis://", "rediss://", "unix://")):
        raise ValueError(f"it does not begin with redis://, rediss:// or unix://; {_REDIS_FORM}")
    if parts.scheme == "unix" and not parts.path:
        raise ValueError("it names no socket; write unix:///PATH")
    if port == 0:
        raise ValueError(f"its port is 0; {_REDIS_FORM}")
    if parts.fragment or (parts.scheme != "unix" and not re.fullmatch("/?[0-9]*/?", parts.path)):
        raise ValueError(f"what follows the host and the port is not the number of a database; {_REDIS_FORM}")
    try:
        unquote(url, errors="strict")
    except UnicodeDecodeError:
        raise ValueError("what its percent signs encode is no text; write a percent sign itself as %25") from None
    for name, option in parse_qsl(parts.query, keep_blank_values=True):
        _check_redis_option(parts, name, option)
    return SecretStr(url)


_REDIS_FORM = "write redis://:PASSWORD@HOST:PORT/0, and in the password / as %2F, # as %23, ? as %3F and @ as %40"


def _check_redis_option(url: SplitResult, name: str, value: str) -> None:
    if name in _REDIS_NUMBERS and not re.fullmatch(r"\d+(\.\d+)?", value):
        raise ValueError(f"its option {name} must be a number")
    tls = name.startswith("ssl_")
    if tls and url.scheme != "rediss":
        raise ValueError(f"its option {name} is for TLS; write rediss:// instead of {url.scheme}://")
    if not tls and name not in (*_REDIS_NUMBERS, *_REDIS_TEXTS):
        raise ValueError("it has an option after the '?' that redis does not know; use rediss:// for TLS")


def location(value: str) -> str:
    """Check where files are kept, a folder or ``s3://BUCKET/PREFIX``. '~' and ``file://`` become the folder's path."""
    value = value.strip()
    if "://" not in value:
        return str(expanded(value))
    parts = urlsplit(value)
    if parts.scheme == "file" and parts.netloc in ("", "localhost") and not parts.query and not parts.fragment:
        return unquote(parts.path)
    if parts.scheme != "s3":
        raise ValueError("write a folder, or s3://BUCKET/PREFIX; other URLs are not known")
    if "@" in parts.netloc:
        raise ValueError("write keys in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, not in the URL")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", parts.netloc) or parts.query or parts.fragment:
        raise ValueError("it names no bucket; write s3://BUCKET/PREFIX")
    return value


def expanded(path: str) -> Path:
    """Put the home folder in place of a leading '~', which no shell does within a value or in a file of variables."""
    try:
        return Path(path.strip()).expanduser()
    except RuntimeError:
        raise ValueError(f"{path} begins with '~', and there is no such user or home") from None


RedisUrl = Annotated[SecretStr, AfterValidator(redis_url)]
Location = Annotated[str, AfterValidator(location)]


def is_folder(place: str) -> bool:
    """Tell a folder from a bucket, in what :func:`location` returned."""
    return "://" not in place


def faults_of(error: ValidationError) -> list[str]:
    """Name the variable and the fault of each setting that cannot be read, in a line each."""
    return [
        f"{PREFIX}{str(item['loc'][0]).upper()}: {said(item)}"
        for item in error.errors(include_input=False, include_url=False)
    ]


def unreadable(folder: str | Path) -> str | None:
    """Say in a clause why a folder cannot be listed; None when it can."""
    path = Path(folder)
    if not path.exists():
        return f"there is no folder {path}"
    if not path.is_dir():
        return f"{path} is not a folder"
    return None if os.access(path, os.R_OK | os.X_OK) else f"this user may not read {path}"


def unwritable(folder: str | Path) -> str | None:
    """Say in a clause why files cannot be written into a folder; None when they can. Makes the folder if need be."""
    error = write_error(folder)
    if error is None:
        return None
    if isinstance(error, FileExistsError | NotADirectoryError):
        return f"{folder} cannot be a folder: a file is in its place"
    return f"nothing can be written in {folder}: {os.strerror(error.errno or 0)}"


def write_error(folder: str | Path) -> OSError | None:
    """Return the error that comes of making a file in a folder, which is made if it is absent; None if none does.

    Tried, because permissions do not tell: a file system may be read-only, or full.
    """
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        return error
    return None


def unknown_settings(environ: Mapping[str, Any]) -> Iterator[str]:
    """Say of each variable that looks like a setting, but is none, that it has no effect."""
    known = [name.upper() for name in SETTINGS + CLIENT_SETTINGS]
    for variable in sorted(environ):
        name = variable.upper().removeprefix(PREFIX)
        if variable.upper().startswith(PREFIX) and name not in known:
            close = get_close_matches(name, known, n=1)
            yield f"{variable}: there is no such setting" + (f"; did you mean {PREFIX}{close[0]}?" if close else "")
