"""A small catalogue, a request, and reports with made-up scores, for tests that measure nothing."""

from datetime import UTC, datetime, timedelta

import httpx
from zooaudit.contract import (
    GENERATORS,
    PARTS,
    WARPS,
    AngleRow,
    AuditRequest,
    Block,
    Catalogue,
    CatalogueEntry,
    Consistency,
    DeformationRow,
    Environment,
    Images,
    Magnitude,
    Method,
    MirrorRow,
    Model,
    Part,
    ReflectionScore,
    Report,
    RotationScore,
    Score,
    SecondOpinion,
    ShiftRow,
    Timing,
    TranslationScore,
    WarpRow,
    WarpScore,
    Weights,
    audit_id,
    protocol_of,
)

ASK = {"model": "timm/resnet18.a1_in1k", "dataset": "synthetic", "num_images": 8}


def entry(name: str, *tags: str, **changes) -> CatalogueEntry:
    source, _, architecture = name.partition("/")
    fields = {
        "name": name,
        "source": source,
        "family": "resnet",
        "architecture": architecture,
        "tags": tags,
        "pretrained": bool(tags) or source == "torchvision",
        "input_size": 224,
        "supported": True,
    }
    return CatalogueEntry(**(fields | changes))


CATALOGUE = Catalogue(
    entries=(
        entry("timm/resnet18", "a1_in1k", "tv_in1k"),
        entry("timm/resnet50", "a1_in1k", "tv_in1k"),
        entry("timm/resnext101_32x8d", "fb_wsl_ig1b_ft_in1k", "tv_in1k"),
        entry("timm/tf_efficientnet_b7", "ns_jft_in1k", family="efficientnet", input_size=600),
        entry("timm/efficientnet_b7", family="efficientnet", input_size=256),
        entry("timm/swin_tiny", "ms_in1k", family="swin", supported=False, reason="swin is not among the families."),
        entry("timm/test_vit", "r160_in1k", family="vision_transformer", input_size=100),
        entry("torchvision/resnet18"),
        entry("torchvision/vit_b_16", family="vision_transformer"),
    ),
    datasets={"synthetic": None, "photos": 20},
)


def report_of(request: AuditRequest, started_at: datetime | None = None, skipped: int = 0) -> Report:
    """A report that answers ``request``, with made-up scores."""
    started_at = started_at or datetime.now(UTC)
    shifts = tuple(ShiftRow(shift_px=s, channel=0.9, layer=0.95) for s in request.translations_px)
    angles = tuple(AngleRow(angle_deg=a, channel=0.3, layer=0.5) for a in request.rotations_deg)
    scores: dict[str, Score] = {
        "translation": TranslationScore(channel=0.9, layer=0.95, by_transform=shifts),
        "rotation": RotationScore(channel=0.3, layer=0.5, by_transform=angles),
    }
    if request.reflections:
        mirrors = tuple(MirrorRow(axis=axis, channel=0.6, layer=0.7) for axis in request.reflections)
        scores["reflection"] = ReflectionScore(channel=0.6, layer=0.7, by_transform=mirrors)
    for warps in request.warps:
        rows = tuple(WarpRow(amount=amount, channel=0.8, layer=0.85, interpolation=0.95) for amount in warps.amounts)
        scores[WARPS[warps.kind]] = WarpScore(channel=0.8, layer=0.85, interpolation=0.95, by_transform=rows)
    others = {"second_opinion": opinion} if (opinion := _second_opinion(request)) else {}
    source, _, rest = request.model.partition("/")
    return Report(
        id=audit_id(request),
        protocol=protocol_of(request),
        model=Model(
            name=request.model,
            source=source,
            family="resnet",
            architecture=rest.partition(".")[0],
            parameters=1,
            input_size=224,
            weights=Weights(kind=request.weights, origin="made up", sha256="0" * 64),
            imagenet_top1=None,
        ),
        images=Images(
            dataset=request.dataset,
            count=request.num_images - skipped,
            seed=request.seed,
            sha256="0" * 64,
            skipped=tuple(f"{n}.jpg" for n in range(skipped)),
        ),
        method=Method(
            similarity=request.similarity,
            border=request.border,
            resize=256,
            canvas_size=256,
            translations_px=request.translations_px,
            direction=request.direction,
            rotations_deg=request.rotations_deg,
            reflections=request.reflections,
            warps=request.warps,
            deformation=request.deformation,
            local=request.local,
            consistency_draws=request.consistency_draws,
            variance=request.variance,
            precision=request.precision,
        ),
        parts={part: Part(blocks=1, **scores, **others) for part in PARTS},
        blocks=tuple(
            Block(
                name=f"layer{n}",
                part=part,
                channels=1,
                height=1,
                width=1,
                layout="NCHW",
                dead_channels=0,
                **scores,
                **others,
            )
            for n, part in enumerate(PARTS)
        ),
        consistency=Consistency(draws=request.consistency_draws, offset_px=32, value=0.9)
        if request.consistency_draws
        else None,
        environment=Environment(
            zooaudit="0", python="0", torch="0", timm="0", torchvision="0", device="cpu", threads=1, batch_size=1
        ),
        timing=Timing(
            started_at=started_at,
            finished_at=started_at + timedelta(seconds=2),
            seconds=2.0,
            forward_images=36,
            images_per_second=18.0,
        ),
    )


def _second_opinion(request: AuditRequest) -> SecondOpinion | None:
    """Make up what other measures say, where ``request`` asks for any."""
    displacements = request.deformation.displacements_px if request.deformation else ()
    opinion = SecondOpinion(
        deformation=tuple(
            DeformationRow(displacement_px=px, gradient=0.1 * px, deformation=0.2 * px, noise=0.4 * px, ratio=0.5)
            for px in displacements
        ),
        local_error={name: Magnitude(value=0.25) for name in GENERATORS} if request.local else {},
        variance={"translation": Magnitude(value=0.125)} if request.variance else {},
    )
    return opinion if opinion != SecondOpinion() else None


def is_problem(answer: httpx.Response, status: int, slug: str) -> bool:
    """Assert that ``answer`` is a complete problem of the type ``slug``. Returns True, for use in an assert."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == status
    assert body["detail"]
    assert body["type"] == f"urn:zooaudit:problem:{slug}"
    return True
