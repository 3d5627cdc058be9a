"""The running sums at one representation in one pass over the images, and how a batch is added to them.

Every operation here works on the maps of a whole batch, so that a GPU gets few, large kernels, and none of them makes
the host wait: what depends on the data stays on the device.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from worker.depth import Representation
from worker.measure.groups import GROUPS
from worker.measure.moments import Spread
from worker.measure.similarity import Similarity, best_partners, constant
from worker.measure.sums import Sums
from worker.measure.transforms import Alignment, Transform, WarpAlignment
from worker.measure.warps import Warp

if TYPE_CHECKING:
    from worker.measure.fused import Halves

SLICE = 4096
"""Rows that one product sums in float32, if they can be shared out so: a longer sum would lose digits."""
NARROW = 16
NARROW_SLICE = 256
"""The same for fewer than 16 channels, whose rows BLAS adds one after another."""
RESOLUTION = 1e-6
"""The share of a sum of squares that float32 sums may have got wrong."""
WIDE = 8
"""From this many channels for each cell on, products are summed over all images at once: those of each image would be
larger than eight of its maps."""


class RepresentationSums:
    """The sums at one representation under each transform of a pass.

    All are of deviations from one pivot, which the first batch of the reference view gives. The sums of the reference
    view are kept for each of the ``windows`` of it that some transform of the audit compares, also those that only
    other passes need: sums of more windows at once may be rounded otherwise. What a warp compares is no window, and is
    summed under each warp. Maps of a single cell are summed in float64 (``dtype``): they have few values, and a few
    images may be all that tells them from a constant.
    """

    def __init__(
        self,
        representation: Representation,
        alignments: Mapping[Transform, Alignment | WarpAlignment | str],
        windows: Collection[tuple[int, int]],
        similarities: int,
        device: torch.device,
        tensor_cores: bool = False,
    ) -> None:
        height, width, channels = representation.height, representation.width, representation.channels
        self._alignments = {
            transform: alignment for transform, alignment in alignments.items() if not isinstance(alignment, str)
        }
        self._windows = sorted({*windows, (height, width)})
        self.dtype, self._resolution = (torch.float64, 0.0) if height * width == 1 else (torch.float32, RESOLUTION)
        self._rows = _first(height, [window[0] for window in self._windows]).to(device, self.dtype)
        self._columns = _first(width, [window[1] for window in self._windows])[:, :, None].to(device, self.dtype)
        self._wide = is_wide(height * width, channels)
        self._fused = self.dtype == torch.float32 and tensor_cores
        # Allocated once and written in place: sums that came and went would leave holes between the large blocks.
        self._reference = torch.zeros(2, GROUPS, len(self._windows) * channels, dtype=torch.float64, device=device)
        count = len(self._alignments)
        self._products = torch.zeros(count, channels, channels, dtype=torch.float64, device=device)
        own = torch.arange(channels, device=device)
        self._partners = own.repeat(count, 1 + similarities, 1)
        self._chosen: list[tuple[int, Tensor]] = [(0, torch.full((similarities, count, channels), -1, device=device))]
        self._index = {transform: index for index, transform in enumerate(self._alignments)}
        self._there_and_back = {
            transform: torch.zeros(2, channels, dtype=torch.float64, device=device)
            for transform, alignment in self._alignments.items()
            if isinstance(alignment, WarpAlignment)
        }
        cells = height * width if self._there_and_back else 0
        self._cells = torch.zeros(2, cells, channels, dtype=torch.float64, device=device)
        self._pivot: Tensor | None = None
        self._maps = self._window = torch.empty(0)
        # A CUDA graph of one transform must not read what that of another has written: they are recorded in any order.
        self._keeps_window = device.type == "cpu"
        self._unit: Tensor | None = None
        self._halves: Halves | None = None

    def see_reference(self, maps: Tensor, members: Tensor) -> None:
        """Add the ``maps`` (N, h, w, K) of the reference view, and keep them to compare others with.

        ``members`` (G, N) float32 is 1 where an image is in a group, else 0.
        """
        if self._pivot is None:
            # Rounded to the dtype of the maps, whose deviations then seldom need more digits than the maps have.
            self._pivot = _pivot(maps).to(maps.dtype).to(self.dtype)
        # A copy, because the layers that follow may work in place.
        self._maps = self._window = torch.sub(maps, self._pivot, out=self._empty(maps, *maps.shape))
        if self._fused:
            self._keep_halves(maps)
        totals = self._empty(maps, 2, len(maps), len(self._windows), maps.shape[3])
        self._sum_windows(self._maps, totals[0])
        squares = self._maps.square()
        self._sum_windows(squares, totals[1])
        self._reference.add_(members.to(self.dtype) @ totals.flatten(2))
        if self._there_and_back:
            for total, values in zip(self._cells, (self._maps, squares), strict=True):
                total.add_(values.sum(0).flatten(0, 1))
        elif self._fused:
            self._maps = self._window = torch.empty(0)  # Their halves are all that is needed of them.

    def _sum_windows(self, values: Tensor, out: Tensor) -> None:
        """Sum ``values`` (N, h, w, K) over each of the windows: ``out`` (N, W, K)."""
        over_rows = (self._rows @ values.flatten(2)).view(len(values), -1, *values.shape[2:])
        torch.sum(over_rows.mul_(self._columns), 2, out=out)

    def compare(self, transform: Transform, maps: Tensor, out: Tensor) -> None:
        """Add the products of the reference maps with the ``maps`` (N, h, w, K) of a transformed view.

        ``out`` (:func:`count_terms`, N, K) receives, for each image, the sums of the deviations of the transformed
        view, of their squares, and of their products with the reference maps: of each channel with itself and with its
        S partners; then under a warp the sums of the deviations of the warped reference maps, and of their squares.
        """
        assert self._pivot is not None
        alignment, index = self._alignments[transform], self._index[transform]
        if self._fused:
            self._compare_fused(transform, maps, out)
            return
        if isinstance(alignment, WarpAlignment):
            a, out = self._warped(transform, alignment, out[-2:]), out[:-2]
        else:
            a = self._reference_window(alignment)
        terms = self._empty(a, len(out) if self._wide else 2, *a.shape)
        b = terms[0]
        torch.sub(alignment.of_transformed(maps), self._pivot, out=b)
        torch.mul(b, b, out=terms[1])
        if self._wide:
            torch.mul(a, b, out=terms[2])
            for partners, term in zip(self._partners[index, 1:], terms[3:], strict=True):
                # Along the last axis, index_select is several times as slow on a CPU.
                torch.gather(b, 3, partners.expand_as(b), out=term).mul_(a)
        torch.sum(terms.flatten(2, 3), 2, out=out[: len(terms)])
        if self._wide:
            slices = (torch.split(maps.flatten(0, 2), SLICE) for maps in (a, b))
            for a_rows, b_rows in zip(*slices, strict=True):
                self._products[index].add_(_products(a_rows[None], b_rows[None])[0])
            return
        images, cells, channels = len(a), a.shape[1] * a.shape[2], a.shape[3]
        chunks = _chunks(cells, channels)
        of_chunk = _products(a.view(images * chunks, -1, channels), b.view(images * chunks, -1, channels))
        pairs = of_chunk.gather(2, self._partners[index].T.expand(len(of_chunk), -1, -1))
        torch.sum(pairs.view(images, chunks, channels, -1), 1, out=out[2:].permute(1, 2, 0))
        self._products[index].add_(of_chunk.sum(0))

    def _warped(self, transform: Transform, alignment: WarpAlignment, out: Tensor) -> Tensor:
        """Return the reference maps as they are compared under a warp; ``out`` (2, N, K) receives their sums.

        Also add to what :meth:`interpolation` is made from: over all images, the squares of the maps warped there and
        back, and their products with the maps.
        """
        maps = self._maps.flatten(1, 2)
        warped = alignment.there.of(maps)
        again = alignment.back.of(warped)
        for total, other in zip(self._there_and_back[transform], (again, maps), strict=True):
            total.add_((again * other).sum(1).sum(0))
        a = alignment.chosen(warped)
        torch.sum(a, (1, 2), out=out[0])
        torch.sum(a.square(), (1, 2), out=out[1])
        return a

    def interpolation(self, transform: Transform, images: int) -> float | None:
        """Return the mean over channels of the correlation of the reference maps of ``images`` images with themselves,
        warped by ``transform`` and warped back; None where no channel varies, or where it is no warp."""
        if not isinstance(transform, Warp):
            return None
        alignment = self._alignments.get(transform)
        if not isinstance(alignment, WarpAlignment):
            return None if alignment is None else 1.0  # a single cell stays what it is
        assert self._pivot is not None
        count, pivot, both = images * int(alignment.both.sum()), self._pivot.double(), alignment.both.double()
        a_total, a_square = both @ self._cells
        # Both interpolations are linear: that of the sum over images is the sum of theirs.
        again_total = alignment.back.of(alignment.there.of(self._cells[:1])).sum((0, 1))
        again_square, products = self._there_and_back[transform]
        a, again = (
            Spread(count, pivot, total, square, self._resolution)
            for total, square in ((a_total, a_square), (again_total, again_square))
        )
        correlations = (products - a.total * again.offset) / (a.variation * again.variation).sqrt()
        known = correlations[~(constant(a) | constant(again)) & correlations.isfinite()]
        return float(known.mean().clamp(-1.0, 1.0)) if len(known) else None

    def _keep_halves(self, maps: Tensor) -> None:
        """Cut the reference maps into halves, of which a GPU computes products."""
        from worker.measure import fused  # needs Triton

        assert self._pivot is not None
        if self._unit is None:
            self._unit = fused.unit_of(self._maps, self._pivot)
        self._halves = fused.halves(self._maps, self._unit, narrow=maps.dtype in fused.NARROW)

    def _compare_fused(self, transform: Transform, maps: Tensor, out: Tensor) -> None:
        """Do on an NVIDIA GPU what :meth:`compare` does elsewhere."""
        from worker.measure import fused  # needs Triton

        assert self._pivot is not None
        assert self._unit is not None
        assert self._halves is not None
        alignment, index, a = self._alignments[transform], self._index[transform], self._halves
        if isinstance(alignment, WarpAlignment):
            a = fused.halves(self._warped(transform, alignment, out[-2:]), self._unit, narrow=False)
            out = out[:-2]
        b = fused.readable(alignment.of_transformed(maps))
        halves = fused.sums(a, b, self._pivot, self._unit, self._partners[index, 1:], out)
        fused.add_products(a, halves, self._pivot, self._unit, self._products[index])

    def overflowed(self, transform: Transform, sums: Tensor) -> bool:
        """Tell whether the maps under a transform are finite and their products are not, since a half was too large for
        float16. ``sums`` are those of :meth:`sums` under this transform."""
        if not self._fused or self._products[self._index[transform]].isfinite().all():
            return False
        return bool(self._reference.isfinite().all() & sums[:2].isfinite().all())

    def _reference_window(self, alignment: Alignment) -> Tensor:
        """Return the reference maps' window. A CPU keeps the latest, since several shifts in a row cut the same one."""
        if not self._keeps_window:
            return alignment.of_reference(self._maps).contiguous()
        if self._window.shape[1:3] != (alignment.height, alignment.width):
            self._window = alignment.of_reference(self._maps).contiguous()
        return self._window

    def reference_spread(self, images: int) -> Spread:
        """Return the spread of the whole reference maps of ``images`` images."""
        assert self._pivot is not None
        whole = self._rows.shape[1], self._columns.shape[1]
        total, square = self._window_sums(whole).sum(1)
        count = images * whole[0] * whole[1]
        return Spread(count, self._pivot.double(), total, square, self._resolution)

    def choose_partners(
        self,
        group: int,
        images: Mapping[int, int],
        transformed: Mapping[Transform, Tensor],
        similarities: Sequence[Similarity],
    ) -> None:
        """Pair each channel, from ``group`` on, with the one that is most similar to it over the images so far.

        ``images`` and ``transformed`` are those of :meth:`sums`.
        """
        moments = self.sums(images, transformed).moments()
        best = torch.stack([best_partners(moments, similarity) for similarity in similarities])
        self._partners[:, 1:] = best.transpose(0, 1)
        self._chosen.append((group, best))

    def sums(self, images: Mapping[int, int], transformed: Mapping[Transform, Tensor]) -> Sums:
        """Return the sums under each transform, in the order of ``transformed``.

        ``images`` maps groups to how many images they have; ``transformed`` maps each transform under which maps can
        be compared to the sums by group of what :meth:`compare` has given, (:func:`count_terms`, G, K).
        """
        assert self._pivot is not None
        terms = 2 + self._partners.shape[1]
        given = torch.stack([transformed[transform][:terms] for transform in self._alignments], 1)
        a = [
            transformed[transform][terms:]
            if isinstance(alignment, WarpAlignment)
            else self._window_sums((alignment.height, alignment.width))
            for transform, alignment in self._alignments.items()
        ]
        partners = [next(best for first, best in reversed(self._chosen) if first <= group) for group in range(GROUPS)]
        return Sums(
            images=[images.get(group, 0) for group in range(GROUPS)],
            cells=[alignment.height * alignment.width for alignment in self._alignments.values()],
            pivot=self._pivot.double(),
            resolution=self._resolution,
            a=torch.stack(a, 1),
            b=given[:2],
            pairs=given[2:],
            partners=torch.stack(partners, 2),
            products=self._products,
        )

    def _window_sums(self, window: tuple[int, int]) -> Tensor:
        return self._reference.view(2, GROUPS, len(self._windows), -1)[:, :, self._windows.index(window)]

    def _empty(self, like: Tensor, *shape: int) -> Tensor:
        return like.new_empty(shape, dtype=self.dtype)


