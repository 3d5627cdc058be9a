"""How fast audits were measured here, by their reports: the speed by which to tell how long another one takes."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from zooaudit.contract import (
    AuditRequest,
    Catalogue,
    ModelDepth,
    ModelName,
    Report,
    Status,
    find_entry,
    probe_views,
    transforms_in,
)

from service.queue import AuditRow
from service.reports import ReportStore

REPORTS_READ = 5
"""How many reports of the same model an estimate reads at most, and as many of other models."""
MOST_PARAMETERS, MOST_PIXELS = 2.0, 3.0
"""Models are of about the same size if their parameters and their inputs' pixels differ by at most these factors."""
ENOUGH = 0.1
"""An audit with a smaller share of the estimated forward images than this is too short to tell how long they take."""
EPOCH = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, slots=True)
class Size:
    """What is known of the work that one forward image of a model is."""

    family: str
    parameters: int
    pixels: int

    @property
    def work(self) -> float:
        return float(self.parameters * self.pixels)


@dataclass(frozen=True, slots=True)
class Speed:
    """How fast an audit was measured, and what. ``passes`` is None where its report does not show how many it took."""

    id: str
    model: str
    size: Size
    device: str
    finished_at: datetime
    transforms: int
    passes: int | None
    forward_images: int
    images_per_second: float
    preparing_seconds: float


@dataclass(frozen=True)
class Choice:
    """The ``speed`` that tells best how long an audit takes.

    ``same_model``   whether it is of the same model, or of one of about its size
    ``same_device``  whether it is of the device on which the newest audit of all was measured
    """

    speed: Speed
    same_model: bool
    same_device: bool


class Speeds:
    """Reads the speeds of audits from the reports in ``store``, and keeps them: a few hundred bytes each."""

    def __init__(self, store: ReportStore) -> None:
        self._store = store
        self._speeds: dict[str, Speed] = {}

    def choose(
        self, request: AuditRequest, wanted: int, size: Size | None, rows: Iterable[AuditRow], catalogue: Catalogue
    ) -> Choice | None:
        """Choose the audit that tells best how long the ``wanted`` forward images of ``request`` take: newer ones
        before older ones. Returns None when there is none of the same model or of about the ``size``.

        A model of about this size on the workers' present device tells more than the same model on another one.
        """
        measured = sorted(filter(_is_measured, rows), key=lambda row: row.finished_at or EPOCH, reverse=True)
        device = next((speed.device for speed in self._read(measured[:REPORTS_READ])), None)
        comparable = [row for row in measured if row.precision == request.precision]
        same = self._read([row for row in comparable if _is_of_same_model(row, request)][:REPORTS_READ])
        if here := [speed for speed in same if speed.device == device]:
            return Choice(_best(here, wanted), same_model=True, same_device=True)
        near = self._read(_of_about_size(size, comparable, catalogue)[:REPORTS_READ]) if size else []
        if here := [speed for speed in near if speed.device == device]:
            return Choice(_best(here, wanted), same_model=False, same_device=True)
        if speeds := same or near:
            return Choice(_best(speeds, wanted), same_model=bool(same), same_device=False)
        return None

    def _read(self, rows: Iterable[AuditRow]) -> list[Speed]:
        """Read the speeds of these audits; one whose report is lost is left out."""
        speeds = []
        for row in rows:
            if row.id not in self._speeds:
                report = self._store.load(row.id)
                speed = _speed_of(report) if report else None
                if speed is None:
                    continue
                self._speeds[row.id] = speed
            speeds.append(self._speeds[row.id])
        return speeds


def _is_measured(row: AuditRow) -> bool:
    return row.status is Status.SUCCEEDED


def _is_of_same_model(row: AuditRow, request: AuditRequest) -> bool:
    """Tell whether the audits are of the same model. Each checkpoint is one of its own: its options may set another
    input size, and its file another number of classes."""
    checkpoints = [weights for weights in (row.weights, request.weights) if weights.startswith("checkpoint:")]
    return row.model == request.model and (not checkpoints or row.weights == request.weights)


def _of_about_size(size: Size, rows: Iterable[AuditRow], catalogue: Catalogue) -> list[AuditRow]:
    """List the first of the ``rows`` of each model of about this size: those of its family first, the nearest first."""
    first_rows: dict[str, AuditRow] = {}
    for row in rows:
        first_rows.setdefault(row.model, row)
    sizes = _sizes(catalogue)
    near: list[tuple[bool, float, str]] = []
    for name in first_rows:
        other = sizes.get(ModelName.parse(name)[:2])
        if other is None:
            continue
        parameters, pixels = (
            abs(math.log(other.parameters / size.parameters)),
            abs(math.log(other.pixels / size.pixels)),
        )
        if parameters <= math.log(MOST_PARAMETERS) and pixels <= math.log(MOST_PIXELS):
            near.append((other.family != size.family, parameters + pixels, name))
    return [first_rows[name] for _, _, name in sorted(near)]


def _sizes(catalogue: Catalogue) -> dict[tuple[str | None, str], Size]:
    """Map the source and the architecture of each entry to its size, where that is known."""
    return {
        (entry.source, entry.architecture): Size(entry.family, entry.parameters, entry.input_size**2)
        for entry in catalogue.entries
        if entry.parameters and entry.input_size
    }


def size_of(model: str, catalogue: Catalogue, depth: ModelDepth | None) -> Size | None:
    """Return the size of the model with this full name; None where it is not known yet.

    The catalogue has the input size of an architecture's default weights, the depth that of the very name.
    """
    entry, _ = find_entry(model, catalogue.entries) or (None, "")
    if entry is None:
        return None
    parameters = (depth and depth.parameters) or entry.parameters
    side = (depth and depth.input_size) or entry.input_size
    return Size(entry.family, parameters, side**2) if parameters and side else None


def _speed_of(report: Report) -> Speed | None:
    """Read from a report how fast its audit was; None where it cannot be told."""
    timing, model = report.timing, report.model
    preparing_s = timing.preparing_seconds or 0.0
    measuring_s = timing.seconds - preparing_s
    if timing.forward_images <= 0 or measuring_s <= 0 or not model.parameters or not model.input_size:
        return None
    transforms, others = transforms_in(report.method), probe_views(report.method)
    models = 1 + (len(report.baseline.seeds) if report.baseline else 0)
    views, rest = divmod(timing.forward_images, max(1, models * report.images.count))
    # With a tolerance some passes may have gone over more images than others; several workers need more passes.
    alone = timing.workers == 1 and report.method.tolerance is None
    shows_passes = rest == 0 and views > transforms + others and alone
    return Speed(
        id=report.id,
        model=model.name,
        size=Size(model.family, model.parameters, model.input_size**2),
        device=report.environment.device,
        finished_at=timing.finished_at,
        transforms=transforms,
        passes=views - transforms - others if shows_passes else None,
        forward_images=timing.forward_images,
        images_per_second=timing.forward_images / measuring_s,
        preparing_seconds=preparing_s,
    )


def _best(speeds: Sequence[Speed], wanted: int) -> Speed:
    """Return the first speed of an audit that was long enough to tell how long ``wanted`` forward images take, else
    that of the longest audit: of a short one, much does not grow with the images."""
    long_enough = (speed for speed in speeds if speed.forward_images >= ENOUGH * wanted)
    return next(long_enough, None) or max(speeds, key=lambda speed: speed.forward_images)
