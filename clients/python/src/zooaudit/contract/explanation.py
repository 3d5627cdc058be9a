"""Explanations: the maps of a block for one image of an audit, and the images on which its model is least equivariant.

A worker makes them on demand, for an audit that has succeeded. docs/method.md defines each number ("Seeing it").

>>> asked = ExplanationRequest(block="layer1.0", image=3, angle_deg=90)
>>> question = ExplanationQuestion(audit="0" * 32, maps=asked)
>>> explanation_key(question) == explanation_key(question.model_copy(update={"audit": "1" * 32}))
False
"""

import hashlib
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from zooaudit.contract.base import Contract, Signed, Unit, omit_default_direction, omit_none
from zooaudit.contract.report import Border
from zooaudit.contract.request import MAX_IMAGES, MAX_SHIFT_PX
from zooaudit.contract.scores import Axis, Direction, PartName, WarpKind

EXPLANATION_VERSION = 1
"""Version of how explanations are made. It enters their keys: made otherwise, they are others."""
MAX_CHANNELS = 8
"""How many channels an explanation shows, the strongest first."""
MAX_SIDE = 56
"""How many cells a side a map that is shown has at most."""
MAX_LOOKED_AT = 256
"""On how many images of the sample the least equivariant ones are looked for."""
MAX_WAITING = 32
"""How many explanations may wait for a worker."""

Precision = Literal["float32", "bfloat16"]
State = Literal["waiting", "making"]


class LeastEquivariantRequest(Contract):
    """Which transform to look at, one that the audit has measured: a shift, a rotation by ``angle_deg``, a reflection
    along ``axis``, or a ``warp`` of this kind by an ``amount``."""

    shift_px: Annotated[
        int | None, Field(ge=1, le=MAX_SHIFT_PX, description="A shift, or else angle_deg, axis, or warp and amount.")
    ] = Field(default=None, exclude_if=omit_none)
    angle_deg: Literal[90, 180, 270] | None = Field(default=None, exclude_if=omit_none)
    axis: Annotated[Axis | None, Field(description="That of a reflection.")] = Field(default=None, exclude_if=omit_none)
    warp: Annotated[WarpKind | None, Field(description="The kind of a warp; its amount is another field.")] = Field(
        default=None, exclude_if=omit_none
    )
    amount: Annotated[float | None, Field(allow_inf_nan=False, description="That of the warp.")] = Field(
        default=None, exclude_if=omit_none
    )

    @model_validator(mode="after")
    def _one_transform(self) -> "LeastEquivariantRequest":
        if sum(given is not None for given in (self.shift_px, self.angle_deg, self.axis, self.warp)) != 1:
            raise ValueError("give one of shift_px, angle_deg, axis and warp")
        if (self.warp is None) != (self.amount is None):
            raise ValueError("a warp has an amount, and nothing else has one")
        return self

    @property
    def transform(self) -> str:
        """The transform as people read it: "8 px", "90°", "horizontal" or "warp rotation 15"."""
        if self.axis is not None:
            return self.axis
        if self.warp is not None:
            return f"warp {self.warp} {self.amount:g}"
        return f"{self.shift_px} px" if self.shift_px is not None else f"{self.angle_deg}°"


class ExplanationRequest(LeastEquivariantRequest):
    """Which maps to see: those of a block for an image, under a transform that the audit has measured."""

    block: Annotated[str, Field(min_length=1, max_length=256, description="A block's name, as in the report.")]
    image: Annotated[
        Annotated[int, Field(ge=0, lt=MAX_IMAGES)] | Annotated[str, Field(min_length=1, max_length=1024)],
        Field(description="The image's place in the order of measuring, from 0, or its relative path."),
    ]

    @field_validator("image", mode="before")
    @classmethod
    def _digits_are_a_place(cls, value: object) -> object:
        """No image is named by digits alone: its name has an ending."""
        return int(value) if isinstance(value, str) and value.isascii() and value.isdecimal() else value


class ExplanationQuestion(Contract):
    """What the service asks a worker: the ``maps`` of a block, or else the ``least`` equivariant images. With
    ``pictures``, the answer shows images."""

    audit: str
    maps: ExplanationRequest | None = None
    least: LeastEquivariantRequest | None = None
    pictures: bool = True


class PredictedClass(Contract):
    """The class with the largest output. Only the thousand classes of ImageNet have a ``name``."""

    index: int
    name: str | None = Field(default=None, exclude_if=omit_none)


class Prediction(Contract):
    """The class that the model predicts for x, and for T(x)."""

    before: PredictedClass
    after: PredictedClass