def count_terms(transform: Transform, dtype: torch.dtype, similarities: int) -> int:
    """Return how many numbers of each image and channel are summed under ``transform``, of maps summed in ``dtype``."""
    return 3 + similarities + (2 if isinstance(transform, Warp) and dtype == torch.float32 else 0)


def is_wide(cells: int, channels: int) -> bool:
    """Tell whether maps have so many channels for their cells that no products of single images are made of them."""
    return channels >= WIDE * cells


def _products(a: Tensor, b: Tensor) -> Tensor:
    """Multiply a^T b for each chunk: ``a`` and ``b`` (C, n, K) give (C, K, K)."""
    return torch.bmm(a.transpose(1, 2), b)


def _first(size: int, counts: Sequence[int]) -> Tensor:
    """Return a mask (W, size) float32 of the first ``counts`` cells of a side."""
    return (torch.arange(size) < torch.tensor(counts)[:, None]).float()


def _pivot(maps: Tensor) -> Tensor:
    """Return a value near the mean of each channel of ``maps`` (N, h, w, K): 0 where the mean is no farther from 0 than
    the channel varies."""
    variance, mean = torch.var_mean(maps.float(), (0, 1, 2), correction=0)
    # About 0, windows in which a channel never fires sum to exactly 0.
    return torch.where(mean.square() > variance, mean, 0.0)


def _chunks(cells: int, channels: int) -> int:
    """Return into how many equal chunks a map of ``cells`` cells is cut for its products, (K, K) each.

    A chunk has at most SLICE cells, unless the products would then take more memory than the map: a number of cells
    with few divisors is cut into fewer, longer chunks.

    >>> [_chunks(cells, 64) for cells in (49, 112 * 112, 111 * 111, 109 * 109)]
    [1, 4, 9, 109]
    >>> [_chunks(cells, 512) for cells in (49, 112 * 112, 111 * 111, 109 * 109)]
    [1, 4, 9, 1]
    """
    least = -(-cells // (SLICE if channels >= NARROW else NARROW_SLICE))
    counts = [count for count in range(1, cells + 1) if cells % count == 0]
    count = next(count for count in counts if count >= least)
    if count > least and count * channels > cells:
        count = max(count for count in counts if count <= least)
    return count
