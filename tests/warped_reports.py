"""Reports with warps and all other measures, made up, for tests that measure nothing."""

import random
from typing import Any

from zooaudit.contract import GENERATORS, WARPS, AuditRequest, Report

from tests.fakes import report_of

AMOUNTS: dict[str, tuple[float, ...]] = {
    "translation": (0.5, 1.5),
    "rotation": tuple(float(angle) for angle in range(-175, 180, 10)),
    "scale": (0.9, 1.1),
    "shear": (-0.1, 0.1),
}
ASKED: dict[str, Any] = {
    "translations_px": (1, 2),
    "reflections": ("horizontal",),
    "warps": [{"kind": kind, "amounts": amounts} for kind, amounts in AMOUNTS.items()],
    "deformation": {"displacements_px": (0.5, 2.0), "cutoff": 3},
    "local": True,
    "consistency_draws": 5,
    "variance": True,
    "baseline": True,
}
NOTHING = {"channel": None, "layer": None, "by_transform": ()}
MEASURES = ("deformation", "local", "consistency_draws", "variance")


def warped_report(model: str, **changes: Any) -> Report:
    """Make the report of an audit that asks for everything, in which hardly any number occurs twice."""
    request = AuditRequest(model=model, dataset="synthetic", num_images=2000, **(ASKED | changes))
    chance = random.Random(model)

    def one(most: float = 1.0) -> float:
        return round(chance.uniform(0, most), 6)

    def magnitude() -> dict[str, Any]:
        value = one(3)
        return {"value": value, "interval": (value * 0.9, value * 1.1)}

    def score() -> dict[str, Any]:
        names = ("channel", "layer", "layer_held_out", "top1_agreement")
        scores = {name: one() for name in names}
        return scores | {f"{name}_interval": (value * 0.95, value) for name, value in scores.items()}

    def warps() -> dict[str, Any]:
        return {
            WARPS[each.kind]: {
                **score(),
                "interpolation": one(),
                "by_transform": [
                    {"amount": amount, "channel": one(), "layer": one(), "interpolation": one()}
                    for amount in each.amounts
                ],
            }
            for each in request.warps
        }

    def opinion() -> dict[str, Any]:
        sizes = request.deformation.displacements_px if request.deformation else ()
        return {
            "deformation": [
                {
                    "displacement_px": size,
                    "gradient": size / 50,
                    **{name: one(2) for name in ("deformation", "noise", "ratio")},
                    "ratio_interval": (0.1, 0.2),
                }
                for size in sizes
            ],
            "local_error": {name: magnitude() for name in GENERATORS} if request.local else {},
            "variance": {name: magnitude() for name in ("translation", "rotation")} if request.variance else {},
        }

    def learned() -> dict[str, Any]:
        estimates = {key: {"value": one(), "interval": (0.1, 0.9)} for key in ("pretrained", "untrained", "difference")}
        return {"channel": {**estimates, "by_seed": (one(),)}, "layer": {**estimates, "by_seed": (one(),)}}

    body = report_of(request).model_dump()
    asked_of = {"translation": request.translations_px, "rotation": request.rotations_deg}
    absent = [name for name, amounts in asked_of.items() if not amounts]
    for place in (*body["parts"].values(), *body["blocks"]):
        place |= warps() | {"second_opinion": opinion() if any(changes.get(name, True) for name in MEASURES) else None}
        place |= {name: {**NOTHING, "reason": f"no {name} was asked for"} for name in absent}
    asked = request.model_dump()
    body["method"] |= {name: asked[name] for name in ("warps", *MEASURES) if name in asked}
    if request.consistency_draws:
        windows = {"draws": request.consistency_draws, "offset_px": 32}
        body["consistency"] = {**windows, "value": 0.8613, "interval": (0.8513, 0.8713), "published": 0.8511}
    if request.baseline:
        transforms = ("translation", "rotation", "reflection", *(WARPS[each.kind] for each in request.warps))
        body["baseline"] = {
            "seeds": (0,),
            "parts": {name: {transform: learned() for transform in transforms} for name in body["parts"]},
            "second_opinion": {name: opinion() for name in body["parts"]},
        }
        if request.consistency_draws:
            body["baseline"]["consistency"] = {**windows, "value": 0.4321, "interval": None}
    return Report.model_validate(body)
