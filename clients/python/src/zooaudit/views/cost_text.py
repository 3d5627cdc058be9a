"""What an audit would cost, in sentences."""

from zooaudit.contract import Cost, CostBasis, Status, probe_views
from zooaudit.views.text import about, counted, full_stop, ordinal, printable, subject

EXISTS = {
    Status.QUEUED: "this audit waits for a worker already",
    Status.RUNNING: "this audit is running already",
    Status.SUCCEEDED: "this audit has a report already",
}


def cost_lines(cost: Cost) -> list[str]:
    """Say what an audit would cost: how much it is, by what that is known, and what is before it, in a line each."""
    if cost.status is not None:
        exists = EXISTS.get(cost.status, f"this audit has {cost.status}")
        return [f"{subject(cost.request)}: {exists}, so asking for it costs nothing."]
    forward_images = f"{cost.forward_images:,} forward images"
    if cost.certainty != "exact":
        forward_images = f"{cost.certainty} {forward_images}"
    request = cost.request
    if others := probe_views(request):
        others *= request.num_images * (1 + request.baseline * request.baseline_seeds)
        forward_images += f", {others:,} of them for other measures"
    if cost.seconds is None or cost.basis is None:
        how_long, why = "; how long they take is not known", full_stop(printable(cost.reason or "No reason is given"))
    else:
        at_most = "" if cost.request.tolerance is None else "at most "
        word = "about" if cost.basis.same_model else "roughly"
        how_long, why = f", {at_most}{word} {about(cost.seconds)} on one worker", _basis(cost.basis)
    return [f"{subject(cost.request)}: {forward_images}{how_long}.", why, _queue(cost)]


def _basis(basis: CostBasis) -> str:
    whose = "the same model" if basis.same_model else f"{printable(basis.model)}, a model of about this size,"
    per_second = basis.images_per_second
    speed = f"{per_second:,.0f}" if per_second >= 100 else f"{per_second:.3g}"
    return (
        f"By audit {basis.id[:8]} of {whose} on {printable(basis.device)}, {basis.finished_at:%Y-%m-%d}: "
        f"{basis.forward_images:,} forward images, {speed} a second."
    )


def _queue(cost: Cost) -> str:
    if cost.workers == 0:
        return "No worker is running: the audit would wait until one is started."
    if cost.queued == 0 and cost.running < cost.workers:
        return "A worker is free now."
    waits, runs = ("waits" if cost.queued == 1 else "wait"), ("runs" if cost.running == 1 else "run")
    now = (
        f"Now {counted(cost.queued, 'audit')} {waits} and {cost.running} {runs}, on {counted(cost.workers, 'worker')}."
    )
    if cost.queue is None:
        return now
    starts_in_s = cost.queue.starts_in_s
    starts = f" and start in about {about(starts_in_s)}" if starts_in_s else ""
    return f"{now} This one would be {ordinal(cost.queue.position)} in the queue{starts}."
