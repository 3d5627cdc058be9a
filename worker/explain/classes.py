"""The class that a model predicts before and after a transform, with its name where it is known."""

from functools import lru_cache

from timm.data.imagenet_info import ImageNetInfo
from torch import Tensor
from zooaudit.contract import PredictedClass, Prediction

from worker import zoo

IMAGENET_CLASSES = 1000


def prediction(loaded: zoo.LoadedModel, before: Tensor, after: Tensor) -> Prediction | None:
    """Return the class with the largest output in ``before`` and in ``after``, both (K,); None where there is but one
    output.

    Names are given to the thousand outputs of a zoo's architecture with trained weights, which are ImageNet's classes.
    """
    if len(before) < 2:
        return None
    trained = loaded.source in ("timm", "torchvision") and loaded.weights.kind != "untrained"
    named = trained and len(before) == IMAGENET_CLASSES
    first, second = (_class(int(output.argmax()), named) for output in (before, after))
    return Prediction(before=first, after=second)


def _class(index: int, named: bool) -> PredictedClass:
    return PredictedClass(index=index, name=_imagenet().index_to_description(index) if named else None)


@lru_cache(maxsize=1)
def _imagenet() -> ImageNetInfo:
    return ImageNetInfo()
