"""The batch size that an audit chooses by itself."""

from dataclasses import replace

import pytest
import torch
from zooaudit.contract import AuditRequest

from worker import zoo
from worker.audit import prepare
from worker.measure.budget import even_batch_size, plan_budget
from worker.measure.experiment import transforms_of, views_of
from worker.measure.groups import choices


@pytest.mark.parametrize(("device", "chosen"), [("cuda", 125), ("cpu", 16)])
def test_only_a_gpu_gets_batches_of_equal_size(device: str, chosen: int) -> None:
    request = AuditRequest(model="timm/test_resnet", weights="untrained", dataset="synthetic")
    loaded = zoo.load(request.model, "untrained", lambda _progress: None)
    views = views_of(request, loaded.preprocessing.input_size)
    subject, representations = prepare(loaded, loaded.module, request, views, torch.device("cpu"))
    subject = replace(subject, device=torch.device(device))
    ends = [*choices(2000, always=False), 2000]
    budget = plan_budget(subject, representations, views.size, transforms_of(request), 64.0, ends=ends)
    assert budget.batch_size == chosen


def sizes(batch_size: int, ends: list[int]) -> list[int]:
    """The sizes of all batches, as a stream makes them."""
    found, begin = [], 0
    for end in ends:
        while begin < end:
            found.append(min(batch_size, end - begin))
            begin += found[-1]
    return found


@pytest.mark.parametrize("images", [1000, 1999, 2000, 5000, 10_000, 50_000])
@pytest.mark.parametrize("always", [True, False])
def test_even_batches_have_fewer_sizes_and_are_hardly_more(images: int, always: bool) -> None:
    ends = [*choices(images, always), images]
    even, full = sizes(even_batch_size(128, ends), ends), sizes(128, ends)
    assert sum(even) == sum(full) == images
    assert len(set(even)) <= len(set(full))
    assert len(even) <= 1.34 * len(full)
