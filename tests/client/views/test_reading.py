"""A report’s sentences follow its numbers and their intervals; its warnings come when they should, and only then."""

import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from zooaudit import Report
from zooaudit.contract import PARTS, TERMS, TRANSFORMS
from zooaudit.views.reading import reading

from tests.client.samples import report, warped_report, whole_report

SHIFTS = tuple(range(1, 33))
Body = dict[str, Any]


def score(channel: float | None, layer: float | None = None, half: float | None = 0.01, **more: Any) -> Body:
    """Make a score whose intervals go ``half`` to each side; ``layer`` is as ``channel`` unless given."""
    layer = channel if layer is None else layer
    body: Body = {"channel": channel, "layer": layer, "by_transform": (), **more}
    if half is not None and channel is not None and layer is not None:
        for name, value in (("channel", channel), ("layer", layer)):
            body[f"{name}_interval"] = (max(0.0, value - half), min(1.0, value + half))
    return body


def body_of(translation: dict[str, Body], rotation: dict[str, Body], **images: Any) -> Body:
    """Make a report of 2000 photographs by the default method, with these scores by part."""
    body = report().model_dump()
    body["parts"] = {
        name: {"blocks": 1, "translation": translation[name], "rotation": rotation[name]} for name in translation
    }
    body["images"] |= {"dataset": "imagenet-val", "count": 2000, "requested": 2000, "groups": 32, **images}
    body["method"] |= {"translations_px": SHIFTS, "rotations_deg": (90, 180, 270)}
    block = {"height": 1, "width": 1, "layout": "NCHW", "dead_channels": 0}
    nothing = {"translation": score(0.5), "rotation": score(0.5)}
    body["blocks"] = [{"name": name, "part": name, "channels": 1000, **block, **nothing} for name in translation]
    return body


def scores_of(*values: float, **more: Any) -> dict[str, Body]:
    return {name: score(value, **more) for name, value in zip(PARTS, values, strict=True)}


def usual() -> Body:
    """A report with nothing to beware of."""
    final = score(
        0.99,
        by_transform=[
            {"shift_px": px, "channel": 0.9, "layer": 0.9, "top1_agreement": share}
            for px, share in ((1, 0.806), (2, 0.7), (32, 0.53))
        ],
    )
    turned = score(
        0.62,
        by_transform=[
            {"angle_deg": angle, "channel": 0.6, "layer": 0.6, "top1_agreement": share}
            for angle, share in ((90, 0.4), (180, 0.35), (270, 0.391))
        ],
    )
    translation = {**scores_of(0.93, 0.9, 0.71, 0.95, 0.99), "Final": final}
    rotation = {**scores_of(0.31, 0.25, 0.1, 0.4, 0.62), "Early": score(0.31, 0.52), "Final": turned}
    return body_of(translation, rotation)


def sentences(body: Body) -> list[str]:
    return [sentence.text for sentence in reading(Report.model_validate(body)).sentences]


def warnings(body: Body) -> list[str]:
    return [warning.text for warning in reading(Report.model_validate(body)).warnings]


def test_the_sentences_of_known_numbers():
    assert sentences(usual()) == [
        "When the image is shifted, its features move with it in Early (0.93) and Middle (0.90), largely in Late "
        "(0.71), less with depth; the pooled features and the output stay the same (Pool 0.95, Final 0.99).",
        "When the image is turned, its features partly turn with it in Early (0.31) and Middle (0.25), hardly in Late "
        "(0.10), less with depth, at every depth less than they move under shifts; in Early some are there in other "
        "channels, as turned copies of filters make them (layer 0.52, channel 0.31); the pooled features partly stay "
        "the same (Pool 0.40), the output largely (Final 0.62).",
        "The predicted class stays the same for 81 % of the 2000 images at a shift of 1 px and for 53 % at 32 px, and "
        "for 40 %, 35 % and 39 % at a rotation by 90°, 180° and 270°.",
    ]
    assert warnings(usual()) == []


