"""A second opinion in both clients, as tables, data frame and figure, and on the command line."""

import json

import httpx
import pytest
from zooaudit import AuditClient, MeasureAgreement
from zooaudit.cli import make_parser, second_opinion
from zooaudit.cli.entry import reporting_errors
from zooaudit.contract import Measure, MeasureMatrix, MeasurePair
from zooaudit.views import figures
from zooaudit.views.figures.measures import ZERO
from zooaudit.views.measure_tables import COLUMNS, measure_tables

from tests.client.samples import CLIENTS, ID, Script, answer, audit, got, report

OTHER = "f" * 32
HOSTILE = "own/<b>$x$</b>"


def matrix(count: int, level: str = "blocks", reason: str | None = None) -> MeasureMatrix:
    """Make a matrix of ``count`` measures, in which no rho occurs twice; every third measure is an error."""
    measures = tuple(
        Measure(name=f"m{n}", label=f"Measure {n}", term="channel", lower_is_better=n % 3 == 2) for n in range(count)
    )
    pairs = [(first, second) for place, first in enumerate(measures) for second in measures[place + 1 :]]
    return MeasureMatrix(
        level=level,
        points=12,
        measures=measures,
        pairs=tuple(
            MeasurePair(
                first=first.name,
                second=second.name,
                rho=None if reason else round(0.9 - 1.7 * place / len(pairs), 4),
                interval=None if reason else (-0.99, 0.99),
                n=12,
                reason=reason,
            )
            for place, (first, second) in enumerate(pairs)
        ),
        summary=f"What {level} say.",
    )


def agreement(*matrices: MeasureMatrix) -> MeasureAgreement:
    many = len(matrices) > 1
    return MeasureAgreement(
        over="models" if many else "blocks",
        audits=(ID, OTHER) if many else (ID,),
        models=("timm/resnet18", HOSTILE) if many else (HOSTILE,),
        matrices=matrices,
        notes=("Mind the sign.",),
    )


ONE = agreement(matrix(3))
MANY = agreement(matrix(3, "depth"), matrix(2, "Late"))


@pytest.mark.parametrize("make", CLIENTS)
async def test_the_clients_ask_for_one_audit_or_for_several(make):
    def serve(request: httpx.Request) -> httpx.Response:
        return answer(MANY if request.url.path.startswith("/comparison") else ONE)

    script = Script(serve)
    http = make("http://service.test", transport=script)
    assert await got(http.second_opinion(ID)) == ONE
    assert await got(http.second_opinion(report())) == ONE  # which has an id, and can be iterated, too
    assert await got(http.second_opinion([ID, OTHER], {ID: 71.5, OTHER: 70})) == MANY
    one, same, several = (request.url for request in script.requests)
    assert one.path == same.path == f"/audit/{ID}/second-opinion"
    assert several.path == "/comparison/second-opinion"
    assert dict(several.params) == {"audits": f"{ID},{OTHER}", "top1": "71.500000,70.000000"}
    with pytest.raises(ValueError, match="several models"):
        await got(http.second_opinion(ID, {ID: 71.5}))


def test_the_data_frame_has_every_pair_once():
    frame = MANY.to_dataframe()
    assert len(frame) == 3 + 1
    late = frame.query("level == 'Late'").to_dict("records")
    (pair,) = MANY.matrices[1].pairs
    found = [late[0][name] for name in ("over", "first", "second", "rho", "low", "high", "n")]
    assert found == ["models", "m0", "m1", pair.rho, -0.99, 0.99, 12]


@pytest.mark.parametrize("count", [0, 1, 2, 7, 8, 30])
def test_the_tables_show_each_rho_once_and_the_pairs_that_agree_least(count):
    shown = agreement(matrix(count))
    assert figures.draw(figures.measures(shown)).data
    head, *pieces = measure_tables(shown)
    assert head.notes == ["What blocks say."]
    squares = [table for table in pieces if "Measure" in table.columns]
    numbers = [cell for table in squares for row in table.rows for cell in row[2:] if cell]
    assert sorted(numbers) == sorted(f"{pair.rho:+.2f}" for pair in shown.matrices[0].pairs)
    assert all(len(table.columns) <= 2 + COLUMNS for table in squares)
    if count > 1:
        least = next(table for table in pieces if "rho" in table.columns)
        pairs = sorted(pair.rho for pair in shown.matrices[0].pairs)
        assert [float(row[1].split()[0]) for row in least.rows] == pytest.approx(pairs[:10], abs=0.006)
    assert "Mind the sign." in repr(shown)
    assert "Measure 2 ↓" in repr(shown) or count < 3


