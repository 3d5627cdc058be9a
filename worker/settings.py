"""The settings of a worker process, read once from the environment."""

import re
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


class WorkerSettings(BaseSettings):
    """Each field is read from the environment variable ``ZOOAUDIT_`` + its name in capitals."""

    model_config = SettingsConfigDict(env_prefix="ZOOAUDIT_", frozen=True, extra="ignore")

    redis_url: Annotated[SecretStr, Field(description="URL of the Redis that holds the queue.")] = SecretStr(
        "redis://127.0.0.1:6379/0"
    )
    store: Annotated[
        str,
        Field(description="Where reports are kept: a folder, or s3://BUCKET/PREFIX (with the usual AWS_* variables)."),
    ] = "var/store"
    datasets: Annotated[
        dict[str, Path],
        NoDecode,
        Field(description="Image folders by name, such as imagenet-val=/data/val,photos=/data/photos."),
    ] = {}
    checkpoints: Annotated[
        str | None,
        Field(description="Where checkpoint:NAME is NAME.safetensors or NAME.pth: a folder, or s3://BUCKET/PREFIX."),
    ] = None
    device: Annotated[str | None, Field(description="cuda, cuda:1 or cpu; by default CUDA if there is a GPU.")] = None
    memory_gib: Annotated[
        float | None,
        Field(
            gt=0, description="Memory that one audit may use, in GiB; by default at most 7 on a CPU, 80 % of a GPU's."
        ),
    ] = None
    decode_processes: Annotated[
        int | None,
        Field(ge=0, description="How many processes decode images; by default one for each core but one, at most 8."),
    ] = None
    job_timeout_s: Annotated[
        int, Field(ge=1, description="An audit fails when it takes longer than this, in seconds.")
    ] = 86_400
    worker_ttl_s: Annotated[
        int,
        Field(ge=3, description="Seconds of silence after which a worker counts as dead and another takes its audit."),
    ] = 30
    stop_grace_s: Annotated[
        float,
        Field(
            ge=0, description="Seconds that a running audit has after SIGTERM to end before it goes back to the queue."
        ),
    ] = 5.0

    @field_validator("datasets", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        pairs = [item.strip().partition("=") for item in value.split(",") if item.strip()]
        if not all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name) and path for name, _, path in pairs):
            raise ValueError("write NAME=FOLDER, several with commas between them")
        if any(name == "synthetic" for name, _, _ in pairs):
            raise ValueError("'synthetic' is the built-in data set; choose another name")
        return {name: path for name, _, path in pairs}
