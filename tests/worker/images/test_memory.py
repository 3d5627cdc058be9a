"""What decoding an image of any kind costs in memory, as a multiple of its pixels."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from worker.images.canvas import MAX_PIXELS, Preprocessing, canvas
from worker.images.decoding import Canvases

SIDE = 3000
BYTES_PER_PIXEL = 17
"""RGB takes 4. WebP needs most, 16: libwebp's two canvases, its frame and Pillow's copy. Progressive CMYK needs 12."""

MEASURE = """
import sys
from functools import partial
from pathlib import Path
from PIL import Image
from worker.images.canvas import Preprocessing
from worker.images.dataset import listing, load_file
from worker.images.decoding import Canvases

def kib(field):
    return int(next(line for line in open("/proc/self/status") if line.startswith(field)).split()[1])

folder = Path(sys.argv[1])
how = Preprocessing(224, 248, Image.Resampling.BICUBIC, (0.5,) * 3, (0.5,) * 3)
decode = lambda name: next(iter(Canvases([name], partial(load_file, folder), how, 256, processes=0)))[1]
decode("small.png")  # brings the decoders' own memory
for name in listing(folder):
    before = kib("VmRSS")
    open("/proc/self/clear_refs", "w").write("5")  # the peak is now the present
    assert not isinstance(decode(name), str), name
    print(name, kib("VmHWM") - before)
"""


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One image of 9 megapixels in each kind of file that has a way of its own to RGB."""
    folder = tmp_path_factory.mktemp("large")
    ramp = np.linspace(0, 255, SIDE).astype(np.uint8)
    image = Image.fromarray(np.stack([np.tile(ramp, (SIDE, 1)), np.tile(ramp[:, None], (1, SIDE))] * 2, 2)[..., :3])
    indexed = image.convert("P", palette=Image.Palette.WEB)
    other = Image.new("P", image.size)
    image.save(folder / "rgb.jpg")
    image.save(folder / "progressive.jpg", progressive=True, subsampling=0)
    image.convert("CMYK").save(folder / "cmyk.jpg")
    image.convert("CMYK").save(folder / "progressive-cmyk.jpg", progressive=True)
    image.save(folder / "still.webp", quality=30, method=0)
    image.save(folder / "rgb.png", compress_level=1)
    image.convert("RGBA").save(folder / "rgba.png", compress_level=1)
    image.convert("LA").save(folder / "grey-alpha.png", compress_level=1)
    indexed.save(folder / "palette-alpha.png", transparency=bytes(range(216)), compress_level=1)
    indexed.save(folder / "animated.gif", save_all=True, append_images=[other])
    sixteen = Image.fromarray(np.tile(ramp, (SIDE, 1)).astype(np.uint16) * 257)
    sixteen.save(folder / "16-bit.tiff")
    sixteen.save(folder / "16-bit.png", compress_level=1)
    sixteen.save(folder / "16-bit.pgm")
    Image.new("RGB", (300, 300)).save(folder / "small.png")
    return folder


def test_decoding_an_image_takes_a_bounded_multiple_of_its_pixels(large: Path) -> None:
    done = subprocess.run([sys.executable, "-c", MEASURE, str(large)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    peaks = {name: int(kib) * 1024 / SIDE**2 for name, kib in map(str.split, done.stdout.splitlines())}
    assert len(peaks) == 14
    assert all(peak < BYTES_PER_PIXEL for peak in peaks.values()), sorted(peaks.items(), key=lambda item: -item[1])
    plain = [peaks[name] for name in ("rgb.jpg", "rgb.png", "palette-alpha.png", "animated.gif", "16-bit.tiff")]
    assert max(plain) < 7, peaks  # a single copy in RGB


def test_an_image_beyond_the_limit_is_named_and_never_decoded(caplog: pytest.LogCaptureFixture) -> None:
    class Undecoded(Image.Image):
        size = (8001, 8000)
        mode = "RGBA"

        def load(self) -> None:  # type: ignore[override]
            raise AssertionError("decoded")

    assert MAX_PIXELS < 8001 * 8000
    how = Preprocessing(224, 248, Image.Resampling.BICUBIC, (0.5,) * 3, (0.5,) * 3)
    decoded = Canvases(
        ["huge.png"], lambda _name: Image.fromarray(canvas(Undecoded(), how, 256)), how, 256, processes=0
    )
    ((name, reason),) = decoded
    assert name == "huge.png"
    assert reason == "an image of 8001 x 8000 px has more than the 64 megapixels that fit into memory"
    assert "huge.png" in caplog.text
    assert "64 megapixels" in caplog.text
