"""The local equivariance error: networks for which it is known, analytic derivatives, and a recomputation."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from zooaudit.contract import GENERATORS

from tests.worker.measure.probes.stacks import Layers, blurred, interpolated, outputs, representations, statistics
from worker.measure.probes.local_error import LocalErrorSums
from worker.measure.probes.statistic import CONSTANT, NOT_FINITE
from worker.measure.transforms import Views

TRANSLATIONS = ("translation_x", "translation_y")


def errors(layers: Layers, canvas: Tensor, views: Views) -> dict[str, list[float | None]]:
    sums = LocalErrorSums(representations(layers, views.size), views, torch.device("cpu"))
    found = statistics(sums, layers, canvas, [0] * len(canvas))
    return {name: [each.value for each in row] for name, row in found.items()}


def gaussian(sigma: float, padding: str = "constant") -> Callable[[Tensor], Tensor]:
    """A convolution with an isotropic Gaussian, wide enough that what is cut off does not matter."""
    reach = int(6 * sigma)
    line = torch.exp(-torch.arange(-reach, reach + 1).square() / (2 * sigma**2))
    line = line / line.sum()
    kernel = torch.outer(line, line).expand(3, 1, -1, -1)
    return lambda view: functional.conv2d(functional.pad(view, (reach,) * 4, mode=padding), kernel, groups=3)


def blots(count: int, side: int, middle: float, seed: int) -> Tensor:
    """Images of coloured blots around the ``middle``, and nothing elsewhere: no network meets the view's border."""
    rng = np.random.default_rng(seed)
    places = np.arange(side) + 0.5
    images = np.zeros((count, 3, side, side))
    for image in range(count):
        for colour in range(3):
            for _ in range(4):
                down, right = middle + rng.normal(size=2) * 5
                blot = np.exp(-((places[:, None] - down) ** 2 + (places - right) ** 2) / (2 * 3.0**2))
                images[image, colour] += rng.normal() * blot
    return torch.from_numpy(images).float()


def test_gaussian_convolutions_go_along_with_translations_and_rotations() -> None:
    """Half a pixel forth and half a pixel back are exactly a pixel apart, so that of translations nothing is left; of
    rotations interpolation leaves 0.0002."""
    found = errors([gaussian(1.5), gaussian(2.0)], blots(6, 72, 36, 0), Views(64, 4))
    for translation in TRANSLATIONS:
        assert max(found[translation]) < 1e-6
    assert max(found["rotation"]) < 3e-4
    # What is isotropic has a size of its own, so it goes along with no scaling and no shear.
    for layer in (0, 1):
        assert found["scale"][layer] > 0.002
        assert found["shear"][layer] / 100 > 0.0009


def test_circular_convolutions_go_along_with_translations() -> None:
    """On images that repeat themselves there is no border but that of the maps: at the second cell from it, the kernel
    finds the outermost cell repeated. That leaves 0.003."""
    around = torch.arange(-4, 68) % 64
    canvas = blurred(4, 64, 0)[:, :, around][:, :, :, around]
    found = errors([gaussian(1.5, "circular"), lambda view: view.square()[:, :, ::2, ::2]], canvas, Views(64, 4))
    for translation in TRANSLATIONS:
        assert 0 < found[translation][0] < 0.004
        assert found[translation][1] > 0.06


def test_pointwise_functions_go_along_with_everything() -> None:
    """Up to what interpolation leaves: nothing of translations, up to 0.003 of the others."""
    found = errors([torch.square, torch.tanh], blots(6, 72, 36, 1), Views(64, 4))
    for translation in TRANSLATIONS:
        assert max(found[translation]) < 1e-6
    assert max(found["rotation"] + found["scale"]) < 3e-3
    assert max(found["shear"]) / 100 < 3e-3


def test_stride_without_blur_does_not_go_along() -> None:
    found = {}
    for name, blur in (("none", nn.Identity()), ("blur", gaussian(2.0))):
        strided = [lambda view, blur=blur: blur(view)[:, :, ::2, ::2]]
        found[name] = errors(strided, blurred(6, 40, 0, 0.7), Views(32, 4))
    for translation in TRANSLATIONS:
        assert found["none"][translation][0] > 0.4
        assert found["blur"][translation][0] < 0.1


def waves(points: Tensor) -> Tensor:
    """Smooth images (4, 3, h, w) at ``points`` (h, w, 2) in px: each colour is a sum of four waves."""
    generator = torch.Generator().manual_seed(2)
    frequency = torch.rand(4, 3, 4, 2, generator=generator, dtype=torch.float64) * 0.2 - 0.1
    phase = 6.3 * torch.rand(4, 3, 4, generator=generator, dtype=torch.float64)
    angle = torch.einsum("nkwd,ijd->nkwij", frequency, points)
    return torch.cos(angle + phase[..., None, None]).sum(2)