def test_what_lies_within_the_intervals_is_no_difference():
    wide = {"half": 0.05}
    alike = body_of(scores_of(0.82, 0.78, 0.76, 0.9, 0.9, **wide), scores_of(0.8, 0.78, 0.77, 0.9, 0.9, **wide))
    shifted, turned = sentences(alike)
    # Early and Late would be on two sides of 0.8; nor is turning called less than moving.
    assert "largely move with it at every depth (Early 0.82, Middle 0.78, Late 0.76);" in shifted
    assert "largely turn with it at every depth (Early 0.80, Middle 0.78, Late 0.77);" in turned
    for text in (shifted, turned):
        assert "less" not in text
        assert "more" not in text
        assert "copies" not in text


def test_without_intervals_nothing_is_called_less_or_more():
    bare = body_of(scores_of(0.9, 0.5, 0.1, 0.9, 0.9, half=None), scores_of(0.1, 0.1, 0.1, 0.1, 0.1, half=None))
    bare["parts"]["Early"]["rotation"]["layer"] = 0.9
    shifted, turned = sentences(bare)
    assert "move with it in Early (0.90), largely in Middle (0.50), hardly in Late (0.10);" in shifted
    assert "hardly turn with it at any depth" in turned
    assert not re.search("less|more|copies", shifted + turned)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.8, "its features move with it"),
        (0.796, "its features move with it"),  # shown as 0.80
        (0.794, "largely move"),
        (0.5, "largely move"),
        (0.494, "partly move"),
        (0.2, "partly move"),
        (0.194, "hardly move"),
        (0.0, "hardly move"),
    ],
)
def test_the_scale_of_words(value, words):
    text, *_ = sentences(body_of(scores_of(*[value] * 5), scores_of(*[value] * 5)))
    assert words in text


def test_what_training_added_and_took():
    def learned(value: float, low: float, high: float) -> Body:
        estimate = {"value": 0.5, "interval": (0.4, 0.6)}
        one = {"pretrained": estimate, "untrained": estimate, "difference": {"value": value, "interval": (low, high)}}
        return dict.fromkeys(("channel", "layer"), one | {"by_seed": (0.5,)})

    unsure, added, taken = learned(0.3, -0.1, 0.7), learned(0.42, 0.4, 0.44), learned(-0.12, -0.2, -0.04)
    body = usual()
    parts = {name: {"translation": unsure, "rotation": unsure} for name in PARTS}
    body["baseline"] = {"seeds": (0,), "parts": parts}
    assert sentences(body)[-1] == (
        "Training changed no channel score of the untrained architecture beyond the intervals."
    )
    parts["Early"] = {"translation": added, "rotation": taken}
    parts["Final"] = {"translation": added, "rotation": unsure}
    assert sentences(body)[-1] == (
        "Against the untrained architecture, training added 0.42 in Early and 0.42 at Final under shifts; "
        "it took away 0.12 in Early under rotation (channel)."
    )


def test_one_image_and_one_shift_are_singular():
    body = report().model_dump()
    body["images"] |= {"count": 1, "skipped": ("a.jpg",)}
    row = {"shift_px": 1, "channel": 0.9, "layer": 0.9, "top1_agreement": 1.0}
    body["parts"]["Final"] |= {"translation": score(0.9, half=None, by_transform=[row])}
    told = [*sentences(body), *warnings(body)]
    assert "The predicted class stays the same for 100 % of the one image at a shift of 1 px." in told
    assert any(text.startswith("1 image is too few for confidence intervals") for text in told)
    assert any(text.startswith("1 image could not be decoded and was left out") for text in told)
    assert any("over a shift of 1 px only" in text for text in told)
    assert not re.search(r"\b1 (images|blocks|channels|shifts)", " ".join(told))


def changed(**sections: Body) -> Body:
    body = usual()
    for name, changes in sections.items():
        body[name] |= changes
    return body


def with_scores(part: str, transform: str, **changes: Any) -> Body:
    body = usual()
    body["parts"][part][transform] |= changes
    return body


