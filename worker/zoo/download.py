"""Fetch published files through the zoos' own hub clients, with progress and a time limit, and check them."""

import contextlib
import errno
import hashlib
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar
from urllib.parse import urlparse
from urllib.request import urlopen

import torch
from zooaudit.contract import Progress
from zooaudit.contract.settings import write_error

from worker.errors import AuditError

TIMEOUT_S = 10.0
"""How long a server may stay silent."""

OnProgress = Callable[[Progress], None]

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)

_SHA256 = re.compile(r"[0-9a-f]{64}")
_NAMED_SHA256 = re.compile(r"-([0-9a-f]{8,64})\.")


@dataclass(frozen=True)
class CachedFile:
    """A file in a cache, and the SHA-256 (hex) of its content."""

    path: Path
    sha256: str

    def remove(self) -> None:
        """Remove the file and, if it is a link as in the hub's cache, what it points to."""
        self.path.resolve().unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)


class ProgressError(BaseException):
    """Carries what ``on_progress`` raised, for example because the audit was cancelled, past ``except Exception``."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


@contextlib.contextmanager
def reraising_progress_errors() -> Iterator[None]:
    """Around downloads: raise what ``on_progress`` raised, without the ProgressError that carried it."""
    try:
        yield
    except ProgressError as carrier:
        raise carrier.error from None


class HubFiles:
    """timm's ``hf_hub_download`` with progress, a time limit and a check. ``files`` are those fetched so far."""

    def __init__(self, hf_hub_download: Callable[..., str], on_progress: OnProgress) -> None:
        self.hf_hub_download = hf_hub_download
        self.on_progress = on_progress
        self.files: list[CachedFile] = []

    def download(self, repo_id: str, filename: str, **options: Any) -> str:
        # Not at the top: the hub client brings an HTTP library, which an audit of untrained weights does without.
        from huggingface_hub import get_hf_file_metadata, hf_hub_url
        from huggingface_hub.errors import (
            EntryNotFoundError,
            LocalEntryNotFoundError,
            RepositoryNotFoundError,
            RevisionNotFoundError,
        )

        fetch = partial(self.hf_hub_download, repo_id, filename, **options)
        url = hf_hub_url(repo_id, filename, revision=options.get("revision"))
        etag = None
        try:
            # This request comes first, because hf_hub_download retries an unreachable hub for minutes.
            etag = get_hf_file_metadata(url, timeout=TIMEOUT_S).etag
            path = Path(fetch(tqdm_class=_bar(self.on_progress)))
        except LocalEntryNotFoundError as error:  # It is an EntryNotFoundError, but means that the hub did not answer.
            raise _hub_cache_unavailable(error) or unreachable(url, error) from error
        except (EntryNotFoundError, AuditError):
            raise  # When a file is missing, timm tries the next file name that it knows.
        except (RepositoryNotFoundError, RevisionNotFoundError) as error:
            raise not_published(url) from error
        except Exception as error:  # What the client's HTTP library raises differs between versions.
            path = _cached(fetch, url, error)
        # The hub's ETag of a large file, and so the name in its cache, is the SHA-256.
        published = etag if etag and _SHA256.fullmatch(etag) else path.resolve().name
        self.files.append(_checked(path, published if _SHA256.fullmatch(published) else "", url))
        return str(path)


def fetch_url(url: str, on_progress: OnProgress) -> CachedFile:
    """Have torch.hub download the file of ``url`` unless its cache has it, and check it in either case.

    If its name holds a SHA-256 prefix (``resnet18-f37072fd.pth``), the SHA-256 of its content must begin with it.
    """
    path = Path(torch.hub.get_dir(), "checkpoints", PurePosixPath(urlparse(url).path).name)
    if not path.exists():
        bar = _bar(on_progress)
        if why := _unwritable(path.parent):
            raise _cache_unavailable("TORCH_HOME", why)
        with replaced(torch.hub, "tqdm", bar), replaced(torch.hub, "urlopen", partial(urlopen, timeout=TIMEOUT_S)):
            try:
                torch.hub.download_url_to_file(url, str(path), progress=False)
            except OSError as error:
                why = _of_a_full_disk(error) or _unwritable(path.parent)
                raise (_cache_unavailable("TORCH_HOME", why) if why else unreachable(url, error)) from error
        # torch.hub takes a connection that was cut for the end of the file.
        if bar.latest and bar.latest.total is not None and bar.latest.n != bar.latest.total:
            path.unlink()
            raise corrupt(url, f"{bar.latest.n} of {bar.latest.total} bytes came")
    match = _NAMED_SHA256.search(path.name)
    return _checked(path, match.group(1) if match else "", url)


