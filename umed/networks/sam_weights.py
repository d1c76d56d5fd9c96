# SPDX-License-Identifier: Apache-2.0
"""Weights of Segment Anything from files: Meta's, others of the same shapes, encoders of vision transformers."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from umed.core.errors import ConfigError, InputError, error_line
from umed.data import files
from umed.networks.sam import SHAPES, PromptedSam

WHERE = "https://github.com/facebookresearch/segment-anything#model-checkpoints"
BROKEN = (
    *(RuntimeError, KeyError, IndexError, AttributeError, TypeError, ValueError),
    *(EOFError, OSError, pickle.UnpicklingError, ConfigError),
)
"""What torch.load, and a look at what it gives, raise for files of others."""


@contextmanager
def weights_of(path: Path, expected: str, got: str = "others") -> Iterator[Any]:
    """What a file of weights holds; what it is used for may find that it is another file, and say so by raising.

    Args:
        path: an existing file.
        expected: what it should be, in words.
        got: the same of another file.

    Raises:
        InputError: when it is another file.
    """
    try:
        yield torch.load(path, map_location="cpu", weights_only=True)
    except BROKEN as error:
        text = error_line(error)[:200]
        raise InputError(f"{path}: expected {expected}, got {got} ({text}).") from error


def load_sam(network: PromptedSam, path: Path) -> str:
    """Load pretrained weights: Meta's file, or any other of the same shapes, such as MedSAM's.

    Args:
        network: of the file's shape.
        path: the file; nothing is ever downloaded.

    Returns:
        What it is, for plan and report.

    Raises:
        InputError: when there is no such file, it is damaged, or it is of another shape.
    """
    shape = network.shape
    if not path.is_file():
        hint = f"Get {shape.file} from {WHERE} yourself; umed downloads nothing" if shape.file else "Check the path"
        raise InputError(f"{path}: expected weights of Segment Anything, got no such file. {hint}.")
    digest = files.sha256(path)
    if shape.file and path.name == shape.file and digest != shape.sha256:
        raise InputError(
            f"{path}: expected SHA-256 {shape.sha256} of Meta's file, got {digest}. It is damaged: get it again from "
            f"{WHERE}."
        )
    wanted = next((name for name, one in SHAPES.items() if one == shape), "")
    with weights_of(path, f"the weights of a {wanted} SAM") as content:
        network.sam.load_state_dict(content.get("model", content))
    known = {one.sha256: f"Meta's {name}" for name, one in SHAPES.items() if one.sha256}
    return f"{known.get(digest, 'unknown weights')} (SHA-256 {digest[:16]}...)"


def load_encoder(network: PromptedSam, path: Path) -> int:
    """Start the image encoder from weights of a SAM or of a plain vision transformer, such as those of MAE.

    Args:
        network: changed in place.
        path: state dict, or a mapping that holds one under ``model``; names as in SAM, or without its
            ``image_encoder.``. What has another shape (position embeddings of another size) stays as it is.

    Returns:
        How many tensors were taken.

    Raises:
        InputError: when there is no such file, or less than half of the encoder's blocks are in it.
    """
    if not path.is_file():
        raise InputError(f"{path}: expected weights for the surrogate's encoder, got no such file. Check the path.")
    encoder: Any = network.sam.image_encoder
    with weights_of(path, "weights of a vision transformer of this size") as content:
        found = content.get("model", content).items()
        state = {str(name).removeprefix("image_encoder."): value for name, value in found}
        own = encoder.state_dict()
        fits = {name: value for name, value in state.items() if name in own and own[name].shape == value.shape}
        if len(fits) < 0.5 * sum(name.startswith("blocks.") and "rel_pos" not in name for name in own):
            raise ValueError(f"only {len(fits)} tensors fit")
        encoder.load_state_dict(fits, strict=False)
    return len(fits)
