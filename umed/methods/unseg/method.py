# SPDX-License-Identifier: Apache-2.0
"""UnSeg: one universal generator, made of Segment Anything, that protects any image with a mask.

Reference: Sun et al., "UnSeg: One Universal Unlearnable Example Generator is Enough against All Image Segmentation",
NeurIPS 2024, https://arxiv.org/abs/2410.09909. Written from the paper; the authors' code has no licence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from umed.core.config import parse_number, require
from umed.core.device import pick_device, process_rank
from umed.core.errors import ConfigError, InputError
from umed.core.types import Progress, Regions
from umed.core.version import __version__
from umed.methods.base import Method
from umed.methods.options import choice, option, rate, some, switch, whole
from umed.methods.unseg.colour_pictures import SamplePictures
from umed.methods.unseg.generator_file import FILE, Origin, load_generator, make_generator, save_generator
from umed.methods.unseg.picture_noise import flat_direction
from umed.methods.unseg.prompts import KINDS, NONE
from umed.methods.unseg.square_batches import SquareBatches
from umed.methods.unseg.trainer import EPOCHS, NETWORKS, SAM, Unprompted, UnSegTrainer
from umed.networks.noise_head import UnSegGenerator
from umed.networks.sam import PromptedSam, make_sam, shape_of
from umed.networks.sam_weights import load_encoder
from umed.plan.planning import Plan
from umed.training.alternating import BatchLoader
from umed.training.patches import Sample

SECRET = "unseg: who has the generator's file can compute the noise again and subtract it; keep it as secret as a key"
AT_ONCE = 8
"""Pictures or slices that are embedded together."""


def _range_share(where: str, value: Any) -> float | None:
    if value is None:
        return None
    number = parse_number(value, where)
    require(0 < number <= 1, where, "a share of the range in (0, 1]", value)
    return number


def _scales(where: str, value: Any) -> tuple[float, float]:
    require(isinstance(value, (list, tuple)), where, "two positive scales", value)
    scales = [parse_number(scale, where) for scale in value]
    fits = len(scales) == 2 and 0 < scales[0] <= scales[1]
    require(fits, where, "two positive scales, the smaller first", list(value))
    return scales[0], scales[1]


@dataclass(kw_only=True, eq=False, repr=False)
class UnSeg(Method):
    r"""``d = G(x, mask) (eps_fg M + eps_bg (1 - M))``, each instance of a picture or slice with its mask as a prompt.

    The generator may come from a file that was trained on any other data (``umed train-generator``, ``umed protect
    --generators``); without one, it is trained from scratch on the data at hand, which the paper never does.

    Instances are the connected parts of each label; a picture is embedded once for all of them. Each gets the noise of
    its own prompt, the background and specks too small for a prompt get the mean of all.

    Volumes go slice by slice along the plan's axis; a slice without a label is left as it is. Pictures of one channel,
    or of channels that are no colours, are shown to the generator as grey and get the noise of its first channel. The
    mean of the three would be a third of what the bound allows: a generator that has seen colour lets them cancel.

    The noise follows from the image, its masks and the generator alone: **whoever has the generator's file can compute
    it again and subtract it**, so a generator must stay as secret as a key.

    ``eps_bg`` is the plan's ``epsilon_background``, a quarter of epsilon as in the paper. With 0 the support is the
    ROI, and the generator is shown the part of a picture around its labels, in training, too.

    Args:
        encoder: size of Segment Anything, a key of :data:`umed.networks.sam.SHAPES`.
        prompts: kinds that the generator is trained with, a random part of them each step.
        surrogate: ``"sam"`` of the same size, as in the paper, or a network that thieves train: ``"unet"``,
            ``"batchnorm_unet"``, ``"dynunet"``, ``"nnunet_like"``. Those get no prompts, whatever
            ``surrogate_prompts`` says.
        surrogate_prompts: kinds that the surrogate is trained with, one of them each step. Beside the paper's there is
            ``"none"``: like a victim, it must find all that is labelled by itself (then all of it is the target).
        label_modification: train the generator towards a target of all ones, or towards the true mask.
        train_epsilon: bound while training, the paper's 1/255; ``None`` for the plan's own epsilon.
        epochs: of the training, one of the surrogate to three of the generator; they share the plan's iterations.
        learning_rate: of both networks' Adam.
        surrogate_learning_rate: of the surrogate's Adam; ``None`` for the same.
        jitter: smallest and largest scale of a picture in training; the paper's 0.1 and 2 need large pictures.
        high_pass: odd side, in px of noise, of the box whose mean is taken out of the noise; 0, the paper, for none.
        per_instance: one prompt for each instance, or one for all that is labelled in a picture.
        enlarge: pictures smaller than the square fill it, as in the paper; else they are shown at their own size, so
            that a fine texture is not resampled. In training, too.

    Raises:
        ConfigError: when an option is unknown or out of range.
    """

    name: ClassVar[str] = "unseg"
    requires_training: ClassVar[bool] = True
    file: ClassVar[str] = FILE
    where_from: ClassVar[str] = "Train one: umed train-generator"
    encoder: str = "vit_s"
    prompts: tuple[str, ...] = some(KINDS, KINDS)
    surrogate: str = choice(SAM, (SAM, *NETWORKS))
    surrogate_prompts: tuple[str, ...] = some(KINDS, (*KINDS, NONE))
    label_modification: bool = switch(True)
    train_epsilon: float | None = option(1 / 255, _range_share)
    epochs: int = whole(EPOCHS)
    learning_rate: float = rate(1e-4)
    surrogate_learning_rate: float | None = rate(None)
    jitter: tuple[float, float] = option((0.5, 1.5), _scales)
    high_pass: int = whole(0, least=0)
    per_instance: bool = switch(True)
    enlarge: bool = switch(True)

    def __post_init__(self) -> None:
        super().__post_init__()
        shape_of(self.encoder)
        odd = self.high_pass == 0 or self.high_pass % 2 == 1
        require(odd, "method_options.high_pass", "an odd number of px, or 0", self.high_pass)
        self._generator: UnSegGenerator | None = None
        self.origin = Origin(f"trained by umed {__version__}")
        self._other: list[str] = []
        self._unknown: tuple[str, ...] = ()
        self._slice_axis: int | None = None
        self._weak: float = 0.25
        self._device = torch.device("cpu")

    def __repr__(self) -> str:
        known = [name for name in (*DECIDED, "per_instance") if name not in self._unknown]
        text = f"UnSeg({', '.join(f'{name}={getattr(self, name)!r}' for name in known)})"
        return f"{text} ({self.origin})" if self._generator is not None else text

    @property
    def generator(self) -> UnSegGenerator:
        """The generator.

        Raises:
            InputError: before :meth:`fit` or :meth:`load`.
        """
        if self._generator is None:
            raise InputError("unseg: expected a trained generator, got none. Give one with --generators.")
        return self._generator

    def check(self, plan: Plan) -> None:
        """Remember how slices are taken and how much weaker the background is."""
        self._slice_axis = plan.slice_axis
        weak = plan.epsilon if plan.epsilon_background is None else plan.epsilon_background
        self._weak = weak / plan.epsilon

    def make_trainer(
        self,
        samples: Sequence[Sample],
        plan: Plan,
        *,
        sam: Path | None = None,
        encoder: Path | None = None,
        epoch_length: int | None = None,
    ) -> UnSegTrainer:
        """Make the trainer of a plan; its generator is :attr:`generator`.

        Pretrained weights are no options, since a plan holds no paths. The seed is that of the plan given: a generator
        that its user trains (``umed train-generator``) is itself his secret, whatever the seed was.

        Args:
            samples: training cases.
            plan: the resolved plan; ``training.iterations`` and ``training.batch_size`` are used.
            sam: weights of Segment Anything, for the generator, which then stays frozen.
            encoder: weights for the surrogate's encoder, of SAM or of a plain vision transformer such as MAE's.
            epoch_length: iterations in an epoch; the plan's iterations over the epochs if ``None``.

        Returns:
            The trainer.

        Raises:
            ConfigError: when weights are given for a surrogate that has no use for them.
        """
        self.check(plan)
        if encoder is not None and self.surrogate != SAM:
            raise ConfigError(
                f"method_options.surrogate: expected {SAM}, for which weights are given ({encoder}), got "
                f"{self.surrogate}. Give --set method_options.surrogate=sam, or leave --surrogate-checkpoint out."
            )
        training, self._device = plan.training, pick_device(plan.device)
        gpu = self._device.type == "cuda"
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(plan.seed)
            self._generator, start = make_generator(self.encoder, sam=sam, high_pass=self.high_pass, checkpointing=gpu)
            surrogate: nn.Module
            if self.surrogate == SAM:
                surrogate = make_sam(self.encoder, checkpointing=gpu)
            else:
                surrogate = Unprompted(self.surrogate)
        self.origin = replace(self.origin, sam=start, options={name: getattr(self, name) for name in DECIDED})
        if isinstance(surrogate, PromptedSam) and encoder is not None:
            load_encoder(surrogate, encoder)
        self._generator, surrogate = self._generator.to(self._device), surrogate.to(self._device)
        length = epoch_length or max(1, -(-training.iterations // self.epochs))
        asked = self.surrogate_prompts if self.surrogate == SAM else (NONE,)
        batches = SquareBatches(
            SamplePictures(samples, plan.slice_axis),
            size=self.generator.sam.shape.image_size,
            batch_size=training.batch_size,
            iterations=length * self.epochs,
            jitter=self.jitter,
            enlarge=self.enlarge,
            whole=1.0 if NONE in asked else 0.5,
            seed=plan.seed,
            rank=process_rank(),
        )
        return UnSegTrainer(
            device=self._device,
            epochs=self.epochs,
            loader=BatchLoader(batches, length),
            generator=self.generator,
            surrogate=surrogate,
            learning_rate=self.learning_rate,
            epsilon=self.train_epsilon or plan.epsilon,
            background=self._weak,
            kinds=self.prompts,
            surrogate_learning_rate=self.surrogate_learning_rate or self.learning_rate,
            surrogate_kinds=asked,
            label_modification=self.label_modification,
            seed=plan.seed,
            amp=training.amp,
            identity=plan.fingerprint,
        )

    def fit(self, samples: Sequence[Any], plan: Plan, workdir: Path, progress: Progress | None = None) -> None:
        """Train a generator from scratch on the data at hand; goes on from the newest checkpoint in ``workdir``.

        Raises:
            InputError: without a secret.
        """
        from umed.training.handlers import run_training  # ignite's handlers take a second to import

        run_training(self.make_trainer(samples, self.keyed(plan)), workdir, progress)

    def reasons(self, given: Path | None = None) -> tuple[str, ...]:
        """Say where the weights come from, above all whether Segment Anything was pretrained."""
        if given is None and self._generator is None:
            start = "unseg: trains its generator on these data; Segment Anything without pretrained weights"
            return (start, SECRET)
        origin, other = self.origin, self._other
        if given is not None:
            one = UnSeg(**{name: getattr(self, name) for name in DECIDED})
            one.adopt(given)
            origin, other = one.origin, one._other
        decided = (f"unseg: the generator's file decides {', '.join(other)}",) if other else ()
        return (f"unseg: generator {origin}", *decided, SECRET)

    def save(self, folder: Path) -> None:
        """Write ``unseg.pt``: all weights, and what they come from."""
        save_generator(self.generator, self.encoder, self.origin, folder / FILE)

    def load(self, folder: Path) -> None:
        """Read ``unseg.pt``; its encoder and the options that it was trained with replace those given.

        Raises:
            InputError: when the file is missing or is not one of ours.
        """
        self.adopt(folder / FILE)
        self.generator.to(self._device).eval()

    def adopt(self, path: Path) -> None:
        """The same for a file of any name, without moving it to a device."""
        self._generator, encoder, self.origin = load_generator(path)
        told = {name: value for name, value in self.origin.options.items() if name in DECIDED}
        told |= {"encoder": encoder, "high_pass": self._generator.head.high_pass}
        try:
            checked = UnSeg(**told)
        except ConfigError as error:
            raise InputError(f"{path}: expected a generator saved by umed, got another file ({error})") from error
        defaults, self._other = UnSeg(), []
        for name in told:
            own, new = getattr(self, name), getattr(checked, name)
            if own not in (new, getattr(defaults, name)):
                self._other.append(f"{name} {new} instead of {own}")
            setattr(self, name, new)
        self._unknown = tuple(name for name in DECIDED if name not in told and name != "enlarge")

    def to(self, device: str) -> UnSeg:
        """Move the generator to a device (``"auto"``, ``"cpu"``, ``"cuda:0"`` ...)."""
        self._device = pick_device(device)
        self.generator.to(self._device)
        return self

    def shared_code(self) -> str:
        """It follows from the generator."""
        return "the noise of unseg follows from its generator: whoever has that file can compute it again"

    def direction(self, image: Tensor, regions: Regions, rng: np.random.Generator) -> Tensor:
        """Run the generator over each labelled picture or slice; nothing is drawn from ``rng``.

        Returns:
            Direction in [-1, 1], at most the share of the background outside the labels.
        """
        flat = partial(
            flat_direction, self.generator, weak=self._weak, per_instance=self.per_instance, enlarge=self.enlarge
        )
        labels = regions.labels
        if labels.ndim == 2:
            return flat(image=image[None], labels=labels[None])[0]
        axis = self._slice_axis
        if axis is None:
            raise InputError("unseg: expected a plan that goes slice by slice, got one in 3D. Set spatial_dims=2.")
        planes, masks = image.movedim(axis + 1, 0), np.moveaxis(labels, axis, 0)
        out = torch.zeros_like(planes)
        rows = np.flatnonzero((masks > 0).any(axis=(1, 2)))
        for start in range(0, len(rows), AT_ONCE):
            some = rows[start : start + AT_ONCE]
            out[some] = flat(image=planes[some], labels=np.ascontiguousarray(masks[some]))
        return out.movedim(0, axis + 1)


DECIDED = tuple(item.name for item in fields(UnSeg) if item.name != "per_instance")
"""Options of a generator's training; of a given one, its file knows them."""
