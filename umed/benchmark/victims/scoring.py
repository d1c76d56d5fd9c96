# SPDX-License-Identifier: Apache-2.0
"""How well a victim segments: DSC, HD95 and normalized surface dice of each case and class, on the case's own grid."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as functional
from monai.inferers.utils import sliding_window_inference
from monai.metrics.utils import get_edge_surface_distance
from torch import Tensor

from umed.benchmark.results.cells import Scores, Table
from umed.benchmark.victims.ready import Ready

Answers = tuple[Tensor, ...]
"""Class of each voxel of each case, ``(*spatial)`` uint8, on the grid of the files."""
TOGETHER = 8
"""Pictures of the same size that go through the network at once."""


def mixed_precision(device: torch.device, bfloat16: bool) -> torch.autocast:
    """Half precision on a GPU; bfloat16 on a CPU where it is asked for; nothing else."""
    if device.type == "cuda":
        return torch.autocast("cuda", dtype=torch.float16)
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=bfloat16)


@torch.no_grad()
def predict(
    network: torch.nn.Module,
    images: Sequence[Tensor],
    device: torch.device,
    window: Sequence[int],
    sizes: Sequence[Sequence[int]],
    bfloat16: bool = False,
) -> Answers:
    """Segment images with a sliding window of the size that the network was trained on, as nnU-Net does.

    Instance norm sees how much of its input is padding and how large a part of the body it shows, so both must be the
    same as in training. Images smaller than the window lie in the middle of 0.

    Args:
        network: a victim.
        images: ``(C, *spatial)`` each.
        device: where the network is.
        window: size that the network was trained on.
        sizes: grid of each answer; where it differs from the image's, the logits are resampled linearly.
        bfloat16: see :class:`umed.benchmark.victims.victim_recipe.Recipe`.

    Returns:
        Class of each voxel.
    """
    network.eval()
    dims = images[0].ndim - 1
    layout = torch.channels_last if dims == 2 else torch.channels_last_3d

    def look(batch: Tensor) -> Tensor:
        with mixed_precision(device, bfloat16):
            output: Tensor = network(batch.contiguous(memory_format=layout))
        return output.float()

    answers: list[Tensor] = []
    start = 0
    while start < len(images):
        stop = start + 1
        while stop < min(start + TOGETHER, len(images)) and images[stop].shape == images[start].shape:
            stop += 1
        batch = torch.stack(list(images[start:stop])).to(device)
        logits = sliding_window_inference(batch, tuple(window), TOGETHER, look, overlap=0.25, mode="gaussian")
        assert isinstance(logits, Tensor)
        for one, size in zip(logits, sizes[start:stop], strict=True):
            if tuple(size) != tuple(one.shape[1:]):
                mode = "bilinear" if dims == 2 else "trilinear"
                one = functional.interpolate(one[None], size=tuple(size), mode=mode)[0]
            answers.append(one.argmax(0).to(torch.uint8).cpu())
        start = stop
    return tuple(answers)


def dsc_table(answers: Sequence[Tensor], truths: Sequence[Tensor], classes: int) -> Table:
    """Dice similarity coefficient ``2 |A & T| / (|A| + |T|)`` in [0, 1] of each case and foreground class.

    ``None`` where a case has no such class; the background counts among ``classes``.
    """
    rows: list[tuple[float | None, ...]] = []
    for answer, truth in zip(answers, truths, strict=True):
        counts = torch.bincount((truth.long() * classes + answer.long()).flatten(), minlength=classes**2)
        both = counts.reshape(classes, classes).double()
        row = []
        for k in range(1, classes):
            true, found = float(both[k].sum()), float(both[:, k].sum())
            row.append(round(2 * float(both[k, k]) / (true + found), 6) if true else None)
        rows.append(tuple(row))
    return tuple(rows)


def mean_dsc(table: Table) -> float | None:
    """Mean over the classes of each case, then over the cases, as everywhere; ``None`` without any figure.

    >>> mean_dsc(((1.0, None), (0.5, 0.25)))
    0.6875
    """
    rows = [[value for value in row if value is not None] for row in table]
    means = [sum(row) / len(row) for row in rows if row]
    return sum(means) / len(means) if means else None


def chance_table(truths: Sequence[Tensor], classes: int) -> Table:
    """DSC of the best picture of one class: every voxel is called the class whose mean is highest.

    Args:
        truths: class of each voxel of each case, ``(*spatial)``.
        classes: with the background.

    Returns:
        As :func:`dsc_table`.
    """
    best: tuple[float, Table] = (-1.0, ())
    for k in range(1, classes):
        table = dsc_table([torch.full_like(truth, k) for truth in truths], truths, classes)
        best = max(best, (mean_dsc(table) or 0.0, table), key=lambda one: one[0])
    return best[1]


def score(answers: Sequence[Tensor], ready: Ready, step: int, tolerance: float) -> Scores:
    """All figures of one checkpoint's answers on clean test cases.

    Surfaces and their distances are those of :mod:`monai.metrics`. A class that was not found at all has no Hausdorff
    distance (``None``) and a surface dice of 0. The tolerance of the normalized surface dice (Nikolov et al., arXiv
    1809.04430) is in the unit of the spacings.
    """
    hd95: list[tuple[float | None, ...]] = []
    nsd: list[tuple[float | None, ...]] = []
    for answer, truth, spacing in zip(answers, ready.truths, ready.spacings, strict=True):
        found = [_surface(answer == k, truth == k, spacing, tolerance) for k in range(1, ready.classes)]
        hd95.append(tuple(one[0] for one in found))
        nsd.append(tuple(one[1] for one in found))
    return Scores(step, dsc_table(answers, ready.truths, ready.classes), tuple(hd95), tuple(nsd))


def _surface(
    answer: Tensor, truth: Tensor, spacing: Sequence[float], tolerance: float
) -> tuple[float | None, float | None]:
    """HD95 and normalized surface dice of one class of one case."""
    if not truth.any():
        return None, None
    if not answer.any():
        return None, 0.0
    places = torch.nonzero(answer | truth)  # MONAI crops, too, at three times the cost of all the rest
    box = tuple(slice(int(low), int(high) + 1) for low, high in zip(places.amin(0), places.amax(0), strict=True))
    answer, truth = answer[box], truth[box]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # MONAI 1.6 warns of an argument that it passes itself
        _, distances, _ = get_edge_surface_distance(
            answer, truth, spacing=list(spacing), symmetric=True, mask=torch.ones_like(truth), warn_empty=False
        )
    there, back = (np.asarray(one, dtype=np.float64).ravel() for one in distances)
    if not there.size or not back.size:
        return None, 0.0
    hd95 = max(float(np.percentile(there, 95)), float(np.percentile(back, 95)))
    near = int((there <= tolerance).sum() + (back <= tolerance).sum())
    return round(hd95, 4), round(near / (there.size + back.size), 6)