def dead(channels: int) -> Body:
    body = usual()
    body["blocks"][2]["dead_channels"] = channels
    return body


def untrained() -> Body:
    body = usual()
    body["model"]["weights"]["kind"] = "untrained"
    return body


NO_WHOLE_SHIFT = {"channel": None, "layer": None, "shifts": 0, "reason": "none"}
MISSING = {"channel": None, "layer": None, "channel_interval": None, "layer_interval": None, "reason": "no classifier"}


@pytest.mark.parametrize(
    ("body", "term", "told"),
    [
        (untrained(), "untrained", "Untrained weights."),
        (changed(images={"dataset": "synthetic"}), "images", "synthetic, not photographs"),
        (changed(images={"skipped": ("a", "b")}), "images", "2 images could not be decoded and were left out"),
        (changed(images={"count": 640, "stopped": "tolerance"}), "tolerance", "ended after 640 of 2000 images"),
        (changed(method={"similarity": "cosine"}), "cosine", "follows the mean of the activations"),
        (changed(method={"precision": "bfloat16"}), "precision", "ran in bfloat16"),
        (changed(method={"precision": "bfloat16", "local": True}), "precision", "may be mostly rounding"),
        (changed(method={"precision": "tf32"}), "precision", "ran in tf32"),
        (changed(method={"translations_px": (1, 2, 8)}), "translation", "over shifts of 1, 2, 8 px only"),
        (changed(method={"translations_px": ()}), "translation", "No shifts were measured"),
        (changed(method={"rotations_deg": (180,)}), "rotation", "over a rotation by 180° only"),
        (changed(method={"rotations_deg": ()}), "rotation", "No rotations were measured"),
        (with_scores("Late", "rotation", channel_interval=(0.05, 0.16)), "interval", "Late channel under rotation"),
        (with_scores("Final", "rotation", **MISSING), "part", "Final under rotation; read the other parts"),
        (
            with_scores("Late", "translation", aligned={"channel": 0.9, "layer": 0.9, "shifts": 1}),
            "aligned",
            "Late (0.71, aligned 0.90)",
        ),
        (with_scores("Late", "translation", aligned=NO_WHOLE_SHIFT), "aligned", "cells of the maps in Late. All are"),
        (
            with_scores("Pool", "rotation", layer=0.5, layer_interval=None, layer_held_out=0.45),
            "layer-held-out",
            "Pool under rotation (0.50, held out 0.45)",
        ),
        (dead(101), "dead-channels", "1 block of 5 has many dead channels (101 of 1000 in Late)"),
    ],
)
def test_each_warning_alone_says_what_is_wrong(body, term, told):
    (warning,) = reading(Report.model_validate(body)).warnings
    assert warning.term == term
    assert told in warning.text


@pytest.mark.parametrize(
    "body",
    [
        dead(100),
        with_scores("Late", "rotation", channel_interval=(0.05, 0.15)),
        # Less than half of what Late lacks to 1.
        with_scores("Late", "translation", aligned={"channel": 0.85, "layer": 0.9, "shifts": 1}),
        with_scores("Pool", "translation", channel=0.96, aligned=NO_WHOLE_SHIFT),
        with_scores("Pool", "rotation", layer=0.5, layer_held_out=0.49),
        with_scores("Pool", "rotation", layer=0.41, layer_held_out=0.35),  # 0.01 above channel: chance adds no more
        with_scores("Pool", "rotation", layer=0.5),  # no held-out score, but chance makes 0.08 only
        changed(method={"similarity": "both", "border": "all"}),
        changed(images={"count": 1999, "stopped": "num_images"}),
    ],
)
def test_no_warning_where_there_is_nothing_to_beware_of(body):
    assert warnings(body) == []


def test_held_out_is_no_better_than_channel_where_it_lies_below():
    held_out_above, held_out_below = (
        warnings(with_scores("Pool", "rotation", layer=0.5, layer_interval=None, layer_held_out=value))
        for value in (0.45, 0.35)
    )
    assert "Read channel or layer held out there" in held_out_above[0]
    assert "Read channel there" in held_out_below[0]


