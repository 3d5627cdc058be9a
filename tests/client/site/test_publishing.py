"""A published folder: the same each time, never more than ours, and fetched only where something has changed."""

import csv
import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path

import pytest
from zooaudit.contract import Audit, AuditRequest, Import, Links, Progress, Report, sealed
from zooaudit.site import publishing
from zooaudit.site.publishing import ForeignFolder, Published, publish, read_manifest

from tests.client.samples import WHEN
from tests.fakes import report_of


class Store:
    """A service that has reports, and counts how often one is sent."""

    def __init__(self, *reports: Report) -> None:
        self.reports = {report.id: report for report in reports}
        self.sent: list[str] = []

    def audits(self, imported: Iterable[str] = ()) -> list[Audit]:
        return [
            Audit(
                id=report.id,
                status="succeeded",
                request=AuditRequest(model=report.model.name),
                created_at=WHEN,
                started_at=WHEN,
                finished_at=report.timing.finished_at,
                progress=Progress(),
                error=None,
                links=Links(self="", report=""),
                imported=Import(at=WHEN, who="ops") if report.id in imported else None,
            )
            for report in self.reports.values()
        ]

    def fetch(self, identifier: str, unless_sha256: str | None) -> bytes | None:
        content = self.reports[identifier].model_dump_json().encode()  # KeyError is a LookupError
        if hashlib.sha256(content).hexdigest() == unless_sha256:
            return None
        self.sent.append(identifier)
        return content

    def publish(self, folder: Path, title: str = "A zoo", **options: Iterable[str]) -> Published:
        self.sent.clear()
        return publish(folder, title, self.audits(**options), self.fetch)


def measured(model: str, **changes: object) -> Report:
    return sealed(report_of(AuditRequest(model=model, dataset="synthetic", num_images=8, **changes), started_at=WHEN))


@pytest.fixture
def store() -> Store:
    return Store(*(measured(f"timm/{name}.a1_in1k") for name in ("resnet18", "resnet50", "vit_tiny")))


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_site_has_every_report_and_says_what_is_in_it(store, tmp_path):
    done = store.publish(tmp_path / "site")
    assert (done.reports, done.fetched, done.removed, done.lost) == (3, 3, 0, [])
    files = content(tmp_path / "site")
    assert done.written == len(files) - 1
    for identifier, report in store.reports.items():
        assert files[f"reports/{identifier}.json"] == report.model_dump_json().encode()
        assert report.model.name in files[f"reports/{identifier}.html"].decode()
    manifest = json.loads(files.pop("manifest.json"))
    assert manifest["files"] == {path: hashlib.sha256(body).hexdigest() for path, body in sorted(files.items())}


def test_the_table_has_every_digit_and_its_schema_every_column(store, tmp_path):
    store.publish(tmp_path)
    with (tmp_path / "leaderboard.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    (resource,) = json.loads((tmp_path / "datapackage.json").read_text())["resources"]
    fields = {field["name"]: field for field in resource["schema"]["fields"]}
    assert list(rows[0]) == list(fields)
    readme = (tmp_path / "README.md").read_text()
    for name, field in fields.items():
        assert f"| `{name}` | {field['type']} | {field['description']} |" in readme
    read = {"integer": int, "number": float, "boolean": {"true": True, "false": False}.__getitem__}
    for row in rows:
        report = store.reports[row["id"]]
        values = {name: read.get(fields[name]["type"], str)(cell) for name, cell in row.items() if cell}
        assert values["late_rotation_layer"] == report.parts["Late"].rotation.layer
        assert (values["model"], values["parameters"], values["newest"]) == (report.model.name, 1, True)
        assert (values["translations_px"], values["rotations_deg"]) == ("1-32", "90,180,270")
        assert values["finished_at"] == "2026-01-02T03:04:07Z"


def test_the_folder_says_what_lines_must_share_to_be_compared(tmp_path):
    Store(measured("timm/resnet18.a1_in1k", local=True, warps=[{"kind": "rotation", "amounts": [15]}])).publish(
        tmp_path
    )
    (said,) = re.findall(r"compared only between lines of the same (.*)\.", (tmp_path / "README.md").read_text())
    assert {"`warps`", "`local`", "`images_seed`", "`protocol`", "`images_sha256`", "`direction`"} < set(
        re.split(r", | and ", said)
    )


def test_publishing_twice_gives_the_same_bytes_and_fetches_nothing(store, tmp_path):
    store.publish(tmp_path / "one")
    before = content(tmp_path / "one")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "one").rglob("*.*") if path.name != "manifest.json"}
    again = store.publish(tmp_path / "one")
    assert (again.fetched, again.written, store.sent) == (0, 0, [])
    assert content(tmp_path / "one") == before
    assert {path: path.stat().st_mtime_ns for path in times} == times
    other = Store(*reversed(store.reports.values()))
    other.publish(tmp_path / "two")
    assert content(tmp_path / "two") == before


