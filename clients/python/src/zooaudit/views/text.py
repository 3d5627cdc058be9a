"""Numbers, requests and states in words, for a person to read."""

from collections.abc import Sequence

from zooaudit.contract import Audit, AuditRequest, Status


def subject(request: AuditRequest) -> str:
    """What is audited: "timm/resnet18.a1_in1k (untrained)"."""
    weights = "" if request.weights == "pretrained" else f" ({request.weights})"
    return printable(request.model + weights)


def state(audit: Audit) -> str:
    """An audit's state in a few words, such as "measuring 640/2560 forward images (25 %), 40 s left"."""
    now = audit.progress
    if audit.status is not Status.RUNNING:
        return "waiting for a worker" if audit.status is Status.QUEUED else str(audit.status)
    text: str = now.phase
    if now.total:
        done, total = now.done, now.total
        if now.unit == "bytes":
            text += f" {done / 1e6:.0f}/{total / 1e6:.0f} MB"
        else:
            text += f" {done}/{total} {now.unit}"
        text += f" ({100 * done // total} %)"
    if now.eta_s is not None:
        text += f", {duration(now.eta_s)} left"
    return text


def short_state(audit: Audit) -> str:
    """As :func:`state`, in a word and a number: "running 25 %"."""
    now = audit.progress
    known = audit.status is Status.RUNNING and now.total
    return f"{audit.status} {100 * now.done // now.total} %" if known else str(audit.status)


def duration(seconds: float) -> str:
    """Seconds, for a person: "42 s", "3 min 20 s", "2 h 05 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def score(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def sure(value: float | None, interval: tuple[float, float] | None) -> str:
    """A score and half of its interval.

    >>> sure(0.8112, (0.80, 0.82))
    '0.811 ±0.010'
    """
    return score(value) if interval is None else f"{score(value)} ±{(interval[1] - interval[0]) / 2:.3f}"


def signed(value: float | None, interval: tuple[float, float] | None = None) -> str:
    """A number that may be negative, and its interval.

    >>> signed(-0.5, (-0.81, 0.02))
    '-0.50 [-0.81, +0.02]'
    """
    if value is None:
        return "–"
    return f"{value:+.2f}" if interval is None else f"{value:+.2f} [{interval[0]:+.2f}, {interval[1]:+.2f}]"


def ranges(values: Sequence[int]) -> str:
    """Ascending numbers, runs of three and more joined: "1-8,16".

    >>> ranges([1, 2, 3, 8, 16, 17])
    '1-3,8,16,17'
    """
    runs: list[list[int]] = []
    for value in values:
        if runs and value == runs[-1][-1] + 1:
            runs[-1].append(value)
        else:
            runs.append([value])
    parts = [f"{run[0]}-{run[-1]}" if len(run) > 2 else ",".join(map(str, run)) for run in runs]
    return ",".join(parts) or "none"


def printable(text: str) -> str:
    """The text without control characters, which a terminal would obey."""
    return "".join(character if character.isprintable() else " " for character in text)
