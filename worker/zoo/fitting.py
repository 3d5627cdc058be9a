"""Whether an operator's checkpoint fits a model, found without memory for the model's weights."""

import warnings
from functools import partial

import torch
from zooaudit.contract import ModelName

from worker.depth import find_classifiers, unused_entries
from worker.errors import AuditError
from worker.zoo.catalogue import ZOOS, resolve
from worker.zoo.checkpoints import Outline


def check_fit(model: str, checkpoint: Outline) -> None:
    """Raise the AuditError with which loading the checkpoint into the model would fail, if it would.

    This takes the steps of :func:`worker.zoo.load` that decide about it, on modules without numbers. Where a module
    cannot be built or run without them, it takes the same steps with numbers.
    """
    name = resolve(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with torch.device("meta"):
                _compare(name, checkpoint)
        except AuditError:
            raise
        except Exception:  # each operation has its own way to say that it needs numbers
            _compare(name, checkpoint)


def _compare(name: ModelName, checkpoint: Outline) -> None:
    zoo = ZOOS[name.source]
    build = partial(zoo.build, name, input_size=checkpoint.options.input_size)
    untrained = build().eval()
    size = zoo.preprocessing(name, untrained).changed(checkpoint.options.input_size).input_size
    module = build(num_classes=checkpoint.classes(find_classifiers(untrained, size)))
    checkpoint.compare(module, partial(unused_entries, untrained, size))
