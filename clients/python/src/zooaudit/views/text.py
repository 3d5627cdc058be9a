"""Numbers, requests, states and problems in words, for a person to read."""

import re
from collections.abc import Sequence
from decimal import ROUND_05UP, Decimal

from zooaudit.contract import (
    Audit,
    AuditRequest,
    ModelName,
    Problem,
    QueuePosition,
    Status,
    WarpKind,
)

HALF_WIDTH = "± is half of a 95 % confidence interval over images"
ENDS = "[low, high] is a 95 % confidence interval that is not symmetric about its score, as near 0 and 1"
WARP_UNITS: dict[WarpKind, str] = {"translation": " px", "rotation": "°", "scale": "", "shear": ""}
"""What stands behind the amount of a warp of each kind."""


def counted(number: int, noun: str) -> str:
    """Write a number of things whose plural ends in s.

    >>> counted(1, "image"), counted(2, "image")
    ('1 image', '2 images')
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def subject(request: AuditRequest) -> str:
    """Name what is audited: "timm/resnet18.a1_in1k (untrained)"."""
    weights = "" if request.weights == "pretrained" else f" ({request.weights})"
    return printable(request.model + weights)


def state(audit: Audit) -> str:
    """Describe an audit's state in a few words, such as "measuring 640/2560 forward images (25 %), 40 s left"."""
    progress = audit.progress
    if audit.status is Status.QUEUED:
        return waiting(audit.queue)
    if audit.status is not Status.RUNNING:
        return str(audit.status)
    text: str = progress.phase
    if progress.total:
        done, total = progress.done, progress.total
        if progress.unit == "bytes":
            text += f" {done / 1e6:.0f}/{total / 1e6:.0f} MB"
        else:
            text += f" {done}/{total} {progress.unit}"
        text += f" ({100 * done // total} %)"
    if progress.eta_s is not None:
        text += f", {duration(progress.eta_s)} left"
    return text


def state_with_workers(audit: Audit) -> str:
    """Describe an audit's state and on how many workers it is, if it is on several."""
    workers = audit.sharing.workers if audit.sharing else 0
    return f"{state(audit)}, on {workers} workers" if workers > 1 else state(audit)


def waiting(queue: QueuePosition | None) -> str:
    """Say where an audit waits, as far as the service tells.

    >>> waiting(QueuePosition(position=3, starts_in_s=600)), waiting(QueuePosition(position=1, starts_in_s=0))
    ('3rd in the queue, starts in about 10 min', 'waiting for a worker')
    """
    if queue is None or (queue.position == 1 and not queue.starts_in_s):
        return "waiting for a worker"
    place = "next" if queue.position == 1 else ordinal(queue.position)
    starts = "" if not queue.starts_in_s else f", starts in about {about(queue.starts_in_s)}"
    return f"{place} in the queue{starts}"


def ordinal(number: int) -> str:
    """Write a number as a place.

    >>> [ordinal(number) for number in (1, 2, 3, 4, 11, 12, 13, 21, 102, 112)]
    ['1st', '2nd', '3rd', '4th', '11th', '12th', '13th', '21st', '102nd', '112th']
    """
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def short_state(audit: Audit) -> str:
    """Describe an audit's state in a word and a number, such as "running 25 %" or "queued 3rd"."""
    progress = audit.progress
    if audit.status is Status.QUEUED and audit.queue:
        return f"{audit.status} {ordinal(audit.queue.position)}"
    if audit.status is Status.RUNNING and progress.total:
        return f"{audit.status} {100 * progress.done // progress.total} %"
    return str(audit.status)


def sentence(problem: Problem) -> str:
    """Say what a problem is: its detail, then the fields at fault and close matches that the detail does not name."""
    text = full_stop(problem.detail or problem.title)
    for error in problem.errors or ():
        if error.message not in text:
            text += f" {full_stop(f'{error.field}: {error.message}')}"
    unnamed = [name for name in problem.suggestions or () if name not in text]
    if unnamed:
        text += f" Did you mean {' or '.join(unnamed)}?"
    return text


def cause(problem: Problem, model: str) -> str:
    """Write a problem without the names and addresses by which it differs between models that fail for one cause."""
    text = re.sub(r"https?://\S+", "URL", sentence(problem))
    for name in (model, ModelName.parse(model).in_zoo, ModelName.parse(model).architecture):
        text = text.replace(name, "MODEL")
    return f"{problem.type}: {text}"


def full_stop(text: str) -> str:
    """End a sentence unless it has its end."""
    return text if text.endswith((".", "?", "!")) else f"{text}."


