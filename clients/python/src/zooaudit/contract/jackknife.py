"""The standard error of a score, and of a difference of scores, by the delete-a-group jackknife.

The images of an audit are in G groups, those of the same images in the same groups for every audit. With deviations
d_g = score without group g - score, group sizes m_g of n images and h_g = n / m_g, the pseudo-values
p_g = -(h_g - 1) d_g have the variance of the score, times h_g (Busing, Meijer and van der Leeden 1999)::

    variance = sum over g of (p_g - mean p)^2 / h_g / (G - 1)

where the mean weighs p_g by 1 / h_g. Deviations of a mean or a difference of scores are the means or differences of
their deviations, so whatever two scores have in common, because they were measured on the same images, cancels.

>>> error, freedom = standard_error([0.1, -0.1, 0.1, -0.1, 0.0], [2, 2, 2, 2, 2])
>>> round(error, 6), freedom
(0.178885, 4)
>>> standard_error([0.1, -0.1, None, None, None], [2, 2, 2, 2, 2]) is None
True
"""

import math
from collections.abc import Sequence

MIN_GROUPS = 5
"""With fewer groups the variance is too uncertain, and there is no interval."""
CONFIDENCE = 0.95


def standard_error(deviations: Sequence[float | None], images: Sequence[int]) -> tuple[float, int] | None:
    """Compute the standard error of a score and its degrees of freedom; None with fewer than MIN_GROUPS deviations.

    ``deviations`` are None for groups that have none; ``images`` counts the images of each group.
    """
    total = sum(images)
    pseudo_values = [
        (-(total / size - 1) * deviation, size / total)
        for deviation, size in zip(deviations, images, strict=True)
        if deviation is not None
    ]
    if len(pseudo_values) < MIN_GROUPS:
        return None
    centre = math.fsum(value * share for value, share in pseudo_values) / math.fsum(share for _, share in pseudo_values)
    freedom = len(pseudo_values) - 1
    variance = math.fsum((value - centre) ** 2 * share for value, share in pseudo_values) / freedom
    return math.sqrt(variance), freedom


def only_known(
    deviations: Sequence[float | None], images: Sequence[int]
) -> tuple[Sequence[float | None], Sequence[int]]:
    """Leave out the groups that have no deviation, and their images, on which a held-out score is not measured."""
    known = [(deviation, size) for deviation, size in zip(deviations, images, strict=True) if deviation is not None]
    return [deviation for deviation, _ in known], [size for _, size in known]
