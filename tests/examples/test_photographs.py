"""The photographs: tiles that are real pixels, each of them once."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from examples import photographs
from examples.photographs import NAMES, photograph, tiles, write_tiles


def test_tiles_cover_a_photograph_once_and_are_its_pixels() -> None:
    numbered = Image.fromarray(np.arange(640 * 427, dtype=np.int32).reshape(427, 640))
    cut = [np.asarray(tile) for tile in tiles(numbered)]
    assert [tile.shape for tile in cut] == [(150, 150)] * 8
    pixels = np.concatenate([tile.ravel() for tile in cut])
    assert len(np.unique(pixels)) == len(pixels)
    assert (cut[5] == np.asarray(numbered)[150:300, 150:300]).all()


@pytest.mark.parametrize(("size", "side", "count"), [((900, 600), 200, 12), ((384, 303), 150, 4), ((149, 400), 0, 0)])
def test_tiles_are_a_third_of_the_shorter_side_but_not_too_small(size: tuple[int, int], side: int, count: int) -> None:
    assert [tile.size for tile in tiles(Image.new("L", size))] == [(side, side)] * count


def test_every_photograph_is_in_the_folder(tmp_path: Path) -> None:
    count = write_tiles(tmp_path / "new" / "photographs")
    files = sorted((tmp_path / "new" / "photographs").iterdir())
    assert len(files) == count > 100
    assert {file.stem.rpartition("-")[0] for file in files} == set(NAMES)
    with Image.open(tmp_path / "new" / "photographs" / "coffee-01.png") as tile:
        assert (np.asarray(tile) == np.asarray(photograph("coffee"))[:150, :150]).all()


def test_the_command_line_says_how_to_use_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert photographs.main([str(tmp_path)]) == 0
    count = len(list(tmp_path.iterdir()))
    assert f"--dataset photographs --num-images {count}" in capsys.readouterr().out


def test_without_scikit_image_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(photographs, "find_spec", lambda _name: None)
    assert photographs.main([str(tmp_path / "new")]) == 1
    assert "pip install scikit-image" in capsys.readouterr().err
