"""The strongest channels of one block for one image: their maps of x and of T(x), laid upon each other, and the
difference."""

from difflib import get_close_matches
from typing import Any

import torch
from torch import Tensor
from zooaudit.contract import WARPS, ChannelMaps, Explanation, ExplanationRequest, Report, ViewPictures
from zooaudit.contract.explanation import MAX_CHANNELS, MAX_SIDE

from worker.audit import Prepared
from worker.errors import AuditError
from worker.explain.classes import prediction
from worker.explain.pictures import as_bytes, as_signed_bytes, picture, pooled, short
from worker.explain.precision import precision_of
from worker.images.decoding import Canvases
from worker.measure.similarity import CONSTANT
from worker.measure.transforms import Transform, WarpAlignment, align

PICTURE_PX = 160


def show_maps(
    prepared: Prepared, report: Report, asked: ExplanationRequest, transform: Transform, pictures: bool
) -> Explanation:
    """Show the maps that ``asked`` names under ``transform``; with ``pictures``, also the views. Raises AuditError."""
    subject, experiment = prepared.subject, prepared.experiment
    index = _index(prepared, asked.block)
    representation = experiment.representations[index]
    alignment = align(transform, representation.height, representation.width, experiment.views.size)
    if isinstance(alignment, str):
        raise AuditError("not-explainable", f"{asked.block}: {alignment}. Choose another block, or a shift.")
    place, name, pixels = _image(prepared, asked.image)
    canvas = subject.canvas(pixels)
    views = experiment.views.reference(canvas), experiment.views.transformed(canvas, transform)
    with torch.inference_mode():
        (of_x, before), (of_tx, after) = (_seen(prepared, view, index) for view in views)
    if isinstance(alignment, WarpAlignment):
        a, b = alignment.there.of(of_x.flatten(1, 2)).view_as(of_x)[0], of_tx[0]
        compared = torch.zeros(a.shape[:2], dtype=torch.bool).flatten().index_fill(0, alignment.cells, True)
        compared = compared.view(a.shape[:2])
    else:
        a, b = alignment.of_reference(of_x)[0], alignment.of_transformed(of_tx)[0]
        compared = torch.ones(a.shape[:2], dtype=torch.bool)
    shown_height, shown_width, _ = pooled(a, MAX_SIDE).shape
    return Explanation(
        audit=report.id,
        block=asked.block,
        part=representation.part,
        place=place,
        image=name,
        shift_px=asked.shift_px,
        direction=prepared.request.direction if asked.shift_px is not None else "diagonal",
        angle_deg=asked.angle_deg,
        axis=asked.axis,
        warp=asked.warp,
        amount=asked.amount,
        border=experiment.borders[0],
        precision=precision_of(prepared.request),
        height=len(a),
        width=a.shape[1],
        cells=int(compared.sum()) if isinstance(alignment, WarpAlignment) else None,
        shown_height=shown_height,
        shown_width=shown_width,
        channels_of_block=representation.channels,
        channels=strongest_channels(a, b, compared),
        audit_channel=_audit_channel(report, asked),
        prediction=prediction(prepared.loaded, before, after),
        views=ViewPictures(
            reference=picture(subject, views[0], PICTURE_PX), transformed=picture(subject, views[1], PICTURE_PX)
        )
        if pictures
        else None,
    )


def strongest_channels(a: Tensor, b: Tensor, compared: Tensor) -> tuple[ChannelMaps, ...]:
    """Compare the maps ``a`` of x and ``b`` of T(x), laid upon each other, cell by cell (h, w, K), at the cells
    ``compared`` (h, w) bool; the strongest channels first.

    A channel is as strong as its map of x varies over the cells; where there is one cell, as large as its magnitude.
    Channels that do not vary, and those that are not finite, are left out.
    """
    a, b = a.double(), b.double()
    cells_a, cells_b = a[compared], b[compared]
    strength = cells_a.std(0, correction=0) if len(cells_a) > 1 else cells_a[0].abs()
    finite = (cells_a.sum(0) + cells_b.sum(0)).isfinite()
    shown = finite & (strength > CONSTANT * cells_a.mean(0).abs() if len(cells_a) > 1 else strength > 0)
    order = torch.where(shown, strength, -1.0).sort(descending=True, stable=True).indices
    chosen = [int(channel) for channel in order[:MAX_CHANNELS] if shown[channel]]
    return tuple(
        _channel(channel, float(strength[channel]), a[..., channel], b[..., channel], compared) for channel in chosen
    )


