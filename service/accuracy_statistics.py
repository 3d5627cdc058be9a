"""Relate scores to accuracies, and measures to one another: Spearman's rho and least squares. Importing this module
imports scipy."""

import numpy as np
from numpy.typing import NDArray
from scipy import stats  # type: ignore[import-untyped]

PERMUTED_BELOW = 30
"""With fewer models than this the p-value is by permutation."""
PERMUTATIONS = 9999

Values = NDArray[np.float64]


def rank_correlation(x: Values, y: Values) -> float:
    """Compute Spearman's rho: Pearson's correlation of the ranks, where ties share the mean of theirs."""
    rho = float(np.corrcoef(stats.rankdata(x), stats.rankdata(y))[0, 1])
    return float(round(rho)) if abs(rho) > 1 - 1e-12 else rho


def spearman(x: Values, y: Values) -> tuple[float, float]:
    """Compute Spearman's rho, and the two-sided p-value of no association.

    Below PERMUTED_BELOW models the p-value is by permutation of ``x``, over all n! orders up to 7 models and else over
    PERMUTATIONS orders drawn with a fixed seed; from there on it is by Student's t.
    """
    rho, p_value = rank_correlation(x, y), float(stats.spearmanr(x, y).pvalue)
    if len(x) < PERMUTED_BELOW:
        # A new pairing of ranks changes only the sum of their products. The sum is exact, so equal sums count as equal.
        ranks = stats.rankdata(y)
        permuted = stats.permutation_test(
            (stats.rankdata(x),),
            lambda paired, axis: (paired * ranks).sum(axis),
            permutation_type="pairings",
            vectorized=True,
            n_resamples=PERMUTATIONS,
            rng=np.random.default_rng(0),
        )
        p_value = float(permuted.pvalue)
    return rho, p_value


def spearman_interval(rho: float, n: int) -> tuple[float, float] | None:
    """Compute the 95 % interval of rho over ``n`` models by Fisher's z; None at rho = ±1, where it does not exist.

    It is tanh(atanh(rho) ± 1.96 s) with the standard error s = sqrt((1 + rho² / 2) / (n - 3)) of Bonett and Wright
    (2000, "Sample size requirements for estimating Pearson, Kendall and Spearman correlations", Psychometrika 65).
    """
    if not abs(rho) < 1:
        return None
    half = stats.norm.ppf(0.975) * np.sqrt((1 + rho**2 / 2) / (n - 3))
    return float(np.tanh(np.arctanh(rho) - half)), float(np.tanh(np.arctanh(rho) + half))


def least_squares(x: Values, y: Values) -> tuple[float, float, list[float]]:
    """Fit a line to ``y`` over ``x``: return its slope, its intercept and the residuals of ``y``."""
    line = stats.linregress(x, y)
    residuals = y - (line.intercept + line.slope * x)
    return float(line.slope), float(line.intercept), residuals.tolist()
