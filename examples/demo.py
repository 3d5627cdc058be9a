"""Start the whole service on this machine, audit small models on photographs, and print their scores.

    python -m examples.demo

It leaves demo-report-*.json in the current directory and nothing else. If no weights can be downloaded, it audits a
trained network that a package brings instead; the output and the report say so.
"""

import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from zooaudit import AuditClient, AuditFailed, Report, Status, ZooauditError
from zooaudit.views.terminal import print_report, progress

from examples.photographs import write_tiles
from service import stack

MODELS = (
    "timm/resnet18.a1_in1k",
    "timm/efficientnet_b0.ra_in1k",
    "timm/vit_tiny_patch16_224.augreg_in21k_ft_in1k",
)
NO_DOWNLOAD = "urn:zooaudit:problem:hub-unreachable"
LIMIT_S = 600
NUM_IMAGES = 48
"""Enough to see in a few minutes on two cores what is learned; too few for scores to quote."""


class Subject(NamedTuple):
    """What is audited, in the words of a request."""

    model: str
    weights: str = "pretrained"


def main() -> int:
    started = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="zooaudit-demo-") as name:
            folder = Path(name)
            checkpoints = folder / "checkpoints"
            checkpoints.mkdir()
            dataset, datasets = prepare_images(folder / "photographs")
            # Overrides the environment, so that the demo touches no queue, store or data but its own.
            own = dict.fromkeys(("ZOOAUDIT_REDIS_URL", "ZOOAUDIT_STORE", "ZOOAUDIT_API_KEYS", "ZOOAUDIT_HOST"), "")
            own |= {"ZOOAUDIT_DATASETS": datasets, "ZOOAUDIT_CHECKPOINTS": str(checkpoints)}
            print("Starting Redis, the API and a worker on this machine ...", flush=True)
            with stack.running(folder / "stack", env=own) as running, AuditClient(running.url) as client:
                print(f"The dashboard is at {running.url} while this runs.", flush=True)
                audit_all(client, dataset, checkpoints)
    except (ZooauditError, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 130
    print(f"{NUM_IMAGES} images show how it works; for scores to quote take 2000 of ImageNet's, on a GPU.")
    print(f"Done in {time.monotonic() - started:.0f} s; everything is stopped.")
    return 0


def prepare_images(folder: Path) -> tuple[str, str]:
    """Write photographs into ``folder``. Return the data set to ask for, and the setting that names its folder."""
    try:
        write_tiles(folder)
    except ModuleNotFoundError as error:
        print(f"There are no photographs here ({error}), so the images are painted ones.")
        return "synthetic", ""
    return "photographs", f"photographs={folder}"


def audit_all(client: AuditClient, dataset: str, checkpoints: Path) -> None:
    """Audit every model and write its report; where none can be downloaded, audit what is here instead.

    Raises ZooauditError if an audit fails.
    """
    for model in MODELS:
        try:
            report = audit(client, Subject(model), dataset)
        except AuditFailed as failed:
            if failed.audit.error is None or failed.audit.error.type != NO_DOWNLOAD:
                raise
            print(f"\nThe pretrained weights cannot be downloaded from here: {failed.audit.error.detail}")
            here = what_is_here(checkpoints)
            write_down(here.model, audit(client, here, dataset))
            return
        write_down(model, report)


def what_is_here(checkpoints: Path) -> Subject:
    """Put the trained network of an installed package into the folder of checkpoints, and say what is audited."""
    # Imported here, since it imports torch, which takes seconds.
    from examples.trained_network import model_of, origin_of, write_checkpoint

    try:
        weights = write_checkpoint(checkpoints)
    except ModuleNotFoundError as error:
        print(f"Nor are there trained weights here: {error}.")
        print("Auditing UNTRAINED weights instead: the architecture's own equivariance.\n", flush=True)
        return Subject(model_of(), "untrained")
    print(f"Auditing a trained network that is installed here instead: {origin_of()}.\n", flush=True)
    return Subject(model_of(), weights)


def audit(client: AuditClient, subject: Subject, dataset: str) -> Report:
    """Audit one model beside its untrained architecture, and show the progress on standard error."""
    with progress() as show:
        accepted = client.submit(
            subject.model,
            weights=subject.weights,
            dataset=dataset,
            num_images=NUM_IMAGES,
            translations_px=(1, 8, 32),
            baseline=subject.weights != "untrained",
        )
        show(accepted)
        ended = client.wait(accepted.id, LIMIT_S, poll_s=0.3, on_progress=show)
    if ended.status is Status.FAILED:
        raise AuditFailed(ended)
    return client.report(ended.id)


def write_down(model: str, report: Report) -> None:
    """Print a report, and write it into a file in the current directory."""
    path = Path(f"demo-report-{model.split('/')[-1]}.json")
    path.write_text(report.model_dump_json(indent=2) + "\n", encoding="utf-8")
    print()
    print_report(report, sys.stdout)
    print(f"The whole report: {path}\n", flush=True)


if __name__ == "__main__":
    sys.exit(main())