def moved(generator: str, t: Tensor, points: Tensor, size: int) -> Tensor:
    """T_t p of points (h, w, 2), t in px, degrees, per cent, or 1."""
    down, right = (points - size / 2).unbind(-1)
    zero = torch.zeros_like(t)
    if generator in TRANSLATIONS:
        by = (zero, t) if generator == "translation_x" else (t, zero)
        return points + torch.stack(by)
    if generator == "rotation":
        angle = torch.deg2rad(t)
        turned = angle.cos() * down - angle.sin() * right, angle.sin() * down + angle.cos() * right
    elif generator == "scale":
        turned = (1 + t / 100) * down, (1 + t / 100) * right
    else:
        turned = down, right + t * down
    return torch.stack(turned, -1) + size / 2


def cells(height: int, width: int, size: int) -> Tensor:
    sides = ((torch.arange(count, dtype=torch.float64) + 0.5) * size / count for count in (height, width))
    return torch.stack(torch.meshgrid(*sides, indexing="ij"), -1)


def sampled(maps: Tensor, places: Tensor) -> Tensor:
    """Cubic convolution of maps (N, K, h, w) at places (h, w, 2) in cells, which the places may be derived by."""
    first = torch.floor(places.detach() - 0.5)
    found = torch.zeros_like(maps)
    for i in range(-1, 3):
        for j in range(-1, 3):
            x = (places - 0.5 - first - torch.tensor([i, j])).abs()
            near, far = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
            weight = torch.where(x < 1, near, torch.where(x < 2, far, 0 * x)).prod(-1)
            row = (first[..., 0].long() + i).clamp(0, maps.shape[2] - 1)
            column = (first[..., 1].long() + j).clamp(0, maps.shape[3] - 1)
            found = found + weight * maps[:, :, row, column]
    return found


class Faded(nn.Module):
    """Maps that fade out towards the border, as no equivariant network's do."""

    def forward(self, maps: Tensor) -> Tensor:
        line = torch.sin(torch.pi * (torch.arange(maps.shape[2], dtype=maps.dtype) + 0.5) / maps.shape[2]).square()
        return maps * torch.outer(line, line)


def smooth_network() -> list[nn.Module]:
    torch.manual_seed(3)
    layers = [
        nn.Sequential(nn.Conv2d(3, 6, 5, padding=2), nn.Tanh(), Faded()),
        nn.Sequential(nn.Conv2d(6, 5, 4, stride=2, padding=1), nn.Softplus(), Faded()),
        nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 4)),
    ]
    return [layer.requires_grad_(False) for layer in layers]


# PyTorch makes its forward mode by a compiler that it calls deprecated.
@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:FutureWarning")
@pytest.mark.parametrize("generator", GENERATORS)
def test_errors_are_those_of_analytic_derivatives(generator: str) -> None:
    """At images that are known between the pixels, d/dt W_-t f(T_t x) at t = 0, by forward-mode differentiation."""
    size, room = 48, 3
    canvas = waves(cells(54, 54, 54) - room).float()
    found = errors(smooth_network(), canvas, Views(size, room))[generator]
    exact = [layer.double() for layer in smooth_network()]
    zero = torch.zeros((), dtype=torch.float64)
    for index, value in enumerate(found):
        network = nn.Sequential(*exact[: index + 1])

        def taken_back(t: Tensor, network: nn.Module = network) -> Tensor:
            maps = network(waves(moved(generator, -t, cells(size, size, size), size)))
            if maps.ndim == 2:
                return maps[:, :, None, None]
            height, width = maps.shape[2:]
            places = moved(generator, t, cells(height, width, size), size)
            return sampled(maps, places * torch.tensor([height, width]) / size)

        maps, derivative = torch.func.jvp(taken_back, (zero,), (torch.ones_like(zero),))
        height, width = maps.shape[2:]
        inside = torch.ones(height, width, dtype=torch.bool)
        if height > 1:
            middles = cells(height, width, size)
            step = 0.5 if generator != "shear" else 0.005
            for sign in (1, -1):
                place = moved(generator, zero + sign * step, middles, size) * height / size
                inside &= ((place >= 0.5) & (place <= height - 0.5)).all(-1)
        maps, derivative = maps[:, :, inside], derivative[:, :, inside]
        spread = (maps - maps.mean((0, 2), keepdim=True)).square().sum()
        assert value == pytest.approx(float((derivative.square().sum() / spread).sqrt()), rel=0.01)


STEPS = {"translation_x": 0.5, "translation_y": 0.5, "rotation": 0.5, "scale": 0.5, "shear": 0.005}


