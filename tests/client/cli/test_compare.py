"""``zooaudit compare``: which audits and accuracies it compares, and what it prints."""

import json
from pathlib import Path

import httpx
import pytest
from zooaudit import AuditClient
from zooaudit.cli import commands, make_parser
from zooaudit.cli.entry import reporting_errors
from zooaudit.cli.selection import read_top1
from zooaudit.contract import AuditList, AuditRequest

from tests.client.samples import Script, answer, audit, comparison

REPORTS = (  # newest first
    ("timm/resnet18.a1_in1k", {"num_images": 8}),
    ("timm/resnet18.a1_in1k", {"num_images": 2000}),
    ("timm/resnet18.tv_in1k", {"num_images": 2000}),
    ("timm/resnet50.a1_in1k", {"num_images": 2000, "weights": "untrained"}),
    ("torchvision/resnet18", {"num_images": 2000}),
    ("timm/resnet18.a1_in1k", {"weights": "checkpoint:b", "checkpoint_version": "1e"}),
    ("timm/resnet18.a1_in1k", {"weights": "checkpoint:b", "checkpoint_version": "0f"}),
    ("timm/resnet18.a1_in1k", {"weights": "checkpoint:a"}),
)


def identifier(place: int) -> str:
    return f"{place:032x}"


AUDITS = tuple(
    audit("succeeded", identifier(place)).model_copy(update={"request": AuditRequest(model=model, **options)})
    for place, (model, options) in enumerate(REPORTS)
)


def serve(request: httpx.Request) -> httpx.Response:
    if request.url.path == "/comparison":
        return answer(comparison())
    if request.url.path == "/audit":
        assert request.url.params["status"] == "succeeded"
        return answer(AuditList(audits=AUDITS, total=len(AUDITS), next_cursor=None))
    return answer(next(listed for listed in AUDITS if request.url.path == f"/audit/{listed.id}"))


def compare(*arguments: str) -> tuple[int, dict[str, str]]:
    """Run the command, and return its exit code and the query for the comparison."""
    script = Script(serve)
    with AuditClient("http://service.test", transport=script) as client:
        args = make_parser().parse_args(["compare", *arguments])
        code = reporting_errors(lambda: commands.compare(client, args))
    asked = [dict(request.url.params) for request in script.requests if request.url.path == "/comparison"]
    return int(code), asked[0] if asked else {}


@pytest.mark.parametrize(
    ("arguments", "places"),
    [
        ([identifier(3), identifier(1), identifier(3)], [3, 1]),
        (["timm/resnet18.a1_in1k"], [0]),
        (["timm/resnet18"], [0, 2]),
        (["resnet18"], [0, 2, 4]),
        (["resnet*", "--num-images=2000"], [1, 2, 3, 4]),
        (["resnet*", "--num-images=2000", "--weights=pretrained"], [1, 2, 4]),
        (["resnet18", "--weights=checkpoint:*"], [7, 5]),
        (["resnet18", "--weights=checkpoint:b"], [5]),
        ([identifier(4), "timm/resnet*", "--num-images=2000"], [4, 1, 2, 3]),
    ],
)
def test_audits_by_id_and_by_model(arguments, places):
    code, asked = compare(*arguments)
    assert code == 0
    assert asked == {"audits": ",".join(map(identifier, places))}


def test_a_model_without_a_report(capsys):
    assert compare("resnet18", "vit*") == (2, {})
    assert (
        capsys.readouterr().err
        == "No report of vit* matches what was asked for. See: zooaudit list --status succeeded\n"
    )


def test_accuracies_of_a_file_in_the_shape_of_timm_s(tmp_path):
    file = tmp_path / "results-imagenet.csv"
    file.write_text(
        "model,img_size,top1,top1_err,top5,param_count\n"
        "resnet18.a1_in1k,224,71.506,28.494,90.056,11.69\nresnet50.a1_in1k,224,80.214,19.786,94.972,25.56\n"
    )
    _, asked = compare(identifier(0), identifier(3), identifier(4), "--top1", str(file))
    assert asked["top1"] == "71.506000,,"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("model,top5\nresnet18,1\n", "there is no column top1"),
        ("", "there is no column model and no column top1"),
        ("model,top1\nresnet18,good\n", "line 2: top1 is not a number"),
        ("model,top1\nresnet18,nan\n", "line 2: top1 is not a per cent"),
        ("model,top1\nresnet18\n", "line 2: top1 is not a number"),
        (None, "No such file"),
    ],
)
def test_a_file_without_accuracies(tmp_path, content, message):
    file = tmp_path / "top1.csv"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ValueError, match=message) as caught:
        read_top1(Path(file))
    assert str(file) in str(caught.value)


def test_what_is_printed(capsys):
    assert compare(identifier(0))[0] == 0
    tables = capsys.readouterr().out.split("\n\n")
    assert [table.splitlines()[0] for table in tables] == [
        "Translation: channel equivariance, pretrained weights",
        "Rotation: channel equivariance, pretrained weights",
        "Translation: channel equivariance less that of timm/resnet18.a1_in1k",
        "Rotation: channel equivariance less that of timm/resnet18.a1_in1k",
        "Spearman's rho of channel equivariance with ImageNet top-1, and its 95 % interval",
        "Translation given accuracy: channel equivariance above the line over top-1",
        "Rotation given accuracy: channel equivariance above the line over top-1",
    ]
    assert tables[0].splitlines()[2].split() == ["timm/resnet18.a1_in1k", "71.50", *["0.910", "±0.010"] * 5]
    assert tables[2].splitlines()[2].split() == ["timm/resnet34.a1_in1k", *["-0.031", "±0.005"] * 5]
    assert tables[6].splitlines()[3].split() == ["timm/resnet34.a1_in1k", *["-0.020"] * 5]
    assert compare(identifier(0), "--score=layer")[0] == 0
    printed = capsys.readouterr().out
    assert "0.950 ±0.010" in printed
    assert "≈+0.002 ±0.004" in printed
    assert "≈ is a tie: p is 0.05 or more." in " ".join(printed.split())
    assert compare(identifier(0), "--json")[0] == 0
    assert json.loads(capsys.readouterr().out) == comparison().model_dump(mode="json")


def test_the_reference_is_named_like_the_audits(capsys):
    audits = [identifier(1), identifier(2)]
    assert compare(*audits, "--reference", identifier(2))[1]["reference"] == identifier(2)
    code, asked = compare(*audits, "--reference", "resnet50", "--num-images=2000")
    assert code == 0
    assert asked == {"audits": ",".join([*audits, identifier(3)]), "reference": identifier(3)}
    assert compare(*audits, "--reference", "resnet18")[0] == 2
    assert capsys.readouterr().err == "--reference names 3 audits; name one.\n"
