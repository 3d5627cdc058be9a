"""Finds a model's state dict in what a training script has saved."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

CONTAINERS = (
    *("state_dict_ema", "model_ema", "state_dict", "model"),  # timm's own loader takes these, in this order
    *("model_state", "model_state_dict", "net", "module", "ema"),
)
"""The keys under which training scripts store weights beside other things; the first that a file has is taken, so
averaged weights come before raw ones."""
WRAPPERS = ("module.", "_orig_mod.")
"""What data parallelism and torch.compile put before names. Part of a model may be wrapped, as timm's loader allows."""
PREFIXES = (*WRAPPERS, "model.", "timm_model.")
"""What wrappers put before all names: data parallelism, torch.compile, Lightning, Hugging Face's wrapper of timm."""
COUNTERS = ("n_averaged",)
"""Tensors that torch's AveragedModel adds to those of the model."""
MAX_TENSORS = 100_000
"""The largest number of tensors that a state dict may have; models of the zoos have 2,500 at most."""
MAX_NAME_SHOWN = 80


@dataclass(frozen=True)
class StateDict:
    """The ``tensors`` of a model by their names in it, and how they were found.

    ``container`` is the key of the file that held them, ``prefix`` what was stripped from their names, ``left_out``
    the names of tensors of the file that are not the model's.
    """

    tensors: Mapping[str, Tensor]
    container: str | None
    prefix: str | None
    left_out: tuple[str, ...]


def find_state_dict(content: Any, container: str | None = None) -> StateDict:
    """Find the state dict in a file's ``content``: at its top, or under one of CONTAINERS, or under ``container``.

    Raises ValueError, saying what is wrong, if there is none.

    >>> import torch
    >>> saved = {"state_dict": {"module.model.fc.bias": torch.zeros(2), "n_averaged": torch.tensor(5)}, "epoch": 3}
    >>> found = find_state_dict(saved)
    >>> list(found.tensors), found.container, found.prefix, found.left_out
    (['fc.bias'], 'state_dict', 'module.model.', ('n_averaged',))
    """
    mapping = content if isinstance(content, Mapping) else {}
    if container is None:
        container = next((key for key in CONTAINERS if _has_tensors(mapping.get(key))), None)
    elif not _has_tensors(mapping.get(container)):
        candidates = _holders(mapping) or "none"
        raise ValueError(f"there is no dictionary of tensors {container!r} in it; there are: {candidates}")
    chosen = mapping[container] if container else mapping
    if len(chosen) > MAX_TENSORS:
        raise ValueError(f"it has {len(chosen)} entries, more than any model")
    tensors = {str(key): value for key, value in chosen.items()}
    if strangers := [legible(key) for key, value in tensors.items() if not isinstance(value, Tensor)]:
        holders = _holders(chosen)
        advice = f"; if weights are in one of its dictionaries ({holders}), name it as container" if holders else ""
        raise ValueError(f"{', '.join(strangers[:5])} are no tensors{advice}")
    if packed := [legible(key) for key, value in tensors.items() if not _is_plain(value)]:
        raise ValueError(f"{', '.join(packed[:5])} are sparse or quantised; save plain tensors")
    left_out = tuple(key for key in tensors if key in COUNTERS)
    tensors = {key: value for key, value in tensors.items() if key not in left_out}
    if not tensors:
        raise ValueError("there is no dictionary of tensors in it")
    tensors, prefix = _without_prefix(tensors)
    return StateDict(tensors, container, prefix or None, left_out)


def legible(name: str) -> str:
    """Return a name from somebody's file as it can be shown: in one line, and not too long."""
    shown = name if name.isprintable() else ascii(name)[1:-1]
    return shown if len(shown) <= MAX_NAME_SHOWN else f"{shown[:MAX_NAME_SHOWN]}..."


def _is_plain(tensor: Tensor) -> bool:
    """Whether a tensor can be copied into one of a model: it is neither sparse nor quantised."""
    return tensor.layout is torch.strided and not tensor.is_quantized


def _has_tensors(value: object) -> bool:
    return isinstance(value, Mapping) and any(isinstance(item, Tensor) for item in value.values())


def _holders(mapping: Mapping[Any, Any]) -> str:
    """Name the first dictionaries of tensors in a mapping; empty if there are none."""
    holders = [legible(str(key)) for key in mapping if _has_tensors(mapping[key])]
    return f"{', '.join(holders[:5])}{', ...' if len(holders) > 5 else ''}"


def _without_prefix(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], str]:
    """Strip prefixes one after the other, in whatever order they are: those that all names share, and WRAPPERS from
    those names that have them."""
    stripped = ""
    while prefix := next((prefix for prefix in PREFIXES if _is_prefix(prefix, tensors)), None):
        renamed = {key.removeprefix(prefix): value for key, value in tensors.items()}
        if len(renamed) < len(tensors):
            raise ValueError(f"some names stand in it twice, with and without {prefix!r}")
        tensors = renamed
        stripped += prefix
    return dict(tensors), stripped


def _is_prefix(prefix: str, names: Iterable[str]) -> bool:
    have_it = [name.startswith(prefix) for name in names]
    return any(have_it) if prefix in WRAPPERS else all(have_it)
