"""A report as a run of Weights & Biases."""

from pathlib import Path

from zooaudit.contract import Report
from zooaudit.exports.numbers import by_depth, by_shift, metrics, parameters


def log_run(report: Report, project: str = "zooaudit", folder: Path | None = None) -> str:
    """Log the report as a run: its method as the configuration, its scores as the summary, the curves over shifts and
    depth as history, and its JSON as an artifact. Return what wandb says of where it is: an address, or a folder.

    WANDB_MODE, WANDB_API_KEY and the other variables of wandb hold. ``folder`` is where wandb keeps its files. Raises
    ImportError, which says what to install, without wandb, and RuntimeError if wandb refuses.
    """
    try:
        import wandb
    except ImportError:
        raise ImportError("Runs of Weights & Biases are made with wandb: pip install 'zooaudit[wandb]'") from None
    # What runs here now, the machine and its packages, has not measured the report.
    if folder:
        folder.mkdir(parents=True, exist_ok=True)  # wandb would write elsewhere
    settings = wandb.Settings(silent=True, console="off", x_disable_stats=True, x_disable_meta=True)
    try:
        run = wandb.init(
            project=project,
            id=report.id,
            name=report.model.name,
            job_type="audit",
            config=parameters(report),
            dir=folder,
            settings=settings,
        )
        with run:
            for step_name, name in (("shift_px", "by_shift/*"), ("block", "by_depth/*")):
                run.define_metric(step_name, hidden=True)
                run.define_metric(name, step_metric=step_name)
            for step_name, steps in (("shift_px", by_shift(report)), ("block", by_depth(report))):
                for step, values in steps:
                    run.log({step_name: step, **values})
            run.summary.update(metrics(report))
            artifact = wandb.Artifact(f"report-{report.id}", type="report")
            with artifact.new_file("report.json") as file:
                file.write(report.model_dump_json())
            run.log_artifact(artifact)
            where = str(Path(run.dir).parent) if run.offline else str(run.url)
    except wandb.Error as error:
        raise RuntimeError(f"wandb refuses: {error}") from None
    return where
