"""Start the whole service on this machine, audit small models, and print their scores.

    python examples/demo.py

It leaves demo-report-*.json in the current directory and nothing else. If the weights cannot be downloaded, it audits
untrained ones instead; the output and the reports say so.
"""

import sys
import tempfile
import time
from pathlib import Path

from zooaudit import AuditClient, AuditFailed, Report, Status, ZooauditError
from zooaudit.views.terminal import print_report, progress

from service import stack

MODELS = (
    "timm/resnet18.a1_in1k",
    "timm/efficientnet_b0.ra_in1k",
    "timm/vit_tiny_patch16_224.augreg_in21k_ft_in1k",
)
NO_DOWNLOAD = "urn:zooaudit:problem:hub-unreachable"
LIMIT_S = 300
NUM_IMAGES = 16
"""Enough to see it work in two minutes on two cores; too few for scores to quote."""


def main() -> int:
    started = time.monotonic()
    print("Starting Redis, the API and a worker on this machine ...", flush=True)
    try:
        # Overrides the environment, so that the demo touches no queue or store but its own.
        own = dict.fromkeys(("ZOOAUDIT_REDIS_URL", "ZOOAUDIT_STORE", "ZOOAUDIT_API_KEYS", "ZOOAUDIT_HOST"), "")
        own |= dict.fromkeys(("ZOOAUDIT_DATASETS", "ZOOAUDIT_CHECKPOINTS"), "")  # it needs neither
        with (
            tempfile.TemporaryDirectory(prefix="zooaudit-demo-") as folder,
            stack.running(Path(folder), env=own) as running,
            AuditClient(running.url) as client,
        ):
            print(f"The dashboard is at {running.url} while this runs.", flush=True)
            audit_all(client)
    except (ZooauditError, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 130
    print(f"{NUM_IMAGES} images show how it works; for scores to quote take 2000, on a GPU.")
    print(f"Done in {time.monotonic() - started:.0f} s; everything is stopped.")
    return 0


def audit_all(client: AuditClient) -> None:
    """Audit every model and write its report. Raises ZooauditError if one fails."""
    weights = "pretrained"
    for model in MODELS:
        try:
            report = audit(client, model, weights)
        except AuditFailed as failed:
            if weights == "untrained" or failed.audit.error is None or failed.audit.error.type != NO_DOWNLOAD:
                raise
            print(f"\nThe pretrained weights cannot be downloaded from here: {failed.audit.error.detail}")
            print("Auditing UNTRAINED weights instead: the architectures' own equivariance.\n", flush=True)
            weights = "untrained"
            report = audit(client, model, weights)
        path = Path(f"demo-report-{model.split('/')[-1]}.json")
        path.write_text(report.model_dump_json(indent=2) + "\n", encoding="utf-8")
        print()
        print_report(report, sys.stdout)
        print(f"The whole report: {path}\n", flush=True)


def audit(client: AuditClient, model: str, weights: str) -> Report:
    """Audit one model, and show the progress on standard error."""
    with progress() as show:
        accepted = client.submit(
            model, weights=weights, dataset="synthetic", num_images=NUM_IMAGES, translations_px=(1, 8, 32)
        )
        show(accepted)
        ended = client.wait(accepted.id, LIMIT_S, poll_s=0.3, on_progress=show)
    if ended.status is Status.FAILED:
        raise AuditFailed(ended)
    return client.report(ended.id)


if __name__ == "__main__":
    sys.exit(main())