def recomputed(layers: Layers, canvas: Tensor, size: int, room: int, generator: str) -> list[list[np.ndarray | None]]:
    """At each layer |L f|^2 of each image, and f at the cells that count, (N, cells, K), in float64."""
    side = canvas.shape[2]

    def step(points: np.ndarray, sign: int) -> np.ndarray:
        if generator == "scale":
            return (points - size / 2) * 1.005**sign + size / 2
        return moved(generator, torch.tensor(sign * STEPS[generator]).double(), torch.from_numpy(points), size).numpy()

    def of_view(sign: int) -> list[np.ndarray]:
        places = (room + step(cells(size, size, size).numpy(), -sign)).reshape(-1, 2)
        views = [interpolated(image.permute(1, 2, 0).numpy(), places).T.reshape(3, size, size) for image in canvas]
        return [maps.detach().numpy() for maps in outputs(layers, torch.from_numpy(np.array(views)))]

    assert side > size
    reference = outputs(layers, canvas[:, :, room : room + size, room : room + size])
    found = []
    for f, ahead, behind in zip(reference, of_view(1), of_view(-1), strict=True):
        height, width = f.shape[1:3]
        counted = np.ones((height, width), dtype=bool)
        taken = [ahead.reshape(len(f), -1, f.shape[3]), behind.reshape(len(f), -1, f.shape[3])]
        if height * width > 1:
            middles, count = cells(height, width, size).numpy(), np.array([height, width])
            places = [step(middles, sign) * count / size for sign in (1, -1)]
            for place in places:
                counted &= ((place >= 0.5 - 1e-9) & (place <= count - 0.5 + 1e-9)).all(-1)
            taken = [
                np.array([interpolated(each, place[counted]) for each in maps])
                for maps, place in zip((ahead, behind), places, strict=True)
            ]
        width_of_step = 0.01 if generator == "shear" else 1.0
        squares = np.square((taken[0] - taken[1]) / width_of_step).sum((1, 2))
        found.append((squares, f.detach().numpy()[:, counted]))
    return found


def textured_network() -> list[nn.Module]:
    torch.manual_seed(4)
    return [
        nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.ReLU()),
        nn.Sequential(nn.Conv2d(5, 4, 3, stride=(2, 3), padding=1), nn.GELU()),
        nn.Sequential(nn.MaxPool2d((1, 5)), nn.Conv2d(4, 3, 1)),
        nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        nn.Sequential(nn.Linear(3, 4)),
    ]


@pytest.mark.parametrize("generator", GENERATORS)
def test_everything_equals_a_recomputation_in_float64(generator: str) -> None:
    size, room, groups = 15, 2, [0, 0, 4, 4, 4, 31, 31]
    canvas, layers = blurred(7, 18, 5, 0.8) + 1, textured_network()
    sums = LocalErrorSums(representations(layers, size), Views(size, room), torch.device("cpu"))
    found = statistics(sums, layers, canvas, groups)[generator]
    exact = [layer.double() for layer in textured_network()]

    def error(squares: np.ndarray, maps: np.ndarray) -> float:
        return float(np.sqrt(squares.sum() / np.square(maps - maps.mean((0, 1))).sum()))

    for each, (squares, maps) in zip(found, recomputed(exact, canvas.double(), size, room, generator), strict=True):
        if maps.shape[1] < 4 and maps.shape[1] != 1:
            assert each.value is None
            assert each.reason == f"only {maps.shape[1]} cells of the map stay within it when it is warped"
            continue
        whole = error(squares, maps)
        rounding = 2e-5 if generator != "shear" else 1e-4  # which divides by 0.01, not by 1
        assert each.value == pytest.approx(whole, rel=rounding)
        kept = [np.array(groups) != group for group in (0, 4, 31)]
        moved = [error(squares[k], maps[k]) - whole for k in kept]
        assert each.deviations == pytest.approx(moved, abs=rounding * whole)


def test_batches_and_the_order_of_images_change_nothing() -> None:
    views, canvas, layers, groups = (
        Views(15, 2),
        blurred(8, 18, 6, 0.8) + 3,
        textured_network(),
        [0, 0, 1, 1, 2, 2, 3, 3],
    )

    def found(batches: list[list[int]]) -> dict:
        sums = LocalErrorSums(representations(layers, views.size), views, torch.device("cpu"))
        return statistics(sums, layers, canvas, groups, batches)

    whole = found([list(range(8))])
    for batches in ([[i] for i in range(8)], [[0, 1, 2], [3, 4, 5], [6, 7]], [[7, 2, 5], [6, 1, 0], [4, 3]]):
        for name, row in found(batches).items():
            rounding = 1e-5 if name != "shear" else 1e-3  # which divides by 0.01, not by 1
            for one, other in zip(row, whole[name], strict=True):
                assert one.reason == other.reason
                if other.value is not None:
                    assert one.value == pytest.approx(other.value, abs=rounding)
                    assert one.deviations == pytest.approx(other.deviations, abs=rounding)


def test_what_cannot_be_measured_is_null_with_a_reason() -> None:
    layers = [
        lambda view: torch.full_like(view, 0.1),
        lambda view: view / 0.0,
        lambda view: torch.ones(len(view), 4, 2, 2),
    ]
    sums = LocalErrorSums(representations(layers, 15), Views(15, 2), torch.device("cpu"))
    for row in statistics(sums, layers, blurred(4, 18, 7), [0, 0, 1, 1]).values():
        assert [each.value for each in row] == [None] * 3
        assert [each.reason for each in row[:2]] == [CONSTANT, NOT_FINITE]
        assert row[2].reason.endswith("cells of the map stay within it when it is warped")
