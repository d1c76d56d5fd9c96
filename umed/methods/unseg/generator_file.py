# SPDX-License-Identifier: Apache-2.0
"""Generators of UnSeg on disk: our own files, weights of Segment Anything to start from, the authors' weights."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from umed.core.errors import InputError
from umed.data import files
from umed.data.paths import refuse_paths
from umed.networks.noise_head import UnSegGenerator, from_released
from umed.networks.sam import make_sam, shape_of
from umed.networks.sam_weights import load_sam, weights_of
from umed.networks.tensor_files import save_tensors

FILE = "unseg.pt"
FORMAT = 1


@dataclass(frozen=True)
class Origin:
    """Where a generator's weights come from, for plan, report and manifest.

    Args:
        text: in words.
        sam: what its Segment Anything was before, empty for random weights.
        options: of the method that decided its training; empty where that is not known.
    """

    text: str
    sam: str = ""
    options: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        start = f"Segment Anything from {self.sam}" if self.sam else "Segment Anything without pretrained weights"
        return f"{self.text}; {start}"


def check_origin(origin: Origin) -> None:
    """Raise ValueError for what must not go into a manifest: another type, several lines, a path."""
    texts = {"text": origin.text, "sam": origin.sam}
    for name, text in texts.items():
        if not isinstance(text, str) or not text.isprintable():
            raise ValueError(f"origin.{name} {text!r}")
    if not isinstance(origin.options, dict):
        raise ValueError(f"origin.options {origin.options!r}")
    refuse_paths(asdict(origin), "origin")


def make_generator(
    encoder: str,
    *,
    sam: Path | None = None,
    high_pass: int = 0,
    checkpointing: bool = False,
    released: bool = False,
) -> tuple[UnSegGenerator, str]:
    """Make a generator that is not trained yet.

    Args:
        encoder: size of Segment Anything.
        sam: its pretrained weights, which then stay frozen; without, all of it is trained.
        high_pass: see :class:`umed.networks.noise_head.NoiseHead`.
        checkpointing: less memory for more time.
        released: see :class:`umed.networks.noise_head.UnSegGenerator`.

    Returns:
        The generator, and what its pretrained weights are, empty for none.

    Raises:
        ConfigError: when the encoder is unknown or ``segment-anything`` is missing.
        InputError: when the weights do not fit.
    """
    shape = shape_of(encoder)
    network = make_sam(encoder, checkpointing=checkpointing)
    known = "" if sam is None else load_sam(network, sam)
    # Small pictures have few tokens, so the noise is brought to their own resolution; 1024 px as in the paper.
    small = shape.image_size <= 256 and not released
    finer = int(math.log2(shape.image_size // shape.mask_size)) if small else 0
    generator = UnSegGenerator(network, frozen=sam is not None, finer=finer, high_pass=high_pass, released=released)
    return generator, known


def save_generator(generator: UnSegGenerator, encoder: str, origin: Origin, path: Path) -> None:
    """Write a generator with all its weights, so that nothing else is needed to use it.

    Args:
        generator: trained.
        encoder: its size.
        origin: where its weights come from.
        path: file.
    """
    content = {
        "format": FORMAT,
        "method": "unseg",
        "encoder": encoder,
        "frozen": generator.frozen,
        "released": generator.released,
        "high_pass": generator.head.high_pass,
        "origin": asdict(origin),
        "weights": {name: value.cpu() for name, value in generator.state_dict().items()},
    }
    save_tensors(content, path)


def load_generator(path: Path) -> tuple[UnSegGenerator, str, Origin]:
    """Read what :func:`save_generator` wrote.

    Args:
        path: file.

    Returns:
        The generator, its size, and where its weights come from.

    Raises:
        InputError: when the file is missing or is not one of ours.
    """
    if not path.is_file():
        raise InputError(
            f"{path.parent}: expected a generator ({path.name}), got none. Train one: umed train-generator unseg."
        )
    with weights_of(path, "a generator saved by umed", "another file") as content:
        if not isinstance(content, dict):
            raise TypeError(f"a {type(content).__name__}")
        if content["format"] != FORMAT or content["method"] != "unseg":
            raise ValueError(f"format {content['format']} of {content['method']}")
        high_pass = content.get("high_pass", 0)  # files of earlier versions have none
        if not isinstance(high_pass, int) or high_pass < 0 or (high_pass and high_pass % 2 == 0):
            raise ValueError(f"high_pass {high_pass}")
        origin = Origin(**content["origin"])
        check_origin(origin)
        generator, _ = make_generator(content["encoder"], high_pass=high_pass, released=content["released"])
        generator.load_state_dict(content["weights"])
        if content["frozen"]:
            generator.freeze()
        return generator.eval(), str(content["encoder"]), origin


def import_released(weights: Path, sam: Path, *, encoder: str = "vit_b") -> tuple[UnSegGenerator, Origin]:
    """Make a generator of the authors' released weights, with their order of tokens.

    Args:
        weights: their file.
        sam: Meta's ``vit_b``, which their frozen part is.
        encoder: size of both.

    Returns:
        The generator, and where its weights come from.

    Raises:
        InputError: when a file does not fit.
    """
    if not weights.is_file():
        raise InputError(f"{weights}: expected the released weights of UnSeg, got no such file. Check the path.")
    generator, start = make_generator(encoder, sam=sam, released=True)
    with weights_of(weights, "the released weights of UnSeg") as content:
        generator.head.load_state_dict(from_released(content.get("model", content)))
    digest = files.sha256(weights)[:16]
    return generator.eval(), Origin(f"the authors' released weights (SHA-256 {digest}...)", start)
