# SPDX-License-Identifier: Apache-2.0
"""Segment Anything (Kirillov et al., arXiv 2304.02643) in several sizes, built from the ``segment-anything`` package.

Batches hold several images and any number of prompted instances of each: an image is embedded once for all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from umed.core.errors import ConfigError, did_you_mean
from umed.networks.sam_attention import FusedAttention
from umed.networks.sam_package import modeling

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of the pictures that SAM was trained on, on the scale 0 to 1."""
UPSCALED = 4
"""Masks have this many times the resolution of the image embedding."""


@dataclass(frozen=True)
class SamShape:
    """Numbers that decide a SAM.

    Args:
        image_size: side of the square that the encoder sees, px.
        patch_size: side of a token, px.
        width: channels of the encoder.
        depth: blocks of the encoder.
        heads: attention heads of the encoder.
        window: side of the attention windows, in tokens; the blocks ``everywhere`` look at the whole image.
        everywhere: indices of those blocks.
        prompt_width: channels of prompts, embedding and decoder.
        decoder_mlp: hidden channels of the decoder's transformer.
        decoder_heads: attention heads of the decoder.
        file: Meta's checkpoint, empty where there is none.
        sha256: of that file.
    """

    image_size: int
    patch_size: int
    width: int
    depth: int
    heads: int
    window: int
    everywhere: tuple[int, ...]
    prompt_width: int = 256
    decoder_mlp: int = 2048
    decoder_heads: int = 8
    file: str = ""
    sha256: str = ""

    @property
    def grid(self) -> int:
        """Tokens along a side."""
        return self.image_size // self.patch_size

    @property
    def mask_size(self) -> int:
        """Side of the masks that the decoder gives, and of a mask prompt."""
        return UPSCALED * self.grid


SHAPES: dict[str, SamShape] = {
    "tiny": SamShape(64, 8, 32, 2, 2, 4, (1,), prompt_width=32, decoder_mlp=64, decoder_heads=2),
    "vit_s": SamShape(256, 16, 192, 6, 6, 8, (2, 5), prompt_width=128, decoder_mlp=512, decoder_heads=4),
    "vit_b": SamShape(
        1024, 16, 768, 12, 12, 14, (2, 5, 8, 11), file="sam_vit_b_01ec64.pth",
        sha256="ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
    ),
    "vit_l": SamShape(
        1024, 16, 1024, 24, 16, 14, (5, 11, 17, 23), file="sam_vit_l_0b3195.pth",
        sha256="3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
    ),
    "vit_h": SamShape(
        1024, 16, 1280, 32, 16, 14, (7, 15, 23, 31), file="sam_vit_h_4b8939.pth",
        sha256="a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
    ),
}  # fmt: skip
"""``vit_b``, ``vit_l``, ``vit_h`` are Meta's; ``vit_s`` has their proportions at 256 px; ``tiny`` is for tests."""


@dataclass(frozen=True)
class Prompts:
    """What is asked for, one row an instance, in pixels of the square that the encoder sees; may be nothing at all.

    Args:
        image: ``(N,)`` int64, which image of the batch each instance is in.
        boxes: ``(N, 4)`` float32, ``x0, y0, x1, y1``.
        points: ``(N, P, 2)`` float32, x and y.
        marks: ``(N, P)`` int64 beside ``points``: 1 inside, 0 outside, -1 for none.
        masks: ``(N, 1, mask_size, mask_size)`` float32 logits, positive inside.
    """

    image: Tensor
    boxes: Tensor | None = None
    points: Tensor | None = None
    marks: Tensor | None = None
    masks: Tensor | None = None


@dataclass(frozen=True)
class Decoded:
    """What the decoder gives for each instance.

    Args:
        masks: ``(N, M, mask_size, mask_size)`` logits.
        tokens: ``(N, T, prompt_width)``, all output tokens: IoU, masks, and those that were added.
        features: ``(N, prompt_width / 8, mask_size, mask_size)``, of which masks are weighted sums.
    """

    masks: Tensor
    tokens: Tensor
    features: Tensor


