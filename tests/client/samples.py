"""Records that a service may send, a transport that plays answers in order, and a way to call either client."""

import inspect
import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import httpx
from zooaudit import AsyncAuditClient, Audit, AuditClient, Comparison, Cost, Report
from zooaudit.contract import (
    GENERATORS,
    PARTS,
    TRANSFORMS,
    WARPS,
    AccuracyRelation,
    AngleRow,
    AuditRequest,
    ComparedAudit,
    ComparedPart,
    ComparedTranslation,
    CostBasis,
    DepthBlock,
    Difference,
    Differences,
    DifferentAudit,
    DifferentPart,
    DifferentScores,
    Links,
    ModelDetail,
    Part,
    Problem,
    Progress,
    RelatedPart,
    RelatedScores,
    RotationScore,
    Score,
    Shard,
    SharedMethod,
    Sharing,
    ShiftRow,
    Status,
    TranslationScore,
    Warps,
    compared_audit,
    problem,
    shared_method,
    transforms_named,
)

CLIENTS = (AuditClient, AsyncAuditClient)
ID = "0123456789abcdef0123456789abcdef"
WHEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def audit(
    status: Status | str = "queued", identifier: str = ID, error: Problem | None = None, **progress: Any
) -> Audit:
    status = Status(status)
    return Audit(
        id=identifier,
        status=status,
        request=AuditRequest(model="timm/resnet18.a1_in1k", dataset="synthetic", num_images=8),
        created_at=WHEN,
        started_at=None if status is Status.QUEUED else WHEN,
        finished_at=WHEN if status.final else None,
        progress=Progress(**progress),
        error=error,
        links=Links(self=f"/audit/{identifier}", report=f"/audit/{identifier}/report"),
    )


def shard(transforms: Sequence[str] = ("90°",), worker: str = "gpu-a:4242", **changes: Any) -> Shard:
    fields = {"device": "NVIDIA H100", "state": "measuring", "done": 640, "total": 72_000}
    return Shard(transforms=tuple(transforms), worker=worker, **(fields | changes))


def sharing(*shards: Shard, **changes: Any) -> Sharing:
    """Make a sharing over three workers. Without ``shards`` it has four, one of which is done and one of a baseline."""
    pixels = [f"{px} px" for px in range(1, 33)]
    shared = shards or (
        shard([*pixels[:12], "90°"]),
        shard(pixels[12:24:2], "gpu-b:17", state="done", done=72_000),
        shard(pixels[13:24:2], "gpu-b:17", done=0),
        shard(pixels, "a-machine-with-a-long-name.cluster.example.org:4711", baseline_seed=0, total=1280),
    )
    fields = {"shards": shared, "waiting": 9, "workers": 3, "repeated": 1280}
    return Sharing(**(fields | changes))


def report(weights: str = "pretrained", final_reason: str | None = None) -> Report:
    shift, angle = ShiftRow(shift_px=1, channel=0.91, layer=0.95), AngleRow(angle_deg=90, channel=0.31, layer=0.52)
    part = Part(
        blocks=3,
        translation=TranslationScore(channel=0.91, layer=0.95, by_transform=(shift,)),
        rotation=RotationScore(channel=0.31, layer=0.52, by_transform=(angle,)),
    )
    parts = dict.fromkeys(PARTS, part)
    if final_reason:
        nothing = {"channel": None, "layer": None, "reason": final_reason}
        parts["Final"] = Part(
            blocks=0,
            translation=TranslationScore(**nothing, by_transform=()),
            rotation=RotationScore(**nothing, by_transform=()),
        )
    weights_body = {"kind": weights, "origin": "timm/resnet18.a1_in1k on the hub", "sha256": "ab" * 32}
    body = {
        "id": ID,
        "protocol": "1",
        "model": {
            "name": "timm/resnet18.a1_in1k",
            "source": "timm",
            "family": "resnet",
            "architecture": "resnet18",
            "parameters": 11_689_512,
            "input_size": 224,
            "weights": weights_body,
            "imagenet_top1": 71.5,
        },
        "images": {"dataset": "synthetic", "count": 8, "seed": 0, "sha256": "cd" * 32, "skipped": []},
        "method": {
            "similarity": "correlation",
            "border": "crop",
            "resize": 256,
            "canvas_size": 256,
            "translations_px": [1],
            "rotations_deg": [90],
            "precision": "float32",
        },
        "parts": {name: value.model_dump() for name, value in parts.items()},
        "blocks": [],
        "environment": {
            "zooaudit": "0.1.0",
            "python": "3.11",
            "torch": "2.11",
            "timm": "1.0",
            "torchvision": "0.26",
            "device": "cpu",
            "threads": 2,
            "batch_size": 8,
        },
        "timing": {
            "started_at": WHEN,
            "finished_at": WHEN,
            "seconds": 1.5,
            "forward_images": 24,
            "images_per_second": 16.0,
        },
    }
    return Report.model_validate(body)