def test_only_what_has_changed_is_fetched_and_what_is_gone_is_removed(store, tmp_path):
    store.publish(tmp_path)
    (tmp_path / "CNAME").write_text("zoo.example")
    gone, changed, kept = store.reports
    del store.reports[gone]
    timing = store.reports[changed].timing.model_copy(update={"finished_at": WHEN, "seconds": 9.0})
    store.reports[changed] = sealed(store.reports[changed].model_copy(update={"timing": timing}))
    new = measured("timm/new.a1_in1k")
    store.reports[new.id] = new
    done = store.publish(tmp_path)
    assert sorted(store.sent) == sorted([changed, new.id])
    assert (done.reports, done.fetched, done.removed) == (3, 2, 2)
    assert {path.stem for path in (tmp_path / "reports").iterdir()} == {changed, kept, new.id}
    assert (tmp_path / "CNAME").read_text() == "zoo.example"
    assert gone not in (tmp_path / "index.html").read_text()
    assert '"seconds":9.0' in (tmp_path / "reports" / f"{changed}.json").read_text()


def test_what_somebody_has_changed_by_hand_is_put_right(store, tmp_path):
    store.publish(tmp_path)
    before = content(tmp_path)
    first, second, _ = store.reports
    (tmp_path / "reports" / f"{first}.json").write_text("{}")
    (tmp_path / "reports" / f"{second}.html").write_text("<p>better</p>")
    next((tmp_path / "assets").glob("site.*.css")).unlink()
    store.publish(tmp_path)
    assert store.sent == [first]
    assert content(tmp_path) == before


def test_another_title_or_an_import_is_seen_on_the_pages(store, tmp_path):
    store.publish(tmp_path)
    first, second, _ = store.reports
    assert store.publish(tmp_path, imported=[first]).fetched == 0
    assert "measured elsewhere" in (tmp_path / "reports" / f"{first}.html").read_text()
    assert "measured elsewhere" not in (tmp_path / "reports" / f"{second}.html").read_text()
    assert store.publish(tmp_path, title="Ours & theirs").fetched == 0
    for path in ("index.html", f"reports/{second}.html"):
        assert "Ours &amp; theirs" in (tmp_path / path).read_text()
    assert "measured elsewhere" not in (tmp_path / "reports" / f"{first}.html").read_text()