class PromptedSam(nn.Module):
    """A SAM for batches of images.

    Args:
        shape: its numbers.
        checkpointing: compute the encoder's activations again in the backward pass, for less memory.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, shape: SamShape, *, checkpointing: bool = False) -> None:
        super().__init__()
        self.shape, self.checkpointing = shape, checkpointing
        self.sam = _build(shape)
        mean, std = (torch.tensor(values).reshape(1, 3, 1, 1) for values in (MEAN, STD))
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("std", std, persistent=False)

    def embed(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Embed images.

        Args:
            image: ``(B, 3, image_size, image_size)`` in [0, 1].

        Returns:
            The embedding ``(B, prompt_width, grid, grid)``, and what the first block with attention everywhere gives,
            ``(B, width, grid, grid)``: it still knows fine detail (HQ-SAM, arXiv 2306.01567).
        """
        encoder: Any = self.sam.image_encoder
        x = encoder.patch_embed((image - self.mean) / self.std)
        x = x if encoder.pos_embed is None else x + encoder.pos_embed
        early = x
        for number, block in enumerate(encoder.blocks):
            again = self.checkpointing and torch.is_grad_enabled()
            x = checkpoint(block, x, use_reentrant=False) if again else block(x)
            if number == self.shape.everywhere[0]:
                early = x
        return encoder.neck(x.permute(0, 3, 1, 2)), early.permute(0, 3, 1, 2)

    def decode(self, embedding: Tensor, prompts: Prompts, extra: Tensor | None = None) -> Decoded:
        """Answer prompts.

        Args:
            embedding: from :meth:`embed`.
            prompts: one row an instance.
            extra: ``(K, prompt_width)``, output tokens that are put after SAM's own.

        Returns:
            Masks and what they are made of.
        """
        prompter: Any = self.sam.prompt_encoder
        decoder: Any = self.sam.mask_decoder
        points = None if prompts.points is None else (prompts.points, prompts.marks)
        sparse, dense = prompter(points=points, boxes=prompts.boxes, masks=prompts.masks)
        if len(sparse) != len(prompts.image):  # nothing was asked for: the package takes that for one instance
            sparse, dense = (part.expand(len(prompts.image), *part.shape[1:]) for part in (sparse, dense))
        own = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight, *([] if extra is None else [extra])])
        tokens = torch.cat([own.expand(len(sparse), -1, -1), sparse.to(own)], dim=1)
        source = embedding[prompts.image] + dense
        place = prompter.get_dense_pe().to(source).expand(len(source), -1, -1, -1)
        found, source_out = decoder.transformer(source, place, tokens)
        source_out = source_out.transpose(1, 2).reshape(source.shape)
        features = decoder.output_upscaling(source_out)
        weights = torch.stack([mlp(found[:, 1 + k]) for k, mlp in enumerate(decoder.output_hypernetworks_mlps)], dim=1)
        masks = torch.einsum("nkc,nchw->nkhw", weights, features)
        return Decoded(masks, found[:, : len(own)], features)

    def predicted_iou(self, decoded: Decoded) -> Tensor:
        """How well SAM believes each mask to fit: its own estimate of the IoU with what was meant.

        Args:
            decoded: from :meth:`decode`.

        Returns:
            ``(N, M)`` beside ``decoded.masks``, about 0 to 1; a regression, so values beyond are possible.
        """
        decoder: Any = self.sam.mask_decoder
        found: Tensor = decoder.iou_prediction_head(decoded.tokens[:, 0])
        return found

    def forward(self, image: Tensor, prompts: Prompts) -> Tensor:
        """Logits of the single best mask of each instance, ``(N, mask_size, mask_size)``."""
        return self.decode(self.embed(image)[0], prompts).masks[:, 0]


def make_sam(name: str, *, checkpointing: bool = False) -> PromptedSam:
    """Make an untrained SAM.

    Args:
        name: one of :data:`SHAPES`.
        checkpointing: see :class:`PromptedSam`.

    Returns:
        The network, with random weights.

    Raises:
        ConfigError: when the name is unknown, or ``segment-anything`` is not installed.
    """
    return PromptedSam(shape_of(name), checkpointing=checkpointing)


def shape_of(name: str) -> SamShape:
    """Look the numbers of a SAM up.

    Raises:
        ConfigError: when the name is unknown.
    """
    if not isinstance(name, str) or name not in SHAPES:
        hint = did_you_mean(name, list(SHAPES)) if isinstance(name, str) else ""
        raise ConfigError(f"encoder: expected one of {', '.join(SHAPES)}, got {name!r}.{hint}")
    return SHAPES[name]


def _build(shape: SamShape) -> nn.Module:
    package = modeling()
    norm = partial(nn.LayerNorm, eps=1e-6)
    encoder = package.ImageEncoderViT(
        img_size=shape.image_size,
        patch_size=shape.patch_size,
        embed_dim=shape.width,
        depth=shape.depth,
        num_heads=shape.heads,
        mlp_ratio=4,
        out_chans=shape.prompt_width,
        qkv_bias=True,
        norm_layer=norm,
        use_rel_pos=True,
        global_attn_indexes=shape.everywhere,
        window_size=shape.window,
    )
    if encoder.pos_embed is not None:
        nn.init.trunc_normal_(encoder.pos_embed, std=0.02)  # the package leaves it at 0 for its checkpoints to fill
    for block in encoder.blocks:
        block.attn = FusedAttention(block.attn)
    prompter = package.PromptEncoder(
        embed_dim=shape.prompt_width,
        image_embedding_size=(shape.grid, shape.grid),
        input_image_size=(shape.image_size, shape.image_size),
        mask_in_chans=16,
    )
    decoder = package.MaskDecoder(
        num_multimask_outputs=3,
        transformer=package.TwoWayTransformer(
            depth=2, embedding_dim=shape.prompt_width, mlp_dim=shape.decoder_mlp, num_heads=shape.decoder_heads
        ),
        transformer_dim=shape.prompt_width,
        iou_head_depth=3,
        iou_head_hidden_dim=256,
    )
    pixels = {"pixel_mean": [255 * value for value in MEAN], "pixel_std": [255 * value for value in STD]}
    network: nn.Module = package.Sam(encoder, prompter, decoder, **pixels)
    return network


def resize(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Resample ``(B, C, H, W)`` bilinearly, with antialiasing where it gets smaller."""
    return functional.interpolate(image, size=size, mode="bilinear", align_corners=False, antialias=True)
