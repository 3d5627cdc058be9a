"""Audit a module of the user's own: the user, or one forward pass, supplies what a zoo knows about its models."""

from collections.abc import Sequence

from PIL import Image
from torch import nn
from zooaudit.contract import Layout, Weights

from worker.depth import find_depth
from worker.errors import AuditError, explaining, own_words
from worker.images import Preprocessing
from worker.zoo.factories import load_factory, plain, refuse_without_tensors, unsuitable
from worker.zoo.loading import LoadedModel
from worker.zoo.weights import parameter_count, tensors_sha256

__all__ = ["from_module", "load_factory"]

Triple = tuple[float, float, float]

ADVICE = "Correct the module, or give it another --input-size."


def from_module(
    module: nn.Module,
    name: str,
    input_size: int,
    blocks: Sequence[str] = (),
    *,
    layout: Layout | None = None,
    classifier: str | None = None,
    mean: Triple = (0.485, 0.456, 0.406),
    std: Triple = (0.229, 0.224, 0.225),
) -> LoadedModel:
    """Wrap a user's own module as the model module/``name``; anything not given is inferred from one forward pass.

    ``blocks`` are the dotted paths of the modules whose outputs are measured, in the order in which they run;
    ``layout`` is the layout of all these outputs, and ``classifier`` the path of the classifier. Images are resized and
    cropped to ``input_size`` pixels and normalised by ``mean`` and ``std``. What torch.compile or a parallel wrapper is
    around is measured without it, and weights of other types as float32. Raises AuditError if the module
    does not run on such an image, or lacks one of these parts.
    """
    with explaining("unsuitable-module", "The module cannot be brought to eval mode and float32", ADVICE):
        module = plain(module)
    refuse_without_tensors(module)
    paths = {path for path, _ in module.named_modules()}
    if missing := [path for path in (*blocks, *([classifier] if classifier else [])) if path not in paths]:
        raise unsuitable(f"The module has no part {', '.join(missing)}; it has {', '.join(sorted(paths - {''})[:20])}.")
    try:
        depth = find_depth(module, input_size, blocks, layout, classifier)
    except AuditError:
        raise
    except Exception as error:  # The user's code can raise anything.
        detail = f"It does not run on an image of {input_size} px ({own_words(error)}). {ADVICE}"
        raise unsuitable(detail) from error
    return LoadedModel(
        name=f"module/{name}",
        source="module",
        family="module",
        architecture=name,
        module=module,
        depth=depth,
        preprocessing=Preprocessing(input_size, input_size, Image.Resampling.BICUBIC, mean, std),
        weights=Weights(kind="own", origin=name, sha256=tensors_sha256(module)),
        imagenet_top1=None,
        parameters=parameter_count(module),
    )
