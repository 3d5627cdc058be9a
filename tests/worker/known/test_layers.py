"""Zhang's example (2019): max-pooling breaks shift equivariance, a blur before the subsampling keeps more of it."""

import pytest
import torch
from torch import nn

from worker.known.layers import MaxBlurPool, Pools

SIGNAL = [0, 0, 1, 1, 0, 0, 1, 1]
SHIFTED = [1, 0, 0, 1, 1, 0, 0, 1]


def pooled(pool: nn.Module, signal: list[int]) -> list[float]:
    """Pool an image each row of which is ``signal``, and its transpose; return the row that the output repeats."""
    image = torch.tensor(signal, dtype=torch.float32).expand(1, 1, 8, 8)
    output = pool(image)[0, 0]
    assert torch.equal(output, output[:1].expand(4, 4))
    assert torch.equal(pool(image.mT)[0, 0], output.mT)
    return output[0].tolist()


def difference(first: list[float], second: list[float]) -> float:
    return sum(abs(a - b) for a, b in zip(first, second, strict=True)) / len(first)


def test_max_pooling_loses_the_signal_when_it_is_shifted_by_one() -> None:
    pool = Pools(1).max
    assert pooled(pool, SIGNAL) == [0, 1, 0, 1]
    assert pooled(pool, SHIFTED) == [1, 1, 1, 1]
    assert difference(pooled(pool, SIGNAL), pooled(pool, SHIFTED)) == 0.5


def test_a_blur_before_the_subsampling_halves_the_difference() -> None:
    pool = Pools(1).blur
    # The larger of each value and its right neighbour: 0 1 1 1 0 1 1 1. [1, 2, 1] / 4 of these at 0, 2, 4, 6:
    blurred = [(1 + 2 * 0 + 1) / 4, (1 + 2 * 1 + 1) / 4, (1 + 2 * 0 + 1) / 4, (1 + 2 * 1 + 1) / 4]
    assert pooled(pool, SIGNAL) == blurred == [0.5, 1, 0.5, 1]
    # Of the shifted signal: 1 0 1 1 1 0 1 1.
    blurred = [(1 + 2 * 1 + 0) / 4, (0 + 2 * 1 + 1) / 4, (1 + 2 * 1 + 0) / 4, (0 + 2 * 1 + 1) / 4]
    assert pooled(pool, SHIFTED) == blurred == [0.75, 0.75, 0.75, 0.75]
    assert difference(pooled(pool, SIGNAL), pooled(pool, SHIFTED)) == 0.25


def test_anti_aliased_pooling_is_a_maximum_a_blur_and_every_second_value() -> None:
    x = torch.randn(2, 3, 6, 10, generator=torch.Generator().manual_seed(0))
    down, right = torch.roll(x, -1, 2), torch.roll(x, -1, 3)
    largest = torch.stack([x, down, right, torch.roll(right, -1, 2)]).amax(0)
    rows = (torch.roll(largest, 1, 2) + 2 * largest + torch.roll(largest, -1, 2)) / 4
    blurred = (torch.roll(rows, 1, 3) + 2 * rows + torch.roll(rows, -1, 3)) / 4
    torch.testing.assert_close(MaxBlurPool(3)(x), blurred[:, :, ::2, ::2])


@pytest.mark.parametrize("shift", [2, 4])
def test_both_pools_commute_with_even_circular_shifts(shift: int) -> None:
    pools, x = Pools(3), torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    shifted = pools(torch.roll(x, (shift, shift), (2, 3)))
    torch.testing.assert_close(shifted, torch.roll(pools(x), (shift // 2, shift // 2), (2, 3)), rtol=0, atol=0)
