"""POST /audit?dry_run=true: what an audit would cost. It refuses what would be refused, and accepts nothing."""

import hashlib
import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from rq.job import JobStatus
from zooaudit.contract import (
    CATALOGUE_KEY,
    DEPTHS_KEY,
    AuditRequest,
    Baseline,
    Catalogue,
    Cost,
    ModelDepth,
    Report,
    audit_id,
    report_key,
)

from service import cost as costs
from service.app import create_app
from service.settings import ServiceSettings
from tests.fakes import ASK, entry, is_problem, report_of

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
NEW = ASK | {"seed": 1, "num_images": 100, "translations_px": [1, 2, 3], "rotations_deg": [90]}
"""A request that no audit has answered yet. Its four transforms and the reference are five views of each image."""
SIZES = {
    "timm/resnet18": ("resnet", 11_700_000, 224),
    "timm/resnet34": ("resnet", 21_800_000, 224),
    "timm/resnet50": ("resnet", 25_600_000, 224),
    "timm/other": ("other", 11_800_000, 224),
    "timm/large_input": ("resnet", 11_700_000, 448),
    "timm/half": ("half", 11_700_000, 160),
}


async def dry_run(http: httpx.AsyncClient, **body: Any) -> Cost:
    answer = await http.post("/audit?dry_run=true", json=NEW | body)
    assert answer.status_code == 200, answer.text
    return Cost.model_validate_json(answer.content)


@pytest.fixture
def sized(redis, published) -> None:  # noqa: ARG001 - it takes the place of the catalogue that was published
    """A catalogue whose models have sizes."""
    entries = tuple(
        entry(name, "a1_in1k", family=family, parameters=parameters, input_size=side)
        for name, (family, parameters, side) in SIZES.items()
    )
    content = Catalogue(entries=entries, datasets={"synthetic": None}).model_dump_json()
    redis.hset(CATALOGUE_KEY, mapping={"version": hashlib.sha256(content.encode()).hexdigest(), "json": content})


@pytest.fixture
def measured(app, store_report) -> Callable[..., Report]:
    """Have an audit measured: 1000 forward images in 100 s after 3 s of preparing, unless arguments say otherwise."""

    def measure(
        model: str = "timm/resnet18",
        at: timedelta = timedelta(),
        device: str = "cpu",
        seconds: float = 103.0,
        preparing_seconds: float | None = 3.0,
        forward_images: int = 1000,
        seeds: int = 0,
        stored: bool = True,
        **request: Any,
    ) -> Report:
        asked = AuditRequest(
            **{**ASK, "model": f"{model}.a1_in1k", "num_images": 200, "translations_px": [1, 2, 3]}
            | {"rotations_deg": [90]}
            | request
        )
        report = report_of(asked)
        family, parameters, side = SIZES.get(model, ("resnet", 1, 224))
        timing = report.timing.model_copy(
            update={
                "finished_at": NOON + at,
                "seconds": seconds,
                "preparing_seconds": preparing_seconds,
                "forward_images": forward_images,
                "images_per_second": forward_images / seconds,
            }
        )
        size = {"family": family, "parameters": parameters, "input_size": side}
        report = report.model_copy(
            update={
                "model": report.model.model_copy(update=size),
                "method": report.method.model_copy(update={"tolerance": asked.tolerance}),
                "environment": report.environment.model_copy(update={"device": device}),
                "baseline": Baseline(seeds=tuple(range(seeds)), parts={}) if seeds else None,
                "timing": timing,
            }
        )
        if stored:
            store_report(report)
        app.state.queue.restore(report)
        app.state.rows.expire()
        return report

    return measure


async def test_nothing_is_accepted(http, redis, tmp_path):
    before = sorted(redis.keys("*"))
    cost = await dry_run(http)
    assert sorted(redis.keys("*")) == before
    assert [path for path in (tmp_path / "store").rglob("*") if path.is_file()] == []
    assert (await http.get("/audit")).json()["audits"] == []
    assert (cost.status, cost.queued, cost.running, cost.workers) == (None, 0, 0, 0)
    real = await http.post("/audit", json=NEW)
    assert (real.status_code, real.json()["id"]) == (202, cost.id)
    assert real.json()["request"] == cost.request.model_dump(mode="json")


@pytest.mark.parametrize(
    "body",
    [
        {"model": "timm/resnet81"},
        {"model": "timm/swin_tiny"},
        {"model": "timm/efficientnet_b7"},
        {"model": "timm/test_vit", "translations_px": [100]},
        {"dataset": "photos", "num_images": 21},
        {"dataset": "nowhere"},
        {"num_images": 0},
        {"weights": "untrained", "baseline": True},
        {"weights": "checkpoint:mine"},
        {"unheard": 1},
    ],
)
async def test_what_would_be_refused_is_refused_in_the_same_words(http, body):
    real = await http.post("/audit", json=ASK | body)
    dry = await http.post("/audit?dry_run=true", json=ASK | body)
    assert real.status_code >= 400
    assert (dry.status_code, dry.content) == (real.status_code, real.content)
    assert dry.headers.get("retry-after") == real.headers.get("retry-after")