def whole_report() -> Report:
    """Make a report with everything that a request can ask for, in which no number occurs twice."""
    numbers = iter(random.Random(0).sample(range(1, 1_000_000), 5_000))

    def one() -> float:
        return next(numbers) / 1e6

    def pair() -> dict[str, Any]:
        return {"channel": one(), "layer": one()}

    def score() -> dict[str, Any]:
        names = ("channel", "layer", "layer_held_out", "top1_agreement")
        return {name: one() for name in names} | {f"{name}_interval": (one(), one()) for name in names}

    def both() -> dict[str, Any]:
        shifts = [{"shift_px": px, **pair(), "layer_held_out": one(), "top1_agreement": one()} for px in (1, 8)]
        return {
            "translation": {**score(), "aligned": {**pair(), "shifts": 1}, "by_transform": shifts},
            "rotation": {**score(), "by_transform": [{"angle_deg": 90, **pair()}]},
        }

    def parts() -> dict[str, Any]:
        return {name: {"blocks": 1, **both()} for name in PARTS}

    def learned() -> dict[str, Any]:
        estimates = {key: {"value": one(), "interval": (one(), one())} for key in ("untrained", "difference")}
        return {**estimates, "pretrained": {"value": 0.5, "interval": None}, "by_seed": (one(), one())}

    main = parts()
    block = {"channels": 4, "height": 2, "width": 2, "layout": "NCHW", "dead_channels": 0}
    activation = {"correlation": 0.5, "cosine": 0.5}
    body = report().model_dump() | {
        "parts": main,
        "blocks": [{"name": f"layer{place}", "part": name, **block, **both()} for place, name in enumerate(PARTS)],
        "borders": {"crop": main, "zero": parts(), "circular": parts()},
        "cosine": {"parts": parts(), "activation": {"translation": activation, "rotation": activation}},
        "baseline": {
            "seeds": (0, 1),
            "parts": {
                name: {transform: {"channel": learned(), "layer": learned()} for transform in TRANSFORMS}
                for name in PARTS
            },
        },
    }
    body["method"] |= {"similarity": "both", "border": "all", "translations_px": (1, 8)}
    return Report.model_validate(body)


def reflected_report() -> Report:
    """Make a report as whole_report() does, of shifts to the right, that has reflections, too."""
    numbers = iter(random.Random(1).sample(range(1_000_001, 2_000_000), 1_000))

    def one() -> float:
        return next(numbers) / 2e6

    def reflection() -> dict[str, Any]:
        names = ("channel", "layer", "layer_held_out", "top1_agreement")
        scores = {name: one() for name in names} | {f"{name}_interval": (one(), one()) for name in names}
        rows = [{"axis": axis, **{name: one() for name in names}} for axis in ("horizontal", "vertical")]
        return {**scores, "by_transform": rows}

    def learned() -> dict[str, Any]:
        estimates = {key: {"value": one(), "interval": (one(), one())} for key in ("untrained", "difference")}
        return {**estimates, "pretrained": {"value": 0.5, "interval": None}, "by_seed": (one(), one())}

    body = whole_report().model_dump()
    body["protocol"] = "2"
    body["method"] |= {"direction": "right", "reflections": ("horizontal", "vertical")}
    main = body["parts"]
    for parts in (main, body["borders"]["zero"], body["borders"]["circular"], body["cosine"]["parts"]):
        for part in parts.values():
            part["reflection"] = reflection()
    body["borders"]["crop"] = main
    for block in body["blocks"]:
        block["reflection"] = reflection()
    for part in body["baseline"]["parts"].values():
        part["reflection"] = {"channel": learned(), "layer": learned()}
    return Report.model_validate(body)


WARPED = (
    Warps(kind="rotation", amounts=(15, 22.5)),
    Warps(kind="scale", amounts=(0.9, 1.1)),
    Warps(kind="shear", amounts=(-0.1, 0.1)),
    Warps(kind="translation", amounts=(0.5, 8)),
)


