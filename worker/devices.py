"""The devices of this machine, and the settings of one worker for each of those that an operator asks for."""

import json
import os
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from worker.children import ChildDied, ChildTimedOut, in_child
from worker.images.decoding import cores, default_processes
from worker.settings import WorkerSettings

ALL = "all"
ASK_LIMIT_S = 120.0
"""How long the driver of the GPUs may take to answer; the first answer after a start of the machine is slow."""


class DevicesRefused(Exception):
    """The devices asked for cannot be used; the message says why and which there are."""


class NoAnswer(Exception):
    """The driver of the GPUs does not answer."""


@dataclass(frozen=True)
class Share:
    """What one of several workers on this machine gets of it: a device, and its part of memory and cores.

    ``name`` is the device's, followed by a number where several workers share the device. ``threads`` is how many
    threads torch computes with on the CPU; None leaves that to torch.
    """

    name: str
    settings: WorkerSettings
    threads: int | None


def count_gpus() -> int:
    """Ask torch how many GPUs it finds, in another process: a process that has asked may not fork."""
    return int(_ask(_count_gpus))


def choose(wanted: str, gpus: int) -> list[str]:
    """Return the devices that ``wanted`` names, where there are ``gpus`` GPUs: ``all``, or names with commas between.

    All of them are the GPUs, or the CPU if there is none. A name may occur several times.

    >>> choose("all", gpus=2)
    ['cuda:0', 'cuda:1']
    >>> choose("cuda:1, cuda:1", gpus=2)
    ['cuda:1', 'cuda:1']

    Raises DevicesRefused for what is no device, or none that is here.
    """
    found = [f"cuda:{index}" for index in range(gpus)]
    if wanted.strip() == ALL:
        return found or ["cpu"]
    here = ", ".join(["cpu", *found])
    devices = []
    for item in wanted.split(","):
        name = {"cuda": "cuda:0"}.get(item.strip(), item.strip())
        if not re.fullmatch(r"cpu|cuda:(0|[1-9][0-9]*)", name):
            form = "write all, or names with commas between them"
            raise DevicesRefused(f"{name!r} is no device; {form}; here are: {here}")
        if name not in ("cpu", *found):
            raise DevicesRefused(f"there is no {name} here; here are: {here}")
        devices.append(name)
    return devices


def share_out(settings: WorkerSettings, devices: Sequence[str]) -> list[Share]:
    """Share the machine out among one worker for each of ``devices``. What ``settings`` says holds for each of them."""
    workers = len(devices)
    sharers = Counter(devices)
    memory = _memory(sharers) if settings.memory_gib is None else {}
    processes = default_processes(workers) if settings.decode_processes is None else settings.decode_processes
    threads = None if workers == 1 or "OMP_NUM_THREADS" in os.environ else max(1, cores() // workers)
    numbers: Counter[str] = Counter()
    shares = []
    for device in devices:
        numbers[device] += 1
        changes = {
            "device": device,
            "memory_gib": memory.get(device, settings.memory_gib),
            "decode_processes": processes,
        }
        name = device if sharers[device] == 1 else f"{device}#{numbers[device]}"
        shares.append(Share(name, settings.model_copy(update=changes), threads))
    return shares


def _count_gpus() -> str:
    import torch

    return str(torch.cuda.device_count())


def _memory(sharers: Counter[str]) -> dict[str, float]:
    """Return the GiB that each worker on a shared device may use. The driver is asked in another process, too."""
    shared = {device: workers for device, workers in sharers.items() if workers > 1}
    memory: dict[str, float] = json.loads(_ask(lambda: json.dumps(_memory_of(shared)))) if shared else {}
    return memory


def _memory_of(shared: dict[str, int]) -> dict[str, float]:
    import torch

    from worker.measure.budget import default_gib

    return {device: default_gib(torch.device(device), workers) for device, workers in shared.items()}


def _ask(question: Callable[[], str]) -> str:
    try:
        return in_child(question, ASK_LIMIT_S)
    except (ChildDied, ChildTimedOut) as error:
        advice = "try nvidia-smi, or set ZOOAUDIT_DEVICE=cpu"
        raise NoAnswer(f"the process that looks for GPUs {error}; {advice}") from None
