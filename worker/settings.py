"""The settings of a worker process, read once from the environment."""

import os
import re
from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from zooaudit.contract.logs import LogFormat
from zooaudit.contract.settings import (
    MAX_SECONDS,
    PREFIX,
    Location,
    RedisUrl,
    expanded,
    is_folder,
    unreadable,
    unwritable,
)

LIBRARIES_VARIABLES = ("HF_ENDPOINT", "HF_HOME", "HF_HUB_CACHE", "TORCH_HOME", "XDG_CACHE_HOME")
"""Variables that the zoos' own code reads, and that an operator may leave empty."""
CACHE_GIB = 10.0
"""The default of ``cache_gib``: room for all 50,000 images of ImageNet's validation set as models of 224 px are shown
them (9.2 GiB), or for 2000 of them in 27 ways."""


class WorkerSettings(BaseSettings):
    """Each field is read from the environment variable ``ZOOAUDIT_`` + its name in capitals. An empty one is unset."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="ignore", allow_inf_nan=False
    )

    redis_url: Annotated[RedisUrl, Field(description="URL of the Redis that holds the queue.")] = SecretStr(
        "redis://127.0.0.1:6379/0"
    )
    store: Annotated[
        Location,
        Field(description="Where reports are kept: a folder, or s3://BUCKET/PREFIX (with the usual AWS_* variables)."),
    ] = "var/store"
    datasets: Annotated[
        dict[str, Path],
        NoDecode,
        Field(description="Image folders by name, such as imagenet-val=/data/val,photos=/data/photos."),
    ] = {}
    checkpoints: Annotated[
        Location | None,
        Field(description="Where checkpoint:NAME is NAME.safetensors or NAME.pth: a folder, or s3://BUCKET/PREFIX."),
    ] = None
    models: Annotated[
        dict[str, str],
        NoDecode,
        Field(
            description="Own architectures by name, such as mynet=mypackage.nets:mynet; they are audited as own/NAME."
        ),
    ] = {}
    device: Annotated[str | None, Field(description="cuda, cuda:1 or cpu; by default CUDA if there is a GPU.")] = None
    memory_gib: Annotated[
        float | None,
        Field(
            gt=0, description="Memory that one audit may use, in GiB; by default at most 7 on a CPU, 80 % of a GPU's."
        ),
    ] = None
    decode_processes: Annotated[
        int | None,
        Field(
            ge=0,
            le=1024,
            description="How many processes decode images; by default one for each core but one, at most 8.",
        ),
    ] = None
    cache_gib: Annotated[
        float,
        Field(
            ge=0, description="Disk that decoded images may take, in GiB, in XDG_CACHE_HOME/zooaudit; 0 to keep none."
        ),
    ] = CACHE_GIB
    job_timeout_s: Annotated[
        int, Field(ge=1, le=MAX_SECONDS, description="An audit fails when it takes longer than this, in seconds.")
    ] = 86_400
    worker_ttl_s: Annotated[
        int,
        Field(
            ge=3,
            le=MAX_SECONDS,
            description="Seconds of silence after which a worker counts as dead and another takes its audit.",
        ),
    ] = 30
    stop_grace_s: Annotated[
        float,
        Field(
            ge=0,
            le=MAX_SECONDS,
            description="Seconds that a running audit has after SIGTERM to end before it goes back to the queue.",
        ),
    ] = 5.0
    log_format: Annotated[LogFormat, Field(description="text, or json for an object on each line of the log.")] = "text"

    @field_validator("datasets", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        pairs = _pairs(value)
        if not all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name) and path for name, path in pairs):
            raise ValueError("write NAME=FOLDER, several with commas between them")
        if any(name == "synthetic" for name, _ in pairs):
            raise ValueError("'synthetic' is the built-in data set; choose another name")
        if len({name for name, _ in pairs}) < len(pairs):
            raise ValueError("two data sets have the same name")
        return {name: expanded(path) for name, path in pairs}

    @field_validator("models", mode="before")
    @classmethod
    def _functions(cls, value: object) -> object:
        return functions(value) if isinstance(value, str) else value

    @field_validator("device")
    @classmethod
    def _named_as_torch_does(cls, device: str | None) -> str | None:
        if device is not None and not re.fullmatch(r"cpu|cuda(:[0-9]{1,3})?", device := device.strip()):
            raise ValueError(f"{device!r} is no device; write cpu, cuda, or cuda:1 for the second GPU")
        return device


def functions(text: str) -> dict[str, str]:
    """Parse the value of ZOOAUDIT_MODELS: names of architectures, each with the function that makes it.

    >>> functions("mynet=mypackage.nets:mynet, wide=mypackage.nets:wide")
    {'mynet': 'mypackage.nets:mynet', 'wide': 'mypackage.nets:wide'}

    Raises ValueError.
    """
    pairs = _pairs(text)
    for name, path in pairs:
        package, colon, function = path.partition(":")
        if not colon or not all(part.isidentifier() for part in (*package.split("."), function)):
            raise ValueError(
                f"{'='.join((name, path))!r} names no function; write NAME=PACKAGE.MODULE:FUNCTION, several with "
                "commas between them"
            )
        # No dots, which begin the tag of a name.
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}", name):
            raise ValueError(
                f"{name!r} cannot be the name of an architecture; write up to 100 letters, digits, '_' and '-', the "
                "first a letter or a digit"
            )
        if [other for other, _ in pairs].count(name) > 1:
            raise ValueError(f"two architectures have the name {name}")
    return dict(pairs)


def _pairs(text: str) -> list[tuple[str, str]]:
    """Split NAME=VALUE,NAME=VALUE; a pair without a sign of equality has an empty value."""
    pairs = [item.partition("=") for item in text.split(",") if item.strip()]
    return [(name.strip(), value.strip()) for name, _, value in pairs]


def forget_empty(environ: MutableMapping[str, str]) -> None:
    """Unset the empty ones of LIBRARIES_VARIABLES. To the libraries they would mean a folder or host without a name."""
    for name in LIBRARIES_VARIABLES:
        if environ.get(name) == "":
            del environ[name]


def faults_here(settings: WorkerSettings, environ: Mapping[str, str]) -> Iterator[str]:
    """Name each variable that cannot work on this machine now, in a line each."""
    if is_folder(settings.store) and (fault := unwritable(settings.store)):
        yield f"ZOOAUDIT_STORE: {fault}"
    if settings.checkpoints and is_folder(settings.checkpoints) and (fault := unreadable(settings.checkpoints)):
        yield f"ZOOAUDIT_CHECKPOINTS: {fault}"
    for name, folder in settings.datasets.items():
        if fault := unreadable(folder):
            yield f"ZOOAUDIT_DATASETS: data set {name}: {fault}"
    offline = environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")
    unusable = set()
    for name, cache in caches(environ):
        # Without downloads, a cache that was filled elsewhere need not be writable.
        filled = not unreadable(cache)
        if (fault := unwritable(cache)) and not (offline and filled):
            advice = "; if it holds all weights already, set HF_HUB_OFFLINE=1" if filled else ""
            yield f"{name}: {fault}; it must name a folder in which downloaded weights can be kept{advice}"
            unusable.add(name)
    folder = canvases_folder(environ)
    if settings.cache_gib and "XDG_CACHE_HOME" not in unusable and (fault := unwritable(folder)):
        yield (
            f"ZOOAUDIT_CACHE_GIB: {fault}; let this user write there, or let XDG_CACHE_HOME name another folder of "
            "caches, or set ZOOAUDIT_CACHE_GIB=0 and decode images anew in every pass over them"
        )


def canvases_folder(environ: Mapping[str, str]) -> Path:
    """Return the folder in which decoded images are kept."""
    user = environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.path.expanduser(user), "zooaudit", "canvases")  # noqa: PTH111


def caches(environ: Mapping[str, str]) -> Iterator[tuple[str, Path]]:
    """Yield the folders in which torch and the hub's client keep downloads, each with the variable that chooses it."""
    user = Path(environ.get("XDG_CACHE_HOME", "~/.cache"))
    folders = {
        "TORCH_HOME": Path(environ.get("TORCH_HOME", user / "torch"), "hub", "checkpoints"),
        "HF_HOME": Path(environ.get("HF_HOME", user / "huggingface"), "hub"),
    }
    if "HF_HUB_CACHE" in environ:
        del folders["HF_HOME"]
        folders["HF_HUB_CACHE"] = Path(environ["HF_HUB_CACHE"])
    for name, folder in folders.items():
        decides = name if name in environ or "XDG_CACHE_HOME" not in environ else "XDG_CACHE_HOME"
        # The libraries do the same.
        yield decides, Path(os.path.expanduser(folder if name == "TORCH_HOME" else os.path.expandvars(folder)))  # noqa: PTH111
