"""Published checkpoints: fetched and loaded by the zoos' own code, checked, and identified by their SHA-256.

Three things are added to that code, each at the seam where it reaches the network: progress, a time limit, and the
check that the file is the one that was published. Nothing is ever loaded in part and no pickle is ever executed.
"""

import contextlib
import hashlib
import os
import re
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, NoReturn
from urllib.parse import urlparse
from urllib.request import urlopen

import timm
import timm.models._hub as timm_hub
import torch
import torchvision
from torch import nn
from zooaudit.contract import Progress, Weights, problem

from worker.errors import AuditError

# torchvision unpickles with weights_only=False unless told otherwise.
os.environ.pop("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", None)
os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"

CONNECT_TIMEOUT_S = 10.0
"""How long a hub may stay silent."""

OnProgress = Callable[[Progress], None]

_SHA256 = re.compile(r"[0-9a-f]{64}")
_NAMED_HASH = re.compile(r"-([0-9a-f]{8,64})\.")


def untrained(build: Callable[[], nn.Module]) -> tuple[nn.Module, Weights]:
    """The model as its architecture initialises it, under seed 0, on the CPU, with the SHA-256 of its tensors."""
    torch.manual_seed(0)
    model = build()
    return model, Weights(kind="untrained", origin="torch.manual_seed(0)", sha256=tensors_sha256(model))


def pretrained_timm(name: str, on_progress: OnProgress) -> tuple[nn.Module, Weights]:
    """``timm.create_model(name, pretrained=True)``; ``name`` is ``arch.tag`` and has published weights."""
    cfg: Any = timm.get_pretrained_cfg(name)
    if cfg.hf_hub_id:
        hub = _Hub(on_progress)
        with _replaced(timm_hub, "hf_hub_download", hub.download):
            model = _loaded(partial(timm.create_model, name, pretrained=True), name, hub.files)
        file, digest = hub.files[-1]
        return model, Weights(kind="pretrained", origin=f"hf-hub:{cfg.hf_hub_id}/{file.name}", sha256=digest)
    file, digest = _fetch(cfg.url, on_progress)
    model = _loaded(partial(timm.create_model, name, pretrained=True), name, [(file, digest)])
    return model, Weights(kind="pretrained", origin=cfg.url, sha256=digest)


def pretrained_torchvision(name: str, on_progress: OnProgress) -> tuple[nn.Module, Weights]:
    """``torchvision.models.get_model(name, weights="DEFAULT")``."""
    published = torchvision.models.get_model_weights(name).DEFAULT
    file, digest = _fetch(published.url, on_progress)
    model = _loaded(partial(torchvision.models.get_model, name, weights=published), name, [(file, digest)])
    return model, Weights(kind="pretrained", origin=published.url, sha256=digest)