def test_images_that_all_keep_their_class_leave_room_for_others():
    body = with_scores("Final", "rotation", top1_agreement=1.0, top1_agreement_interval=(1.0, 1.0))
    assert warnings(body) == []
    body["images"] |= {"count": 64, "requested": 64}
    assert warnings(body) == [
        "None of 64 images changes its class under rotation, and ±0.000 says no more than that: among other images, up "
        "to 5 % may."
    ]
    body["parts"]["Final"]["rotation"]["top1_agreement"] = 0.99
    assert warnings(body) == []
    turned = {"top1_agreement": 1.0, "top1_agreement_interval": (0.944, 1.0)}  # as reports of now have it
    body["parts"]["Final"]["rotation"] |= turned
    assert warnings(body) == ["None of 64 images changes its class under rotation: among other images, up to 6 % may."]


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ((0.95, 0.65, 0.92), ""),  # it falls and rises
        ((0.95, 0.92, 0.65), ", less with depth"),
        ((0.65, 0.655, 0.92), ", more with depth"),
        ((0.65, 0.92, 0.655), ""),
        ((0.9, 0.901, 0.902), ""),
    ],
)
def test_scores_fall_or_rise_with_depth_only_where_all_parts_say_so(values, told):
    translation = scores_of(*values, 0.9, 0.9)
    (moved,) = [text for text in sentences(body_of(translation, scores_of(*[0.5] * 5))) if "shifted" in text]
    assert re.findall(r", (?:less|more) with depth", moved) == [told][: bool(told)]


def test_few_images_raise_layer_in_reports_without_a_held_out_score():
    body = with_scores("Pool", "rotation", layer=0.5)
    body["images"] |= {"count": 200, "requested": 200}  # of 1000 channels, the best correlates 0.26 by chance
    assert warnings(body) == [
        "With 200 images, chance raises layer at Pool under rotation (0.50): the best of so many channels also picks "
        "chance. Read channel there, or measure more images."
    ]
    body["parts"]["Pool"]["rotation"]["layer"] = (
        0.41  # hardly above channel: there is little that chance can have raised
    )
    assert warnings(body) == []


def test_too_few_images_for_intervals():
    body = body_of(*(scores_of(*[0.9] * 5, half=None) for _ in TRANSFORMS), count=8)
    assert warnings(body) == [
        "8 images are too few for confidence intervals, so nobody knows how sure these scores are; measure 2000 images."
    ]


def test_maps_that_are_too_small_for_some_warps_are_named():
    body = warped_report().model_dump()
    assert not any("too small" in text for text in warnings(body))
    block = body["blocks"][-3]
    for row in block["warp_rotation"]["by_transform"]:
        row |= {"channel": None, "layer": None, "reason": "too few cells"}
    assert not any("too small" in text for text in warnings(body | {"blocks": [block | {"warp_rotation": None}]}))
    block["warp_rotation"]["by_transform"][0].update(channel=0.5, layer=0.5)
    amounts = [row["amount"] for row in block["warp_rotation"]["by_transform"][1:]]
    (told,) = [text for text in warnings(body) if "too small" in text]
    assert told.startswith(f"Some maps in {block['part']} are too small for warp rotation by ")
    assert all(f"{amount:g}°".replace("-", "−") in told for amount in amounts)


def test_reasons_are_told_once_each():
    body = usual()
    for name in ("Early", "Middle"):
        body["parts"][name]["rotation"] = score(None, reason="the map is not square")
    assert warnings(body) == [
        "No score for Early under rotation and Middle under rotation; read the other parts without it. The reason: "
        "the map is not square."
    ]
    assert "in Late (0.10)" in sentences(body)[1]


def test_a_report_without_any_score_says_so():
    nothing = {name: score(None, reason="all channels are dead") for name in PARTS}
    assert sentences(body_of(nothing, nothing)) == ["This report has no score that could be put into words."]