def test_a_folder_with_other_peoples_files_is_refused(store, tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(ForeignFolder, match=r"not empty: it has thesis\.tex\. Give a new or empty folder"):
        store.publish(tmp_path)
    assert content(tmp_path) == {"thesis.tex": b"mine"}
    (tmp_path / "manifest.json").write_text('{"name": "my web app"}')
    with pytest.raises(ForeignFolder, match="is not the manifest of a site of zooaudit"):
        store.publish(tmp_path)
    with pytest.raises(ForeignFolder, match="is not a folder"):
        store.publish(tmp_path / "thesis.tex")


def test_a_file_of_others_in_a_site_is_not_replaced(store, tmp_path):
    store.publish(tmp_path)
    new = measured("timm/new.a1_in1k")
    store.reports[new.id] = new
    theirs = tmp_path / "reports" / f"{new.id}.html"
    theirs.write_text("theirs")
    before = content(tmp_path)
    with pytest.raises(ForeignFolder, match=new.id):
        store.publish(tmp_path)
    assert content(tmp_path) == before


def test_a_manifest_cannot_have_other_files_removed(store, tmp_path):
    site, outside = tmp_path / "site", tmp_path / "precious.txt"
    outside.write_text("precious")
    store.publish(site)
    (site / "notes.txt").write_text("notes")
    manifest = json.loads((site / "manifest.json").read_text())
    manifest["files"] |= {
        "../precious.txt": "0",
        str(outside): "0",
        "notes.txt": "0",
        "reports/../../precious.txt": "0",
    }
    (site / "manifest.json").write_text(json.dumps(manifest))
    assert store.publish(site).removed == 0
    assert (outside.read_text(), (site / "notes.txt").read_text()) == ("precious", "notes")


def test_an_interrupted_publication_is_taken_up(store, tmp_path, monkeypatch):
    clean = tmp_path / "clean"
    store.publish(clean)
    site = tmp_path / "site"
    with monkeypatch.context() as patch:
        patch.setattr(publishing, "csv_text", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            store.publish(site)
    assert not (site / "index.html").exists()
    done = store.publish(site)
    assert (done.fetched, store.sent) == (0, [])  # the service says that they are still the reports
    assert content(site) == content(clean)


def test_a_publication_that_was_killed_leaves_nothing_behind(store, tmp_path):
    """Neither in the way of the next one, nor the half of a report that has been withdrawn since."""
    (tmp_path / ".manifest.json.zooaudit").write_text("{")
    store.publish(tmp_path)
    withdrawn = next(iter(store.reports))
    (tmp_path / "reports" / f".{withdrawn}.json.zooaudit").write_text("secret")
    del store.reports[withdrawn]
    store.publish(tmp_path)
    assert not list(tmp_path.rglob("*.zooaudit"))


def test_pages_of_one_version_never_take_the_script_of_another(store, tmp_path, monkeypatch):
    """Neither if the publication by the other is interrupted, nor if a browser has kept the script."""

    def scripts(page: str) -> list[bytes]:
        text = (tmp_path / page).read_text()
        return [(tmp_path / "assets" / name).read_bytes() for name in re.findall(r"assets/([\w.]+)", text)]

    store.publish(tmp_path)
    before = scripts("index.html")
    report_page = f"reports/{next(iter(store.reports))}.html"
    assert (len(before), len(scripts("terms.html")), len(scripts(report_page))) == (2, 1, 3)
    newer = publishing.asset
    monkeypatch.setattr(publishing, "asset", lambda name: newer(name) + "\n")
    with monkeypatch.context() as patch:
        patch.setattr(publishing, "csv_text", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            store.publish(tmp_path)
    assert scripts("index.html") == before
    assert scripts(report_page)[2].endswith(b"\n\n")
    store.publish(tmp_path)
    assert scripts("index.html") == [content + b"\n" for content in before]
    assert len(list((tmp_path / "assets").iterdir())) == 4


def test_a_lost_report_is_named_and_left_out(store, tmp_path):
    audits = store.audits()
    lost = audits[0].id
    del store.reports[lost]
    done = publish(tmp_path, "A zoo", audits, store.fetch)
    assert (done.lost, done.reports) == ([lost], 2)
    assert not list(tmp_path.rglob(f"{lost}*"))
    assert lost not in read_manifest(tmp_path).files


def test_the_leaderboard_has_the_newest_of_each_model_by_each_method(tmp_path):
    older, newer = measured("timm/resnet18.a1_in1k"), measured("timm/resnet18.a1_in1k", repetition=1)
    timing = newer.timing.model_copy(update={"finished_at": newer.timing.finished_at.replace(year=2027)})
    newer = sealed(newer.model_copy(update={"timing": timing, "repetition": 1}))
    other = measured("timm/resnet18.a1_in1k", border="zero")
    Store(older, newer, other).publish(tmp_path)
    page = (tmp_path / "index.html").read_text()
    data = json.loads(page.partition('id="rows">')[2].partition("</script>")[0])
    assert {tuple(row["id"] for row in method["rows"]) for method in data["methods"]} == {(newer.id,), (other.id,)}
    with (tmp_path / "leaderboard.csv").open(newline="") as lines:
        assert {row["id"]: row["newest"] for row in csv.DictReader(lines)} == {
            older.id: "false",
            newer.id: "true",
            other.id: "true",
        }


@pytest.mark.parametrize(
    "text", ["=HYPERLINK(1)", "+1", "-1", "@SUM(1)", "\t=1", "\r=1", "\n=1", " =1", "＝1", "a=1", "a\r=1\n=2"]
)
def test_no_text_in_the_table_is_a_formula(tmp_path: Path, text: str) -> None:
    plain = measured("timm/resnet18.a1_in1k")
    model = plain.model.model_copy(update={"family": text})
    Store(sealed(plain.model_copy(update={"model": model}))).publish(tmp_path)
    with (tmp_path / "leaderboard.csv").open(newline="") as lines:
        (row,) = csv.DictReader(lines)
    assert (row["family"], row["model"]) == (text if text[0] == "a" else f"'{text}", "timm/resnet18.a1_in1k")


def test_a_score_is_shown_as_where_it_is_rounded_once(tmp_path):
    report = measured("timm/resnet18.a1_in1k")
    given = {
        "channel": 0.976468,
        "channel_interval": (0.956468, 0.996468),
        "layer": 0.0754,
        "layer_interval": (0, 0.2516),
    }
    scores = report.parts["Late"].rotation.model_copy(update=given)
    late = report.parts["Late"].model_copy(update={"rotation": scores})
    Store(report.model_copy(update={"parts": report.parts | {"Late": late}})).publish(tmp_path)
    page = (tmp_path / "index.html").read_text()
    rows = json.loads(page.partition('id="rows">')[2].partition("</script>")[0])
    channel, layer, *_ = rows["methods"][0]["rows"][0]["scores"][rows["parts"].index("Late")][1]
    assert [f"{number:.3f}" for number in channel] == ["0.976", "0.020"]  # half of the interval's width
    assert [f"{number:.3f}" for number in layer] == ["0.075", "0.000", "0.252"]  # both ends of one that 0 cuts off


def test_a_report_of_a_newer_service_is_published_whole(store, tmp_path):
    identifier = next(iter(store.reports))
    newer = store.reports[identifier].model_dump(mode="json") | {"new_field": 1}
    done = publish(
        tmp_path,
        "A zoo",
        store.audits(),
        lambda wanted, digest: json.dumps(newer).encode() if wanted == identifier else store.fetch(wanted, digest),
    )
    assert done.reports == 3
    assert json.loads((tmp_path / "reports" / f"{identifier}.json").read_text()) == newer
    assert (tmp_path / "reports" / f"{identifier}.html").is_file()
