"""What is asked for, and the id that follows from it.

>>> request = AuditRequest(model="timm/resnet50.a1_in1k", num_images=100)
>>> request.rotations_deg
(90, 180, 270)
>>> other_order = AuditRequest(model="timm/resnet50.a1_in1k", num_images=100, rotations_deg=[270, 180, 90])
>>> audit_id(request) == audit_id(other_order)
True
"""

import hashlib
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator

from zooaudit.contract.base import Contract, omit_none

PROTOCOL = "1"
"""Version of the measure. It is part of every audit's id: another measure is another audit."""
MAX_SHIFT_PX = 128
MAX_IMAGES = 100_000


class AuditRequest(Contract):
    """What to audit and how. Only ``model`` is required.

    Transforms are sets: they are kept in ascending order, so the same question always gets the same id.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"model": "timm/resnext101_32x8d.tv_in1k"},
                {"model": "torchvision/vit_b_16", "weights": "untrained", "dataset": "synthetic", "num_images": 64},
            ]
        }
    )

    model: Annotated[
        str,
        Field(
            max_length=128,
            pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?$",
            description="timm/NAME[.TAG] or torchvision/NAME; a bare NAME means timm if timm has it, else torchvision.",
        ),
    ]
    weights: Annotated[
        str,
        Field(
            max_length=128,
            pattern=r"^(pretrained|untrained|checkpoint:[A-Za-z0-9][A-Za-z0-9._-]*)$",
            description="pretrained (what the zoo publishes for that name), untrained (seed 0), or checkpoint:NAME.",
        ),
    ] = "pretrained"
    checkpoint_version: Annotated[
        str | None,
        Field(
            max_length=64,
            pattern=r"^[0-9a-f]+$",
            description="Which content of checkpoint:NAME, as reports say; by default that which is there now.",
        ),
    ] = Field(default=None, exclude_if=omit_none)
    dataset: Annotated[
        str,
        Field(
            max_length=64,
            pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
            description="A data set that the operator has configured, or the built-in 'synthetic'.",
        ),
    ] = "imagenet-val"
    num_images: Annotated[int, Field(ge=1, le=MAX_IMAGES, strict=True)] = 2000
    seed: Annotated[int, Field(ge=0, le=2**32 - 1, strict=True, description="Chooses the sample of images.")] = 0
    translations_px: Annotated[
        tuple[Annotated[int, Field(ge=1, le=MAX_SHIFT_PX, strict=True)], ...],
        Field(
            max_length=MAX_SHIFT_PX,
            description="Diagonal shifts, in input pixels, each once.",
            json_schema_extra={"uniqueItems": True},
        ),
    ] = tuple(range(1, 33))
    rotations_deg: Annotated[
        tuple[Literal[90, 180, 270], ...],
        Field(
            max_length=3,
            description="Counter-clockwise rotations, in degrees, each once.",
            json_schema_extra={"uniqueItems": True},
        ),
    ] = (90, 180, 270)
    similarity: Annotated[
        Literal["correlation", "cosine", "both"],
        Field(description='Of feature maps; "both" gives the cosine beside the correlation, at the price of one.'),
    ] = "correlation"
    border: Annotated[
        Literal["crop", "zero", "circular", "all"],
        Field(
            description="What enters at the border of a shifted image: real pixels, zeros, or the other side; "
            '"all" gives the parts under each, side by side.'
        ),
    ] = "crop"
    precision: Annotated[
        Literal["float32", "tf32", "bfloat16"],
        Field(description="Of the forward passes; statistics are kept in float32 or better."),
    ] = "float32"
    tolerance: Annotated[
        float | None,
        Field(
            gt=0,
            le=1,
            description="End as soon as the 95 % confidence interval of every part's score is at most this wide; "
            "num_images is then the most to be measured.",
        ),
    ] = None
    baseline: Annotated[
        bool, Field(strict=True, description="Measure the untrained architecture on the same images, too.")
    ] = False
    baseline_seeds: Annotated[
        int, Field(ge=1, le=10, strict=True, description="From so many initialisations, seeds 0, 1, ...")
    ] = 1
    repetition: Annotated[
        int, Field(ge=0, le=9999, strict=True, description="The same audit under another number is run again.")
    ] = 0

    @field_validator("translations_px", "rotations_deg")
    @classmethod
    def _distinct_ascending(cls, values: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(values)) != len(values):
            raise ValueError("each value may be given only once")
        return tuple(sorted(values))

    @model_validator(mode="after")
    def _some_transform(self) -> "AuditRequest":
        if not self.translations_px and not self.rotations_deg:
            raise ValueError("ask for at least one translation or rotation")
        return self

    @model_validator(mode="after")
    def _version_of_a_checkpoint(self) -> "AuditRequest":
        if self.checkpoint_version is not None and not self.weights.startswith("checkpoint:"):
            raise ValueError("checkpoint_version goes with weights checkpoint:NAME")
        return self

    @model_validator(mode="after")
    def _baseline_of_something_else(self) -> "AuditRequest":
        if self.baseline and self.weights == "untrained":
            raise ValueError("the untrained architecture is its own baseline: ask for other weights, or for none")
        if self.baseline_seeds > 1 and not self.baseline:
            raise ValueError("baseline_seeds goes with baseline: true")
        return self


def audit_id(request: AuditRequest) -> str:
    """The audit's content address: first 32 hex digits of SHA-256 over the protocol and the canonical request."""
    canonical = f"{PROTOCOL}\n{request.model_dump_json()}"
    return hashlib.sha256(canonical.encode()).hexdigest()[:32]
