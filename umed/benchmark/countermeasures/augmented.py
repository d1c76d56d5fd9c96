# SPDX-License-Identifier: Apache-2.0
"""Countermeasures on training batches: augmentations, mixtures of cases, and the worst of several augmentations."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor

from umed.benchmark.countermeasures.interface import Countermeasure, Moment, number, pair, whole
from umed.training.augment import nnunet_like


class Augment(Countermeasure):
    """nnU-Net's default augmentation; see :mod:`umed.training.augment` for its transforms, ranges and source.

    A victim whose own recipe has it (``nnunet_like``) is left as it is.
    """

    name = "augment"
    augments = True

    def batch(self, image: Tensor, label: Tensor, moment: Moment) -> tuple[Tensor, Tensor]:
        """Augment every case with its own draw."""
        return _nnunet(image, label, moment.generator)


class Cutout(Countermeasure):
    """Hide a box at a random place of every image behind its mean; the label stays.

    Source: DeVries, Taylor (arXiv 1708.04552): the centre is uniform, so the box may stick out. Their 16 of 32 pixels
    are the default.

    Args:
        share: side of the box as a share of the image's side, in (0, 1]; usual sweep 0.25, 0.5.
    """

    name = "cutout"
    strength = "share"

    def __init__(self, *, share: float = 0.5) -> None:
        self.share = number("cutout.share", share, 0, 1, above=True)

    def batch(self, image: Tensor, label: Tensor, moment: Moment) -> tuple[Tensor, Tensor]:
        """Fill one box a case."""
        image = image.clone()
        for one in image:
            box = _box(one.shape[1:], self.share, moment.generator)
            one[tuple([slice(None), *box])] = one.mean(tuple(range(1, one.ndim)), keepdim=True)
        return image, label


class MixUp(Countermeasure):
    """Train on weighted means of two cases and of their labels.

    Source: Zhang et al., "mixup" (arXiv 1710.09412): ``x = w a + (1 - w) b`` with w from Beta(alpha, alpha), here one
    draw a case; the partner comes from the same batch, so a batch of one stays as it is.

    Args:
        alpha: above 0; small values mix little; usual sweep 0.2, 1.
    """

    name = "mixup"
    strength = "alpha"

    def __init__(self, *, alpha: float = 1.0) -> None:
        self.alpha = number("mixup.alpha", alpha, 0, 1000, above=True)

    def batch(self, image: Tensor, label: Tensor, moment: Moment) -> tuple[Tensor, Tensor]:
        """Mix; the label becomes ``(B, classes, *spatial)`` float32 shares."""
        weight, partner = _partners(len(image), self.alpha, moment.generator)
        weight = weight.reshape(-1, *[1] * (image.ndim - 1)).to(image)
        shares = class_shares(label, moment.classes)
        partner = partner.to(image.device)
        return torch.lerp(image[partner], image, weight), torch.lerp(shares[partner], shares, weight)


class CutMix(Countermeasure):
    """Paste a box of another case of the batch, with its label, into every case.

    Source: Yun et al., "CutMix" (arXiv 1905.04899), with the label cut like the image, as French et al. do for
    segmentation (arXiv 1906.01916); so a label of classes stays one of classes. The box is a share ``1 - w`` of the
    image with w from Beta(alpha, alpha), less where it sticks out.

    Args:
        alpha: above 0; usual sweep 0.2, 1.
    """

    name = "cutmix"
    strength = "alpha"

    def __init__(self, *, alpha: float = 1.0) -> None:
        self.alpha = number("cutmix.alpha", alpha, 0, 1000, above=True)

    def batch(self, image: Tensor, label: Tensor, moment: Moment) -> tuple[Tensor, Tensor]:
        """Paste one box a case."""
        weight, partner = _partners(len(image), self.alpha, moment.generator)
        new_image, new_label = image.clone(), label.clone()
        for row, (kept, other) in enumerate(zip(weight.tolist(), partner.tolist(), strict=True)):
            side = (1 - kept) ** (1 / (image.ndim - 2))
            box = (slice(None), *_box(image.shape[2:], side, moment.generator))
            new_image[row][box], new_label[row][box] = image[other][box], label[other][box]
        return new_image, new_label


class GammaContrast(Countermeasure):
    """Random gamma and contrast of every channel of every case.

    Gamma acts on the channel's own range brought to [0, 1], contrast stretches about the mean. Defaults: nnU-Net's
    ranges, applied to every case.

    Args:
        gamma: range of the exponent.
        contrast: range of the factor.
    """

    name = "gamma_contrast"

    def __init__(
        self, *, gamma: tuple[float, float] = (0.7, 1.5), contrast: tuple[float, float] = (0.75, 1.25)
    ) -> None:
        self.gamma = pair("gamma_contrast.gamma", gamma, 0.01, 100)
        self.contrast = pair("gamma_contrast.contrast", contrast, 0, 100)

    def batch(self, image: Tensor, label: Tensor, moment: Moment) -> tuple[Tensor, Tensor]:
        """Change the intensities; one draw a channel."""
        shape = (*image.shape[:2], *[1] * (image.ndim - 2))
        gamma = _uniform(*self.gamma, shape, moment.generator).to(image)
        factor = _uniform(*self.contrast, shape, moment.generator).to(image)
        axes = tuple(range(2, image.ndim))
        low = image.amin(axes, keepdim=True)
        width = (image.amax(axes, keepdim=True) - low).clamp(min=1e-7)
        image = ((image - low) / width) ** gamma * width + low
        mean = image.mean(axes, keepdim=True)
        return (image - mean) * factor + mean, label


class UEraser(Countermeasure):
    """UEraser-like: of several augmented versions of every case, train on the one with the largest loss.

    Source: Qin et al., "Learning the Unlearnable: Adversarial Augmentations Suppress Unlearnable Example Attacks"
    (arXiv 2303.15127): 5 candidates of plasma brightness and contrast, channel shuffle and TrivialAugment. Here
    TrivialAugment, which is made for 8-bit photographs, is replaced by nnU-Net's augmentation; channels are shuffled in
    colour pictures only; plasma is smooth fractal noise. Costs one forward pass a candidate.

    Args:
        candidates: versions of each case, at least 1; 1 is the paper's UEraser-Lite, without a look at the loss.
        until: share of the training during which the worst is taken; a single version after it (paper: 60 of 200
            epochs, or all).
    """

    name = "ueraser"
    strength = "candidates"
    augments = True

    def __init__(self, *, candidates: int = 5, until: float = 1.0) -> None:
        self.candidates = whole("ueraser.candidates", candidates, 1)
        self.until = number("ueraser.until", until, 0, 1)

    def batch(self, image: Tensor, label: Tensor, moment: Moment) -> tuple[Tensor, Tensor]:
        """Choose the worst candidate of each case."""
        count = self.candidates if moment.progress < self.until else 1
        made = [self.candidate(image, label, moment.generator) for _ in range(count)]
        if count == 1:
            return made[0]
        with torch.no_grad():
            worst = torch.stack([moment.loss(*one) for one in made]).argmax(0).tolist()
        images, labels = zip(*(tuple(part[row] for part in made[k]) for row, k in enumerate(worst)), strict=True)
        return torch.stack(images), torch.stack(labels)

    def candidate(self, image: Tensor, label: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Augment a batch once; image ``(B, C, *spatial)`` and label as in :meth:`batch`, whose shapes stay."""
        image, label = _nnunet(image, label, generator)
        rows = []
        for one in image:
            brightens, stretches, shuffles = (torch.rand(3, generator=generator) < 0.5).tolist()
            if brightens:
                reach = float(_uniform(0.5, 1.0, (), generator) * (one.max() - one.min()))
                one = one + reach * (_plasma(one.shape[1:], generator).to(one) - 0.5)
            if stretches:
                mean = one.mean(tuple(range(1, one.ndim)), keepdim=True)
                one = (one - mean) * 2 * _plasma(one.shape[1:], generator).to(one) + mean
            if shuffles and one.ndim == 3 and len(one) == 3:
                one = one[torch.randperm(3, generator=generator).to(one.device)]
            rows.append(one)
        return torch.stack(rows), label