def test_without_a_rho_there_is_the_reason():
    shown = agreement(matrix(3, reason="2 of 2 have both measures; this takes 4."))
    assert "No rho: 2 of 2 have both measures; this takes 4." in repr(shown)
    assert "–" not in [cell for table in measure_tables(shown) for row in table.rows for cell in row]
    figure = figures.measures(shown)
    assert "2 of 2 have both" in json.dumps(figure)
    _, dashes = figure["data"]
    pairs = {(x, y) for x in range(3) for y in range(3) if x != y}
    assert (set(zip(dashes["x"], dashes["y"], strict=True)), dashes["text"]) == (pairs, "–")


def test_the_figure_is_the_matrix_with_blue_for_agreement_and_names_as_text():
    figure = figures.measures(MANY)
    depth, depth_dashes, late, _ = figure["data"]
    assert len(depth["z"]) == 3
    assert depth["z"][0][1] == depth["z"][1][0] == MANY.matrices[0].pairs[0].rho
    assert [depth["z"][n][n] for n in range(3)] == [None] * 3
    assert depth_dashes["x"] == []  # the diagonal is empty
    colours = figure["layout"]["coloraxis"]
    assert depth["coloraxis"] == late["coloraxis"] == "coloraxis"
    assert (colours["cmin"], colours["cmax"]) == (-1, 1)
    assert [colour for _, colour in colours["colorscale"]] == ["#d55e00", ZERO, "#0072b2"]
    assert colours["colorbar"]["ticktext"][::2] == ["−1", "0", "+1"]
    assert figure["layout"]["yaxis"]["ticktext"][2] == "Measure 2 ↓  3"
    assert (late["xaxis"], late["yaxis"]) == ("x2", "y2")
    left, right = (figure["layout"]["margin"][side] for side in "lr")
    assert figure["layout"]["meta"]["narrowest_px"] == left + 3 * 14 + right
    assert "2 models" in figure["layout"]["annotations"][0]["text"]
    alone = figures.measures(ONE)["layout"]["annotations"][0]["text"]
    assert "&lt;b&gt;&#36;x&#36;" in alone
    assert "<b>$" not in alone
    assert MANY.plot().data[0].type == "heatmap"


def asked(*arguments: str) -> tuple[int, list[httpx.URL]]:
    """Run the command, and return its exit code and what it asks for."""

    def serve(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("second-opinion"):
            return answer(MANY if request.url.path.startswith("/comparison") else ONE)
        return answer(audit("succeeded"))

    script = Script(serve)
    with AuditClient("http://service.test", transport=script) as client:
        args = make_parser().parse_args(["second-opinion", *arguments])
        code = reporting_errors(lambda: second_opinion.run(client, args))
    return int(code), [one.url for one in script.requests if one.url.path.endswith("second-opinion")]


def test_the_command_line(capsys, tmp_path):
    code, (url,) = asked(ID)
    assert (code, url.path) == (0, f"/audit/{ID}/second-opinion")
    printed = capsys.readouterr().out
    assert "What blocks say." in printed
    assert "Measure 2 ↓" in printed
    page = tmp_path / "opinion.html"
    code, (url,) = asked(ID, OTHER, "--json", "--html", str(page))
    assert (code, url.params["audits"]) == (0, f"{ID},{OTHER}")
    assert MeasureAgreement.model_validate_json(capsys.readouterr().out) == MANY
    assert "heatmap" in page.read_text()
    accuracies = tmp_path / "top1.csv"
    accuracies.write_text(f"model,top1\n{OTHER},71.5\n")
    assert asked(ID, "--top1", str(accuracies)) == (2, [])
    assert "this is one audit" in capsys.readouterr().err
    _, (url,) = asked(ID, OTHER, "--top1", str(accuracies))
    assert url.params["top1"] == ",71.500000"