def warped_report(name: str = "timm/resnet18.a1_in1k", **changes: Any) -> Report:
    """Make a report as reflected_report() does, of the model ``name``, that has warps of all kinds and all other
    measures, too. ``changes`` are made to its body."""
    numbers = iter(random.Random(name).sample(range(4_000_001, 5_000_000, 5), 4_000))

    def one() -> float:
        return next(numbers) / 5e6

    def warp(amounts: Sequence[float]) -> dict[str, Any]:
        names = ("channel", "layer", "layer_held_out", "top1_agreement")
        scores = {name: one() for name in names} | {f"{name}_interval": (one(), one()) for name in names}
        rows = [{"amount": amount, **{name: one() for name in (*names, "interpolation")}} for amount in amounts]
        return {**scores, "interpolation": one(), "by_transform": rows}

    def learned() -> dict[str, Any]:
        estimates = {key: {"value": one(), "interval": (one(), one())} for key in ("untrained", "difference")}
        return {**estimates, "pretrained": {"value": 0.5, "interval": None}, "by_seed": (one(), one())}

    def magnitude() -> dict[str, Any]:
        return {"value": 1 + one(), "interval": (1 + one(), 1 + one())}

    def opinion() -> dict[str, Any]:
        fields = ("gradient", "deformation", "noise", "ratio")
        rows = [
            {"displacement_px": px, **{field: 1 + one() for field in fields}, "ratio_interval": (1 + one(), 1 + one())}
            for px in (0.75, 1.5)
        ]
        names = transforms_named(("horizontal",), WARPED)
        return {
            "deformation": rows,
            "local_error": {name: magnitude() for name in GENERATORS},
            "variance": {name: magnitude() for name in names},
        }

    def consistency(**more: Any) -> dict[str, Any]:
        return {"draws": 5, "offset_px": 32, "value": one(), "interval": (one(), one()), **more}

    body = reflected_report().model_dump()
    body["model"]["name"] = name
    body["method"] |= {
        "warps": [each.model_dump() for each in WARPED],
        "deformation": {"displacements_px": (0.75, 1.5)},
        "local": True,
        "consistency_draws": 5,
        "variance": True,
    }
    main = body["parts"]
    for parts in (main, body["borders"]["zero"], body["borders"]["circular"], body["cosine"]["parts"]):
        for part in parts.values():
            part |= {WARPS[each.kind]: warp(each.amounts) for each in WARPED}
    body["borders"]["crop"] = main
    for scores in (*main.values(), *body["blocks"]):
        scores["second_opinion"] = opinion()
    for block in body["blocks"]:
        block |= {WARPS[each.kind]: warp(each.amounts) for each in WARPED}
    for part in body["baseline"]["parts"].values():
        part |= {WARPS[each.kind]: {"channel": learned(), "layer": learned()} for each in WARPED}
    body["baseline"]["second_opinion"] = {part_name: opinion() for part_name in PARTS}
    body["baseline"]["consistency"] = consistency()
    body["consistency"] = consistency(published=one())
    return Report.model_validate(body | changes)


def warped_comparison() -> Comparison:
    """Make a comparison of two reports as warped_report() makes them."""
    reports = [warped_report(), warped_report("timm/resnet34.a1_in1k", id="f" * 32)]
    method = shared_method(reports[0])
    names = method.transforms
    related = comparison().accuracy["Early"].translation
    different = differences(ID, "f" * 32).audits[0].parts["Early"].translation
    parts = dict.fromkeys(PARTS, DifferentPart(**dict.fromkeys(names, different)))
    return Comparison(
        method=method,
        audits=tuple(compared_audit(each) for each in reports),
        accuracy=dict.fromkeys(PARTS, RelatedPart(**dict.fromkeys(names, related))),
        differences=Differences(reference=ID, audits=(DifferentAudit(id="f" * 32, parts=parts),)),
    )


def comparison(reason: str | None = None) -> Comparison:
    """Make a comparison of two audits. With a ``reason``, it has no accuracies."""
    score = Score(channel=0.91, channel_interval=(0.9, 0.92), layer=0.95, layer_interval=(0.94, 0.96))
    first, second = ID, "f" * 32
    row = {"family": "resnet", "weights": "pretrained", "parameters": 11_689_512, "input_size": 224, "images": 8}
    parts = dict.fromkeys(PARTS, ComparedPart(translation=ComparedTranslation(**dict(score)), rotation=score))
    audits = (
        ComparedAudit(
            id=first, model="timm/resnet18.a1_in1k", imagenet_top1=None if reason else 71.5, **row, parts=parts
        ),
        ComparedAudit(
            id=second, model="timm/resnet34.a1_in1k", imagenet_top1=None if reason else 76.4, **row, parts=parts
        ),
    )
    measured = {"spearman": -0.5, "interval": (-0.9, 0.2), "p_value": 0.04, "slope": 0.01, "intercept": 0.2}
    relation = AccuracyRelation(
        models=0 if reason else 2,
        residuals={} if reason else {first: 0.02, second: -0.02},
        reason=reason,
        **(dict.fromkeys(measured) if reason else measured),
    )
    related = RelatedScores(channel=relation, layer=relation)
    return Comparison(
        method=SharedMethod(
            protocol="1",
            similarity="correlation",
            border="crop",
            translations_px=(1,),
            rotations_deg=(90,),
            precision="float32",
            tolerance=None,
            dataset="synthetic",
            num_images=8,
            seed=0,
        ),
        audits=audits,
        accuracy=dict.fromkeys(PARTS, RelatedPart(translation=related, rotation=related)),
        differences=differences(first, second),
    )


