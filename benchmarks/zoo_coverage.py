"""How much of the two zoos can be audited: ``python -m benchmarks.zoo_coverage [--match PATTERN] [--minutes N]``

Audits every architecture with untrained weights on 2 synthetic images, a shift and a rotation, each in a process of its
own, the smallest first, and adds a line for each to ``benchmarks/zoo_coverage.jsonl``: audited, with its blocks;
refused, with the reason; too large for the memory of this machine; or failed, which is a bug. Those in the file are not
run again, so an interrupted run goes on where it was. With ``--small`` each is built for the smallest input that it
works with, which its line names. ``--table`` sums the file up by family.
"""

import argparse
import fnmatch
import json
import multiprocessing
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from zooaudit.contract import AuditRequest

from worker import zoo
from worker.audit import run
from worker.errors import AuditError
from worker.zoo.catalogue import catalogue

RESULTS = Path(__file__).with_suffix(".jsonl")
SMALL_PX = (112, 128, 160, 192, 224, 256)
SPARE_GIB = 4.0
"""Memory for all but the weights: torch takes 1 GiB, the maps and sums of the widest models two or three."""
STATES = ("audited", "refused", "too large", "failed")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--match", default="*", help="shell pattern of full names, such as 'timm/swin*'")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no further model after this many")
    parser.add_argument("--memory-gib", type=float, default=16.0)
    parser.add_argument("--seconds", type=float, default=600.0, help="the most that one model may take")
    parser.add_argument("--small", action="store_true", help="at a smaller input than a model's own, where it has one")
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    if options.table:
        print("\n".join(table(results())))
        return
    started = time.monotonic()
    done = {result["name"] for result in results()}
    todo = [entry for entry in catalogue() if entry.name not in done and fnmatch.fnmatch(entry.name, options.match)]
    parameters = sizes([entry.name for entry in todo])
    for entry in sorted(todo, key=lambda entry: parameters[entry.name]):
        if time.monotonic() - started > 60 * options.minutes:
            break
        result = {"name": entry.name, "family": entry.family, "parameters": parameters[entry.name]}
        if entry.supported and 4 * parameters[entry.name] > (options.memory_gib - SPARE_GIB) * 2**30:
            result |= {"state": "too large"}
        else:
            smaller = [px for px in SMALL_PX if options.small and px < (entry.input_size or 0)]
            result |= in_process(entry.name, options.seconds, smaller)
        with RESULTS.open("a") as file:
            file.write(json.dumps(result) + "\n")
        print(json.dumps(result), flush=True)


def results() -> list[dict[str, Any]]:
    return [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []


def sizes(names: Sequence[str]) -> dict[str, int]:
    """Count the parameters of each model without memory for them, in other processes: a process that forks must not
    have used torch."""
    with multiprocessing.get_context("fork").Pool(2) as pool:
        return dict(pool.imap(size, names, chunksize=16))


def size(name: str) -> tuple[str, int]:
    source, architecture, _ = zoo.resolve(name)
    return name, zoo.parameters(source, architecture)


def in_process(name: str, seconds: float, smaller: Sequence[int]) -> dict[str, Any]:
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=audit, args=(name, smaller, theirs))
    process.start()
    theirs.close()
    try:
        if ours.poll(seconds):
            result: dict[str, Any] = ours.recv()
            return result
        return {"state": "failed", "reason": f"took more than {seconds:.0f} s"}
    except EOFError:
        return {"state": "failed", "reason": "its process died"}
    finally:
        process.kill()
        process.join()


def audit(name: str, smaller: Sequence[int], answer: Any) -> None:
    """Send the result at the first of the ``smaller`` sizes at which the audit succeeds, else at the model's own."""
    warnings.simplefilter("ignore")
    for input_size in smaller:
        result = audit_at(name, input_size)
        if result["state"] == "audited":
            answer.send({**result, "input_size": input_size})
            return
    answer.send(audit_at(name, None))


def audit_at(name: str, input_size: int | None) -> dict[str, Any]:
    started = time.perf_counter()
    request = AuditRequest(
        model=name,
        weights="untrained",
        dataset="synthetic",
        num_images=2,
        translations_px=(3,),
        rotations_deg=(90,),
    )
    try:
        model = zoo.load(name, "untrained", lambda _progress: None, input_size=input_size)
        report = run(request, model=model, device="cpu", decode_processes=0, batch_size=2)
    except AuditError as error:
        return {"state": "refused", "reason": error.problem.detail}
    except Exception as error:  # This looks for bugs, so any error counts.
        return {"state": "failed", "reason": " ".join(f"{type(error).__name__}: {error}".split())[:300]}
    blocks = [block for block in report.blocks if block.part not in ("Pool", "Final")]
    missing = {part: report.parts[part].translation.reason for part in ("Pool", "Final")}
    return {
        "state": "audited",
        "blocks": len(blocks),
        "layouts": sorted({block.layout for block in blocks}),
        "first": blocks[0].name,
        "last": blocks[-1].name,
        "without": {part: reason for part, reason in missing.items() if reason},
        "seconds": round(time.perf_counter() - started, 1),
    }


def table(results: list[dict[str, Any]]) -> Iterator[str]:
    """Yield Markdown: for each family how many models are in each state, then the totals, then the reasons."""
    by_family: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for result in results:
        by_family[result["name"].partition("/")[0], result["family"]][result["state"]] += 1
    yield f"| zoo | family | {' | '.join(STATES)} |"
    yield f"|---|---|{'---|' * len(STATES)}"
    for (source, family), states in sorted(by_family.items()):
        yield f"| {source} | {family} | {' | '.join(str(states[state] or '') for state in STATES)} |"
    for source in ("timm", "torchvision"):
        states = Counter(result["state"] for result in results if result["name"].startswith(f"{source}/"))
        yield f"| **{source}** | of {states.total()} | {' | '.join(str(states[state]) for state in STATES)} |"
    for result in results:
        if "reason" in result:
            yield f"\n{result['name']}: {result['state']}: {result['reason']}"


if __name__ == "__main__":
    main()
