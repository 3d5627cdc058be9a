"""What a terminal, a notebook and a figure show of an explanation."""

import base64

from zooaudit import Explanation, LeastEquivariant, figures
from zooaudit.contract import ChannelMaps, ImageSimilarity, PredictedClass, Prediction

MAPS = Explanation(
    audit="0" * 32,
    block="layer1.0",
    part="Early",
    place=3,
    image="<b>odd</b>\x1b.png",
    shift_px=8,
    border="zero",
    precision="float32",
    height=2,
    width=3,
    shown_height=2,
    shown_width=3,
    channels_of_block=64,
    channels=(
        ChannelMaps(
            channel=7,
            strength=0.5,
            correlation=-0.25,
            low=-1.0,
            high=1.0,
            largest_difference=2.0,
            reference=base64.b64encode(bytes([0, 255, 0, 255, 0, 255])).decode(),
            transformed=base64.b64encode(bytes([255, 0, 0, 255, 0, 255])).decode(),
            difference=base64.b64encode(bytes([255, 1, 128, 128, 128, 128])).decode(),
        ),
    ),
    audit_channel=0.75,
    prediction=Prediction(before=PredictedClass(index=281, name="tabby, tabby cat"), after=PredictedClass(index=3)),
)


def test_the_table_of_channels():
    assert str(MAPS).splitlines() == [
        "layer1.0 at 8 px zero, image 3 (<b>odd</b> .png): the 1 strongest channel of 64",
        "Channel  Strength  Correlation  Largest difference",
        "      7       0.5       -0.250                   2",
        "Over 2 x 3 cells of this image. Over all images, the block's channel score at 8 px zero is 0.750.",
        "Predicted class: tabby → 3.",
    ]
    assert "&lt;b&gt;odd" in MAPS._repr_html_()
    assert "No channel of this block varies over the 2 x 3 cells." in str(MAPS.model_copy(update={"channels": ()}))


def test_under_a_warp_the_maps_of_x_are_warped_and_fewer_cells_count():
    warped = MAPS.model_copy(
        update={"shift_px": None, "border": "crop", "warp": "rotation", "amount": -15.0, "cells": 4}
    )
    lines = str(warped).splitlines()
    assert lines[0] == "layer1.0 at warp rotation −15°, image 3 (<b>odd</b> .png): the 1 strongest channel of 64"
    assert lines[3].startswith("Over 4 of 2 x 3 cells of this image.")
    texts = [each["text"] for each in figures.maps(warped)["layout"]["annotations"]]
    assert texts[1:4] == ["of x, warped", "of T(x)", "difference"]


def test_the_figure_has_the_cells_and_no_markup_of_a_name():
    figure = figures.maps(MAPS)
    x, tx, difference = (trace["z"] for trace in figure["data"])
    assert x == [[-1.0, 1.0, -1.0], [1.0, -1.0, 1.0]]
    assert tx == [[1.0, -1.0, -1.0], [1.0, -1.0, 1.0]]
    assert difference == [[2.0, -2.0, 0.0], [0.0, 0.0, 0.0]]
    assert "&lt;b&gt;odd&lt;/b&gt;" in figure["layout"]["annotations"][0]["text"]
    assert len(MAPS.plot().data) == 3  # plotly accepts it


def test_the_table_of_images():
    least = LeastEquivariant(
        audit="0" * 32,
        angle_deg=90,
        border="crop",
        precision="float32",
        images=2,
        changed=1,
        mean_pool=0.5,
        mean_final=None,
        least=(ImageSimilarity(place=1, image="b.png", pool=-0.125, final=None, prediction=MAPS.prediction),),
    )
    assert str(least).splitlines() == [
        "Least similar to themselves at 90°",
        "Place  Image  Predicted class    Pool  Final",
        "1      b.png  tabby → 3        -0.125      –",
        "Mean similarity over 2 images: Pool 0.500, Final –.",
        "1 of them gets another class.",
    ]


def test_the_name_of_a_channel_stands_clear_of_the_maps_above_and_below():
    path = "n01440764/" + "ILSVRC2012_val_" * 6 + ".JPEG"
    layout = figures.maps(MAPS.model_copy(update={"channels": MAPS.channels * 3, "image": path}))["layout"]
    inside_px = layout["height"] - layout["margin"]["t"] - layout["margin"]["b"]
    lowest = [layout[f"yaxis{number}"]["domain"] for number in (4, 7)]  # of the second and the third row
    above = [layout[f"yaxis{number}"]["domain"] for number in ("", 4)]
    names = [one for one in layout["annotations"] if one["text"].startswith("channel")]
    assert len(names) == 3
    for name, (_, top), (bottom, _) in zip(names[1:], lowest, above, strict=True):
        place_px = name["y"] * inside_px + name["yshift"]
        assert bottom * inside_px - place_px >= 5
        assert place_px - top * inside_px >= 20
    title = layout["annotations"][0]["text"].split("<br>")
    assert len(title) == 3
    assert max(map(len, title)) < 75
