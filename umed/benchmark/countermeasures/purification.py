# SPDX-License-Identifier: Apache-2.0
"""Countermeasure that learns from the published images what was added to them: the disentangling autoencoder D-VAE."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
import torch.nn.functional as functional
from monai.networks.layers import Conv
from torch import Tensor, nn

from umed.benchmark.countermeasures.interface import Countermeasure, number, whole
from umed.benchmark.countermeasures.projection import cut, extend
from umed.benchmark.victims.case_tensors import Samples

FIRST_RATE = 1.0
"""Nats a latent position in the first stage, as published."""
RATE_WEIGHT = 0.01
NOISE_ENERGY = (4 / 255) ** 2
"""Mean square of the perturbation that costs nothing, on images scaled to [0, 1]; 0.002 as published for 8/255."""
TILE = 8
"""Period in pixels of the learnt class-wise embeddings; even, as the encoder halves the grid."""
CARRIED = 8
"""Channels by which the latent enters the perturbation."""
LEARNING_RATE = 4e-3


class DVae(Countermeasure):
    """D-VAE-like purification: autoencoders of limited rate that split an image into a picture and a perturbation.

    Source: Yu et al., "Purify Unlearnable Examples via Rate-Constrained Variational Autoencoders", ICML 2024
    (arXiv 2405.01460). Two networks are trained on patches of the published images, one after the other. Each codes an
    image x in a latent z, decodes z to a picture r, and decodes z with a learnt embedding of the label to a
    perturbation p, by minimising ``mse(r, x - p) + mse(r + p, x) + max(mse(p), limit) + 0.01 max(KLD, rate)`` with KLD
    in nats a latent position. The first, of 1 nat, leaves x - p; the second learns from those, takes its own p off,
    and its r is the result.

    Kept: the two decoders, class-wise embeddings, rates and their weight, the two stages. Different: the picture is
    fitted to x - p instead of x (and p to what is left of x, without gradient to the other), since a decoder that sees
    the label's shape in the latent would otherwise draw the pattern itself; the limit is that of 4/255; the networks
    are small (a latent position stands for 2 x 2 (x 2) pixels, an embedding is a tile of 8 x 8 (x 8) pixels without
    its mean, laid out over the pixels of its class) and trained for some hundred steps. An image of the training set
    is known by its content, so that its label can be used; no p is taken off any other image, as nobody knows its
    label. Those go through the second autoencoder like the rest, so that training and testing images stay alike (the
    paper tests on images that were not purified).

    Args:
        rate: nats a latent position of the second stage; more keeps more of image and perturbation; sweep 1, 2.5, 8.
        steps: optimiser steps a stage.
        width: channels of the networks.
    """

    name = "d_vae"
    strength = "rate"

    def __init__(self, *, rate: float = 2.5, steps: int = 300, width: int = 16) -> None:
        self.rate = number("d_vae.rate", rate, 0, 1000, above=True)
        self.steps, self.width = whole("d_vae.steps", steps, 1), whole("d_vae.width", width, 4, 512)
        self._stages: tuple[Disentangler, ...] = ()
        self._labels: dict[bytes, Tensor] = {}
        self._device = torch.device("cpu")

    def fit(self, published: Samples, seed: int, device: torch.device) -> None:
        """Train both stages on the published images."""
        self._device = device
        self._labels = {_digest(image): one for image, one in zip(published.images, published.labels, strict=True)}
        units = [_unit(image, scale)[0] for image, scale in zip(published.images, published.scales, strict=True)]
        stages: list[Disentangler] = []
        for number_, rate in enumerate((FIRST_RATE, self.rate)):
            stage = self._train(units, published.labels, published.classes, rate, 2 * seed + number_)
            stages.append(stage)
            units = [stage.without(unit, one, device) for unit, one in zip(units, published.labels, strict=True)]
        self._stages = tuple(stages)

    def image(self, image: Tensor, full_scale: float) -> Tensor:
        """Take the perturbations off where the label is known, then decode the second stage's picture."""
        unit, mean = _unit(image, full_scale)
        label = self._labels.get(_digest(image))
        for stage in self._stages:
            unit = unit if label is None else stage.without(unit, label, self._device)
        if self._stages:
            unit = self._stages[-1].picture(unit, self._device)
        return unit * full_scale + mean

    def _train(
        self, units: Sequence[Tensor], labels: Sequence[Tensor], classes: int, rate: float, seed: int
    ) -> Disentangler:
        """Train one stage on random patches, whose corners lie on the tiles of the embedding."""
        generator = torch.Generator().manual_seed(seed)
        dims, device = labels[0].ndim, self._device
        size, cases, layout = (48, 8, torch.channels_last) if dims == 2 else (16, 4, torch.channels_last_3d)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            stage = Disentangler(dims, len(units[0]), classes, self.width)
        stage.to(device=device, memory_format=layout)  # type: ignore[call-overload]
        optimizer = torch.optim.Adam(stage.parameters(), lr=LEARNING_RATE)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.steps)
        for _ in range(self.steps):
            rows = torch.randint(len(units), (cases,), generator=generator).tolist()
            pairs = [_patch(units[row], labels[row], size, generator) for row in rows]
            x, y = (torch.stack(parts).to(device) for parts in zip(*pairs, strict=True))
            mean, log_variance = stage.code(x.contiguous(memory_format=layout))
            noise = torch.randn(mean.shape, generator=generator).to(device)
            z = mean + noise * torch.exp(0.5 * log_variance)
            r, p = stage.decode(z), stage.perturbation(z, y)
            divergence = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(1).mean()
            loss = functional.mse_loss(r, x - p.detach()) + functional.mse_loss(r.detach() + p, x)
            loss = loss + p.square().mean().clamp(min=NOISE_ENERGY) + RATE_WEIGHT * divergence.clamp(min=rate)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()
        return stage.eval()


