"""The leaderboard: which audits are its rows, its methods, filters and orders, and reports that are not read yet."""

import json
from datetime import timedelta

import obstore
import pytest
from obstore.store import LocalStore
from zooaudit.contract import Leaderboard, Magnitude, Report, report_key

from service.reports import ReportStore
from service.summaries import KEY, Summaries
from tests.fakes import is_problem
from tests.zoo_reports import START, zoo_report, zoo_reports

LATER = START + timedelta(hours=1)


async def board(http, **query) -> Leaderboard:
    answer = await http.get("/leaderboard", params=query)
    assert answer.status_code == 200, answer.text
    return Leaderboard.model_validate_json(answer.content)


@pytest.fixture
def small_zoo(store_report) -> list[Report]:
    """Five models, one of them untrained, of different sizes and accuracies."""
    reports = [
        zoo_report("timm/resnet18.a1", parameters=11_000_000, top1=71.5, scores={"rotation.Late": 0.2}),
        zoo_report("timm/resnet50.a1", parameters=25_000_000, top1=80.0, scores={"rotation.Late": 0.6}),
        zoo_report("timm/vit_base.a1", family="vit", parameters=86_000_000, top1=85.0, scores={"rotation.Late": 0.4}),
        zoo_report("torchvision/vit_b_16", family="vit", parameters=86_000_000, scores={"rotation.Late": None}),
        zoo_report("timm/resnet18.a1", weights="untrained", parameters=11_000_000, scores={"rotation.Late": 0.8}),
    ]
    for report in reports:
        store_report(report)
    return reports


def names(shown: Leaderboard) -> list[str]:
    return [f"{row.model.partition('/')[2]} {row.weights}" for row in shown.rows]


async def test_without_audits_there_is_no_method(http):
    shown = await board(http)
    assert shown == Leaderboard(method=None, methods=(), rows=(), total=0, families={}, pending=0, unreadable=0)


async def test_the_most_equivariant_late_features_come_first_and_rows_without_a_score_last(http, small_zoo):
    shown = await board(http)
    assert names(shown) == [
        "resnet18.a1 untrained",
        "resnet50.a1 pretrained",
        "vit_base.a1 pretrained",
        "resnet18.a1 pretrained",
        "vit_b_16 pretrained",
    ]
    assert (shown.total, shown.pending, shown.unreadable) == (5, 0, 0)
    assert shown.families == {"resnet": 3, "vit": 2}
    report = small_zoo[1]
    row = shown.rows[1]
    assert (row.id, row.finished_at, row.source) == (report.id, report.timing.finished_at, "timm")
    assert row.parts["Late"].rotation.channel_interval == pytest.approx((0.58, 0.62))


async def test_audits_with_reflections_have_a_board_of_their_own(http, store_report, small_zoo):
    mirrors = {"reflections": ["horizontal", "vertical"], "direction": "down"}
    for name, channel in (("a", 0.2), ("b", 0.6)):
        store_report(zoo_report(f"timm/{name}", scores={"reflection.Late": channel}, **mirrors))
    shown = await board(http, reflections="horizontal,vertical", sort="-reflection.Late.channel")
    assert names(shown) == ["b pretrained", "a pretrained"]
    assert shown.method.direction == "down"
    assert shown.rows[0].parts["Late"].reflection.channel == 0.6
    assert names(await board(http, direction="down", sort="reflection.Late.channel")) == names(shown)[::-1]
    assert (await board(http)).total == (await board(http, reflections="none")).total == len(small_zoo)
    assert (await board(http, reflections="vertical")).method is None


