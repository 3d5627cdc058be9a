"""The settings of the API process, read once from the environment."""

import errno
import ipaddress
import os
import re
import socket
from collections.abc import Iterator
from typing import Annotated

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from zooaudit.contract.callbacks import CallbackUrl, signing_key
from zooaudit.contract.logs import LogFormat
from zooaudit.contract.settings import PREFIX, Location, RedisUrl, is_folder, unwritable

from service.api_keys import parse_keys


class ServiceSettings(BaseSettings):
    """Each field is read from the environment variable ``ZOOAUDIT_`` + its name in capitals. An empty one is unset."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="ignore")

    redis_url: Annotated[RedisUrl, Field(description="URL of the Redis that holds the queue.")] = SecretStr(
        "redis://127.0.0.1:6379/0"
    )
    store: Annotated[
        Location,
        Field(description="Where reports are kept: a folder, or s3://BUCKET/PREFIX (with the usual AWS_* variables)."),
    ] = "var/store"
    api_keys: Annotated[
        tuple[SecretStr, ...],
        NoDecode,
        Field(
            description="Keys, each KEY or NAME:ROLE:KEY with the role read, submit or admin, separated by commas. If "
            "set, requests that change anything need one: 'Authorization: Bearer KEY'."
        ),
    ] = ()
    keys_guard_reads: Annotated[
        bool,
        Field(description="Whether GET needs a key, too, except for /health, /openapi.json and the dashboard's files."),
    ] = False
    show_images: Annotated[
        bool | None,
        Field(
            description="Whether explanations show images of the operator's data sets, and maps, which let one "
            "recognise them; by default only where no stranger can read: without keys, or where keys guard reads."
        ),
    ] = None
    max_queued_per_key: Annotated[
        int, Field(ge=1, description="How many unfinished audits one key, or all without keys, may have.")
    ] = 10_000
    max_images_per_key_day: Annotated[
        int | None,
        Field(ge=1, description="How many forward images one key, or all without keys, may ask for in 24 hours."),
    ] = None
    keep_days: Annotated[
        int | None, Field(ge=1, description="After how many days an ended audit is removed, unless labelled keep.")
    ] = None
    keep_audits: Annotated[
        int | None, Field(ge=1, description="How many ended audits are kept, the newest, besides those labelled keep.")
    ] = None
    callback_secret: Annotated[
        SecretStr | None,
        Field(
            repr=False, description="Signs callbacks: base64 of 24 bytes or more. Without it the service makes none."
        ),
    ] = None
    callback_url: Annotated[CallbackUrl | None, Field(repr=False, description="Told of the end of every audit.")] = None
    callback_private: Annotated[
        tuple[str, ...],
        NoDecode,
        Field(description="Hosts in private networks that callbacks may go to, separated by commas."),
    ] = ()
    host: Annotated[
        str, Field(description="Address to listen on. Without ZOOAUDIT_API_KEYS only loopback addresses are allowed.")
    ] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535, description="Port to listen on.")] = 8000
    log_format: Annotated[LogFormat, Field(description="text, or json for an object on each line of the log.")] = "text"

    @field_validator("api_keys", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            keys = tuple(key.strip() for key in value.split(",") if key.strip())
            if value and not keys:
                raise ValueError("it holds no key; write keys with commas between them, or unset it")
            return keys
        return value

    @field_validator("api_keys")
    @classmethod
    def _printable(cls, keys: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        # An HTTP header cannot carry other characters, so such a key would lock everybody out.
        if not all(re.fullmatch(r"[!-~]+", key.get_secret_value()) for key in keys):
            raise ValueError("a key may hold visible ASCII characters only")
        parse_keys(key.get_secret_value() for key in keys)
        return keys

    @field_validator("callback_secret")
    @classmethod
    def _signs(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None:
            signing_key(secret.get_secret_value())
        return secret

    @field_validator("callback_url")
    @classmethod
    def _signed(cls, url: str | None, info: ValidationInfo) -> str | None:
        if url is not None and info.data.get("callback_secret", True) is None:
            raise ValueError("callbacks are signed; set ZOOAUDIT_CALLBACK_SECRET, too")
        return url

    @field_validator("callback_private", mode="before")
    @classmethod
    def _hosts(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(host.strip().strip("[]").lower() for host in value.split(",") if host.strip())
        return value

    @field_validator("host")
    @classmethod
    def _without_brackets(cls, host: str) -> str:
        return host.strip().removeprefix("[").removesuffix("]")

    @field_validator("keys_guard_reads")
    @classmethod
    def _guarded_by_keys(cls, guard: bool, info: ValidationInfo) -> bool:
        if guard and not info.data.get("api_keys", True):
            raise ValueError("there is no key that could guard anything; set ZOOAUDIT_API_KEYS, too")
        return guard

    @property
    def shows_images(self) -> bool:
        """Whether explanations show images of the operator's data sets."""
        return self.show_images if self.show_images is not None else not self.api_keys or self.keys_guard_reads


def is_loopback(host: str) -> bool:
    """Tell whether ``host``, a name or an address, is only reachable from this machine."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def faults_here(settings: ServiceSettings) -> Iterator[str]:
    """Name each setting that cannot work on this machine now, in a line each."""
    if is_folder(settings.store) and (fault := unwritable(settings.store)):
        yield f"ZOOAUDIT_STORE: {fault}"
    if not settings.api_keys and not is_loopback(settings.host):
        yield (
            f"ZOOAUDIT_HOST: Without ZOOAUDIT_API_KEYS the service listens on loopback only, not on {settings.host}. "
            "Set keys, or ZOOAUDIT_HOST=127.0.0.1."
        )
        return
    try:
        _listen(settings.host, settings.port)
    except socket.gaierror:
        yield f"ZOOAUDIT_HOST: {settings.host} is no address of this machine, nor a name that leads to one"
    except PermissionError:
        yield f"ZOOAUDIT_PORT: this user may not listen on port {settings.port}; choose one from 1024 on"
    except OSError as error:
        where = f"port {settings.port} of {settings.host}"
        if error.errno == errno.EADDRINUSE:
            yield f"ZOOAUDIT_PORT: another program listens on {where} already; stop it, or choose another port"
        else:
            yield f"ZOOAUDIT_HOST: cannot listen on {where}: {os.strerror(error.errno or 0)}"


def _listen(host: str, port: int) -> None:
    """Listen for a moment as the server will. Raises OSError when that cannot be done."""
    absent = None
    for family, _, _, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE):
        try:
            socket.create_server(address, family=family).close()
        except OSError as error:
            # A machine without IPv6 has a localhost of IPv6 all the same.
            if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                raise
            absent = error
        else:
            return
    if absent:
        raise absent