def tensors_sha256(model: nn.Module) -> str:
    """SHA-256 (hex) of all parameters and buffers: sorted names, each with its type, shape and bytes."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


class _Hub:
    """Stands where timm calls ``hf_hub_download``: adds progress and a time limit, checks and notes what it got."""

    def __init__(self, on_progress: OnProgress) -> None:
        self.on_progress = on_progress
        self.files: list[tuple[Path, str]] = []

    def download(self, repo_id: str, filename: str, **options: Any) -> str:
        from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
        from huggingface_hub.errors import EntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError

        fetch = partial(hf_hub_download, repo_id, filename, **options, etag_timeout=CONNECT_TIMEOUT_S)
        url = hf_hub_url(repo_id, filename, revision=options.get("revision"))
        etag = None
        try:
            # Asked first, because hf_hub_download would retry an unreachable hub for minutes.
            etag = get_hf_file_metadata(url, timeout=CONNECT_TIMEOUT_S).etag
            path = Path(fetch(tqdm_class=_bar(self.on_progress)))
        except EntryNotFoundError:
            raise  # timm then looks for the next file name that it knows.
        except (RepositoryNotFoundError, RevisionNotFoundError) as error:
            raise _not_published(repo_id, url) from error
        except AuditError:
            raise
        except Exception as error:  # Whatever the hub client's HTTP library raises; it differs between versions.
            path = _cached(fetch, url, error)
        published = etag if etag and _SHA256.fullmatch(etag) else path.resolve().name
        digest = _checked(path, published if _SHA256.fullmatch(published) else "", url)
        self.files.append((path, digest))
        return str(path)


def _cached(fetch: Callable[..., str], url: str, error: Exception) -> Path:
    """The copy in the cache when the hub does not answer. Raises AuditError when there is none."""
    try:
        return Path(fetch(local_files_only=True))
    except Exception:
        _unreachable(url, error)


def _fetch(url: str, on_progress: OnProgress) -> tuple[Path, str]:
    """Downloads ``url`` to where torch.hub looks for it, unless it is there; the file and its SHA-256."""
    file = Path(torch.hub.get_dir(), "checkpoints", os.path.basename(urlparse(url).path))  # noqa: PTH119
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        bar = _bar(on_progress)
        with (
            _replaced(torch.hub, "tqdm", bar),
            _replaced(torch.hub, "urlopen", partial(urlopen, timeout=CONNECT_TIMEOUT_S)),
        ):
            try:
                torch.hub.download_url_to_file(url, str(file), progress=False)
            except OSError as error:
                _unreachable(url, error)
        # torch.hub takes a connection that was cut for the end of the file.
        if bar.latest and bar.latest.total is not None and bar.latest.n != bar.latest.total:
            file.unlink()
            raise _corrupt(url, f"{bar.latest.n} of {bar.latest.total} bytes came")
    named = _NAMED_HASH.search(file.name)
    return file, _checked(file, named.group(1) if named else "", url)


def _loaded(build: Callable[[], nn.Module], name: str, files: list[tuple[Path, str]]) -> nn.Module:
    """``build()``, a zoo's own loading code, with its ways to fail named. ``files`` is what it has loaded so far."""
    load_state_dict = nn.Module.load_state_dict

    def completely(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        result = load_state_dict(module, *args, **kwargs)
        if result.missing_keys:  # Some families load with strict=False.
            raise RuntimeError(f"Missing key(s): {', '.join(result.missing_keys)}")
        return result

    try:
        with _replaced(nn.Module, "load_state_dict", completely):
            return build()
    except AuditError:
        raise
    except Exception as error:
        text = " ".join(str(error).split())
        if isinstance(error, RuntimeError | KeyError) and re.search(
            r"[Mm]issing key|size mismatch|Unexpected key", text
        ):
            raise AuditError(
                problem(
                    "weights-mismatch",
                    "Weights of another model",
                    422,
                    f"The checkpoint of {name} does not fit its architecture: {text[:400]} "
                    "Nothing was measured. Check that the hub or mirror serves the file that the zoo published, "
                    "and that timm and torchvision are recent enough to know it.",
                )
            ) from error
        for file, _ in files:
            _remove(file)
        raise _corrupt(name, f"{type(error).__name__}: {text[:400]}") from error


def _checked(file: Path, sha256_prefix: str, url: str) -> str:
    """SHA-256 of the file. Raises AuditError, and removes the file, when it does not begin as it should."""
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    if not digest.startswith(sha256_prefix):
        _remove(file)
        raise _corrupt(url, f"its SHA-256 is {digest}, published is {sha256_prefix}")
    return digest


def _remove(file: Path) -> None:
    """Removes a bad file from the cache, and what a link in the hub's cache points to."""
    file.resolve().unlink(missing_ok=True)
    file.unlink(missing_ok=True)


class _Bar:
    """Stands where a hub makes a progress bar (a tqdm): it reports instead of drawing. Units: bytes."""

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
        if total and self.received > 3 * total:  # The hub client asks again, forever, a server that cuts every answer.
            raise _corrupt("the hub", f"after {self.received} bytes it has not sent the whole of a file of {total}")
        rate = self.received / max(1e-6, time.monotonic() - self.started)
        eta = max(0.0, total - self.n) / rate if total and rate else None
        type(self).on_progress(Progress(phase="downloading", done=max(0, self.n), total=total, unit="bytes", eta_s=eta))

    def close(self) -> None: ...
    def refresh(self) -> None: ...
    def update_transfer(self, n: int) -> None: ...
    def set_postfix_str(self, *_: object, **__: object) -> None: ...
    def set_transfer_postfix_str(self, *_: object, **__: object) -> None: ...


def _bar(on_progress: OnProgress) -> type[_Bar]:
    return type("Bar", (_Bar,), {"on_progress": staticmethod(on_progress)})


@contextlib.contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Puts ``value`` in the place of ``owner.name`` for a while."""
    original = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, original)


def _unreachable(url: str, error: Exception) -> NoReturn:
    raise AuditError(
        problem(
            "hub-unreachable",
            "Weights cannot be fetched",
            503,
            f"{url} cannot be fetched and is not in the cache ({type(error).__name__}: {str(error)[:200]}). "
            "Check the worker's connection, proxy and HF_ENDPOINT, or HF_HUB_OFFLINE, and submit the audit again; "
            'or ask for weights "untrained".',
        )
    ) from error


def _not_published(repo_id: str, url: str) -> AuditError:
    return AuditError(
        problem(
            "weights-not-published",
            "No such weights on the hub",
            422,
            f"The hub has no repository {repo_id} ({url}), or it is private. Check the tag, "
            "and HF_ENDPOINT if a mirror is used; a private repository needs HF_TOKEN on the worker.",
        )
    )


def _corrupt(what: str, why: str) -> AuditError:
    return AuditError(
        problem(
            "weights-corrupt",
            "Corrupt weights",
            502,
            f"The weights from {what} are not what was published: {why}. "
            "The file was removed from the cache: submit the audit again to download it anew.",
        )
    )
