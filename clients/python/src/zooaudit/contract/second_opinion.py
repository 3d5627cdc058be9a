"""What the field's other measures say of a part or a block: docs/method.md, "Second opinion", defines them."""

from typing import Annotated, Literal

from pydantic import Field

from zooaudit.contract.base import Contract, NonNegative, omit_empty, omit_none

Generator = Literal["translation_x", "translation_y", "rotation", "scale", "shear"]
"""The direction in which an image changes: to the right, down, counter-clockwise, outward, or slanting."""
GENERATORS: tuple[Generator, ...] = ("translation_x", "translation_y", "rotation", "scale", "shear")


class Magnitude(Contract):
    """A number from 0 up, with its 95 % confidence interval over images; null where the images are too few for one."""

    value: NonNegative | None
    interval: tuple[NonNegative, NonNegative] | None = None
    reason: str | None = Field(default=None, exclude_if=omit_none)


class DeformationRow(Contract):
    """How stable a representation is to smooth random deformations of one size.

    ``displacement_px``  the mean displacement of the pixels
    ``gradient``         the root mean square of the gradient of the displacements, in px by px
    ``deformation``      D: how far deformed images move the representation, E|f(tau x) - f(x)|^2 / E|f(x) - f(z)|^2
    ``noise``            G: the same for isotropic noise that changes the image as much
    ``ratio``            R = D / G: below 1, the network is more stable to deformations than to noise
    """

    displacement_px: float
    gradient: NonNegative
    deformation: NonNegative | None
    noise: NonNegative | None
    ratio: NonNegative | None
    ratio_interval: tuple[NonNegative, NonNegative] | None = None
    reason: str | None = Field(default=None, exclude_if=omit_none)


class SecondOpinion(Contract):
    """What other measures than channel and layer equivariance say of a part or a block; absent unless asked for.

    ``deformation``  the stability to deformations, by their size (Petrini, Favero, Geiger, Wyart 2021)
    ``local_error``  the local equivariance error, by generator (Gruver, Finzi, Goldblum, Wilson 2023)
    ``variance``     the variance over transforms by the variance over images, for the transforms of each kind
                     (Quiroga, Torrents-Barrena, Lanzarini, Puig-Valls 2023)
    """

    deformation: tuple[DeformationRow, ...] = Field(default=(), exclude_if=omit_empty)
    local_error: dict[Generator, Magnitude] = Field(default={}, exclude_if=omit_empty)
    variance: Annotated[
        dict[str, Magnitude], Field(description='By the name of a transform, such as "translation".')
    ] = Field(default={}, exclude_if=omit_empty)


class Consistency(Contract):
    """How often the top-1 class of two random windows of an image is the same (Zhang 2019).

    ``draws``      pairs of windows of each image
    ``offset_px``  the largest offset of a window on each axis
    ``published``  what is published of these weights on the whole validation set of ImageNet, with offsets up to 32 px
    """

    draws: Annotated[int, Field(ge=1)]
    offset_px: Annotated[int, Field(ge=1)]
    value: NonNegative | None
    interval: tuple[NonNegative, NonNegative] | None = None
    reason: str | None = Field(default=None, exclude_if=omit_none)
    published: Annotated[float | None, Field(ge=0, le=1)] = Field(default=None, exclude_if=omit_none)
