"""Which modules of a model are measured, and how their outputs are laid out as feature maps."""

from worker.depth.depth import Depth, find_classifiers, find_depth
from worker.depth.hooks import tensors
from worker.depth.representation import Representation
from worker.depth.unused import unused_entries

__all__ = ["Depth", "Representation", "find_classifiers", "find_depth", "tensors", "unused_entries"]