async def test_audits_with_warps_and_other_measures_have_a_board_of_their_own(http, store_report, small_zoo):
    asked = {"warps": [{"kind": "rotation", "amounts": [15, 30]}], "deformation": {}, "local": True, "variance": True}
    opinions = {}
    for name, channel, error in (("a", 0.2, 0.4), ("b", 0.6, 0.3)):
        report = zoo_report(f"timm/{name}", scores={"warp_rotation.Late": channel}, consistency_draws=5, **asked)
        late = report.parts["Late"]
        opinions[name] = late.second_opinion.model_copy(update={"local_error": {"shear": Magnitude(value=error)}})
        parts = {**report.parts, "Late": late.model_copy(update={"second_opinion": opinions[name]})}
        store_report(report.model_copy(update={"parts": parts}))
    query = {"warps": "rotation:30,15", "deformation": "0.5,1,2,4", "local": True, "variance": True}
    shown = await board(http, consistency_draws=5, sort="-warp_rotation.Late.channel", **query)
    assert names(shown) == ["b pretrained", "a pretrained"]
    late = shown.rows[0].parts["Late"]
    assert late.warp_rotation.interpolation == 0.95
    assert late.second_opinion == opinions["b"]
    assert shown.rows[0].consistency.value == 0.9
    assert names(await board(http, sort="-local_error.Late.shear", **query)) == ["a pretrained", "b pretrained"]
    for column in ("consistency", "deformation.Late.ratio", "variance.Late.translation"):
        assert (await board(http, sort=column, **query)).total == 2
    others = {"warps": "none", "deformation": "none", "local": False, "variance": False, "consistency_draws": 0}
    assert (await board(http)).total == (await board(http, **others)).total == len(small_zoo)
    for name, value in (("warps", "rotation:15"), ("deformation", "1"), ("consistency_draws", 4)):
        assert (await board(http, **{name: value})).method is None
    for wrong in ({"warps": "rotation"}, {"warps": "rotation:x"}, {"warps": "scale:3"}, {"deformation": "1:x"}):
        assert is_problem(await http.get("/leaderboard", params=wrong), 422, "invalid-request")


@pytest.mark.parametrize(
    ("sort", "first", "last"),
    [
        ("rotation.Late.channel", "resnet18.a1 pretrained", "vit_b_16 pretrained"),
        ("imagenet_top1", "resnet18.a1 pretrained", "vit_b_16 pretrained"),
        ("-imagenet_top1", "vit_base.a1 pretrained", "vit_b_16 pretrained"),
        ("-parameters", "vit_base.a1 pretrained", "resnet18.a1 untrained"),
        ("model", "resnet18.a1 pretrained", "vit_b_16 pretrained"),
        ("-source", "vit_b_16 pretrained", "vit_base.a1 pretrained"),
    ],
)
async def test_it_sorts_by_any_column(http, small_zoo, sort, first, last):
    shown = names(await board(http, sort=sort))
    assert len(shown) == len(small_zoo)
    assert (shown[0], shown[-1]) == (first, last)


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ({"q": "RESNET a1"}, 3),
        ({"q": "18 resnet"}, 2),
        ({"q": " "}, 5),
        ({"q": "é"}, 0),
        ({"family": "vit"}, 2),
        ({"source": "torchvision"}, 1),
        ({"weights": "untrained"}, 1),
        ({"weights": "pretrained"}, 4),
        ({"weights": "pre"}, 0),
        ({"min_parameters": 25_000_000}, 3),
        ({"max_parameters": 11_000_000}, 2),
        ({"min_top1": 80}, 2),
        ({"max_top1": 75.5}, 1),
        ({"min_top1": 0}, 3),
        ({"q": "vit", "min_top1": 0}, 1),
    ],
)
async def test_filters_leave_rows_out(http, small_zoo, query, count):
    shown = await board(http, **query)
    assert (len(shown.rows), shown.total) == (count, count)
    assert sum(shown.families.values()) == len(small_zoo)


async def test_pages_follow_each_other(http, small_zoo):
    pages = [await board(http, sort="model", limit=2, offset=offset) for offset in (0, 2, 4, 6)]
    assert [len(page.rows) for page in pages] == [2, 2, 1, 0]
    assert {page.total for page in pages} == {5}
    assert len({row.id for page in pages for row in page.rows}) == len(small_zoo)


