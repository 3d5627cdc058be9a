"""The page docs/thesis.md about the claims of all experiments."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from experiments.files import write_text
from experiments.results import RESULT_FILE, Result, markdown

TITLES = {
    "similarity": "Correlation against cosine similarity",
    "handcrafted": "Networks with kernels written by hand",
    "symmetry": "Symmetry in the training data",
    "augmentation": "Data augmentation",
    "width": "Width",
    "zoo": "Large pretrained models",
    "trained": "A network that was trained on ImageNet",
}
SCALES = {
    "small": "Here each experiment runs in minutes on two cores: small networks, trained for a few epochs on "
    "scikit-learn's 1,797 handwritten digits, resized to the networks' inputs. The training is real, but neither the "
    "data nor the networks are the thesis's, so a claim that fails here may well hold there. Only the last network "
    "was trained on ImageNet, by Google; it is audited on photographs.",
    "full": "Here the networks, the data and the recipes are the thesis's.",
}
INTRODUCTION = """\
# The thesis's claims

T. Motyka, *Learned equivariance in Convolutional Neural Networks* (TU Delft, 2022), makes the claims below. Each is
told in our words, with the statistic that decides it and what was measured. It **holds** if the whole 95 % interval
lies where the claim says, in every case; it **does not hold** if the whole interval lies elsewhere in any case;
otherwise it is **not decidable**. Intervals are over seeds and, for the scores of parts and blocks and what is
subtracted from them, over images, too (`experiments/estimates.py` has the formula). Where two scores are subtracted,
their intervals are taken as those of independent images, hence they are wide.

This page is written by `python -m experiments page`, from what the commands below have left in `var/experiments`.
"""


def write_page(out: Path, docs: Path) -> Path:
    """Write thesis.md into the folder ``docs``, with its figures in thesis/, and return its path.

    Raises ValueError if no experiment has left anything in ``out``.
    """
    results = [
        Result.model_validate_json(file.read_bytes())
        for scale in SCALES
        for name in TITLES
        if (file := out / scale / name / RESULT_FILE).exists()
    ]
    if not results:
        raise ValueError(f"no experiment has left its claims in {out}")
    for result in results:
        for figure in result.figures:
            kept = docs / _figure(result, figure)
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(out / result.scale / result.experiment / f"{figure}.png", kept)
    page = docs / "thesis.md"
    write_text(page, "\n".join(_lines(results)))
    return page


def _lines(results: list[Result]) -> Iterator[str]:
    yield INTRODUCTION
    for scale, about in SCALES.items():
        of_scale = [result for result in results if result.scale == scale]
        if of_scale:
            yield f"## The {scale} scale\n\n{about}\n"
        for result in of_scale:
            yield f"### {TITLES[result.experiment]}\n\n```\n{result.command}\n```\n"
            yield from markdown(result)
            for figure in result.figures:
                yield f"\n![{figure.replace('-', ' ').title()}]({_figure(result, figure)})\n"


def _figure(result: Result, figure: str) -> str:
    return f"thesis/{result.scale}-{figure}.png"
