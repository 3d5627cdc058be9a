"""The tables of what other measures than channel and layer equivariance say: docs/method.md, "Second opinion"."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Literal

from zooaudit.contract import (
    GENERATORS,
    PARTS,
    ComparedAudit,
    Comparison,
    Consistency,
    Generator,
    Magnitude,
    PartName,
    Report,
    SecondOpinion,
)
from zooaudit.views.tables import Table, in_depth_order, interval_notes, with_narrower
from zooaudit.views.text import counted, printable, spoken, three_decimals, with_half_width

Measure = Literal["local_error", "deformation", "variance"]
Opinions = Mapping[PartName, SecondOpinion]
UNITS: dict[Generator, str] = {
    "translation_x": "1 px to the right",
    "translation_y": "1 px down",
    "rotation": "1 degree",
    "scale": "1 per cent",
    "shear": "a shear by 1",
}
"""For what change of the image the local equivariance error by each generator is."""
RATIO_NOTE = "R below 1: deformations move the features less than noise that changes the image as much"
ERROR_NOTE = "0 is equivariant, and there is no upper limit"
VARIANCE_NOTE = "0 is invariant: features that move with the image vary, too"


def second_opinion_tables(report: Report) -> list[Table]:
    """Show the other measures by part, those of the untrained architecture below, and the shift consistency."""
    opinions = {name: part.second_opinion for name, part in in_depth_order(report.parts) if part.second_opinion}
    untrained = (report.baseline.second_opinion if report.baseline else None) or {}
    return [
        *_tables(opinions, ""),
        *_tables(untrained, ", untrained architecture"),
        *_consistency_tables(report.consistency, report.baseline.consistency if report.baseline else None),
    ]


def _tables(opinions: Opinions, whose: str) -> list[Table]:
    tables = []
    if any(opinion.local_error for opinion in opinions.values()):
        title = f"Local equivariance error{whose}: relative change for 1 px, 1 degree, 1 per cent, or a shear by 1"
        tables.append(_magnitudes(opinions, title, ERROR_NOTE, "local_error", GENERATORS))
    if any(opinion.deformation for opinion in opinions.values()):
        tables.append(_deformations(opinions, f"Stability to deformations{whose}"))
    if names := list(dict.fromkeys(name for opinion in opinions.values() for name in opinion.variance)):
        title = f"Variance over transforms by variance over images{whose}"
        tables.append(_magnitudes(opinions, title, VARIANCE_NOTE, "variance", names))
    return tables


def _magnitudes(opinions: Opinions, title: str, note: str, measure: Measure, names: Sequence[str]) -> Table:
    found = {
        part_name: {name: magnitude_of(opinion, measure, name) for name in names}
        for part_name, opinion in in_depth_order(opinions)
    }
    rows = [[part_name, *map(magnitude_cell, by_name.values())] for part_name, by_name in found.items()]
    reasons = [
        (f"{part_name} {spoken(name)}", each.reason if each else None)
        for part_name, by_name in found.items()
        for name, each in by_name.items()
    ]
    heads = [spoken(name).capitalize() for name in names]
    notes = [note, *interval_notes(cell for row in rows for cell in row), *_reasons(reasons)]
    return with_narrower(Table(("Part", *heads), rows, title, numbers_from=1, notes=notes))


def _deformations(opinions: Opinions, title: str) -> Table:
    found = [(part_name, row) for part_name, opinion in in_depth_order(opinions) for row in opinion.deformation]
    rows = [
        [
            part_name,
            f"{row.displacement_px:g}",
            three_digits(row.gradient),
            three_digits(row.deformation),
            three_digits(row.noise),
            with_half_width(row.ratio, row.ratio_interval),
        ]
        for part_name, row in found
    ]
    reasons = [(f"{part_name} {row.displacement_px:g} px", row.reason) for part_name, row in found]
    notes = [RATIO_NOTE, *interval_notes(cell for row in rows for cell in row), *_reasons(reasons)]
    columns = ("Part", "Mean px", "RMS gradient", "D", "G (noise)", "R = D / G")
    return with_narrower(Table(columns, rows, title, numbers_from=1, notes=notes))


def _consistency_tables(consistency: Consistency | None, untrained: Consistency | None) -> list[Table]:
    if consistency is None:
        return []
    title = (
        f"Shift consistency: {counted(consistency.draws, 'pair')} of windows of each image, up to "
        f"{consistency.offset_px} px apart"
    )
    rows = [["measured", with_half_width(consistency.value, consistency.interval)]]
    if consistency.published is not None:
        rows.append(["published, all validation images, up to 32 px", f"{consistency.published:.4f}"])
    if untrained is not None:
        rows.append(["untrained architecture", with_half_width(untrained.value, untrained.interval)])
    notes = interval_notes(cell for row in rows for cell in row)
    notes += [printable(consistency.reason)] if consistency.reason else []
    return [Table(("", "Same class"), rows, title, numbers_from=1, notes=notes)]


def compared_opinion_tables(comparison: Comparison, named: Callable[[ComparedAudit], str]) -> list[Table]:
    """Show the other measures of several audits side by side: a row for each audit, a table for each quantity."""
    method = comparison.method
    local = {
        generator: f"Local equivariance error, {spoken(generator)}: relative change for {UNITS[generator]}"
        for generator in (GENERATORS if method.local else ())
    }
    deformation = {
        displacement: f"R, stability to deformations by {displacement:g} px against that to noise"
        for displacement in (method.deformation.displacements_px if method.deformation else ())
    }
    variance = {
        transform: f"Variance over transforms by variance over images, {spoken(transform)}"
        for transform in (method.transforms if method.variance else ())
    }
    return [
        *_compared_magnitudes(comparison, named, local, ERROR_NOTE, "local_error"),
        *_compared_magnitudes(comparison, named, deformation, RATIO_NOTE, "deformation"),
        *_compared_magnitudes(comparison, named, variance, VARIANCE_NOTE, "variance"),
        *_compared_consistency(comparison, named),
    ]


def _compared_magnitudes(
    comparison: Comparison,
    named: Callable[[ComparedAudit], str],
    titles: Mapping[Any, str],
    note: str,
    measure: Measure,
) -> list[Table]:
    """Make the tables of one measure, whose ``titles`` are by the name of the quantity. The last has the notes."""
    found = [
        (audit, name, part_name, magnitude)
        for audit in comparison.audits
        for part_name, part in in_depth_order(audit.parts)
        for name in titles
        if (magnitude := magnitude_of(part.second_opinion or SecondOpinion(), measure, name))
    ]
    shown = [name for name in titles if any(name == other for _, other, *_ in found)]
    reasons = [
        (
            f"{named(audit)}, {part_name} {f'{name:g} px' if measure == 'deformation' else spoken(name)}",
            magnitude.reason,
        )
        for audit, name, part_name, magnitude in found
    ]
    cells = {(audit.id, name, part_name): magnitude_cell(each) for audit, name, part_name, each in found}
    notes = [note, *interval_notes(cells.values()), *_reasons(reasons)]
    tables = []
    for name in shown:
        rows = [
            [named(audit), *(cells.get((audit.id, name, part_name), "–") for part_name in PARTS)]
            for audit in comparison.audits
        ]
        below = notes if name == shown[-1] else ()
        table = Table(("Model", *PARTS), rows, titles[name], numbers_from=1, notes=below, flexible=0)
        tables.append(with_narrower(table))
    return tables


def _compared_consistency(comparison: Comparison, named: Callable[[ComparedAudit], str]) -> list[Table]:
    found = [(named(audit), audit.consistency) for audit in comparison.audits]
    if not any(each for _, each in found):
        return []
    rows = [[model, *_consistency_cells(consistency)] for model, consistency in found]
    reasons = _reasons((model, each.reason) for model, each in found if each)
    notes = [*interval_notes(cell for row in rows for cell in row), *reasons]
    columns = ("Model", "Same class", "Up to px", "Published")
    return [with_narrower(Table(columns, rows, "Shift consistency", numbers_from=1, notes=notes, flexible=0))]


def _consistency_cells(consistency: Consistency | None) -> tuple[str, str, str]:
    if consistency is None:
        return "–", "–", "–"
    published = "–" if consistency.published is None else f"{consistency.published:.4f}"
    return with_half_width(consistency.value, consistency.interval), str(consistency.offset_px), published


def opinion_columns(opinions: Iterable[SecondOpinion | None]) -> dict[str, Callable[[SecondOpinion | None], str]]:
    """Return a head for each number that some of the opinions have, and the function from an opinion to its cell."""
    found: dict[str, tuple[Measure, str | float]] = {}
    for opinion in opinions:
        if opinion is None:
            continue
        found |= {f"Local error {spoken(name)}": ("local_error", name) for name in opinion.local_error}
        found |= {
            f"R at {row.displacement_px:g} px": ("deformation", row.displacement_px) for row in opinion.deformation
        }
        found |= {f"Variance {spoken(name)}": ("variance", name) for name in opinion.variance}

    def cell(measure: Measure, name: str | float, opinion: SecondOpinion | None) -> str:
        return magnitude_cell(magnitude_of(opinion, measure, name) if opinion else None)

    return {head: partial(cell, measure, name) for head, (measure, name) in found.items()}


def magnitude_of(opinion: SecondOpinion, measure: Measure, name: str | float) -> Magnitude | None:
    """Return one of the measures: the local error by a generator, the variance over the transforms of a name, or R of
    the deformations of a displacement."""
    if measure == "deformation":
        row = next((row for row in opinion.deformation if row.displacement_px == name), None)
        if row is None:
            return None
        return Magnitude(value=row.ratio, interval=row.ratio_interval, reason=row.reason)
    by_name: Mapping[Any, Magnitude] = getattr(opinion, measure)
    return by_name.get(name)


def magnitude_cell(magnitude: Magnitude | None) -> str:
    """Write a magnitude with half the width of its interval."""
    return three_decimals(None) if magnitude is None else with_half_width(magnitude.value, magnitude.interval)


def three_digits(value: float | None) -> str:
    """Write a number that may be small, with three digits.

    >>> three_digits(0.000123456), three_digits(None)
    ('0.000123', '–')
    """
    return "–" if value is None else f"{value:.3g}"


def _reasons(reasons: Iterable[tuple[str, str | None]]) -> list[str]:
    """Write each reason once, behind all places that have it."""
    places: dict[str, list[str]] = {}
    for place, reason in reasons:
        if reason:
            places.setdefault(printable(reason), []).append(place)
    return [f"{', '.join(where)}: {reason}" for reason, where in places.items()]