def duration(seconds: float) -> str:
    """Write seconds for a person: "42 s", "3 min 20 s", "2 h 05 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def about(seconds: float) -> str:
    """Write an estimate of seconds, without digits that it does not deserve.

    >>> about(0.2), about(47.4), about(254), about(991), about(11_400)
    ('1 s', '47 s', '4 min 10 s', '17 min', '3 h 10 min')
    """
    step = 1 if seconds < 60 else 10 if seconds < 600 else 60 if seconds < 3600 else 600
    text = duration(max(1, round(seconds / step) * step))
    return text.removesuffix(" 00 s").removesuffix(" 00 min")


def three_decimals(value: float | None) -> str:
    """Write a score or a p-value; a dash stands for None."""
    return "–" if value is None else f"{value:.3f}"


def kept_digits(value: float, decimals: int) -> float:
    """Round a number that will be rounded again, to fewer decimals, for a reader: as once rounded, so it then looks.

    >>> kept_digits(0.976468, 4), round(0.976468, 4)
    (0.9764, 0.9765)
    """
    if value.is_integer():
        return value
    return float(Decimal(repr(value)).quantize(Decimal(1).scaleb(-decimals), ROUND_05UP))


def two_decimals(value: float) -> str:
    """Write a score as running text has it."""
    return f"{value:.2f}"


def percent(share: float) -> str:
    """Write a share, without claiming all or none of what is not.

    >>> percent(0.806), percent(0.9996), percent(1.0), percent(0.001)
    ('81 %', 'more than 99 %', '100 %', 'less than 1 %')
    """
    if 0.995 <= share < 1:
        return "more than 99 %"
    if 0 < share < 0.005:
        return "less than 1 %"
    return f"{100 * share:.0f} %"


def joined(words: Sequence[str]) -> str:
    """Write a list as a sentence has it.

    >>> joined(["Early", "Middle", "Late"]), joined(["Early"])
    ('Early, Middle and Late', 'Early')
    """
    *others, last = words
    return f"{', '.join(others)} and {last}" if others else last


def half_width(interval: tuple[float, float]) -> float:
    """Return half the width of an interval."""
    return (interval[1] - interval[0]) / 2


def is_cut(value: float, interval: tuple[float, float]) -> bool:
    """Tell whether an interval is not symmetric about its value, to three decimals, as one that 0 or 1 cuts off."""
    return abs(interval[0] + interval[1] - 2 * value) >= 0.001


def with_half_width(value: float | None, interval: tuple[float, float] | None) -> str:
    """Write a score and half the width of its interval, or the ends of one that is not symmetric about it.

    >>> with_half_width(0.8112, (0.8012, 0.8212)), with_half_width(0.0754, (0.0, 0.2516))
    ('0.811 ±0.010', '0.075 [0.000, 0.252]')
    """
    score = three_decimals(value)
    if value is None or interval is None:
        return score
    if is_cut(value, interval):
        return f"{score} [{three_decimals(interval[0])}, {three_decimals(interval[1])}]"
    return f"{score} ±{half_width(interval):.3f}"


def signed(value: float | None, interval: tuple[float, float] | None = None) -> str:
    """Write a number that may be negative, and its interval.

    >>> signed(-0.5, (-0.81, 0.02))
    '-0.50 [-0.81, +0.02]'
    """
    if value is None:
        return "–"
    return f"{value:+.2f}" if interval is None else f"{value:+.2f} [{interval[0]:+.2f}, {interval[1]:+.2f}]"


def ranges(values: Sequence[int]) -> str:
    """Write ascending numbers with runs of three or more joined.

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


def spoken(name: str) -> str:
    """Write the name of a transform or a generator as running text has it.

    >>> spoken("warp_rotation"), spoken("translation")
    ('warp rotation', 'translation')
    """
    return name.replace("_", " ")


def warp_amount(kind: WarpKind, amount: float) -> str:
    """Write the amount of a warp as people do.

    >>> warp_amount("translation", 0.5), warp_amount("rotation", -15.0), warp_amount("scale", 1.1)
    ('0.5 px', '−15°', '1.1')
    """
    return f"{plain_number(amount)}{WARP_UNITS[kind]}"


def plain_number(value: float) -> str:
    """Write a number as running text has it, with a minus sign where commands and files have a hyphen.

    >>> plain_number(22.5), plain_number(-40.0)
    ('22.5', '−40')
    """
    return f"{value:g}".replace("-", "−")


def printable(text: str) -> str:
    """Replace control characters, which a terminal would obey, by spaces."""
    return "".join(character if character.isprintable() else " " for character in text)
