"""One audit without a service: ``python -m worker.cli REQUEST.json [--images DIR] > report.json``.

With ``--module package.module:function`` it audits the torch module that this function of yours returns.

The exit status is 0 with the report on standard output; 1 when the audit fails and 2 when the request is wrong, with
the reason on standard error.
"""

import argparse
import json
import math
import os
import re
import sys
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from zooaudit.contract import AuditRequest, ModelName, Progress, Report, said

from worker.errors import AuditError
from worker.settings import CACHE_GIB, canvases_folder, functions


def main(arguments: list[str] | None = None) -> int:
    """Read the request, audit its model and print the report. Returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        request = _request(_text(options.request), options.module)
    except (OSError, UnicodeDecodeError) as error:
        print(f"{options.request} cannot be read: {error}", file=sys.stderr)
        return 2
    except ValidationError as error:
        for item in error.errors(include_url=False):
            print(f"{'.'.join(map(str, item['loc'])) or 'request'}: {said(item)}", file=sys.stderr)
        return 2
    try:
        report = _audit(request, options)
    except AuditError as error:
        print(f"{error.problem.title}: {error.problem.detail}", file=sys.stderr)
        return 1
    finally:
        if not options.quiet:
            print(file=sys.stderr)
    print(report.model_dump_json(indent=1))
    return 0


def _gib(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is no size: give GiB, 0 or more")
    return value


def _functions(text: str) -> dict[str, str]:
    try:
        return functions(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m worker.cli", description="Audit one model, without a service.")
    parser.add_argument("request", help="a JSON file with an audit request, or - for standard input")
    parser.add_argument("--images", type=Path, help="the folder with the images of the request's data set")
    parser.add_argument(
        "--checkpoints",
        default=os.environ.get("ZOOAUDIT_CHECKPOINTS"),
        help="the folder or s3://BUCKET/PREFIX of checkpoint:NAME (default: ZOOAUDIT_CHECKPOINTS)",
    )
    parser.add_argument(
        "--models",
        type=_functions,
        default=os.environ.get("ZOOAUDIT_MODELS") or {},
        metavar="NAME=PACKAGE.MODULE:FUNCTION",
        help="the functions that make own/NAME, with commas between them (default: ZOOAUDIT_MODELS)",
    )
    parser.add_argument("--device", help="cuda, cuda:1 or cpu (default: CUDA if there is a GPU)")
    parser.add_argument("--batch-size", type=int, help="images in a batch (default: chosen from the memory)")
    parser.add_argument(
        "--memory-gib",
        type=float,
        default=os.environ.get("ZOOAUDIT_MEMORY_GIB"),
        help="memory that the audit may use (default: ZOOAUDIT_MEMORY_GIB, else chosen from the device's)",
    )
    parser.add_argument(
        "--cache-gib",
        type=_gib,
        default=os.environ.get("ZOOAUDIT_CACHE_GIB") or CACHE_GIB,
        help=f"disk that decoded images may take, 0 for none (default: ZOOAUDIT_CACHE_GIB, else {CACHE_GIB:g})",
    )
    own = parser.add_argument_group("a module of your own, in place of the request's model")
    own.add_argument(
        "--module", metavar="PACKAGE.MODULE:FUNCTION", help="the function that returns the module with its weights"
    )
    own.add_argument(
        "--blocks",
        nargs="+",
        default=(),
        metavar="PATH",
        help="dotted paths of its blocks (default: found by running it)",
    )
    own.add_argument(
        "--layout",
        choices=["NCHW", "NHWC"],
        help="layout of the blocks' outputs (default: found by moving a patch of the input)",
    )
    own.add_argument(
        "--classifier", metavar="PATH", help="dotted path of its classifier (default: the last linear layer to run)"
    )
    own.add_argument("--input-size", type=int, default=224, metavar="PX", help="side of its input (default: 224)")
    own.add_argument("--mean", type=float, nargs=3, default=(0.485, 0.456, 0.406), help="(default: ImageNet's)")
    own.add_argument("--std", type=float, nargs=3, default=(0.229, 0.224, 0.225), help="(default: ImageNet's)")
    parser.add_argument("--quiet", action="store_true", help="print no progress on standard error")
    return parser


def _text(path: str) -> str:
    return sys.stdin.read() if path == "-" else Path(path).read_text("utf-8")


def _request(text: str, module: str | None) -> AuditRequest:
    """Parse the request. If ``module`` is given, the request's model is named after it. Raises ValidationError."""
    if module is None:
        return AuditRequest.model_validate_json(text)
    name = re.sub(r"[^A-Za-z0-9._-]", ".", module).strip("._-")
    body = TypeAdapter(dict[str, Any]).validate_json(text) | {
        "model": f"module/{name}",
        "weights": f"checkpoint:{name}",
    }
    # Through JSON, because only there a list is accepted where the request has a tuple.
    return AuditRequest.model_validate_json(json.dumps(body))


def _audit(request: AuditRequest, options: argparse.Namespace) -> Report:
    """Audit the request's model, or the module that the options name. Raises AuditError."""
    # Imported here, because torch takes seconds to import and a wrong request should not wait for it.
    from worker import zoo
    from worker.audit import run
    from worker.images.canvas_cache import CanvasCache
    from worker.zoo.own import from_module, load_factory

    zoo.register(options.models)
    model = None
    if options.module:
        model = from_module(
            load_factory(options.module),
            ModelName.parse(request.model).architecture,
            options.input_size,
            options.blocks,
            layout=options.layout,
            classifier=options.classifier,
            mean=tuple(options.mean),
            std=tuple(options.std),
        )
    return run(
        request,
        model=model,
        datasets={} if options.images is None else {request.dataset: options.images},
        checkpoints=options.checkpoints,
        device=options.device,
        memory_gib=options.memory_gib,
        batch_size=options.batch_size,
        cache=CanvasCache(canvases_folder(os.environ), options.cache_gib),
        on_progress=None if options.quiet else _print_progress,
    )


def _print_progress(progress: Progress) -> None:
    share = f"{progress.done}/{progress.total} {progress.unit}" if progress.total else ""
    eta = f", {progress.eta_s:.0f} s left" if progress.eta_s is not None else ""
    print(f"\r{progress.phase} {share}{eta}\033[K", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