def differences(reference: str, *others: str) -> Differences:
    """Make the differences of other audits from the reference: the channel differs, the layer is a tie, the held-out
    layer has no interval."""
    channel = Difference(value=-0.031, interval=(-0.036, -0.026), p_value=0.001, p_adjusted=0.002, differs=True)
    layer = Difference(value=0.002, interval=(-0.002, 0.006), p_value=0.3, p_adjusted=0.6, differs=False)
    unknown = Difference(
        value=0.01, interval=None, p_value=None, p_adjusted=None, differs=None, reason="The images are too few."
    )
    scores = DifferentScores(channel=channel, layer=layer, layer_held_out=unknown)
    parts = dict.fromkeys(PARTS, DifferentPart(translation=scores, rotation=scores))
    return Differences(reference=reference, audits=tuple(DifferentAudit(id=other, parts=parts) for other in others))


def cost(**changes: Any) -> Cost:
    """Make the cost of an audit of ResNet-18, by the speed of an audit of the same model."""
    basis = CostBasis(
        id=ID,
        model="timm/resnet18.a1_in1k",
        same_model=True,
        device="NVIDIA H100",
        finished_at=WHEN,
        forward_images=36_000,
        images_per_second=6.31,
        preparing_seconds=4.0,
        scale=1.0,
    )
    fields = {
        "id": "f" * 32,
        "request": AuditRequest(model="timm/resnet18.a1_in1k"),
        "status": None,
        "forward_images": 72_000,
        "certainty": "exact",
        "seconds": 4 + 72_000 / 6.31,
        "basis": basis,
        "queued": 3,
        "running": 1,
        "workers": 1,
    }
    return Cost(**(fields | changes))


def model_detail(blocks_reason: str | None = None) -> ModelDetail:
    block = DepthBlock(name="layer1.0", part="Early", channels=64, height=56, width=56, layout="NCHW")
    return ModelDetail(
        name="timm/resnet18",
        full_name="timm/resnet18.a1_in1k",
        source="timm",
        family="resnet",
        architecture="resnet18",
        tags=("a1_in1k",),
        pretrained=True,
        input_size=224,
        supported=True,
        blocks=None if blocks_reason else (block,),
        blocks_reason=blocks_reason,
    )


async def got(asked: Any) -> Any:
    """Return the result of a method of either client: ``asked`` itself, awaited if it is a coroutine, or all its items
    if it is an async generator."""
    if inspect.isawaitable(asked):
        return await asked
    return [item async for item in asked] if inspect.isasyncgen(asked) else asked


def foreign_problem(status: int, detail: str, title: str = "Busy", **extensions: Any) -> Problem:
    """Make a problem of a type that this project does not list, as a proxy or another version may answer."""
    return Problem(type="urn:example:some-word", title=title, status=status, detail=detail, **extensions)


NO_SUCH_MODEL = problem("unknown-model", "There is no model 'timm/resnet19'.", suggestions=("timm/resnet18",))


def answer(body: Any, status: int = 200, **headers: str) -> httpx.Response:
    """Make a response with a record of the contract. Names of headers have underscores for their hyphens."""
    content_type = "application/problem+json" if isinstance(body, Problem) else "application/json"
    fields = {"Content-Type": content_type, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return httpx.Response(status, content=body.model_dump_json(), headers=fields)


class Script(httpx.MockTransport):
    """Plays the given steps in order, and then repeats the last: responses, exceptions, or functions of a request."""

    def __init__(self, *steps: httpx.Response | Exception | Callable[[httpx.Request], httpx.Response]) -> None:
        super().__init__(self._play)
        self.steps, self.requests = list(steps), list[httpx.Request]()

    def _play(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        step = self.steps.pop(0) if len(self.steps) > 1 else self.steps[0]
        if isinstance(step, Exception):
            raise step
        if isinstance(step, httpx.Response):
            return httpx.Response(step.status_code, content=step.content, headers=step.headers)
        return step(request)
