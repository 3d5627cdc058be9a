"""A report as a run of MLflow."""

from zooaudit.contract import Report
from zooaudit.exports.numbers import by_depth, by_shift, metrics, parameters
from zooaudit.views.text import full_stop

AUDIT_TAG = "zooaudit.audit"
BATCH = 500
"""How many metrics are sent at a time; MLflow takes no more than a thousand."""


def log_run(report: Report, experiment: str = "zooaudit", tracking_uri: str | None = None) -> str:
    """Log the report as a run: its method as parameters, its scores as metrics, the curves over shifts and depth as
    metrics with steps, and its JSON as an artifact. Return the run's id: an audit has one run in an experiment.

    Without ``tracking_uri`` it goes where MLFLOW_TRACKING_URI says. Raises ImportError, which says what to install,
    without MLflow, and RuntimeError if MLflow refuses.
    """
    try:
        from mlflow import MlflowClient
        from mlflow.entities import Metric, Param
        from mlflow.exceptions import MlflowException
    except ImportError:
        raise ImportError("Runs of MLflow are made with mlflow: pip install 'zooaudit[mlflow]'") from None
    at_ms = int(report.timing.finished_at.timestamp() * 1000)
    measured = [Metric(name, value, at_ms, 0) for name, value in metrics(report).items()]
    for steps in (by_shift(report), by_depth(report)):
        measured += [Metric(name, value, at_ms, step) for step, values in steps for name, value in values.items()]
    params = [Param(name, str(value)) for name, value in parameters(report).items()]
    try:
        client = MlflowClient(tracking_uri=tracking_uri)
        found = client.get_experiment_by_name(experiment)
        experiment_id = found.experiment_id if found else client.create_experiment(experiment)
        filter_text = f"tags.`{AUDIT_TAG}` = '{report.id}' and attributes.status = 'FINISHED'"
        if runs := client.search_runs([experiment_id], filter_text, max_results=1):
            found_id: str = runs[0].info.run_id
            return found_id
        started_ms = int(report.timing.started_at.timestamp() * 1000)
        name, tags = report.model.name, {AUDIT_TAG: report.id}
        run_id: str = client.create_run(experiment_id, started_ms, tags, name).info.run_id
        client.log_batch(run_id, params=params)
        for start in range(0, len(measured), BATCH):
            client.log_batch(run_id, metrics=measured[start : start + BATCH])
        client.log_text(run_id, report.model_dump_json(), "report.json")
        client.set_terminated(run_id, end_time=at_ms)
    except MlflowException as error:
        hint = "--tracking-uri or MLFLOW_TRACKING_URI names its server; a database takes the whole mlflow package"
        raise RuntimeError(f"MLflow refuses: {full_stop(str(error).strip())} {hint}.") from None
    except ImportError as error:  # the light mlflow-skinny comes without what a store in a database needs
        raise ImportError(f"MLflow needs another package for this tracking URI: {error}") from None
    return run_id