async def test_the_newest_audit_of_a_model_and_its_weights_is_its_row(http, store_report):
    old = zoo_report("timm/resnet18.a1", START)
    new = zoo_report("timm/resnet18.a1", LATER, repetition=1)
    first = zoo_report("timm/resnet18.a1", START, weights="checkpoint:run", version="0" * 16)
    second = zoo_report("timm/resnet18.a1", LATER, weights="checkpoint:run", version="1" * 16)
    for report in (new, old, second, first):
        store_report(report)
    shown = await board(http)
    assert {row.id for row in shown.rows} == {new.id, second.id}
    assert {row.weights for row in shown.rows} == {"pretrained", "checkpoint:run@11111111"}
    assert [method.models for method in shown.methods] == [1]
    for weights, count in (("checkpoint", 1), ("checkpoint:run", 1), ("checkpoint:ru", 0)):
        assert (await board(http, weights=weights)).total == count


async def test_only_audits_of_one_method_on_the_same_images_are_compared(http, small_zoo, store_report):
    for number in range(2):
        store_report(zoo_report(f"timm/m{number}", num_images=500, translations_px=(1, 2, 3, 8), tolerance=0.01))
    store_report(zoo_report("timm/other", images_sha256="ab" * 32))
    shown = await board(http)
    assert [method.models for method in shown.methods] == [4, 2, 1]
    assert shown.method == shown.methods[0].method
    assert shown.total == len(small_zoo)
    for query, total in (
        ({"num_images": 500}, 2),
        ({"translations_px": "1-3,8"}, 2),
        ({"translations_px": "1,2,3"}, 0),
        ({"tolerance": "0.01"}, 2),
        ({"tolerance": "none"}, 5),
        ({"images_sha256": "abab"}, 1),
        ({"images_sha256": "00", "dataset": "imagenet-val"}, 5),
        ({"precision": "bfloat16"}, 0),
    ):
        found = await board(http, **query)
        assert (found.total, found.method is None) == (total, total == 0), query
        assert len(found.methods) == 3


async def test_a_wrong_query_is_refused_and_says_why(http, small_zoo):
    assert small_zoo
    for query, words in (
        ({"sort": "accuracy"}, "'accuracy' is no column; there are model, family"),
        ({"limit": 0}, "limit"),
        ({"fam": "vit"}, "fam: there is no such field"),
        ({"translations_px": "many"}, "translations_px: Input should be a list of whole numbers such as 1,2,8 or 1-32"),
        ({"rotations_deg": "270-90"}, "rotations_deg: Input should be a list of whole numbers such as"),
        ({"tolerance": "nan"}, "tolerance: Input should be a width such as 0.05, or none"),
        ({"images_sha256": "ABC"}, "images_sha256: Input should be the start of a hash"),
        ({"min_top1": "high"}, "min_top1"),
    ):
        answer = await http.get("/leaderboard", params=query)
        assert is_problem(answer, 422, "invalid-request")
        assert words in answer.json()["detail"]


async def test_an_unchanged_leaderboard_is_not_sent_again(http, small_zoo, store_report, app):
    for encoding in ("gzip", "identity"):
        answer = await http.get("/leaderboard", headers={"Accept-Encoding": encoding})
        assert answer.headers.get("Content-Encoding", "identity") == encoding
        assert len(answer.json()["rows"]) == len(small_zoo)
        seen = {"If-None-Match": answer.headers["ETag"], "Accept-Encoding": encoding}
        assert (await http.get("/leaderboard", headers=seen)).status_code == 304
    new = zoo_report("timm/new")
    store_report(new)
    app.state.recovery.restore(new.id)
    app.state.rows.expire()
    assert (await http.get("/leaderboard", headers=seen)).status_code == 200


async def test_lost_and_damaged_reports_are_counted(http, small_zoo, tmp_path):
    assert len((await http.get("/audit")).json()["audits"]) == len(small_zoo)
    (tmp_path / "store" / report_key(small_zoo[0].id)).unlink()
    (tmp_path / "store" / report_key(small_zoo[1].id)).write_text("{}")
    shown = await board(http)
    assert (shown.total, shown.unreadable, shown.pending) == (3, 2, 0)


