"""Where an experiment works: it trains networks, audits them, and keeps both, so that a killed experiment goes on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from pydantic import ValidationError
from zooaudit.contract import AuditRequest, Report, audit_id
from zooaudit.views.figures.panels import FigureDict

from experiments import data as images
from experiments.claims import Claim
from experiments.data import Data
from experiments.files import write_text
from experiments.networks import Network, Recipe
from experiments.parallel import run_all
from experiments.progress import Steps, audit_progress, steps
from experiments.training import Trained, epochs_done, trained
from experiments.validation import validation_folder
from worker.audit import run
from worker.zoo.own import from_module

Scale = Literal["full", "small"]
Kind = TypeVar("Kind")
Choice = TypeVar("Choice")
SEEDS = (0, 1, 2)
SHIFTS: Mapping[str, Any] = {"translations_px": tuple(range(1, 17)), "rotations_deg": (), "border": "zero"}
"""The request for diagonal shifts of images of 32 px, whose borders no real pixels can fill."""
TURNS: Mapping[str, Any] = {"translations_px": (), "rotations_deg": (90, 180, 270)}
"""The request for quarter turns."""
VALIDATION_IMAGES = 2000
"""On how many images the thesis measures."""
SMALL = (1500, 400)
"""How many training and validation images the small scale takes of a data set that has more."""
TRAINING_PASSES = 3
"""How many forward passes a training step takes as long as: the forward pass, and a backward pass of about two."""


@dataclass(frozen=True)
class Findings:
    """What an experiment has found: the thesis's figures by their names, and its claims. ``networks`` has those of each
    kind that it has trained, ``notes`` are further lines of Markdown."""

    figures: Mapping[str, FigureDict]
    claims: Sequence[Claim]
    networks: Mapping[str, Sequence[Network]] = field(default_factory=dict)
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Lab:
    """The place and the scale of one experiment, ``name``.

    ``out``       is the folder in which all experiments keep networks, reports and figures
    ``data``      is the folder of MNIST and CIFAR-10, or of ImageNet's validation images for ``zoo``; without one, the
                  small scale takes the digits that scikit-learn brings
    ``download``  says whether what ``data`` lacks may be downloaded
    ``url``       is the address of a running service, for experiments that need one
    """

    name: str
    scale: Scale
    out: Path
    data: Path | None = None
    download: bool = False
    url: str | None = None
    device: torch.device = field(default_factory=lambda: torch.device("cuda" if torch.cuda.is_available() else "cpu"))

    @property
    def folder(self) -> Path:
        """Where the reports, the figures and the claims of this experiment are."""
        return self.out / self.scale / self.name

    @property
    def command(self) -> str:
        """The command of this experiment, without folders and addresses of this machine."""
        data = "" if self.data is None else " --data DIR"
        return f"python -m experiments {self.name} --scale {self.scale}{data}"

    @property
    def networks(self) -> Path:
        """Where the networks of all experiments are."""
        return self.out / "networks"

    def mnist(self) -> Data:
        """Read MNIST, or scikit-learn's digits in its place; the small scale takes a part of MNIST."""
        return self._limited(images.digits(28) if self.data is None else images.mnist(self.data, self.download))

    def cifar10(self) -> Data:
        """Read CIFAR-10, or scikit-learn's digits in its place; the small scale takes a part of CIFAR-10."""
        return self._limited(images.digits(32) if self.data is None else images.cifar10(self.data, self.download))

    def _limited(self, read: Data) -> Data:
        return read if self.scale == "full" else read.limited(*SMALL)

    def at_scale(self, *, full: Choice, small: Choice) -> Choice:
        """Return what belongs to the scale."""
        return full if self.scale == "full" else small

    def recipe(self, full: Recipe, epochs: int) -> Recipe:
        """Return the thesis's recipe; at the small scale one of so many epochs, with smaller batches."""
        return self.at_scale(full=full, small=full.shortened(epochs, batch_size=32))

    def audit_all(
        self, networks: Mapping[Kind, Sequence[Network]], request: Mapping[str, Any], on: Data | None = None
    ) -> dict[Kind, list[Report]]:
        """Train and audit the networks of each kind. What an earlier run has done is not done again.

        ``request`` has fields of the audit's request. The images are the validation images of ``on``, by default those
        of the data on which the network is trained. Raises AuditError, and TrainingError.
        """
        audits = {
            kind: [_Audit(self, network, on or network.data, request) for network in of_kind]
            for kind, of_kind in networks.items()
        }
        new = [audit for of_kind in audits.values() for audit in of_kind if not audit.is_done()]
        if new:
            with steps(self.name, sum(audit.work() for audit in new)) as shown:
                run_all([audit.measure for audit in new], shown, self.device)
        return {kind: [audit.read() for audit in of_kind] for kind, of_kind in audits.items()}

    def train_all(self, networks: Sequence[Network]) -> None:
        """Train the networks. Raises TrainingError."""
        with steps(self.name, sum(map(self.training_work, networks))) as shown:
            run_all([partial(self.train, network) for network in networks], shown, self.device)

    def keep(self, report: Report, name: str) -> None:
        """Write a report."""
        write_text(self.folder / "reports" / f"{name}.json", report.model_dump_json(indent=1))

    def train(self, network: Network, shown: Steps) -> None:
        """Train the network unless it is there, and count the work of each epoch."""
        work = self.training_work(network)
        epochs = network.recipe.epochs - epochs_done(network, self.networks)

        def on_epoch(epoch: int) -> None:
            shown.add(work / epochs)
            shown.begin(f"{network.name}, epoch {epoch + 1} of {network.recipe.epochs}")

        trained(network, self.networks, self.device, on_epoch)

    def network(self, network: Network) -> Trained:
        """Return a network that has been trained."""
        return trained(network, self.networks, self.device)

    def training_work(self, network: Network) -> float:
        """Say how long the training of the network still takes, in the unit of :attr:`Network.work`."""
        epochs = network.recipe.epochs - epochs_done(network, self.networks)
        return float(epochs * len(network.data.training) * TRAINING_PASSES * network.work)


