# SPDX-License-Identifier: Apache-2.0
"""Countermeasure that finds the linear directions which tell the classes apart, and removes them from every image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as functional
from torch import Tensor

from umed.benchmark.countermeasures.interface import Countermeasure, whole
from umed.benchmark.victims.case_tensors import Samples

BLOCKS = 20000
"""Most blocks that the regression looks at; a random choice where there are more."""
DECAY = 0.1
"""Weight of the sum of squared weights: strong, as without it a regression that tells all blocks apart is not unique,
and the more it turns from the difference of the classes' means, the more of that difference stays."""


class OrthogonalProjection(Countermeasure):
    """Remove from every block of pixels the directions by which a linear classifier tells its class.

    Source: Sandoval-Segura et al., "What Can We Learn from Unlearnable Datasets?" (arXiv 2305.19254): a logistic
    regression of the class on the pixels, its weights made orthonormal to Q, every image x replaced by x - Q Q'x. A
    segmentation has no class of the image, so here x is a block of ``patch`` pixels along every axis with all its
    channels, on a fixed grid from the image's corner, minus the mean of each of its channels (the mean is put back:
    it is anatomy); its class is the most frequent one in it, and all classes weigh the same. As one regression gives
    at most classes - 1 directions, it is repeated on the projected blocks until there are enough. What it can find:
    any pattern whose period divides ``patch``. What it cannot: patterns whose phase changes from block to block,
    which no linear classifier sees.

    Args:
        directions: how many to remove, less than ``patch^dims * channels``; usual sweep 1, 4, 16.
        patch: side of a block in pixels.
    """

    name = "orthogonal_projection"
    strength = "directions"

    def __init__(self, *, directions: int = 4, patch: int = 4) -> None:
        self.directions = whole("orthogonal_projection.directions", directions, 1)
        self.patch = whole("orthogonal_projection.patch", patch, 2, 32)
        self.basis: Tensor | None = None
        """Removed directions ``(channels * patch^dims, directions)`` after :meth:`fit`, orthonormal."""

    def fit(self, published: Samples, seed: int, device: torch.device) -> None:
        """Find the directions; computed on the CPU."""
        blocks, classes = [], []
        for image, label, scale in zip(published.images, published.labels, published.scales, strict=True):
            whole_blocks = [size // self.patch * self.patch for size in label.shape]
            rows, _ = centred(split(cut(image, whole_blocks) / max(scale, 1e-12), self.patch), len(image))
            marks = split(cut(label[None], whole_blocks), self.patch).long()
            blocks.append(rows)
            classes.append(functional.one_hot(marks, published.classes).sum(1).argmax(1))
        x, y = torch.cat(blocks).double(), torch.cat(classes)
        if len(x) > BLOCKS:
            chosen = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))[:BLOCKS]
            x, y = x[chosen], y[chosen]
        basis = torch.zeros(x.shape[1], 0, dtype=torch.float64)
        while basis.shape[1] < min(self.directions, x.shape[1] - 1):
            found = separating(x, y, published.classes)
            found = found - basis @ (basis.T @ found)
            if float(found.norm()) < 1e-9:
                break
            left, size, _ = torch.linalg.svd(found, full_matrices=False)
            new = left[:, size > 1e-6 * size[0]]
            basis = torch.cat([basis, new], 1)[:, : self.directions]
            x = x - (x @ basis) @ basis.T
        self.basis = basis.float()

    def image(self, image: Tensor, full_scale: float) -> Tensor:
        """Project every block; edges are repeated where the last block is not full."""
        if self.basis is None or not self.basis.shape[1]:
            return image
        full = extend(image, [-(-size // self.patch) * self.patch for size in image.shape[1:]], 1)
        rows, mean = centred(split(full, self.patch), len(image))
        rows = rows - (rows @ self.basis) @ self.basis.T
        done = join((rows.reshape(len(rows), len(image), -1) + mean).flatten(1), tuple(full.shape), self.patch)
        return cut(done, image.shape[1:])


def extend(array: Tensor, size: Sequence[int], first: int) -> Tensor:
    """Repeat the far edges of the axes from ``first`` on until the size is reached."""
    for axis, want in enumerate(size, start=first):
        if array.shape[axis] < want:
            array = array.index_select(axis, torch.arange(want).clamp(max=array.shape[axis] - 1))
    return array


def cut(array: Tensor, size: Sequence[int]) -> Tensor:
    """The first ``size`` values along the axes after the first one."""
    return array[tuple([slice(None), *(slice(0, n) for n in size)])].contiguous()


def split(image: Tensor, patch: int) -> Tensor:
    """Cut an image ``(C, *spatial)``, sides multiples of ``patch``, into blocks ``(blocks, C * patch^dims)``.

    Channels come first, then the pixels.
    """
    dims = image.ndim - 1
    shape = [part for size in image.shape[1:] for part in (size // patch, patch)]
    cut = image.reshape(len(image), *shape)
    order = [*range(1, 2 * dims, 2), 0, *range(2, 2 * dims + 1, 2)]
    return cut.permute(order).reshape(-1, len(image) * patch**dims)


def join(rows: Tensor, shape: tuple[int, ...], patch: int) -> Tensor:
    """Put the blocks of :func:`split` together again to an image of that shape ``(C, *spatial)``."""
    dims = len(shape) - 1
    cut = rows.reshape(*(size // patch for size in shape[1:]), shape[0], *[patch] * dims)
    order = [dims, *(axis for k in range(dims) for axis in (k, dims + 1 + k))]
    return cut.permute(order).reshape(shape)


def centred(rows: Tensor, channels: int) -> tuple[Tensor, Tensor]:
    """Take the mean of each channel off every block; also gives the means, ``(blocks, channels, 1)``."""
    parts = rows.reshape(len(rows), channels, -1)
    mean = parts.mean(2, keepdim=True)
    return (parts - mean).flatten(1), mean


def separating(x: Tensor, y: Tensor, classes: int) -> Tensor:
    """Directions in which a multinomial logistic regression with balanced classes tells the rows' classes.

    Rows ``(N, D)`` float64 and classes ``(N)`` int64; classes without a row are left out. Gives ``(D, present
    classes)`` weights whose rows sum to 0; none without at least two classes.
    """
    present = torch.bincount(y, minlength=classes).nonzero()[:, 0]
    if len(present) < 2:
        return x.new_zeros(x.shape[1], 0)
    target = torch.searchsorted(present, y)
    balance = len(y) / (len(present) * torch.bincount(target).to(x))
    inputs = (x - x.mean(0)) / x.std().clamp(min=1e-12)
    weight = x.new_zeros(x.shape[1], len(present)).requires_grad_()
    bias = x.new_zeros(len(present)).requires_grad_()
    solver = torch.optim.LBFGS([weight, bias], max_iter=50, line_search_fn="strong_wolfe")

    def closure() -> float:
        solver.zero_grad()
        with torch.enable_grad():
            loss = functional.cross_entropy(inputs @ weight + bias, target, weight=balance)
            loss = loss + DECAY * weight.square().sum()
            torch.autograd.backward(loss)
        return float(loss.detach())

    solver.step(closure)  # type: ignore[no-untyped-call]
    found: Tensor = weight.detach()
    return found - found.mean(1, keepdim=True)
