"""Run one of the thesis's experiments: ``python -m experiments NAME [--scale full|small] [--data DIR] [--out DIR]``.

``page`` writes docs/thesis.md from what the experiments have left in the output folder.
"""

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from zooaudit import ZooauditError

from experiments import augmentation, handcrafted, similarity, symmetry, trained, width, zoo
from experiments.data import DataError
from experiments.lab import Findings, Lab
from experiments.page import write_page
from experiments.results import markdown, write_findings
from experiments.training import TrainingError
from worker.errors import AuditError

EXPERIMENTS: Mapping[str, Callable[[Lab], Findings]] = {
    "similarity": similarity.run,
    "handcrafted": handcrafted.run,
    "symmetry": symmetry.run,
    "augmentation": augmentation.run,
    "width": width.run,
    "trained": trained.run,
    "zoo": zoo.run,
}
PAGE = "page"
NEEDS_NO_DATA = ("handcrafted", "trained", "zoo", PAGE)


def main(arguments: list[str] | None = None) -> int:
    """Run an experiment and print its claims.

    Returns the exit status: 0; 1 if it fails; 2 if it lacks its data; 130 if Ctrl+C stops it.
    """
    options = _parser().parse_args(arguments)
    if options.scale == "full" and options.data is None and options.name not in NEEDS_NO_DATA:
        print(
            f"{options.name} needs --data DIR, the folder of MNIST or CIFAR-10; or try --scale small.", file=sys.stderr
        )
        return 2
    if options.name == PAGE:
        return _write_page(options.out, options.docs)
    lab = Lab(options.name, options.scale, options.out, options.data, options.download, options.url)
    try:
        result = write_findings(lab, EXPERIMENTS[options.name](lab))
    except (DataError, TrainingError, RuntimeError, ZooauditError) as error:
        print(error, file=sys.stderr)
        return 2 if isinstance(error, DataError) else 1
    except AuditError as error:
        print(f"{error.problem.title}: {error.problem.detail}", file=sys.stderr)
        return 1
    except OSError as error:
        print(
            f"A file cannot be read or written: {error}. Free the place, or choose another by --out.", file=sys.stderr
        )
        return 1
    except KeyboardInterrupt:
        print("Stopped. The same command goes on after the last finished epoch.", file=sys.stderr)
        return 130
    print("\n".join(markdown(result)))
    print(f"\nReports, figures and claims: {lab.folder}")
    return 0


def _write_page(out: Path, docs: Path) -> int:
    try:
        page = write_page(out, docs)
    except (ValueError, OSError) as error:
        print(f"The page cannot be written: {error}.", file=sys.stderr)
        return 1
    print(page)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m experiments", description="Run one of the thesis's experiments.")
    parser.add_argument("name", choices=[*EXPERIMENTS, PAGE], help=f"the experiment; {PAGE} writes docs/thesis.md")
    parser.add_argument(
        "--scale",
        choices=["full", "small"],
        default="full",
        help="full: as in the thesis; small: minutes on two cores, on digits that scikit-learn brings (default: full)",
    )
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="the folder of MNIST or CIFAR-10, as torchvision has it"
    )
    parser.add_argument("--download", action="store_true", help="download what the folder lacks")
    parser.add_argument("--url", help="of a running service, for zoo (default: one is started)")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("var/experiments"),
        metavar="DIR",
        help="where networks, reports, figures and claims are kept (default: var/experiments)",
    )
    parser.add_argument(
        "--docs", type=Path, default=Path("docs"), metavar="DIR", help="where page writes (default: docs)"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