@dataclass(frozen=True)
class _Audit:
    """The audit of one network, which may have been done before."""

    lab: Lab
    network: Network
    data: Data
    fields: Mapping[str, Any]

    @cached_property
    def request(self) -> AuditRequest:
        return AuditRequest(
            model=f"module/{self.network.name}",
            weights=f"checkpoint:{self.network.name}",
            dataset=self.data.name,
            num_images=min(VALIDATION_IMAGES, len(self.data.validation)),
            **self.fields,
        )

    @property
    def file(self) -> Path:
        name = f"{self.network.name}-{self.data.sha256[:6]}-{audit_id(self.request)[:6]}"
        return self.lab.folder / "reports" / f"{name}.json"

    def read(self) -> Report:
        return Report.model_validate_json(self.file.read_bytes())

    def is_done(self) -> bool:
        """Say whether there is a report, of the present form."""
        try:
            self.read()
        except (FileNotFoundError, ValidationError):
            return False
        return True

    def work(self) -> float:
        """Say how long the rest of the training, and the audit, take, in the unit of :attr:`Network.work`."""
        return self.lab.training_work(self.network) + self._views() * self.network.work

    def _views(self) -> int:
        return self.request.num_images * (1 + len(self.request.translations_px) + len(self.request.rotations_deg))

    def measure(self, shown: Steps) -> None:
        """Train the network unless it is there, audit it, and keep the report. Raises AuditError, and TrainingError."""
        self.lab.train(self.network, shown)
        shown.begin(f"{self.network.name}, audit")
        room = max(self.request.translations_px, default=0)
        module, trained_on = self.lab.network(self.network).module, self.network.data
        model = from_module(module, self.network.name, self.data.side, mean=trained_on.mean, std=trained_on.std)
        report = run(
            self.request,
            model=model,
            datasets={self.data.name: validation_folder(self.data, room, self.lab.out / "images")},
            device=str(self.lab.device),
            decode_processes=0,
            on_progress=audit_progress(shown, self._views() * self.network.work),
        )
        self.lab.keep(report, self.file.stem)
