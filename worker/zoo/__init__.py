"""From a name to a model: what the zoos hold, and how it is loaded."""

from worker.zoo.catalogue import catalogue
from worker.zoo.loading import LoadedModel, load

__all__ = ["LoadedModel", "catalogue", "load"]
