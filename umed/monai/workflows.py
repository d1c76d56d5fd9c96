# SPDX-License-Identifier: Apache-2.0
"""The parts that the bundle's configurations are assembled from; each hides the Python that YAML should not hold."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ignite.distributed
import torch
from torch import Tensor, distributed, nn
from torch.utils.data import Dataset

from umed.cases.file_source import FileSource
from umed.core.errors import ConfigError, InputError
from umed.core.progress import progress_bar
from umed.data.files import atomic
from umed.data.layouts import find_dataset
from umed.data.phantom import make_phantom
from umed.methods.base import make_method
from umed.methods.umed import FILE, UMed
from umed.networks.perturber import stack_inputs
from umed.plan.planning import Plan
from umed.protect.preview import plan as make_plan
from umed.training.bilevel import BilevelTrainer
from umed.training.handlers import training_handlers
from umed.training.patches import Sample
from umed.training.samples import CaseSamples

PHANTOM = "_input"
"""Ending of the folder beside the output that holds the phantom when no data set is given."""


def choose_input(dataset_dir: str | Path | None, output_dir: str | Path, cases: int = 32) -> str:
    """Say which data set to protect: the one given, or else the phantom, which is then made.

    Args:
        dataset_dir: data set, empty for the phantom.
        output_dir: where the protected copy goes; the phantom lies beside it, so that both can be compared.
        cases: size of the phantom.

    Returns:
        The data set's folder.
    """
    if dataset_dir:
        return str(dataset_dir)
    output = Path(output_dir)
    return str(make_phantom(output.with_name(output.name + PHANTOM), cases=cases))


def plan_run(
    dataset_dir: str | Path, recipe: str | Path = "default", device: torch.device | None = None, **settings: Any
) -> Plan:
    """Make the plan of a data set.

    Args:
        dataset_dir: data set.
        recipe: name or file.
        device: where to train.
        settings: laid over the recipe; ``None`` leaves the recipe's.

    Returns:
        The plan.
    """
    given = {key: value for key, value in settings.items() if value is not None}
    if device is not None:
        given["device"] = str(device)
    return make_plan(dataset_dir, recipe=recipe, overrides=given)


def training_cases(dataset_dir: str | Path, plan: Plan) -> CaseSamples:
    """The training cases of a data set, as unit images in the crop around their support."""
    return CaseSamples(FileSource(find_dataset(Path(dataset_dir))), plan)


def learnt_method(plan: Plan) -> UMed:
    """Make the plan's method.

    Args:
        plan: its ``method`` must be one that is trained.

    Returns:
        The method, untrained.

    Raises:
        ConfigError: when there is nothing to train.
    """
    method = make_method(plan)
    if not isinstance(method, UMed):
        raise ConfigError(f"method: expected one that is trained (umed), got {plan.method!r}, which learns nothing.")
    return method


def make_trainer(
    method: UMed, samples: Sequence[Sample], plan: Plan, max_epochs: int, output_dir: str | Path, quiet: bool = False
) -> BilevelTrainer:
    """Make the bilevel trainer with its handlers; it goes on from the newest checkpoint in ``output_dir``.

    Args:
        method: from :func:`learnt_method`.
        samples: training cases.
        plan: the plan.
        max_epochs: how many epochs the plan's iterations are divided into; a checkpoint is written after each.
        output_dir: folder for checkpoints and TensorBoard events.
        quiet: no progress bar.

    Returns:
        The trainer.
    """
    folder = Path(output_dir) / "checkpoints"
    folder.mkdir(parents=True, exist_ok=True)
    trainer = method.make_trainer(samples, plan, epoch_length=-(-plan.training.iterations // max_epochs))
    training_handlers(trainer, folder, plan.training.iterations, None)
    if not quiet and _rank() == 0:
        bar = progress_bar(False)
        report = bar.__enter__()
        if report is not None:
            from ignite.engine import Events

            total = plan.training.iterations
            trainer.add_event_handler(
                Events.ITERATION_COMPLETED, lambda: report("train", trainer.state.iteration, total)
            )
            trainer.add_event_handler(Events.COMPLETED, lambda: bar.__exit__(None, None, None))
    return trainer


def save_generators(method: UMed, output_dir: str | Path) -> Path:
    """Write the trained generators, ready for ``umed protect --generators`` and for ``inference.yaml``.

    Args:
        method: trained.
        output_dir: folder.

    Returns:
        The file; only the first process of a distributed run writes it.
    """
    folder = Path(output_dir)
    if _rank() == 0:
        folder.mkdir(parents=True, exist_ok=True)
        method.save(folder)
        print(f"generators: {folder / FILE}")
    return folder / FILE


class StackedCases(Dataset[dict[str, Any]]):
    """Cases as the stacked input of :class:`umed.networks.perturber.UMedPerturber`.

    Args:
        samples: from :func:`training_cases`.

    Example:
        >>> len(StackedCases([]))
        0
    """

    def __init__(self, samples: Sequence[Sample]) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> dict[str, Any]:
        sample = self.samples[index]
        return {"image": stack_inputs(torch.from_numpy(sample.image), sample.regions), "case_id": sample.case_id}


def load_weights(network: nn.Module, path: str | Path) -> nn.Module:
    """Load trained generators into a network of the same options.

    Args:
        network: a :class:`umed.networks.perturber.UMedPerturber`.
        path: file that :func:`save_generators` or ``umed protect`` wrote; empty leaves the network untrained.

    Returns:
        The network.

    Raises:
        InputError: when the file is missing, or was trained with other options.
    """
    if not path:
        return network
    if not Path(path).is_file():
        raise InputError(f"{path}: expected trained generators, got no file. Run train.yaml, or give --checkpoint ''.")
    content = torch.load(path, map_location="cpu", weights_only=True)
    try:
        network.load_state_dict(content["weights"])
    except (KeyError, RuntimeError) as error:
        raise InputError(
            f"{path}: expected weights of the network in network_def, got others. Give its channels, classes, carriers."
        ) from error
    return network


def save_directions(evaluator: Any, output_dir: str | Path) -> None:
    """Let an evaluator write each case's direction, before any budget, as ``<case>.pt``.

    Args:
        evaluator: of ``inference.yaml``.
        output_dir: folder.
    """
    from ignite.engine import Events

    def write(engine: Any) -> None:
        for case, item in zip(engine.state.batch, engine.state.output, strict=True):  # the engine has taken them apart
            direction: Tensor = item["pred"].detach().cpu()
            with atomic(Path(output_dir) / f"{case['case_id']}.pt") as temporary:
                torch.save(direction, temporary)

    evaluator.add_event_handler(Events.ITERATION_COMPLETED, write)


def start_processes() -> bool:
    """Join the processes that ``torchrun`` has started: NCCL where each has a GPU, gloo else."""
    if not distributed.is_initialized():
        distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
        # Ignite meets the group when it is first used, all processes together; its handlers run in the first one only.
        ignite.distributed.sync()
    return True


def own_device() -> torch.device:
    """The device of this process in a distributed run."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))


def stop_processes() -> bool:
    """Leave the processes that :func:`start_processes` joined."""
    distributed.barrier()
    distributed.destroy_process_group()
    return True


def _rank() -> int:
    return distributed.get_rank() if distributed.is_available() and distributed.is_initialized() else 0