def _channel(channel: int, strength: float, a: Tensor, b: Tensor, compared: Tensor) -> ChannelMaps:
    neutral = a[compared].mean()
    shown_a, shown_b = (pooled(torch.where(compared, maps, neutral)[..., None], MAX_SIDE)[..., 0] for maps in (a, b))
    difference = shown_b - shown_a
    low, high = float(torch.minimum(shown_a, shown_b).min()), float(torch.maximum(shown_a, shown_b).max())
    largest = float(difference.abs().max())
    return ChannelMaps(
        channel=channel,
        strength=short(strength),
        correlation=_correlation(a[compared], b[compared]),
        low=short(low),
        high=short(high),
        largest_difference=short(largest),
        reference=as_bytes(shown_a, low, high),
        transformed=as_bytes(shown_b, low, high),
        difference=as_signed_bytes(difference, high - low),
    )


def _correlation(a: Tensor, b: Tensor) -> float | None:
    """Pearson's correlation over cells; None where one of the maps is constant."""
    centred = [values - values.mean() for values in (a, b)]
    norms = [float(values.norm()) for values in centred]
    smallest = [CONSTANT * float(values.mean().abs()) * values.numel() ** 0.5 for values in (a, b)]
    if any(norm <= limit for norm, limit in zip(norms, smallest, strict=True)):
        return None
    value = float((centred[0] * centred[1]).sum()) / (norms[0] * norms[1])
    return round(max(-1.0, min(1.0, value)), 6)


def _index(prepared: Prepared, block: str) -> int:
    """Return the number of the representation of that name. Pool and Final, which may share a block's, have no maps."""
    representations = prepared.experiment.representations
    names = [one.name for one in representations if one.part not in ("Pool", "Final")]
    if block in names:
        return names.index(block)
    if block in [one.name for one in representations]:
        raise AuditError("not-explainable", f"{block} gives one vector for an image, and no map. Choose another block.")
    close = tuple(get_close_matches(block, names))
    raise AuditError("not-explainable", f"{prepared.loaded.name} has no block {block!r}.", suggestions=close)


def _image(prepared: Prepared, wanted: int | str) -> tuple[int, str, Tensor]:
    """Return the place, the name and the pixels (1, side, side, 3) of an image of the sample. Raises AuditError."""
    stream = prepared.experiment.stream
    sample = stream.sample
    canvases = Canvases(sample.shuffled(), sample.load, prepared.loaded.preprocessing, stream.side, processes=0)
    if isinstance(wanted, str):
        names = [canvases.name(place) for place in range(len(canvases))]
        if wanted not in names:
            detail = f"The sample of this audit has no image {wanted!r}. Give a place from 0 to {len(names) - 1}."
            raise AuditError("not-explainable", detail, suggestions=tuple(get_close_matches(wanted, names)))
        wanted = names.index(wanted)
    if wanted >= len(canvases):
        detail = f"The sample of this audit has no place {wanted}. Give one from 0 to {len(canvases) - 1}."
        raise AuditError("not-explainable", detail)
    name, canvas = canvases[wanted]
    if isinstance(canvas, str):
        raise AuditError("not-explainable", f"The image {name} cannot be decoded ({canvas}). Choose another image.")
    return wanted, name, torch.from_numpy(canvas)[None]


def _seen(prepared: Prepared, view: Tensor, index: int) -> tuple[Tensor, Tensor]:
    """Return the map (1, h, w, K) of the representation ``index`` of a view, and the model's output (K,)."""
    seen: list[Tensor] = []

    def receive(of: int, maps: Tensor) -> None:
        if of == index:
            seen.append(maps.float().clone())

    output = prepared.subject.forward(view, receive)
    return seen[0], output[0].float()


def _audit_channel(report: Report, asked: ExplanationRequest) -> float | None:
    """Return the channel score of the block under the transform over all images, as the report has it."""
    for block in report.blocks:
        if block.name == asked.block:
            if asked.warp is not None:
                warped = getattr(block, WARPS[asked.warp])
                return next((row.channel for row in warped.by_transform if row.amount == asked.amount), None)
            mirrors = block.reflection.by_transform if block.reflection else ()
            rows: tuple[Any, ...] = (*block.translation.by_transform, *block.rotation.by_transform, *mirrors)
            # The one field of the three that is there names the transform in the request as in a row.
            ((field, value),) = asked.model_dump(include={"shift_px", "angle_deg", "axis"}).items()
            return next((row.channel for row in rows if getattr(row, field, None) == value), None)
    return None