def class_shares(label: Tensor, classes: int) -> Tensor:
    """Shares of the classes in every voxel, ``(B, classes, *spatial)`` float32.

    The label is ``(B, 1, *spatial)`` int64, or shares already.
    """
    if label.is_floating_point():
        return label
    return functional.one_hot(label[:, 0].long(), classes).movedim(-1, 1).float()


def _nnunet(image: Tensor, label: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """The augmentation works on the CPU, where its generator is."""
    new_image, new_label = nnunet_like(image.cpu(), label.cpu(), generator)
    return new_image.to(image.device), new_label.to(label.device)


def _uniform(low: float, high: float, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(shape, generator=generator)


def _partners(cases: int, alpha: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """A weight from Beta(alpha, alpha) and a partner for each case."""
    draw = np.random.default_rng(int(torch.randint(2**62, (), generator=generator)))
    weight = torch.from_numpy(draw.beta(alpha, alpha, cases).astype(np.float32))
    return weight, torch.randperm(cases, generator=generator)


def _box(spatial: torch.Size, side: float, generator: torch.Generator) -> tuple[slice, ...]:
    """A box of ``side`` times the image's size about a uniform centre, cut at the edges."""
    slices = []
    for size in spatial:
        length = round(side * size)
        start = int(torch.randint(size, (), generator=generator)) - length // 2
        slices.append(slice(max(0, start), max(0, start + length)))
    return tuple(slices)


def _plasma(spatial: torch.Size, generator: torch.Generator) -> Tensor:
    """Fractal noise in [0, 1]: octaves of twice the frequency, each weaker by the roughness, from U(0.3, 0.7)."""
    roughness = float(_uniform(0.3, 0.7, (), generator))
    mode = "bilinear" if len(spatial) == 2 else "trilinear"
    field = torch.zeros(1, 1, *spatial)
    for octave in range(1 + int(math.log2(max(spatial)))):
        coarse = torch.rand((1, 1, *[min(2**octave + 1, size) for size in spatial]), generator=generator)
        field += roughness**octave * functional.interpolate(coarse, size=list(spatial), mode=mode, align_corners=True)
    field = field[0, 0] - field.min()
    return field / field.max().clamp(min=1e-7)
