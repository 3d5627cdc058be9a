"""The experiments' data: true formats, and what is made of them."""

import numpy as np
import pytest
import torch
from PIL import Image

from experiments.data import Data, DataError, Images, cifar10, digits, mnist, mnist6, rotated
from experiments.validation import validation_folder
from tests.experiments.files import write_cifar10, write_mnist


@pytest.fixture
def grey() -> np.ndarray:
    """Ten images of 28 x 28, no two pixels of which need be equal."""
    return np.random.default_rng(0).integers(0, 256, (10, 28, 28), np.uint8)


def test_the_files_of_mnist_are_read_as_they_are(tmp_path, grey):
    labels = [7, 1, 9, 0, 3, 3, 2, 8, 5, 4]
    write_mnist(tmp_path, (grey, labels), (grey[:2], labels[:2]))
    data = mnist(tmp_path)
    assert data.training.pixels.shape == (10, 3, 28, 28)
    assert all(np.array_equal(data.training.pixels[:, channel].numpy(), grey) for channel in range(3))
    assert data.training.labels[:, 0].tolist() == labels
    assert len(data.validation) == 2


def test_mnist6_has_no_digit_that_a_turn_makes_another_one(tmp_path, grey):
    labels = [7, 1, 9, 0, 3, 3, 2, 8, 5, 6]
    write_mnist(tmp_path, (grey, labels), (grey, labels))
    six = mnist6(mnist(tmp_path))
    assert six.training.labels[:, 0].tolist() == [4, 5, 1, 1, 0, 3]  # 7, 9, 3, 3, 2, 5 among 2, 3, 4, 5, 7, 9
    assert np.array_equal(six.training.pixels[:, 0].numpy(), grey[[0, 2, 4, 5, 6, 8]])
    assert six.classes == (6,)


def test_the_files_of_cifar10_are_read_as_they_are(tmp_path, monkeypatch):
    colour = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), np.uint8)
    write_cifar10(tmp_path, colour, [3, 9, 0, 1], monkeypatch)
    data = cifar10(tmp_path)
    assert len(data.training) == 20
    assert np.array_equal(data.validation.pixels.permute(0, 2, 3, 1).numpy(), colour)
    assert data.validation.labels[:, 0].tolist() == [3, 9, 0, 1]
    assert data.mean == pytest.approx(colour.mean((0, 1, 2)) / 255, abs=1e-6)


def test_a_file_of_cifar10_with_another_checksum_is_not_read(tmp_path, monkeypatch):
    colour = np.zeros((4, 32, 32, 3), np.uint8)
    write_cifar10(tmp_path, colour, [3, 9, 0, 1], monkeypatch)
    with (tmp_path / "cifar-10-batches-py" / "data_batch_2").open("ab") as file:
        file.write(b".")
    with pytest.raises(DataError, match="CIFAR-10 cannot be read"):
        cifar10(tmp_path)


@pytest.mark.parametrize(("read", "place"), [(mnist, "MNIST/raw"), (cifar10, "cifar-10-batches-py")])
def test_absent_files_are_asked_for_by_their_place(tmp_path, read, place):
    with pytest.raises(DataError, match=f"Put its files into .*{place}"):
        read(tmp_path)


def test_half_a_file_is_no_data(tmp_path, grey):
    write_mnist(tmp_path, (grey, [0] * 10), (grey, [0] * 10))
    images = tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte"
    images.write_bytes(images.read_bytes()[:-100])
    with pytest.raises(DataError, match="MNIST cannot be read"):
        mnist(tmp_path)


@pytest.mark.parametrize(
    ("labels", "side", "message"),
    [
        ([0] * 7, 28, "with 7 labels"),
        ([0] * 9 + [10], 28, "the label 10"),
        ([0] * 10, 14, "14, 14"),
    ],
)
def test_files_that_are_not_mnist_are_no_data(tmp_path, grey, labels, side, message):
    pixels = np.ascontiguousarray(grey[:, :side, :side])
    write_mnist(tmp_path, (pixels, labels), (grey, [0] * 10))
    with pytest.raises(DataError, match=message):
        mnist(tmp_path)


def test_mnist6_needs_its_digits(tmp_path, grey):
    write_mnist(tmp_path, (grey, [1] * 10), (grey, [2] * 10))
    with pytest.raises(DataError, match="None of the 10 images"):
        mnist6(mnist(tmp_path))


def test_the_digits_are_those_of_scikit_learn():
    data = digits(28)
    assert (len(data.training), len(data.validation)) == (1438, 359)
    assert data.training.pixels.shape[1:] == (3, 28, 28)
    counts = torch.bincount(torch.cat([data.training.labels, data.validation.labels])[:, 0])
    assert counts.tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]  # as its documentation lists them


def test_images_are_turned_by_the_quarters_that_a_network_is_asked_for():
    data = mnist6(digits(28))
    asked, unasked = rotated(data, 0, predicted=True), rotated(data, 0, predicted=False)
    quarters = asked.training.labels[:, 1]
    assert torch.bincount(quarters).min() > len(quarters) / 5
    for index in range(50):
        turned = torch.rot90(data.training.pixels[index], int(quarters[index]), (1, 2))
        assert torch.equal(asked.training.pixels[index], turned)
    assert torch.equal(asked.training.pixels, unasked.training.pixels)
    assert torch.equal(asked.training.labels[:, :1], data.training.labels)
    assert (asked.classes, unasked.classes) == ((6, 4), (6,))
    assert len({data.sha256, asked.sha256, unasked.sha256}) == 3


def test_the_unshifted_view_is_the_image_itself(tmp_path):
    data = digits(32).limited(10, 3)
    folder = validation_folder(data, 16, tmp_path)
    assert validation_folder(data, 16, tmp_path) == folder
    for index, file in enumerate(sorted(folder.iterdir())):
        picture = np.array(Image.open(file))
        assert picture.shape == (48, 48, 3)
        assert np.array_equal(picture[16:, 16:], data.validation.pixels[index].permute(1, 2, 0).numpy())
        assert (picture[:16] == round(255 * data.mean[0])).all()
        assert (picture[:, :16] == round(255 * data.mean[0])).all()


def test_a_change_of_one_pixel_makes_another_data_set():
    images = Images(torch.zeros(2, 3, 28, 28, dtype=torch.uint8), torch.zeros(2, 1, dtype=torch.int64))
    changed = Images(images.pixels.clone(), images.labels)
    changed.pixels[1, 0, 3, 3] = 1
    assert Data("a", images, images, (2,)).sha256 != Data("a", images, changed, (2,)).sha256