async def test_reports_that_are_not_read_yet_are_counted(app, small_zoo, monkeypatch):
    summaries = app.state.summaries
    monkeypatch.setattr(app.state.store, "head", lambda _: pytest.fail("a request must not wait for this"))
    monkeypatch.setattr(summaries, "_want", lambda _: None)
    known = summaries.of([report.id for report in small_zoo])
    assert (known.summaries, known.pending, known.unreadable) == ((), 5, 0)


async def test_audits_that_redis_has_lost_and_that_are_not_restored_yet_are_counted(http, app, small_zoo, monkeypatch):
    with monkeypatch.context() as slow:
        slow.setattr(app.state.recovery, "ensure_all_restored", lambda _: None)
        answer = await http.get("/leaderboard")
    assert (answer.json()["rows"], answer.json()["pending"]) == ([], len(small_zoo))
    assert answer.headers["Retry-After"] == "2"
    assert ((await board(http)).total, (await board(http)).pending) == (len(small_zoo), 0)


async def test_a_store_that_does_not_answer_is_no_empty_leaderboard(http, small_zoo, monkeypatch):
    assert (await http.get("/audit")).json()["total"] == len(small_zoo)

    def fail(*_):
        raise OSError("no route to host")

    with monkeypatch.context() as broken:
        broken.setattr(obstore, "get", fail)
        assert is_problem(await http.get("/leaderboard"), 503, "store-unavailable")
    assert (await board(http)).total == len(small_zoo)


def test_summaries_come_from_redis_after_a_restart_and_from_the_store_after_redis_was_emptied(redis, tmp_path):
    folder = tmp_path / "store" / "reports"
    folder.mkdir(parents=True)
    reports = list(zoo_reports(300))
    for report in reports:
        (folder / f"{report.id}.json").write_text(report.model_dump_json())
    ids = [report.id for report in reports]
    reads: list[str] = []

    class Counting(ReportStore):
        def head(self, identifier):
            reads.append(identifier)
            return super().head(identifier)

    def fresh() -> Summaries:
        reads.clear()
        return Summaries(Counting(LocalStore(tmp_path / "store")), redis)

    first = fresh().of(ids, wait_s=60)
    assert sorted(reads) == sorted(ids)
    assert (len(first.summaries), first.pending) == (300, 0)
    again = fresh().of(ids, wait_s=60)
    assert reads == []
    assert [one.json for one in again.summaries] == [one.json for one in first.summaries]
    redis.hset(KEY, mapping={ids[0]: "{}", ids[1]: first.summaries[2].json})
    assert [one.json for one in fresh().of(ids, wait_s=60).summaries] == [one.json for one in first.summaries]
    assert sorted(reads) == sorted(ids[:2])
    redis.flushdb()
    assert len(fresh().of(ids, wait_s=60).summaries) == 300
    assert sorted(reads) == sorted(ids)


def test_a_forgotten_report_is_read_again(redis, tmp_path):
    (tmp_path / "store" / "reports").mkdir(parents=True)
    report = zoo_report("timm/resnet18.a1")
    path = tmp_path / "store" / report_key(report.id)
    path.write_text(report.model_dump_json())
    summaries = Summaries(ReportStore(LocalStore(tmp_path / "store")), redis)
    assert summaries.of([report.id]).summaries[0].row.finished_at == report.timing.finished_at
    later = zoo_report("timm/resnet18.a1", LATER)
    path.write_text(later.model_dump_json())
    summaries.forget(report.id)
    assert summaries.of([report.id]).summaries[0].row.finished_at == later.timing.finished_at


def test_the_start_of_a_service_reads_all_reports(redis, tmp_path):
    (tmp_path / "store" / "reports").mkdir(parents=True)
    report = zoo_report("timm/resnet18.a1")
    (tmp_path / "store" / report_key(report.id)).write_text(report.model_dump_json())
    summaries = Summaries(ReportStore(LocalStore(tmp_path / "store")), redis)
    summaries._want_all()
    assert summaries._idle.wait(30)
    assert json.loads(redis.hget(KEY, report.id))["row"]["model"] == "timm/resnet18.a1"
