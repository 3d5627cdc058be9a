"""The measure once more, from its definition alone: float64, whole maps in memory, NumPy's own correlation.

It shares no code with the worker but the names of the modules whose outputs a report says it measured, so whatever
the worker streams, centres, windows or merges has to come out the same.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torchvision.transforms import v2

Array = NDArray[np.float64]
Maps = dict[str, Array]
Warped = tuple[str, float]
"""A kind of warp, and the amount."""


def canvases(images: list[Any], preprocessing: Any, side: int) -> torch.Tensor:
    """PIL images to normalised canvases (N, 3, side, side), float64."""
    shorter = max(preprocessing.resize, side)
    cut = v2.Compose(
        [
            v2.Resize((shorter, shorter) if preprocessing.squash else shorter, preprocessing.interpolation),
            v2.CenterCrop(side),
            v2.PILToTensor(),
        ]
    )
    pixels = torch.stack([cut(image.convert("RGB")) for image in images]).double() / 255
    mean, std = (torch.tensor(v, dtype=torch.float64).view(3, 1, 1) for v in (preprocessing.mean, preprocessing.std))
    return (pixels - mean) / std


def feature_maps(module: nn.Module, blocks: list[dict[str, Any]], classifier: str, view: torch.Tensor) -> Maps:
    """Every block's map (N, K, h, w) for one view, by part and name; Pool is what enters the classifier."""
    maps: Maps = {}
    handles = []

    def keep(key: str, block: dict[str, Any], output: Any) -> None:
        tensor = output[0] if isinstance(output, tuple) else output
        value = tensor.detach().numpy()
        h, w, k = block["height"], block["width"], block["channels"]
        if block["part"] in ("Pool", "Final"):
            value = value.reshape(len(value), k, 1, 1)
        elif block["layout"] == "NLC":
            value = value[:, -h * w :].transpose(0, 2, 1).reshape(len(value), k, h, w)
        elif block["layout"] == "NHWC":
            value = value.transpose(0, 3, 1, 2)
        maps[key] = np.array(value, dtype=np.float64)

    for block in blocks:
        key = f"{block['part']}:{block['name']}"
        if block["part"] == "Pool":
            head = module.get_submodule(classifier)
            handles.append(
                head.register_forward_pre_hook(lambda _m, args, key=key, block=block: keep(key, block, args[0]))
            )
        else:
            target = module.get_submodule(block["name"])
            handles.append(
                target.register_forward_hook(lambda _m, _a, out, key=key, block=block: keep(key, block, out))
            )
    with torch.no_grad():
        for image in view:
            partial = dict(maps)
            module(image[None])
            for key, value in partial.items():
                maps[key] = np.concatenate([value, maps[key]])
    for handle in handles:
        handle.remove()
    return maps


