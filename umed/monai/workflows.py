# SPDX-License-Identifier: Apache-2.0
"""The parts that the bundle's configurations are assembled from; each hides the Python that YAML should not hold."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import ignite.distributed
import torch
from ignite.engine import Events
from torch import Tensor, nn

from umed.cases.file_source import FileSource
from umed.core.device import is_first
from umed.core.errors import ConfigError, InputError
from umed.core.keyfile import Key, Secret
from umed.core.progress import progress_bar
from umed.data.layouts import find_dataset
from umed.data.phantom import make_phantom
from umed.methods.base import make_method
from umed.methods.generators import GeneratorMethod
from umed.methods.umed import UMed
from umed.monai.bundle import one_line
from umed.networks.carriers import draw_carriers
from umed.networks.perturber import UMedPerturber, stack_inputs
from umed.networks.tensor_files import save_tensors
from umed.plan.planning import Plan
from umed.protect.preview import plan as make_plan
from umed.training.bilevel import BilevelTrainer
from umed.training.handlers import keep_going
from umed.training.patches import Sample
from umed.training.samples import CaseSamples

PHANTOMS_SHAPE = {"spatial_dims": 3, "channels": 1, "classes": 4, "epsilon": 4 / 255}
"""What the bundle's metadata describe; a checkpoint may be of any other shape."""


def choose_input(dataset_dir: str | Path | None, output_dir: str | Path, cases: int = 32) -> str:
    """The data set to protect: the one given, or else the phantom, which is then made in ``OUTPUT_DIR_input``."""
    return str(dataset_dir or make_phantom(Path(f"{Path(output_dir)}_input"), cases=cases))


@one_line()
def plan_run(
    dataset_dir: str | Path, recipe: str | Path = "default", device: torch.device | None = None, **settings: Any
) -> Plan:
    """Make the plan of a data set; settings are laid over the recipe, ``None`` leaves the recipe's."""
    given = {key: value for key, value in settings.items() if value is not None}
    if device is not None:
        given["device"] = str(device)
    return make_plan(dataset_dir, recipe=recipe, overrides=given)


@one_line()
def training_cases(dataset_dir: str | Path, plan: Plan) -> CaseSamples:
    """The training cases of a data set, as unit images in the crop around their support."""
    return CaseSamples(FileSource(find_dataset(Path(dataset_dir))), plan)


@one_line()
def learnt_method(plan: Plan, key_file: str | Path) -> GeneratorMethod:
    """Make the plan's method, untrained.

    Args:
        plan: the plan.
        key_file: all that the training draws follows from it, in every process and after a stop; made if it is absent.

    Raises:
        ConfigError: when there is nothing to train.
        InputError: when the key cannot be read or written.
    """
    path = Path(key_file)
    if is_first() and not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        Key.create(path)
    ignite.distributed.barrier()
    method = make_method(plan, Secret(Key.load(path), "train.yaml"))
    if not isinstance(method, GeneratorMethod):
        raise ConfigError(f"method: expected one that is trained (umed), got {plan.method!r}, which learns nothing.")
    return method


