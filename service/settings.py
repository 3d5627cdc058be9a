"""The settings of the API process, read once from the environment."""

import re
from typing import Annotated

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


class ServiceSettings(BaseSettings):
    """Each field is read from the environment variable ``ZOOAUDIT_`` + its name in capitals."""

    model_config = SettingsConfigDict(env_prefix="ZOOAUDIT_", frozen=True, extra="ignore")

    redis_url: Annotated[SecretStr, Field(description="URL of the Redis that holds the queue.")] = SecretStr(
        "redis://127.0.0.1:6379/0"
    )
    store: Annotated[
        str,
        Field(description="Where reports are kept: a folder, or s3://BUCKET/PREFIX (with the usual AWS_* variables)."),
    ] = "var/store"
    api_keys: Annotated[
        tuple[SecretStr, ...],
        NoDecode,
        Field(description="Keys, separated by commas. If set, POST and DELETE need one: 'Authorization: Bearer KEY'."),
    ] = ()
    keys_guard_reads: Annotated[
        bool,
        Field(description="Whether GET needs a key, too, except for /health, /openapi.json and the dashboard's files."),
    ] = False
    max_queued_per_key: Annotated[
        int, Field(ge=1, description="How many unfinished audits one key, or all without keys, may have.")
    ] = 10_000
    host: Annotated[
        str, Field(description="Address to listen on. Without ZOOAUDIT_API_KEYS only loopback addresses are allowed.")
    ] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535, description="Port to listen on.")] = 8000

    @field_validator("api_keys", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(key.strip() for key in value.split(",") if key.strip())
        return value

    @field_validator("api_keys")
    @classmethod
    def _printable(cls, keys: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        # An HTTP header cannot carry other characters, so such a key would lock everybody out.
        if not all(re.fullmatch(r"[!-~]+", key.get_secret_value()) for key in keys):
            raise ValueError("a key may hold visible ASCII characters only")
        return keys

    @field_validator("keys_guard_reads")
    @classmethod
    def _guarded_by_keys(cls, guard: bool, info: ValidationInfo) -> bool:
        if guard and not info.data.get("api_keys", True):
            raise ValueError("there is no key that could guard anything; set ZOOAUDIT_API_KEYS, too")
        return guard