def transformed(
    canvas: torch.Tensor,
    size: int,
    border: str,
    margin: int = 0,
    down: int = 0,
    right: int = 0,
    angle: int = 0,
    axis: str = "",
    warp: Warped | None = None,
) -> torch.Tensor:
    """A view of canvases that have ``margin`` pixels below and right of the reference view."""
    room = canvas.shape[-1] - size - margin
    x0 = canvas[..., room:, room:][..., :size, :size]
    if warp:
        rows, columns = before(*warp, *middles(size, size, size), size)
        return torch.from_numpy(sampled(canvas.numpy(), rows + room, columns + room))
    if axis:
        mirrored = x0.numpy()[..., ::-1] if axis == "horizontal" else x0.numpy()[..., ::-1, :]
        return torch.from_numpy(mirrored.copy())
    if angle:
        return torch.rot90(x0, angle // 90, (2, 3))
    if border == "crop":
        return canvas[..., room - down : room - down + size, room - right : room - right + size]
    moved = torch.roll(x0, (down, right), (2, 3))
    if border == "zero":
        moved[..., :down, :] = 0
        moved[..., :, :right] = 0
    return moved


def before(kind: str, amount: float, down: Array, right: Array, size: int) -> tuple[Array, Array]:
    """Where the content came from that a warp moves to a point, in pixels of the view."""
    below, beside = down - size / 2, right - size / 2
    if kind == "translation":
        below, beside = below - amount, beside - amount
    if kind == "rotation":
        clockwise = np.exp(-1j * np.pi * amount / 180) * (beside - 1j * below)
        below, beside = -clockwise.imag, clockwise.real
    if kind == "scale":
        below, beside = below / amount, beside / amount
    if kind == "shear":
        beside = beside - amount * below
    return below + size / 2, beside + size / 2


def after(kind: str, amount: float, down: Array, right: Array, size: int) -> tuple[Array, Array]:
    """Where a warp moves the content of a point."""
    return before(kind, 1 / amount if kind == "scale" else -amount, down, right, size)


def middles(h: int, w: int, size: int) -> tuple[Array, Array]:
    """How far down and how far right the middles of a map's cells are, (h, w), in pixels of the view."""
    rows, columns = np.mgrid[0:h, 0:w]
    return (rows + 0.5) * size / h, (columns + 0.5) * size / w


def overhang(warps: list[Warped], size: int) -> int:
    """How many pixels beyond the view, on each side, its warped views and the kernel need."""
    corners = np.array([0.0, 0.0, size, size]), np.array([0.0, size, 0.0, size])
    beyond = [max(-where.min(), where.max() - size) for warp in warps for where in before(*warp, *corners, size)]
    return int(np.ceil(round(max(0.0, *beyond), 6))) + 2 if warps else 0


def cubic(distance: Array) -> Array:
    """Keys' kernel of 1981 with a = -1/2."""
    x = abs(distance)
    return np.select([x < 1, x < 2], [1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2], 0.0)


def sampled(values: Array, rows: Array, columns: Array) -> Array:
    """(..., h, w) interpolated where ``rows`` and ``columns`` say, in cells, cell i being from i to i + 1."""
    h, w = values.shape[-2:]
    total = np.zeros((*values.shape[:-2], *rows.shape))
    for down in range(-1, 3):
        for right in range(-1, 3):
            row, column = np.floor(rows - 0.5) + down, np.floor(columns - 0.5) + right
            weight = cubic(rows - row - 0.5) * cubic(columns - column - 0.5)
            total += weight * values[..., row.clip(0, h - 1).astype(int), column.clip(0, w - 1).astype(int)]
    return total


def warped(a: Array, b: Array, size: int, warp: Warped) -> tuple[tuple[Array, Array] | None, float | None]:
    """What is compared under a warp, as (K, observations), None if it is too little; and what interpolation leaves."""
    h, w = a.shape[2:]
    if (h, w) == (1, 1):
        return (a[:, :, 0, 0].T, b[:, :, 0, 0].T), 1.0
    there, back = (
        (rows * h / size, columns * w / size)
        for rows, columns in (before(*warp, *middles(h, w, size), size), after(*warp, *middles(h, w, size), size))
    )
    compared, of_back = (
        (rows > 0.5 - 1e-6) & (rows < h - 0.5 + 1e-6) & (columns > 0.5 - 1e-6) & (columns < w - 0.5 + 1e-6)
        for rows, columns in (there, back)
    )
    if compared.sum() < 4:
        return None, None
    moved = sampled(a, *there)
    again, both = sampled(moved, *back), compared & of_back
    kept = [
        np.corrcoef(one.flatten(), other.flatten())[0, 1]
        for one, other in ((a[:, k][:, both], again[:, k][:, both]) for k in range(a.shape[1]))
        if one.size and one.std() > 1e-6 * abs(one.mean())
    ]
    pairs = tuple(v.transpose(1, 0, 2, 3)[:, :, compared].reshape(v.shape[1], -1) for v in (moved, b))
    return pairs, float(np.mean(kept)) if kept else None  # type: ignore[return-value]


def pair(
    a: Array,
    b: Array,
    size: int,
    border: str,
    down: int = 0,
    right: int = 0,
    angle: int = 0,
    axis: str = "",
) -> tuple[Array, Array] | None:
    """T(f(x_0)) and f(T(x_0)) where they overlap, as (K, observations); None where the map cannot be turned."""
    h, w = a.shape[2:]
    if (h, w) != (1, 1):
        if angle and h != w:
            return None
        sy, sx = int(np.floor(down * h / size)), int(np.floor(right * w / size))
        a = np.rot90(a, angle // 90, (2, 3))
        if axis:
            a = a[..., ::-1] if axis == "horizontal" else a[..., ::-1, :]
        if border == "circular":
            a = np.roll(a, (sy, sx), (2, 3))
        else:
            a, b = a[:, :, : h - sy, : w - sx], b[:, :, sy:, sx:]
    return tuple(v.transpose(1, 0, 2, 3).reshape(v.shape[1], -1) for v in (a, b))  # type: ignore[return-value]


def scores(a: Array, b: Array, similarity: str) -> tuple[float | None, float | None]:
    """Channel and layer score of paired observations (K, n)."""
    constant = 1e-6
    if similarity == "correlation":
        alive_a = a.std(1) > constant * abs(a.mean(1))
        alive_b = b.std(1) > constant * abs(b.mean(1))
        a = a - a.mean(1, keepdims=True)
        b = b - b.mean(1, keepdims=True)
    else:
        alive_a, alive_b = (a != 0).any(1), (b != 0).any(1)
    if not (alive_a & alive_b).any():
        return None, None
    with np.errstate(invalid="ignore", divide="ignore"):
        r = (a @ b.T) / np.outer(np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1))
    r = np.maximum(0.0, np.where(np.isfinite(r), r, 0.0))
    channel = r.diagonal()[alive_a & alive_b].mean()
    layer = r[alive_a & alive_b][:, alive_b].max(1).mean()
    return float(channel), float(layer)


def recompute(
    report: dict[str, Any], module: nn.Module, preprocessing: Any, classifier: str, images: list[Any]
) -> dict[str, list[tuple[float | None, ...]]]:
    """Channel and layer score of every block under every transform, in the order of the report's rows; under warps
    also what interpolation leaves."""
    method, size = report["method"], report["model"]["input_size"]
    module = module.double()
    canvas = canvases(images, preprocessing, method["canvas_size"])
    blocks = report["blocks"]
    kinds = {each["kind"]: each["amounts"] for each in method.get("warps", ())}
    warps = [(kind, amount) for kind in ("translation", "rotation", "scale", "shear") for amount in kinds.get(kind, ())]
    margin = overhang(warps, size)
    reference = feature_maps(module, blocks, classifier, transformed(canvas, size, method["border"], margin))
    rows: dict[str, list[tuple[float | None, ...]]] = {key: [] for key in reference}
    direction = method.get("direction", "diagonal")
    transforms = [
        {"down": s * (direction != "right"), "right": s * (direction != "down")} for s in method["translations_px"]
    ]
    transforms += [{"angle": a} for a in method["rotations_deg"]]
    transforms += [{"axis": axis} for axis in method.get("reflections", ())]
    for transform in transforms:
        view = transformed(canvas, size, method["border"], margin, **transform)
        moved = feature_maps(module, blocks, classifier, view)
        for key, a in reference.items():
            paired = pair(a, moved[key], size, method["border"], **transform)
            rows[key].append((None, None) if paired is None else scores(*paired, method["similarity"]))
    for warp in warps:
        moved = feature_maps(module, blocks, classifier, transformed(canvas, size, "crop", margin, warp=warp))
        for key, a in reference.items():
            paired, interpolation = warped(a, moved[key], size, warp)
            both = (None, None) if paired is None else scores(*paired, method["similarity"])
            rows[key].append((*both, interpolation))
    return rows
