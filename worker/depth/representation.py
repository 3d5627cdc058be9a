"""One place in the depth of a model where the feature maps of two views are compared."""

from dataclasses import dataclass

from zooaudit.contract import Layout, PartName


@dataclass(frozen=True)
class Representation:
    """The output of the module at the dotted path ``name``: maps of ``height`` x ``width`` cells of ``channels``.

    ``layout`` is that of the module's output. A vector, as at Pool and Final, is a map of one cell.
    """

    name: str
    part: PartName
    layout: Layout
    height: int
    width: int
    channels: int
