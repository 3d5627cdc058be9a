"""One audit without a service: ``python -m worker.cli REQUEST.json [--images DIR] > report.json``.

With ``--module package.module:function`` it audits the torch module that this function of the user's returns.

Exit status: 0 with the report on standard output; 1 when the audit fails, 2 when the request is wrong, with the
reason on standard error.
"""

import argparse
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from zooaudit.contract import AuditRequest, Progress


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m worker.cli", description="Audit one model, without a service.")
    parser.add_argument("request", help="a JSON file with an audit request, or - for standard input")
    parser.add_argument("--images", type=Path, help="the folder that the request's data set is read from")
    parser.add_argument(
        "--checkpoints",
        default=os.environ.get("ZOOAUDIT_CHECKPOINTS"),
        help="the folder or s3://BUCKET/PREFIX of checkpoint:NAME (default: ZOOAUDIT_CHECKPOINTS)",
    )
    parser.add_argument("--device", help="cuda, cuda:1 or cpu (default: CUDA when there is one)")
    parser.add_argument("--batch-size", type=int, help="images at once (default: chosen from the memory)")
    parser.add_argument(
        "--memory-gib",
        type=float,
        default=os.environ.get("ZOOAUDIT_MEMORY_GIB"),
        help="memory that the audit may use (default: ZOOAUDIT_MEMORY_GIB, else chosen)",
    )
    own = parser.add_argument_group("a module of your own, in place of the request's model")
    own.add_argument("--module", metavar="PACKAGE.MODULE:FUNCTION", help="the function that makes it, with its weights")
    own.add_argument(
        "--blocks", nargs="+", default=(), metavar="PATH", help="dotted paths of its blocks (default: found)"
    )
    own.add_argument(
        "--layout", choices=["NCHW", "NHWC"], help="of the blocks' outputs (default: seen by moving a patch)"
    )
    own.add_argument("--classifier", metavar="PATH", help="its classifier (default: the linear layer that runs last)")
    own.add_argument("--input-size", type=int, default=224, metavar="PX", help="side of its input (default 224)")
    own.add_argument("--mean", type=float, nargs=3, default=(0.485, 0.456, 0.406), help="(default: ImageNet's)")
    own.add_argument("--std", type=float, nargs=3, default=(0.229, 0.224, 0.225), help="(default: ImageNet's)")
    parser.add_argument("--quiet", action="store_true", help="no progress on standard error")
    options = parser.parse_args(arguments)
    try:
        text = sys.stdin.read() if options.request == "-" else Path(options.request).read_text("utf-8")
        request = _request(text, options.module)
    except (OSError, UnicodeDecodeError) as error:
        print(f"{options.request} cannot be read: {error}", file=sys.stderr)
        return 2
    except ValidationError as error:
        for item in error.errors(include_url=False):
            print(f"{'.'.join(map(str, item['loc'])) or 'request'}: {item['msg']}", file=sys.stderr)
        return 2

    # Torch takes seconds to import; a mistake in the request should not have to wait for it.
    from worker.audit import run
    from worker.errors import AuditError
    from worker.zoo.own import from_module, load_factory

    try:
        model = None
        if options.module:
            model = from_module(
                load_factory(options.module),
                request.model.partition("/")[2],
                options.input_size,
                options.blocks,
                layout=options.layout,
                classifier=options.classifier,
                mean=tuple(options.mean),
                std=tuple(options.std),
            )
        report = run(
            request,
            model=model,
            datasets={} if options.images is None else {request.dataset: options.images},
            checkpoints=options.checkpoints,
            device=options.device,
            memory_gib=options.memory_gib,
            batch_size=options.batch_size,
            on_progress=None if options.quiet else _show,
        )
    except AuditError as error:
        print(f"{error.problem.title}: {error.problem.detail}", file=sys.stderr)
        return 1
    finally:
        if not options.quiet:
            print(file=sys.stderr)
    print(report.model_dump_json(indent=1))
    return 0


def _request(text: str, module: str | None) -> AuditRequest:
    """The request; where a module is audited, named after it. Raises ValidationError."""
    if module is None:
        return AuditRequest.model_validate_json(text)
    name = re.sub(r"[^A-Za-z0-9._-]", ".", module).strip("._-")
    # JSON mode throughout: lists are tuples there.
    body = TypeAdapter(dict[str, Any]).validate_json(text) | {
        "model": f"module/{name}",
        "weights": f"checkpoint:{name}",
    }
    return AuditRequest.model_validate_json(json.dumps(body))


def _show(progress: Progress) -> None:
    share = f"{progress.done}/{progress.total} {progress.unit}" if progress.total else ""
    eta = f", {progress.eta_s:.0f} s left" if progress.eta_s is not None else ""
    print(f"\r{progress.phase} {share}{eta}\033[K", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