async def test_only_yes_or_no_is_an_answer_to_dry_run(http, redis):
    assert is_problem(await http.post("/audit?dry_run=perhaps", json=ASK), 422, "invalid-request")
    assert redis.llen("rq:queue:audits") == 0
    assert (await http.post("/audit?dry_run=false", json=ASK)).status_code == 202


async def test_it_takes_no_room_and_is_refused_where_there_is_none(redis_server, published, tmp_path):  # noqa: ARG001
    settings = ServiceSettings(
        redis_url=redis_server.url, store=str(tmp_path / "store"), api_keys="one", max_queued_per_key=2
    )
    transport = httpx.ASGITransport(create_app(settings))
    key = {"Authorization": "Bearer one"}
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost", headers=key) as http:
        for seed in range(5):
            assert (await dry_run(http, seed=seed)).status is None
        for seed in range(2):
            assert (await http.post("/audit", json=NEW | {"seed": seed})).status_code == 202
        for _ in range(2):
            refused = await http.post("/audit?dry_run=true", json=NEW | {"seed": 2})
            assert is_problem(refused, 429, "too-many-audits")
            assert int(refused.headers["retry-after"]) > 0
        assert (await dry_run(http, seed=1)).status == "queued"  # it exists, so it needs no room
        assert (await http.post("/audit?dry_run=true", json=NEW, headers={"Authorization": ""})).status_code == 401


@pytest.mark.parametrize(
    ("job_status", "status"),
    [
        (JobStatus.QUEUED, "queued"),
        (JobStatus.STARTED, "running"),
        (JobStatus.FINISHED, None),  # its report is lost
        (JobStatus.FAILED, None),
        (JobStatus.CANCELED, None),
    ],
)
async def test_an_audit_that_exists_costs_nothing_and_one_that_would_run_again_does(
    http, set_status, job_status, status
):
    identifier = (await http.post("/audit", json=NEW)).json()["id"]
    set_status(identifier, job_status)
    cost = await dry_run(http)
    assert (cost.id, cost.status) == (identifier, status)
    assert (cost.forward_images == 0, cost.seconds == 0) == (status is not None, status is not None)


async def test_an_audit_that_has_a_report_costs_nothing_whether_or_not_redis_knows_it(http, store_report):
    report = report_of(AuditRequest(**ASK))
    store_report(report)
    cost = await dry_run(
        http, **ASK | {"translations_px": list(range(1, 33)), "rotations_deg": [90, 180, 270], "seed": 0}
    )
    assert cost == Cost(
        id=report.id,
        request=AuditRequest(**ASK),
        status="succeeded",
        forward_images=0,
        certainty="exact",
        seconds=0,
        basis=None,
        queued=0,
        running=0,
        workers=0,
    )


@pytest.mark.parametrize(
    ("asked", "forward_images", "certainty"),
    [
        ({}, 100 * 5, "exact"),
        ({"num_images": 7}, 7 * 5, "exact"),
        ({"rotations_deg": []}, 100 * 4, "exact"),  # fewer transforms need no more passes
        ({"rotations_deg": [90, 180]}, 100 * 6, "at least"),  # more may
        ({"border": "all", "translations_px": [1], "rotations_deg": [90]}, 100 * 5, "exact"),
        ({"baseline": True, "baseline_seeds": 3}, 4 * 100 * 5, "exact"),
        ({"tolerance": 0.01}, 100 * 5, "at most"),
        ({"tolerance": 0.01, "translations_px": [1, 2, 3, 4]}, 100 * 6, "at most about"),
        ({"model": "timm/resnet50.a1_in1k"}, 100 * 5, "at least"),  # nothing is known of its passes
        ({"model": "timm/resnet50.a1_in1k", "tolerance": 0.01}, 100 * 5, "at most about"),
    ],
)
@pytest.mark.usefixtures("sized")
async def test_the_forward_images_by_an_audit_in_one_pass(http, measured, asked, forward_images, certainty):
    measured(forward_images=200 * 5)
    cost = await dry_run(http, **asked)
    assert (cost.forward_images, cost.certainty) == (forward_images, certainty)


