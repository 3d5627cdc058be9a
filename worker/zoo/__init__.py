"""From a name to a model that can be measured: what the zoos have, and how it is loaded.

``timm``, ``torchvision`` and ``registered``, the operator's own architectures, are the zoos; ``catalogue`` lists what
they have; ``loading`` loads a model by its name.
Published weights come through ``download`` and ``weights``, the operator's own through ``checkpoints``, from a folder
(``checkpoint_files``) or a ``bucket``: ``tensor_files`` reads a file, ``state_dicts`` finds the weights in it, and
``fitting`` checks whether they fit a model. ``own`` makes a model of a user's module; ``factories`` calls the functions
that make modules of somebody's own.
"""

from worker.zoo.catalogue import catalogue, parameters, resolve
from worker.zoo.loading import LoadedModel, load
from worker.zoo.registered import register

__all__ = ["LoadedModel", "catalogue", "load", "parameters", "register", "resolve"]
