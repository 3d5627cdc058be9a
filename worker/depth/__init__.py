"""Which modules of a model are measured, and how their outputs are laid out as feature maps."""

from worker.depth.depth import Depth, find_depth

__all__ = ["Depth", "find_depth"]