@pytest.mark.parametrize(
    ("known", "asked", "forward_images", "certainty"),
    [
        ({"forward_images": 200 * (4 + 2)}, {}, 100 * (4 + 2), "exact"),
        ({"forward_images": 200 * (4 + 4)}, {"translations_px": [1]}, 100 * (2 + 2), "exact"),
        ({"forward_images": 3 * 200 * (4 + 2), "seeds": 2}, {}, 100 * (4 + 2), "exact"),
        ({"forward_images": 200 * (4 + 2)}, {"tolerance": 0.1}, 100 * (4 + 2), "at most about"),
        ({"forward_images": 200 * (4 + 2), "tolerance": 0.1}, {}, 100 * (4 + 1), "at least"),
        ({"forward_images": 1001}, {}, 100 * (4 + 1), "at least"),  # that is no number of passes
        # Other measures go over the images by themselves.
        ({"forward_images": 200 * (4 + 2 + 11), "local": True}, {}, 100 * (4 + 2), "exact"),
        ({"forward_images": 200 * (4 + 2)}, {"consistency_draws": 5}, 100 * (4 + 2 + 10), "exact"),
        (
            {"forward_images": 200 * (4 + 2)},
            {"warps": [{"kind": "rotation", "amounts": [15, 30]}], "translations_px": [1]},
            100 * (4 + 2),
            "exact",
        ),
    ],
)
@pytest.mark.usefixtures("sized")
async def test_the_forward_images_by_an_audit_in_several_passes(
    http, measured, known, asked, forward_images, certainty
):
    measured(**known)
    cost = await dry_run(http, **asked)
    assert (cost.forward_images, cost.certainty) == (forward_images, certainty)


def test_the_passes_lie_between_the_bounds_whatever_fits_into_memory():
    for at_once in range(1, 13):
        for known in range(1, 13):
            speed = SimpleNamespace(transforms=known, passes=math.ceil(known / at_once))
            choice = SimpleNamespace(speed=speed, same_model=True, same_device=True)
            for wanted in range(1, 13):
                request = AuditRequest(model="x", translations_px=tuple(range(1, wanted + 1)), rotations_deg=())
                least, most = costs._passes(request, choice)
                assert 1 <= least <= math.ceil(wanted / at_once) <= most <= wanted
                if wanted == known:
                    assert least == most


@pytest.mark.usefixtures("sized")
async def test_the_seconds_are_those_at_the_speed_of_the_same_model(http, measured):
    report = measured(forward_images=1000, seconds=103, preparing_seconds=3)
    cost = await dry_run(http)
    assert cost.seconds == pytest.approx(3 + 500 / 10)
    assert cost.reason is None
    assert cost.basis.model_dump() == {
        "id": report.id,
        "model": "timm/resnet18.a1_in1k",
        "same_model": True,
        "device": "cpu",
        "finished_at": NOON,
        "forward_images": 1000,
        "images_per_second": 10.0,
        "preparing_seconds": 3.0,
        "scale": 1.0,
    }


@pytest.mark.usefixtures("sized")
async def test_an_old_report_tells_no_seconds_of_preparing(http, measured):
    measured(seconds=100, preparing_seconds=None)
    assert (await dry_run(http)).seconds == pytest.approx(50)


@pytest.mark.usefixtures("sized")
async def test_the_newest_audit_counts_unless_it_was_much_shorter(http, measured):
    first = measured(seconds=103)
    assert (await dry_run(http)).basis.id == first.id
    newer = measured(at=timedelta(hours=1), seconds=53, seed=7)
    assert (await dry_run(http)).seconds == pytest.approx(3 + 500 / 20)
    measured(at=timedelta(hours=2), seconds=9, seed=8, num_images=8, forward_images=40)
    assert (await dry_run(http)).basis.id == newer.id
    assert (await dry_run(http, num_images=10)).basis.forward_images == 40
    # Without any that is long enough, the longest tells most.
    assert (await dry_run(http, num_images=100_000)).basis.forward_images == 1000


@pytest.mark.usefixtures("sized")
async def test_another_precision_tells_nothing(http, measured):
    measured(precision="bfloat16")
    cost = await dry_run(http)
    assert (cost.seconds, cost.basis) == (None, None)
    assert cost.reason == (
        "In float32 no audit of timm/resnet18.a1_in1k has been measured here, nor one of a model of about this size."
    )
    assert (await dry_run(http, precision="bfloat16")).basis.same_model


@pytest.mark.usefixtures("sized")
async def test_a_lost_report_tells_nothing(http, measured, tmp_path):
    kept = measured(seed=3)
    lost = measured(at=timedelta(hours=1))
    (tmp_path / "store" / report_key(lost.id)).unlink()
    assert (await dry_run(http)).basis.id == kept.id


@pytest.mark.usefixtures("sized")
async def test_without_the_same_model_the_nearest_of_its_family_counts(http, measured):
    nearest = measured("timm/other")
    assert (await dry_run(http)).basis.id == nearest.id
    measured("timm/resnet50")  # more than twice the parameters
    measured("timm/large_input")  # four times the pixels
    assert (await dry_run(http)).basis.id == nearest.id
    relative = measured("timm/resnet34", seconds=203)
    cost = await dry_run(http)
    assert (cost.basis.id, cost.basis.same_model) == (relative.id, False)
    assert cost.basis.scale == pytest.approx(11.7 / 21.8)
    assert cost.seconds == pytest.approx(3 + 500 * (11.7 / 21.8) / 5)
    measured("timm/resnet18", at=-timedelta(days=300))
    assert (await dry_run(http)).basis.same_model


