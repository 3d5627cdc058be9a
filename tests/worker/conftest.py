"""Real photographs, those that scikit-image ships, laid out as data sets are."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from zooaudit.contract import Report

from examples.photographs import photograph
from tests.worker.small_audits import audit

COLOUR = ["astronaut", "chelsea", "coffee", "hubble_deep_field", "ihc", "motorcycle_left", "retina", "rocket"]
GREY = ["brick", "camera", "coins", "moon"]


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 12 photographs (4 of them grey), flat, as ImageNet's validation set comes."""
    folder = tmp_path_factory.mktemp("photographs")
    for number, name in enumerate(sorted(COLOUR + GREY), start=1):
        photograph(name).save(folder / f"ILSVRC2012_val_{number:08d}.JPEG", quality=95)
    return folder


@pytest.fixture(scope="session")
def synsets(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same photographs in a folder for each of 3 synsets, as torchvision's ImageFolder wants them."""
    folder = tmp_path_factory.mktemp("synsets")
    for number, file in enumerate(sorted(photographs.iterdir())):
        synset = folder / ("n01440764", "n01443537", "n15075141")[number % 3]
        synset.mkdir(exist_ok=True)
        (synset / file.name).write_bytes(file.read_bytes())
    return folder


@pytest.fixture(scope="session")
def odd_photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One photograph in every form that data sets hold, named by it. ``truncated`` and ``text`` cannot be decoded."""
    folder = tmp_path_factory.mktemp("odd")
    image, grey = photograph("chelsea"), photograph("chelsea").convert("L")
    half = Image.fromarray(np.tile(np.linspace(0, 255, image.width).astype(np.uint8), (image.height, 1)))
    sixteen = np.asarray(grey).astype(np.uint16) * 257
    grey.save(folder / "grey.jpg", quality=95)
    image.convert("CMYK").save(folder / "cmyk.jpg", quality=95)
    Image.fromarray(sixteen).save(folder / "16-bit.png")
    Image.fromarray(sixteen).save(folder / "16-bit.tiff")
    Image.fromarray(sixteen).save(folder / "16-bit.pgm")
    Image.fromarray(sixteen.astype(">u2")).save(folder / "16-bit-big-endian.tif")
    image.quantize(64).save(folder / "palette.png")
    image.quantize(64).save(folder / "palette-transparent.png", transparency=bytes(range(64)))
    image.quantize(64).save(folder / "palette.gif", transparency=3)
    Image.merge("RGBA", (*image.split(), half)).save(folder / "rgba.png")
    Image.merge("RGBA", (*image.split(), half)).save(folder / "rgba.webp", lossless=True)
    Image.merge("LA", (grey, half)).save(folder / "grey-alpha.png")
    grey.convert("1").save(folder / "bilevel.bmp")
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(folder / "rotated-by-exif.JPG", exif=exif, quality=95)
    Image.new("RGB", (1, 1), (200, 100, 50)).save(folder / "tiny.png")
    whole = (folder / "rotated-by-exif.JPG").read_bytes()
    (folder / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "text.jpeg").write_text("This is not an image.")
    return folder


@pytest.fixture(scope="session")
def whole() -> Report:
    """The report of a small audit by both similarities and under all borders."""
    return audit({"similarity": "both", "border": "all"})