class Disentangler(nn.Module):
    """Encoder, picture decoder and perturbation decoder with class-wise embeddings.

    Args:
        dims: 2 or 3.
        channels: of the images.
        classes: number of classes.
        width: channels inside.
    """

    def __init__(self, dims: int, channels: int, classes: int, width: int) -> None:
        super().__init__()
        conv, up = Conv[Conv.CONV, dims], Conv[Conv.CONVTRANS, dims]
        self.encoder = nn.Sequential(
            conv(channels, width, 4, stride=2, padding=1),
            nn.GELU(),
            conv(width, width, 3, padding=1),
            nn.GELU(),
            conv(width, 2 * width, 1),
        )
        self.decoder = nn.Sequential(
            conv(width, width, 3, padding=1),
            nn.GELU(),
            up(width, width, 4, stride=2, padding=1),
            nn.GELU(),
            conv(width, channels, 3, padding=1),
        )
        self.carrier = up(width, CARRIED, 2, stride=2)
        self.tiles = nn.Parameter(0.01 * torch.randn(classes, channels, *[TILE] * dims))
        self.mixer = nn.Sequential(
            conv(CARRIED + channels, width, 3, padding=1), nn.GELU(), conv(width, channels, 3, padding=1)
        )

    def code(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance ``(B, width, *coarse)`` of the latent of ``(B, C, *spatial)``."""
        mean, log_variance = self.encoder(x).chunk(2, 1)
        return mean, log_variance.clamp(-10, 10)

    def decode(self, z: Tensor) -> Tensor:
        """Picture ``(B, C, *spatial)`` of a latent."""
        picture: Tensor = self.decoder(z)
        return picture

    def perturbation(self, z: Tensor, label: Tensor) -> Tensor:
        """Perturbation ``(B, C, *spatial)`` of a latent and a label ``(B, *spatial)`` of classes."""
        repeats = [size // TILE for size in label.shape[1:]]
        shares = functional.one_hot(label.long(), len(self.tiles)).movedim(-1, 1).to(self.tiles.dtype)
        tiles = self.tiles - self.tiles.mean(tuple(range(2, self.tiles.ndim)), keepdim=True)
        laid = tiles.repeat(1, 1, *repeats)
        embedding = torch.einsum("bk...,kc...->bc...", shares, laid)
        found: Tensor = self.mixer(torch.cat([self.carrier(z), embedding], 1))
        return found + embedding

    @torch.no_grad()
    def without(self, unit: Tensor, label: Tensor, device: torch.device) -> Tensor:
        """Take the perturbation off one image ``(C, *spatial)`` with its label ``(*spatial)``."""
        size = [-(-n // TILE) * TILE for n in label.shape]
        x, y = extend(unit, size, 1)[None].to(device), extend(label, size, 0)[None].to(device)
        return unit - cut(self.perturbation(self.code(x)[0], y)[0].cpu(), label.shape)

    @torch.no_grad()
    def picture(self, unit: Tensor, device: torch.device) -> Tensor:
        """Code and decode one image ``(C, *spatial)`` without noise in the latent."""
        x = extend(unit, [-(-n // TILE) * TILE for n in unit.shape[1:]], 1)[None].to(device)
        return cut(self.decode(self.code(x)[0])[0].cpu(), unit.shape[1:])


def _digest(image: Tensor) -> bytes:
    return hashlib.sha256(image.contiguous().numpy().tobytes()).digest()


def _unit(image: Tensor, full_scale: float) -> tuple[Tensor, Tensor]:
    """Each channel about its mean, as a share of the full scale, and those means."""
    mean = image.mean(tuple(range(1, image.ndim)), keepdim=True)
    return (image - mean) / max(full_scale, 1e-12), mean


def _patch(unit: Tensor, label: Tensor, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """A random patch of an image and its label, edges repeated where the image is smaller."""
    starts = [TILE * int(torch.randint(max(0, n - size) // TILE + 1, (), generator=generator)) for n in label.shape]
    window = tuple(slice(start, start + size) for start in starts)
    full = [size] * label.ndim
    return extend(unit[tuple([slice(None), *window])], full, 1), extend(label[window], full, 0)