@pytest.mark.usefixtures("sized")
async def test_pixels_count_too(http, measured):
    measured("timm/half")
    assert (await dry_run(http)).basis.scale == pytest.approx((224 / 160) ** 2)


@pytest.mark.usefixtures("sized")
async def test_the_present_device_counts_more_than_the_same_model(http, measured):
    old = measured(device="cpu")
    measured("timm/resnet50", at=timedelta(days=1), device="A100")
    assert (await dry_run(http)).basis.id == old.id  # there is nothing better
    assert (await dry_run(http)).certainty == "at least"  # but passes depend on the memory of the device
    near = measured("timm/resnet34", at=timedelta(days=2), device="A100")
    assert (await dry_run(http)).basis.id == near.id
    same = measured(at=timedelta(days=3), device="A100", seed=5)
    assert (await dry_run(http)).basis.id == same.id


async def test_a_model_of_unknown_size_has_a_reason_and_its_depth_tells_the_size(http, redis, measured):
    measured("timm/resnet34")
    body = {"model": "timm/resnet50.a1_in1k"}
    assert (
        "its size, by which another model could stand for it, is not known yet." in (await dry_run(http, **body)).reason
    )
    entries = (
        entry("timm/resnet34", "a1_in1k", parameters=21_800_000),
        entry("timm/resnet50", "a1_in1k", "large_in1k"),
    )
    content = Catalogue(entries=entries, datasets={"synthetic": None}).model_dump_json()
    redis.hset(CATALOGUE_KEY, mapping={"version": "other", "json": content})
    assert "is not known yet" in (await dry_run(http, **body)).reason
    for name, side, scale in (("a1_in1k", 224, 25.6 / 21.8), ("large_in1k", 288, 25.6 / 21.8 * (288 / 224) ** 2)):
        depth = ModelDepth(input_size=side, parameters=25_600_000, blocks=None, blocks_reason="made up")
        redis.hset(DEPTHS_KEY, f"timm/resnet50.{name}", depth.model_dump_json())
        cost = await dry_run(http, model=f"timm/resnet50.{name}")
        assert cost.basis.scale == pytest.approx(scale)


@pytest.mark.usefixtures("sized")
async def test_each_report_is_read_once_and_few_are(http, app, measured, monkeypatch):
    for hour in range(12):
        measured(at=timedelta(hours=hour), seed=hour + 10)
        measured("timm/resnet34", at=timedelta(hours=hour), seed=hour + 10)
    read: list[str] = []
    load = app.state.store.load
    monkeypatch.setattr(app.state.speeds._store, "load", lambda identifier: read.append(identifier) or load(identifier))
    for _ in range(3):
        assert (await dry_run(http)).seconds is not None
        assert len(set(read) - {audit_id(AuditRequest(**NEW))}) <= 11
    wanted = audit_id((await dry_run(http)).request)
    assert max(read.count(identifier) for identifier in set(read) - {wanted}) == 1


@pytest.mark.usefixtures("sized")
async def test_it_tells_what_the_queue_holds(http, redis, set_status):
    ids = [(await http.post("/audit", json=ASK | {"seed": seed})).json()["id"] for seed in range(3)]
    set_status(ids[0], JobStatus.STARTED)
    redis.zadd("rq:wip:audits", {f"{ids[0]}:one": 1e12})
    redis.sadd("rq:workers:audits", "rq:worker:one")
    redis.hset("rq:worker:one", "last_heartbeat", "x")
    cost = await dry_run(http, seed=9)
    assert (cost.queued, cost.running, cost.workers) == (2, 1, 1)
    redis.flushall()


@pytest.mark.usefixtures("sized")
async def test_an_audit_that_is_asked_for_is_estimated_as_its_dry_run(http, app, redis, measured):
    measured()
    cost = await dry_run(http)
    identifier = (await http.post("/audit", json=NEW)).json()["id"]
    assert cost.seconds == pytest.approx(3.0 + 500 / 10)
    assert float(redis.hget(f"zooaudit:audit:{identifier}", "estimated_s")) == pytest.approx(cost.seconds)
    assert app.state.accepted.load(identifier).estimated_s == pytest.approx(cost.seconds)
    other = (await http.post("/audit", json=NEW | {"precision": "bfloat16"})).json()["id"]
    assert not redis.hexists(f"zooaudit:audit:{other}", "estimated_s")
    assert app.state.accepted.load(other).estimated_s is None