class ChannelMaps(Contract):
    """The maps of one channel. ``strength`` is the standard deviation of the map of x over the cells compared, or its
    magnitude where there is one cell; ``correlation`` that of both maps over these cells, null where one of them is
    constant.

    A map is one byte a cell, row by row, in base64. In ``reference``, the map of x, and ``transformed``, that of T(x)
    moved back, 0 stands for ``low`` and 255 for ``high``. In ``difference``, the second less the first, 128 stands for
    0, 1 for ``low - high`` and 255 for ``high - low``: a difference that is small beside the maps looks small.
    ``largest_difference`` is its largest magnitude.
    """

    channel: int
    strength: float
    correlation: Signed | None
    low: float
    high: float
    largest_difference: float
    reference: str
    transformed: str
    difference: str


class ViewPictures(Contract):
    """What the model is shown, x and T(x), as small pictures: data URLs."""

    reference: str
    transformed: str


class Explanation(Contract):
    """The strongest channels of one block for one image: their maps of x and of T(x), and the difference.

    Maps of ``height`` x ``width`` cells were compared, and ``shown_height`` x ``shown_width`` are shown, each a mean.
    Under a warp only the ``cells`` of them that have a place in both maps count, and at the others both maps are shown
    at the channel's mean.
    ``audit_channel`` is the block's channel score under this transform in the report, over all images.
    """

    audit: str
    block: str
    part: PartName
    place: int
    image: str
    shift_px: int | None = Field(default=None, exclude_if=omit_none)
    direction: Direction = Field(default="diagonal", exclude_if=omit_default_direction)
    angle_deg: int | None = Field(default=None, exclude_if=omit_none)
    axis: Axis | None = Field(default=None, exclude_if=omit_none)
    warp: WarpKind | None = Field(default=None, exclude_if=omit_none)
    amount: float | None = Field(default=None, exclude_if=omit_none)
    border: Border
    precision: Precision
    height: int
    width: int
    cells: int | None = Field(default=None, exclude_if=omit_none)
    shown_height: int
    shown_width: int
    channels_of_block: int
    channels: Annotated[tuple[ChannelMaps, ...], Field(max_length=MAX_CHANNELS)]
    audit_channel: Unit | None
    prediction: Prediction | None = Field(default=None, exclude_if=omit_none)
    views: ViewPictures | None = Field(default=None, exclude_if=omit_none)


class ImageSimilarity(Contract):
    """One image: the similarity of its features at Pool and at Final before and after T, null where there are none, and
    the class that is predicted. ``picture`` is a data URL of x."""

    place: int
    image: str
    pool: Signed | None
    final: Signed | None
    prediction: Prediction | None = Field(default=None, exclude_if=omit_none)
    picture: str | None = Field(default=None, exclude_if=omit_none)


class LeastEquivariant(Contract):
    """The images on which the model is least equivariant, of the first ``images`` in the order of measuring.

    ``least`` has those with the lowest similarity at Pool and those with the lowest at Final, by the lower of the two.
    ``mean_pool`` and ``mean_final`` are over all ``images``, of which ``changed`` get another class.
    """

    audit: str
    shift_px: int | None = Field(default=None, exclude_if=omit_none)
    direction: Direction = Field(default="diagonal", exclude_if=omit_default_direction)
    angle_deg: int | None = Field(default=None, exclude_if=omit_none)
    axis: Axis | None = Field(default=None, exclude_if=omit_none)
    warp: WarpKind | None = Field(default=None, exclude_if=omit_none)
    amount: float | None = Field(default=None, exclude_if=omit_none)
    border: Border
    precision: Precision
    images: int
    changed: int | None
    mean_pool: Signed | None
    mean_final: Signed | None
    least: tuple[ImageSimilarity, ...]


class PendingExplanation(Contract):
    """An explanation that is not there yet: it waits behind ``before`` others, or a worker is making it."""

    state: State
    before: int = 0


def explanation_key(question: ExplanationQuestion) -> str:
    """Return the key in the report store of the answer to a question: it names the question."""
    return f"{explanations_prefix(question.audit)}/{explanation_digest(question)}.json"


def explanations_prefix(identifier: str) -> str:
    """Return the prefix of the keys of all explanations of an audit."""
    return f"explanations/{identifier}"


def explanation_digest(question: ExplanationQuestion) -> str:
    canonical = f"{EXPLANATION_VERSION}\n{question.model_dump_json()}"
    return hashlib.sha256(canonical.encode()).hexdigest()[:32]


def failure_key(question: ExplanationQuestion) -> str:
    """Return the key in Redis of the Problem, as JSON, for which an explanation could not be made."""
    return f"zooaudit:explanations:failed:{explanation_digest(question)}"


WANTED_EXPLANATIONS_KEY = "zooaudit:explanations:wanted"
"""Redis sorted set: the questions that wait, each an ExplanationQuestion as JSON with the time of asking in seconds."""
EXPLAINING_KEY = "zooaudit:explanations:making"
"""Redis sorted set: the questions that workers answer just now. The score of each is the time in seconds at which it
lapses, unless the worker renews it."""