def build_network(method: GeneratorMethod, **shape: Any) -> nn.Module:
    """The method's untrained generators, the same in every process of a distributed run.

    Args:
        method: from :func:`learnt_method`.
        shape: ``spatial_dims``, ``channels`` (of the image), ``classes`` (with the background) and ``epsilon``.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(method.require_secret().seed("training"))
        return method.build(**shape)


def make_trainer(
    method: GeneratorMethod,
    samples: Sequence[Sample],
    plan: Plan,
    max_epochs: int,
    output_dir: str | Path,
    quiet: bool = False,
    train_handlers: Sequence[Any] = (),
    **parts: Any,
) -> BilevelTrainer:
    """Make the bilevel trainer; it goes on from the newest checkpoint in ``output_dir``.

    Args:
        method: from :func:`learnt_method`.
        samples: training cases.
        plan: the plan.
        max_epochs: how many epochs the plan's iterations are divided into; a checkpoint is written after each.
        output_dir: folder for checkpoints and TensorBoard events.
        quiet: no progress bar.
        train_handlers: ignite handlers.
        parts: ``network``, ``optimizer``, ``loss`` and ``transformation``; the plan's where they are left out.

    Returns:
        The trainer.
    """
    iterations = plan.training.iterations
    trainer = method.make_trainer(
        samples, plan, epoch_length=-(-iterations // max_epochs), handlers=train_handlers, **parts
    )
    shown = ExitStack()
    progress = shown.enter_context(progress_bar(quiet or not is_first()))
    trainer.add_event_handler(Events.EXCEPTION_RAISED, lambda _trainer, error: shown.__exit__(type(error), error, None))
    keep_going(trainer, Path(output_dir) / "checkpoints", iterations, progress)
    trainer.add_event_handler(Events.COMPLETED, shown.close)
    return trainer


def save_generators(method: GeneratorMethod, output_dir: str | Path) -> Path:
    """Write the trained generators, ready for ``umed protect --generators`` and for ``inference.yaml``.

    Args:
        method: trained.
        output_dir: folder.

    Returns:
        The file; only the first process of a distributed run writes it.
    """
    folder = Path(output_dir)
    if is_first():
        folder.mkdir(parents=True, exist_ok=True)
        method.save(folder)
        print(f"generators: {folder / method.file}")
    return folder / method.file


class CaseStacker:
    """Turns a case into the stacked input of :class:`umed.networks.perturber.UMedPerturber`, with its id.

    Args:
        network: whose carriers are drawn, another code for each case.
        key_file: they follow from it; without one from a random key, so that each run gives others.

    Raises:
        InputError: when the key cannot be read.
    """

    def __init__(self, network: UMedPerturber, key_file: str | Path | None = None) -> None:
        with one_line():
            key = Key.load(Path(key_file)) if key_file else Key.random()
        self.names, self.secret = network.carriers, Secret(key, "inference.yaml")

    def __call__(self, sample: Sample) -> dict[str, Any]:
        """Stack one case; its input is ``(C + 3 + K C, *box)`` float32."""
        image, box = torch.from_numpy(sample.image), sample.regions.box
        drawn = draw_carriers(self.names, len(image), box, self.secret.draw("case", sample.case_id))
        return {"image": stack_inputs(image, sample.regions, drawn.bank(box)), "case_id": sample.case_id}


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """What a file of trained generators holds; an InputError when it is missing or none of ours."""
    if not Path(path).is_file():
        raise InputError(f"{path}: expected trained generators, got no file. Run train.yaml, or give --checkpoint ''.")
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        missing = [key for key in ("weights", "options", *PHANTOMS_SHAPE) if key not in content]
    except (TypeError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise InputError(f"{path}: expected generators saved by umed, got {type(error).__name__}.") from error
    if missing:
        raise InputError(f"{path}: expected generators saved by umed, got no {', '.join(missing)}. Train them again.")
    return content


@one_line()
def trained_for(path: str | Path) -> dict[str, Any]:
    """Arguments of the network in a checkpoint: ``spatial_dims``, ``channels``, ``classes``, ``epsilon``, options.

    Args:
        path: the checkpoint; where there is none, the arguments are those that the bundle's metadata describe.

    Returns:
        The arguments; options that an old file does not hold are what they were then, the defaults.

    Raises:
        InputError: when the file is none of ours.
    """
    method = UMed()
    defaults = {name: getattr(method, name) for name in method.kept()}
    if not path or not Path(path).is_file():
        return {**PHANTOMS_SHAPE, **defaults}
    content = read_checkpoint(path)
    return {**{key: content[key] for key in PHANTOMS_SHAPE}, **defaults, **content["options"]}


@one_line()
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
    try:
        network.load_state_dict(read_checkpoint(path)["weights"])
    except RuntimeError as error:
        raise InputError(
            f"{path}: expected weights of the network in network_def, got others. Give its channels, classes, carriers."
        ) from error
    return network


class DirectionSaver:
    """Handler of an evaluator: writes each case's direction, before any budget, as ``<case>.pt``.

    Args:
        output_dir: folder.
    """

    def __init__(self, output_dir: str | Path) -> None:
        self.folder = Path(output_dir)

    def attach(self, engine: Any) -> None:
        """Write after each iteration."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Any) -> None:
        """Write what the engine, which has taken the batch apart, holds."""
        for case, item in zip(engine.state.batch, engine.state.output, strict=True):
            direction: Tensor = item["pred"].detach().cpu()
            save_tensors(direction, self.folder / f"{case['case_id']}.pt")