def test_every_statement_has_a_term():
    read = whole_report().reading()
    assert len(read.sentences) == 4
    for statement in (*read.sentences, *read.warnings):
        assert statement.anchor == TERMS[statement.term].anchor


UNITS = st.floats(0, 1)
MAYBE = st.none() | UNITS
INTERVALS = st.none() | st.tuples(UNITS, UNITS).map(sorted).map(tuple)


def any_score(rows: st.SearchStrategy[list[Body]]) -> st.SearchStrategy[Body]:
    return st.fixed_dictionaries(
        {
            **dict.fromkeys(("channel", "layer", "layer_held_out", "top1_agreement"), MAYBE),
            **dict.fromkeys(("channel_interval", "layer_interval"), INTERVALS),
            "reason": st.sampled_from([None, "", "\x1f", "no classifier", "a\nb?"]),
            "by_transform": rows,
        }
    )


def any_rows(key: str) -> st.SearchStrategy[list[Body]]:
    row = st.fixed_dictionaries({key: st.integers(1, 64), "channel": MAYBE, "layer": MAYBE, "top1_agreement": MAYBE})
    return st.lists(row, max_size=4)


ALIGNED = st.none() | st.fixed_dictionaries({"channel": MAYBE, "layer": MAYBE, "shifts": st.integers(0, 3)})
ESTIMATE = st.fixed_dictionaries({"value": st.none() | st.floats(-1, 1), "interval": INTERVALS})


@given(data=st.data())
@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_reading_never_fails_and_is_always_plain_text(data):
    body = usual()
    names = data.draw(st.sets(st.sampled_from(PARTS)))
    body["parts"] = {
        name: {
            "blocks": 1,
            "translation": data.draw(any_score(any_rows("shift_px"))) | {"aligned": data.draw(ALIGNED)},
            "rotation": data.draw(any_score(any_rows("angle_deg"))),
        }
        for name in names
    }
    body["blocks"] = [block | {"channels": data.draw(st.integers(0, 9))} for block in body["blocks"]]
    body["images"]["count"] = data.draw(st.integers(0, 3000))
    body["method"] |= {
        "translations_px": data.draw(st.sampled_from([(), (1,), SHIFTS, (1, 2, 16)])),
        "rotations_deg": data.draw(st.sampled_from([(), (90,), (90, 180, 270)])),
    }
    if data.draw(st.booleans()):
        estimates = {key: data.draw(ESTIMATE) for key in ("pretrained", "untrained", "difference")}
        learned = dict.fromkeys(("channel", "layer"), estimates | {"by_seed": (0.5,)})
        body["baseline"] = {"seeds": (0,), "parts": {name: dict.fromkeys(TRANSFORMS, learned) for name in names}}
    source = Report.model_validate(body)
    read = source.reading()
    assert read.sentences
    for statement in (*read.sentences, *read.warnings):
        text = statement.text
        assert text.endswith((".", "?", "!"))
        assert text.isprintable()
        assert not re.search(r"nan|None|inf\b|[<>`*_{}]|  ", text)
    assert str(source)


def test_dead_channels_of_few_images_are_not_blamed_on_the_weights():
    def warned(count, dead_channels, **channels):
        body = dead(dead_channels)
        body["images"]["count"] = count
        body["parts"]["Late"]["rotation"] |= channels
        body["parts"]["Late"]["translation"] |= channels
        return [text for text in warnings(body) if "dead" in text]

    assert [text.partition("others only")[2] for text in warned(2000, 400)] == ["."]
    assert [text.partition("others only")[2] for text in warned(2000, 600)] == ["; check the weights."]
    assert "few images, channels that seldom respond look dead, too." in warned(40, 600)[0]
    nothing = {"channel": None, "layer": None, "channel_interval": None, "layer_interval": None, "reason": "one image"}
    assert warned(1, 1000, **nothing) == []  # the missing score says it
