"""Deformation stability: the fields, the deformed images, and D, G and R of networks for which they are known."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.worker.measure.probes.stacks import blurred, interpolated, outputs, representations, statistics
from worker.measure.probes.deformation import ALONE, DEAF, Deformation, DeformationSums, Fields, deformed, noise
from worker.measure.probes.statistic import CONSTANT, NOT_FINITE
from worker.measure.transforms import Views
from worker.measure.warps import Taps

CPU = torch.device("cpu")
SEED = 7


def field(place: int, cutoff: int, points: np.ndarray, size: int) -> np.ndarray:
    """The unscaled displacements at points (..., 2) of the view, in px, from their definition."""
    drawn = np.random.default_rng([SEED, place, 0]).standard_normal((2, cutoff, cutoff))
    u, v = points[..., 0] / size, points[..., 1] / size
    found = np.zeros(points.shape)
    for i in range(1, cutoff + 1):
        for j in range(1, cutoff + 1):
            if i * i + j * j <= cutoff * cutoff:
                wave = np.sin(i * np.pi * u) * np.sin(j * np.pi * v)
                found += wave[..., None] * drawn[:, i - 1, j - 1] / np.sqrt(i * i + j * j)
    return found


def pixels(size: int) -> np.ndarray:
    return np.stack(np.meshgrid(np.arange(size) + 0.5, np.arange(size) + 0.5, indexing="ij"), -1)


def sums_of(layers, views: Views, displacements: tuple[float, ...] = (1.0,), cutoff: int = 3) -> DeformationSums:
    return DeformationSums(
        Deformation(displacements, cutoff), representations(layers, views.size), views, SEED, torch.device("cpu")
    )


def values(found, name: str) -> list[float | None]:
    return [each.value for each in found[name]]


@pytest.mark.parametrize("cutoff", [2, 3, 8])
def test_fields_are_scaled_to_a_mean_length_and_their_gradient_is_that_of_finite_differences(cutoff: int) -> None:
    size, step = 24, 1e-5
    fields = Fields.drawn(SEED, [0, 5], cutoff, size, CPU)
    for number, place in enumerate((0, 5)):
        expected = field(place, cutoff, pixels(size), size)
        length = np.linalg.norm(expected, axis=-1).mean()
        of_mean_1 = fields.of_mean_1[number].permute(1, 2, 0).double().numpy()
        np.testing.assert_allclose(of_mean_1, expected / length, atol=1e-6)
        assert np.linalg.norm(of_mean_1, axis=-1).mean() == pytest.approx(1, abs=1e-6)
        squared = 0.0
        for axis in np.eye(2):
            ahead, behind = (field(place, cutoff, pixels(size) + sign * step * axis, size) for sign in (1, -1))
            squared += np.square((ahead - behind) / (2 * step * length)).sum(-1).mean()
        assert float(fields.squared_gradients[number]) == pytest.approx(squared, rel=1e-8)


def test_fields_vanish_at_the_border_and_differ_from_image_to_image_and_from_axis_to_axis() -> None:
    corners = np.array([[0.0, 3.0], [24.0, 3.0], [3.0, 0.0], [3.0, 24.0]])
    assert abs(field(0, 3, corners, 24)).max() < 1e-12
    one, other = Fields.drawn(SEED, [0, 1], 3, 24, CPU).of_mean_1
    assert (one - other).abs().max() > 0.1
    assert (one[0] - one[1]).abs().max() > 0.1


def test_coefficients_have_the_variances_of_the_definition() -> None:
    coefficients = Fields.drawn(SEED, range(4000), 3, 24, CPU).coefficients
    expected = torch.tensor([[1 / 2, 1 / 5, 0], [1 / 5, 1 / 8, 0], [0, 0, 0]], dtype=torch.float64)
    torch.testing.assert_close(coefficients.square().mean((0, 1)), expected, rtol=0.06, atol=0)


def test_a_constant_field_of_whole_pixels_shifts_the_window() -> None:
    canvas = torch.randn(2, 3, 20, 20)
    moved = torch.tensor([2.0, -3.0]).view(1, 2, 1, 1).expand(2, 2, 10, 10)
    torch.testing.assert_close(deformed(canvas, moved, 4), canvas[:, :, 2:12, 7:17], rtol=0, atol=0)


def test_a_deformed_view_is_interpolated_as_warped_ones_are_and_repeats_the_border_of_the_canvas() -> None:
    canvas = torch.randn(2, 3, 14, 14)
    moved = 6 * torch.randn(2, 2, 10, 10)
    found = deformed(canvas, moved, 3)
    for image in range(2):
        places = 3 + pixels(10) - moved[image].permute(1, 2, 0).double().numpy()
        taps = Taps.at(places.reshape(-1, 2), 14, 14)
        expected = taps.of(canvas[image].flatten(1).T[None]).transpose(1, 2).view(3, 10, 10)
        torch.testing.assert_close(found[image], expected, rtol=1e-4, atol=1e-5)
        assert places.min() < 0
        assert places.max() > 14


def test_noise_has_length_1_and_is_that_of_its_image() -> None:
    both = noise(SEED, [3, 4], 16, CPU)
    torch.testing.assert_close(both.flatten(1).norm(dim=1), torch.ones(2))
    torch.testing.assert_close(noise(SEED, [4], 16, CPU)[0], both[1], rtol=0, atol=0)
    assert (both[0] - both[1]).abs().max() > 0.01


def test_the_noise_of_a_large_image_is_as_long_as_its_deformation() -> None:
    """A float32 sum of its three million squares would be off by 1e-4."""
    views, canvas = Views(1000, 4), blurred(2, 1008, 0)
    found = statistics(sums_of([nn.Identity()], views, (0.5,)), [nn.Identity()], canvas, [0, 1])
    assert found["ratio/0.5"][0].value == pytest.approx(1, abs=1e-5)


def test_images_themselves_are_as_stable_to_deformations_as_to_noise() -> None:
    """R of the identity is 1, because the noise is as long as tau x - x, and the gradient grows as the displacement."""
    views, canvas = Views(16, 4), blurred(6, 24, 0)
    found = statistics(sums_of([nn.Identity()], views, (0.5, 2.0)), [nn.Identity()], canvas, [0, 0, 1, 1, 2, 2])
    for displacement in ("0.5", "2"):
        (ratio,) = found[f"ratio/{displacement}"]
        assert ratio.value == pytest.approx(1, abs=1e-5)
        assert ratio.deviations == pytest.approx(np.zeros(3), abs=1e-5)
        assert found[f"deformation/{displacement}"][0].value == pytest.approx(found[f"noise/{displacement}"][0].value)
    assert found["gradient/2"][0].value == pytest.approx(4 * found["gradient/0.5"][0].value)
    assert values(found, "deformation/0.5")[0] < values(found, "deformation/2")[0]


def test_r_of_a_linear_map_is_that_of_its_jacobian() -> None:
    """Noise of length s moves A x by s^2 |A|^2 / pixels on average, so R = E|A (tau x - x)|^2 / (E|tau x - x|^2 |A|^2 /
    pixels): here A averages over 4 x 4 pixels, which deformations of smooth images pass and noise does not."""
    views, canvas = Views(16, 4), blurred(64, 24, 1)
    layers = [lambda view: functional.avg_pool2d(view, 4).flatten(1)]
    found = statistics(sums_of(layers, views, (1.0,)), layers, canvas, [0] * 64)
    jacobian = torch.func.jacrev(lambda view: layers[0](view[None])[0])(torch.zeros(3, 16, 16))
    jacobian = jacobian.flatten(1).double().numpy()
    np.testing.assert_allclose(np.square(jacobian).sum(), 3 * 16 / 16)  # each of 48 means has 16 weights of 1/16
    view = canvas[:, :, 4:20, 4:20].double().flatten(1).numpy()
    change, isotropic = np.zeros((2, *view.shape))
    for image in range(64):
        tau = field(image, 3, pixels(16), 16)
        tau /= np.linalg.norm(tau, axis=-1).mean()
        moved = interpolated(canvas[image].permute(1, 2, 0).double().numpy(), (4 + pixels(16) - tau).reshape(-1, 2))
        change[image] = moved.T.flatten() - view[image]
        drawn = np.random.default_rng([SEED, image, 1]).standard_normal((3, 16, 16), dtype=np.float32).flatten()
        isotropic[image] = drawn * np.linalg.norm(change[image]) / np.linalg.norm(drawn)
    of_views = view @ jacobian.T
    pairs = np.square(of_views[:, None] - of_views).sum(-1).sum() / (64 * 63)
    d, g = (np.square(moved @ jacobian.T).sum(1).mean() / pairs for moved in (change, isotropic))
    assert values(found, "deformation/1") == pytest.approx([d], rel=1e-5)
    assert values(found, "noise/1") == pytest.approx([g], rel=1e-5)
    expected = np.square(change @ jacobian.T).sum() / (np.square(change).sum() * np.square(jacobian).sum() / 768)
    assert values(found, "ratio/1") == pytest.approx([expected], rel=0.1)
    assert expected > 5


class BlurPool(nn.Module):
    """Max over 2 x 2 pixels at stride 1, then binomial blur at stride 2 (Zhang 2019)."""

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        line = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
        kernel = torch.outer(line, line).expand(maps.shape[1], 1, 4, 4)
        dense = functional.max_pool2d(functional.pad(maps, (0, 1, 0, 1), mode="replicate"), 2, 1)
        around = functional.pad(dense, (1, 1, 1, 1), mode="replicate")
        return functional.conv2d(around, kernel, stride=2, groups=maps.shape[1])


def test_blur_pool_is_more_stable_than_max_pool() -> None:
    views, canvas, found = Views(32, 4), blurred(16, 40, 0, 1.0), {}
    for name, pool in (("max", nn.MaxPool2d(2)), ("blur", BlurPool())):
        torch.manual_seed(0)
        convolutions = [nn.Sequential(nn.Conv2d(width, 16, 3, padding=1), nn.ReLU()) for width in (3, 16, 16)]
        layers = [layer for convolution in convolutions for layer in (convolution, pool)]
        found[name] = statistics(sums_of(layers, views, (0.5,)), layers, canvas, [0] * 16)
    for measure, least in (("deformation", 0.6), ("ratio", 1.0)):
        blur, largest = (np.array(values(found[name], f"{measure}/0.5")) for name in ("blur", "max"))
        assert blur[0] == pytest.approx(largest[0])
        assert (blur[3:] < least * largest[3:]).all()
        assert blur[-1] < 0.3 * largest[-1]


def small_network() -> list[nn.Module]:
    torch.manual_seed(1)
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 5))
    return [
        nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU()),
        nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(8, 6, 3, padding=1), nn.GELU()),
        head,
    ]


def test_everything_equals_a_recomputation_in_float64() -> None:
    views, count, displacements = Views(12, 3), 7, (0.5, 3.0)
    canvas, groups, layers = blurred(count, 18, 2, 1.0) + 0.5, [0, 0, 3, 3, 3, 9, 9], small_network()
    found = statistics(sums_of(layers, views, displacements, 4), layers, canvas, groups)
    exact = [layer.double() for layer in small_network()]
    canvas = canvas.double()
    reference = [maps.detach().flatten(1).numpy() for maps in outputs(exact, canvas[:, :, 3:15, 3:15])]
    for displacement in displacements:
        gradients, moved, noisy = [], [], []
        for image in range(count):
            tau = field(image, 4, pixels(12), 12)
            scale = displacement / np.linalg.norm(tau, axis=-1).mean()
            ahead, behind = (
                [field(image, 4, pixels(12) + sign * 1e-5 * axis, 12) for axis in np.eye(2)] for sign in (1, -1)
            )
            gradients.append(np.square(scale * (np.array(ahead) - behind) / 2e-5).sum(0).sum(-1).mean())
            places = (3 + pixels(12) - scale * tau).reshape(-1, 2)
            warped = interpolated(canvas[image].permute(1, 2, 0).numpy(), places).T.reshape(3, 12, 12)
            view = canvas[image, :, 3:15, 3:15].numpy()
            drawn = np.random.default_rng([SEED, image, 1]).standard_normal((3, 12, 12), dtype=np.float32).astype(float)
            moved.append(warped)
            noisy.append(view + drawn / np.linalg.norm(drawn) * np.linalg.norm(warped - view))
        assert values(found, f"gradient/{displacement:g}") == pytest.approx([np.sqrt(np.mean(gradients))], rel=1e-6)
        of_moved, of_noisy = (outputs(exact, torch.from_numpy(np.array(images))) for images in (moved, noisy))
        for index, f in enumerate(reference):
            pairs = [np.square(f[i] - f[j]).sum() for i in range(count) for j in range(count) if i != j]
            above, below = (
                np.square(maps[index].detach().flatten(1).numpy() - f).sum(1) for maps in (of_moved, of_noisy)
            )
            assert found[f"deformation/{displacement:g}"][index].value == pytest.approx(
                above.mean() / np.mean(pairs), rel=2e-5
            )
            assert found[f"noise/{displacement:g}"][index].value == pytest.approx(
                below.mean() / np.mean(pairs), rel=2e-5
            )
            ratio = found[f"ratio/{displacement:g}"][index]
            assert ratio.value == pytest.approx(above.sum() / below.sum(), rel=2e-5)
            without = [
                above[kept].sum() / below[kept].sum() - above.sum() / below.sum()
                for kept in (np.array(groups) != group for group in (0, 3, 9))
            ]
            assert ratio.deviations == pytest.approx(without, abs=2e-5)


def test_batches_and_the_order_of_images_change_nothing() -> None:
    views, canvas, layers = Views(12, 3), blurred(8, 18, 3, 1.0) + 3, small_network()
    groups = [0, 0, 1, 1, 2, 2, 3, 3]
    whole = statistics(sums_of(layers, views), layers, canvas, groups)
    for batches in ([[i] for i in range(8)], [[0, 1, 2], [3, 4, 5], [6, 7]], [[7, 2, 5], [6, 1, 0], [4, 3]]):
        found = statistics(sums_of(layers, views), layers, canvas, groups, batches)
        for name, row in whole.items():
            assert values(found, name) == pytest.approx(values(whole, name), rel=1e-5)
            for one, other in zip(found[name], row, strict=True):
                if other.deviations is not None:
                    assert one.deviations == pytest.approx(other.deviations, abs=1e-5)


def test_what_cannot_be_measured_is_null_with_a_reason() -> None:
    views, canvas = Views(12, 3), blurred(6, 18, 4)
    layers = [lambda view: torch.full_like(view, 0.1) + 1e-9 * view, lambda view: view / 0.0]
    found = statistics(sums_of(layers, views), layers, canvas, [0] * 6)
    for name in ("deformation/1", "noise/1", "ratio/1"):
        assert [(each.value, each.reason) for each in found[name]] == [(None, CONSTANT), (None, NOT_FINITE)]
    found = statistics(sums_of([nn.Identity()], views), [nn.Identity()], canvas[:1], [0])
    assert [(each.value, each.reason) for each in found["ratio/1"]] == [(None, ALONE)]


def test_a_representation_that_noise_does_not_change_has_no_ratio() -> None:
    """Images that are brighter or darker than 0 all over, and a network that tells only that."""
    canvas = torch.tensor([-5.0, 5.0, 5.0]).view(3, 1, 1, 1) + blurred(3, 18, 4)
    layers = [lambda view: (view.mean((1, 2, 3)) > 0).float()[:, None]]
    found = statistics(sums_of(layers, Views(12, 3)), layers, canvas, [0] * 3)
    assert values(found, "noise/1") == values(found, "deformation/1") == [0.0]
    assert [(each.value, each.reason) for each in found["ratio/1"]] == [(None, DEAF)]


def test_memory_holds_the_reference_maps_of_one_batch_only() -> None:
    layers = small_network()
    sums = sums_of(layers, Views(12, 3))
    statistics(sums, layers, blurred(3, 18, 5), [0, 1, 2])
    assert not sums._maps