def _cached(fetch: Callable[..., str], url: str, error: Exception) -> Path:
    """Return the copy in the hub's cache, when asking the hub raised ``error``. Raises AuditError if there is none."""
    try:
        return Path(fetch(local_files_only=True))
    except Exception:
        raise _hub_cache_unavailable(error) or unreachable(url, error) from error


def _hub_cache_unavailable(error: BaseException) -> AuditError | None:
    """Return the error to raise if the hub client failed with ``error`` because it cannot write to its cache."""
    from huggingface_hub.constants import HF_HUB_CACHE

    why = _of_a_full_disk(error) or _unwritable(Path(HF_HUB_CACHE))
    return _cache_unavailable("HF_HOME", why) if why else None


def _of_a_full_disk(error: BaseException | None) -> str | None:
    """Return what the system says if ``error``, or what it came from, means that a disk is full."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _DISK_FULL:
            return error.strerror
        error = error.__cause__ or error.__context__
    return None


def _unwritable(folder: Path) -> str | None:
    """Return why no file can be made in ``folder``, which is made if it is absent; None if one can."""
    error = write_error(folder)
    return None if error is None else error.strerror or type(error).__name__


def _cache_unavailable(variable: str, why: str) -> AuditError:
    return AuditError(
        "cache-unavailable",
        f"The weights are not in the cache, and cannot be stored in the folder of {variable} ({why}). Make this folder "
        f"writable and free space on its disk, or set {variable} to another one.",
    )


def _checked(path: Path, sha256_prefix: str, url: str) -> CachedFile:
    """Hash the file. If its SHA-256 does not begin with the published prefix, remove the file and raise AuditError."""
    with path.open("rb") as stream:
        file = CachedFile(path, hashlib.file_digest(stream, "sha256").hexdigest())
    if not file.sha256.startswith(sha256_prefix):
        file.remove()
        raise corrupt(url, f"its SHA-256 is {file.sha256}, published is {sha256_prefix}")
    return file


class _Bar:
    """Takes the place of the progress bar (a tqdm) that a hub client makes, and reports bytes instead of drawing."""

    on_progress: ClassVar[OnProgress]
    latest: "ClassVar[_Bar | None]" = None

    def __init__(self, *, total: int | None = None, initial: int = 0, **_: Any) -> None:
        self.total = total
        self.n = initial
        self.received = 0
        self.started = time.monotonic()
        type(self).latest = self

    def __enter__(self) -> "_Bar":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def update(self, n: int = 1) -> None:
        self.n += n
        self.received += max(0, n)
        total = int(self.total or 0)
        if total and self.received > 3 * total:  # A hub client never gives up on a server that cuts every answer.
            raise corrupt("the hub", f"after {self.received} bytes it has not sent the whole of a file of {total}")
        rate = self.received / max(1e-6, time.monotonic() - self.started)
        eta = max(0.0, total - self.n) / rate if total and rate else None
        progress = Progress(phase="downloading", done=max(0, self.n), total=total, unit="bytes", eta_s=eta)
        try:
            type(self).on_progress(progress)
        except Exception as error:
            raise ProgressError(error) from error

    def close(self) -> None: ...
    def refresh(self) -> None: ...
    def update_transfer(self, n: int) -> None: ...
    def set_postfix_str(self, *_: object, **__: object) -> None: ...
    def set_transfer_postfix_str(self, *_: object, **__: object) -> None: ...


def _bar(on_progress: OnProgress) -> type[_Bar]:
    return type("Bar", (_Bar,), {"on_progress": staticmethod(on_progress)})


@contextlib.contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Set ``owner.name`` to ``value`` within this context."""
    original = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, original)


def unreachable(url: str, error: Exception) -> AuditError:
    return AuditError(
        "hub-unreachable",
        f"{url} cannot be fetched and is not in the cache ({type(error).__name__}: {str(error)[:200]}). "
        "Check the worker's connection, proxy, HF_ENDPOINT and HF_HUB_OFFLINE, and submit the audit again; "
        'or ask for weights "untrained".',
    )


def not_published(what: str) -> AuditError:
    return AuditError(
        "weights-not-published",
        f"The hub has no {what}, or it is private. Check the model's tag, and HF_ENDPOINT if a mirror is used; "
        "a private repository needs HF_TOKEN on the worker.",
    )


def corrupt(what: str, why: str) -> AuditError:
    return AuditError(
        "weights-corrupt",
        f"The weights from {what} are not what was published: {why}. "
        "They were removed from the cache: submit the audit again to download them anew.",
    )
