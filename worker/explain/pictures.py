"""Small pictures of views, and maps as bytes, for answers that travel as JSON."""

import base64
import io

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from worker.measure.forward import Subject

QUALITY = 85


def picture(subject: Subject, view: Tensor, side: int) -> str:
    """Return a normalised ``view`` (1, 3, H, H) as a JPEG of at most ``side`` pixels a side: a data URL."""
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (subject.mean, subject.std))
    pixels = view[0].cpu().mul(std).add(mean).mul(255).round().clamp(0, 255).to(torch.uint8)
    image = Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy())
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    encoded = io.BytesIO()
    image.save(encoded, "JPEG", quality=QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(encoded.getvalue()).decode()}"


def pooled(maps: Tensor, side: int) -> Tensor:
    """Return ``maps`` (h, w, K) with at most ``side`` cells a side, each the mean of the cells that it stands for."""
    height, width, _ = maps.shape
    size = (min(height, side), min(width, side))
    return (
        maps
        if size == (height, width)
        else functional.adaptive_avg_pool2d(maps.permute(2, 0, 1), size).permute(1, 2, 0)
    )


def as_bytes(values: Tensor, low: float, high: float) -> str:
    """Write ``values`` (h, w) as one byte each, 0 for ``low`` and 255 for ``high``, in base64.

    >>> list(base64.b64decode(as_bytes(torch.tensor([[0.0, 1.0, 2.0]]), 0.0, 2.0)))
    [0, 128, 255]
    """
    scaled = (values - low) * (255 / (high - low) if high > low else 0.0)
    return _encoded(scaled)


def as_signed_bytes(values: Tensor, largest: float) -> str:
    """Write ``values`` (h, w) as one byte each, 1 for ``-largest``, 128 for 0 and 255 for ``largest``, in base64.

    >>> list(base64.b64decode(as_signed_bytes(torch.tensor([[-2.0, 0.0, 1.0]]), 2.0)))
    [1, 128, 192]
    """
    return _encoded(values * (127 / largest if largest > 0 else 0.0) + 128)


def _encoded(bytes_as_numbers: Tensor) -> str:
    return base64.b64encode(
        bytes_as_numbers.round().clamp(0, 255).to(torch.uint8).contiguous().numpy().tobytes()
    ).decode()


def short(value: float) -> float:
    """Round to six significant digits, as many as float32 has.

    >>> short(1 / 3)
    0.333333
    """
    return float(f"{value:.6g}")
