"""The kernels for GPUs, interpreted: everything but how fast they are, and how tensor cores round (tests/gpu)."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from worker.measure import fused, fused_kernels
from worker.measure.tensor_cores import tensor_cores_are_exact


@pytest.fixture(scope="module")
def interpreted() -> dict[str, Any]:
    """What the kernels compute by Triton's interpreter."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.worker.measure.interpreted_kernels"],
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers: dict[str, Any] = json.loads(done.stdout)
    return answers


def test_the_kernels_sum_what_float64_sums(interpreted: dict[str, Any]) -> None:
    assert interpreted["errors"] == [[pytest.approx(0, abs=1e-6), pytest.approx(0, abs=1e-6)]] * 6


def test_every_transform_is_compared_as_without_the_kernels(interpreted: dict[str, Any]) -> None:
    assert interpreted["differences"] == [pytest.approx(0, abs=1e-6)] * 3


def test_only_a_finite_number_that_no_half_holds_is_an_overflow(interpreted: dict[str, Any]) -> None:
    assert interpreted["overflows"] == [False, True, False]


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_the_kernels_compile_for_a_gpu_that_is_not_here(
    dtype: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On an H100, products run on its tensor cores, from memory to which maps are copied meanwhile."""
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    narrow = {"A_NARROW": dtype == "bf16", "B_NARROW": dtype == "bf16"}
    products = compiled(fused_kernels.products_kernel, dtype, {**narrow, "CHANNELS": 128, "DEPTH": 64}).asm["ptx"]
    assert "wgmma.mma_async" in products
    assert "cp.async.cg.shared.global" in products
    sizes = {"SIMILARITIES": 1, "STAGES": 3, "CHUNK": 128, "CELLS": 2, "CHANNELS": 256}
    sums = compiled(fused_kernels.sums_kernel, dtype, {**narrow, **sizes}).asm["ptx"]
    assert "cp.async.ca.shared.global" in sums


@pytest.mark.parametrize(("capability", "kib"), [(80, 163), (86, 99), (89, 99), (90, 227), (100, 227), (120, 99)])
def test_the_kernels_fit_into_the_memory_of_every_generation(
    capability: int, kib: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: divmod(capability, 10))
    constants = {"A_NARROW": False, "B_NARROW": False, "CHANNELS": 128, "DEPTH": fused._depth(torch.device("cuda"))}
    options = {"num_warps": fused.SQUARES[128], "num_stages": fused.STAGES}
    products = compiled(fused_kernels.products_kernel, "fp32", constants, capability, **options)
    sizes = {"SIMILARITIES": 1, "STAGES": fused.STAGES, "CHUNK": 128, "CELLS": 2, "CHANNELS": 256}
    narrow = {"A_NARROW": False, "B_NARROW": False}
    sums = compiled(fused_kernels.sums_kernel, "fp32", {**narrow, **sizes}, capability)
    for kernel in (products, sums):
        assert 0 < kernel.metadata.shared <= kib * 1024


def compiled(kernel: Any, dtype: str, constants: dict[str, Any], capability: int = 90, **options: int) -> Any:
    """Compile a kernel as it is called for maps of 256 channels: every size but these is any number."""
    halves = dict.fromkeys(("a_high", "a_low", "b_high", "b_low"), "*fp16")
    pointers = {"b": f"*{dtype}", "partners": "*i64", **dict.fromkeys(("pivot", "unit", "out"), "*fp32"), **halves}
    pointers["one"] = "fp32"
    names = list(kernel.arg_names)
    source = ASTSource(
        kernel,
        {name: "constexpr" if name in constants else pointers.get(name, "i32") for name in names},
        {(names.index(name),): value for name, value in constants.items()},
        {
            (index,): [["tt.divisibility", 16]]
            for index, name in enumerate(names)
            if (name in pointers and name != "one") or name == "channels"
        },
    )
    target = GPUTarget("cuda", capability, 32)
    return triton.compile(source, target=target, options={"enable_fp_fusion": True, **options})


def test_maps_are_copied_only_where_the_kernels_cannot_read_them() -> None:
    maps = torch.zeros(2, 5, 5, 8)
    assert fused.readable(maps[:, 1:, 2:]).data_ptr() == maps[:, 1:, 2:].data_ptr()
    assert fused.readable(maps.permute(0, 2, 3, 1)).stride(3) == 1
    assert fused.readable(maps.double()).dtype == torch.float32
    tokens = torch.zeros(2, 5, 5, 12)[..., :8]
    assert fused.readable(tokens).stride(2) == 8


def test_a_cpu_has_no_tensor_cores() -> None:
    assert not tensor_cores_are_exact(torch.device("cpu"))
