"""A report as the evaluation results of a model on the Hugging Face hub.

The hub reads two forms. ``.eval_results/*.yaml`` in the model's repository states a value for each task of a benchmark,
a data set of the hub that its owner has registered as one; it must be named. ``model-index`` in the metadata of the
model's card is the older form, which needs no benchmark.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from zooaudit.contract import Report
from zooaudit.exports.numbers import Measured, measured
from zooaudit.views.report_tables import method_line
from zooaudit.views.text import counted, spoken

if TYPE_CHECKING:
    from huggingface_hub import EvalResultEntry

FIELD_NAMES = {
    "channel": "channel equivariance",
    "layer": "layer equivariance",
    "layer_held_out": "layer equivariance, held out",
    "top1_agreement": "top-1 agreement",
    "interpolation": "interpolation alone",
}
DEFORMATION_NAMES = {
    "gradient": "gradient of deformations",
    "deformation": "change under deformations (D)",
    "noise": "change under noise (G)",
    "ratio": "change under deformations by that under noise (R)",
}
INVARIANT_PARTS = ("Pool", "Final")
"""The parts whose features are no maps: their scores measure invariance."""


def write(report: Report, folder: Path, benchmark: str | None = None, source: str | None = None) -> list[Path]:
    """Write the report's evaluation results into ``folder``, such as a clone of the model's repository; return the
    files.

    ``benchmark`` is the hub's data set with the benchmark; without it only ``model-index.yaml`` is written, whose
    content belongs into the metadata of the model's card. ``source`` is the address of the report. Raises ImportError,
    which says what to install, without huggingface_hub.
    """
    try:
        import yaml
        from huggingface_hub import eval_result_entries_to_yaml
    except ImportError:
        raise ImportError(
            "Evaluation results are made with huggingface_hub: pip install 'zooaudit[huggingface]'"
        ) from None
    contents: dict[Path, Any] = {folder / "model-index.yaml": {"model-index": model_index(report, source)}}
    if benchmark:
        entries = eval_result_entries_to_yaml(eval_results(report, benchmark, source))
        contents[folder / ".eval_results" / "zooaudit.yaml"] = entries
    for path, content in contents.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return list(contents)


def eval_results(report: Report, benchmark: str, source: str | None = None) -> "list[EvalResultEntry]":
    """Make an ``EvalResultEntry`` of each score of a part; its task is named by :func:`task_id`."""
    from huggingface_hub import EvalResultEntry

    return [
        EvalResultEntry(
            dataset_id=benchmark,
            task_id=task_id(number),
            value=number.value,
            date=report.timing.finished_at.isoformat(),
            source_url=source,
            source_name="zooaudit report" if source else None,
            notes=_notes(report),
        )
        for number in measured(report)
    ]


def task_id(number: Measured) -> str:
    """Name the task of a benchmark by which it lists this number, such as ``late_rotation_channel``."""
    return "_".join(number.name).lower()


def model_index(report: Report, source: str | None = None) -> list[dict[str, Any]]:
    """Make the ``model-index`` of a model card."""
    from huggingface_hub import EvalResult
    from huggingface_hub.repocard_data import eval_results_to_model_index

    images, weights = report.images, report.model.weights.label
    of_others = "" if weights == "pretrained" else f" ({weights} weights)"  # the card is that of the pretrained ones
    task_name = f"Equivariance of the features{of_others}"
    results = [
        EvalResult(
            task_type="image-classification",
            task_name=task_name,
            dataset_type=images.dataset,
            dataset_name=f"{images.dataset} ({counted(images.count, 'image')}, seed {images.seed})",
            dataset_args={"images_sha256": images.sha256},
            metric_type=task_id(number),
            metric_name=_metric_name(number),
            metric_value=number.value,
            metric_args={"interval_95": list(number.interval)} if number.interval else None,
            source_name="zooaudit report" if source else None,
            source_url=source,
        )
        for number in measured(report)
    ]
    index: list[dict[str, Any]] = eval_results_to_model_index(report.model.name, results)
    return index


def _metric_name(number: Measured) -> str:
    match number.name:
        case ("consistency",):
            return "shift consistency"
        case (part, "local_error", generator):
            return f"{part}: local equivariance error, {spoken(generator)}"
        case (part, "variance", transform):
            return f"{part}: variance over {spoken(transform)} by variance over images"
        case (part, "deformation", displacement, field):
            return f"{part}: {DEFORMATION_NAMES[field]}, {displacement.removesuffix('px')} px"
    part, transform, field = number.name
    name = FIELD_NAMES[field]
    if part in INVARIANT_PARTS:
        name = name.replace("equivariance", "invariance")
    return f"{part}: {spoken(transform)} {name}"


def _notes(report: Report) -> str:
    images = report.images
    measured = f"{report.model.weights.label} weights, {counted(images.count, 'image')} of {images.dataset}"
    return f"{measured}, seed {images.seed}; {method_line(report.method)}; zooaudit protocol {report.protocol}"
