# SPDX-License-Identifier: Apache-2.0
"""The trainable part of UnSeg's generator: noise instead of masks, from the same tokens and features.

Source: Sun et al., "UnSeg: One Universal Unlearnable Example Generator is Enough against All Image Segmentation",
NeurIPS 2024, arXiv 2410.09909; the fusion of features is that of HQ-SAM (Ke et al., arXiv 2306.01567).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from umed.networks.sam import Decoded, PromptedSam, Prompts, SamShape

CHANNELS = 3
"""Noise of red, green and blue."""


class ChannelNorm(nn.Module):
    """Layer norm over the channels of each pixel.

    Args:
        channels: of the input ``(B, C, H, W)``.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise each pixel."""
        return nn.functional.layer_norm(x.permute(0, 2, 3, 1), self.weight.shape, self.weight, self.bias, 1e-6).permute(
            0, 3, 1, 2
        )


class NoiseHead(nn.Module):
    """Noise tokens, a small network for each, and the features that they weigh.

    Args:
        shape: of the SAM.
        finer: doublings of the resolution beyond that of SAM's masks, for encoders with few tokens.
        high_pass: odd side, in px of noise, of the box whose mean is taken out; 0 for the paper's noise, which may be,
            and soon is, one colour inside and another outside.
    """

    def __init__(self, shape: SamShape, finer: int = 0, high_pass: int = 0) -> None:
        super().__init__()
        self.high_pass = high_pass
        wide, narrow = shape.prompt_width, shape.prompt_width // 8
        self.token = nn.Embedding(CHANNELS, wide)
        self.mlp = nn.ModuleList(_mlp(wide, wide, narrow) for _ in range(CHANNELS))
        self.early = _upscaled(shape.width, wide, narrow)
        self.late = _upscaled(wide, 2 * narrow, narrow)
        self.mask = nn.Sequential(
            nn.Conv2d(narrow, 2 * narrow, 3, padding=1),
            ChannelNorm(2 * narrow),
            nn.GELU(),
            nn.Conv2d(2 * narrow, narrow, 3, padding=1),
        )
        self.finer = nn.Sequential()
        for _ in range(finer):
            self.finer.extend([nn.GELU(), nn.ConvTranspose2d(narrow, narrow, 2, stride=2)])
            self.finer.append(nn.Conv2d(narrow, narrow, 3, padding=1))
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
                nn.init.xavier_uniform_(module.weight)
        nn.init.xavier_uniform_(self.token.weight)

    def forward(self, decoded: Decoded, embedding: Tensor, early: Tensor, image: Tensor, first: int) -> Tensor:
        """Noise of each instance.

        Args:
            decoded: of the same prompts, with the tokens of this head after SAM's own.
            embedding: ``(B, prompt_width, grid, grid)``.
            early: ``(B, width, grid, grid)``.
            image: ``(N,)``, which image each instance is in.
            first: index of the first noise token among the output tokens.

        Returns:
            ``(N, 3, size, size)`` in (-1, 1).
        """
        shared = (self.late(embedding) + self.early(early))[image]  # once an image, however many instances it has
        features = self.finer(self.mask(decoded.features) + shared)
        weights = torch.stack([mlp(decoded.tokens[:, first + k]) for k, mlp in enumerate(self.mlp)], dim=1)
        noise = torch.tanh(torch.einsum("nkc,nchw->nkhw", weights, features))
        if not self.high_pass:
            return noise
        # After tanh: before it, a pattern of few deep and many shallow pixels would still be a colour.
        mean = nn.functional.avg_pool2d(
            noise, self.high_pass, stride=1, padding=self.high_pass // 2, count_include_pad=False
        )
        return (noise - mean).clamp(-1, 1)


class UnSegGenerator(nn.Module):
    """A SAM, frozen where it was pretrained, with a noise head.

    Args:
        sam: the network.
        frozen: whether SAM itself stays as it is.
        finer: see :class:`NoiseHead`.
        high_pass: likewise.
        released: count tokens as the released code does: its first "noise" token is SAM's last mask token, and its
            last noise token plays no part. Weights that were trained so need it.
    """

    def __init__(
        self, sam: PromptedSam, *, frozen: bool, finer: int = 0, high_pass: int = 0, released: bool = False
    ) -> None:
        super().__init__()
        self.sam, self.head = sam, NoiseHead(sam.shape, finer, high_pass)
        self.frozen, self.released = frozen, released
        if frozen:
            self.freeze()

    def freeze(self) -> None:
        """Keep SAM itself as it is from now on."""
        self.frozen = True
        self.sam.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> UnSegGenerator:
        """A frozen SAM stays in evaluation mode."""
        super().train(mode)
        if self.frozen:
            self.sam.eval()
        return self

    def embed(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Embed images once for all their prompts; see :meth:`umed.networks.sam.PromptedSam.embed`."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            return self.sam.embed(image)

    def noise(self, embedded: tuple[Tensor, Tensor], prompts: Prompts) -> Tensor:
        """Noise of each prompted instance, ``(N, 3, size, size)`` in (-1, 1)."""
        decoded = self.sam.decode(embedded[0], prompts, self.head.token.weight)
        own = decoded.tokens.shape[1] - CHANNELS
        noise: Tensor = self.head(decoded, *embedded, prompts.image, own - 1 if self.released else own)
        return noise

    def forward(self, image: Tensor, prompts: Prompts) -> Tensor:
        """Embed and give the noise."""
        return self.noise(self.embed(image), prompts)


def _upscaled(source: int, middle: int, target: int) -> nn.Sequential:
    """Features at four times the resolution."""
    return nn.Sequential(
        nn.Conv2d(source, source, 3, padding=1),
        ChannelNorm(source),
        nn.GELU(),
        nn.ConvTranspose2d(source, middle, 2, stride=2),
        ChannelNorm(middle),
        nn.GELU(),
        nn.ConvTranspose2d(middle, target, 2, stride=2),
    )


def _mlp(*widths: int) -> nn.Sequential:
    wide, hidden, narrow = widths
    return nn.Sequential(
        nn.Linear(wide, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, narrow)
    )


RELEASED = {
    "noise_token.": "token.",
    "noise_compress_vit_feat.": "early.",
    "noise_embedding_encoder.": "late.",
    "noise_embedding_maskfeature.": "mask.",
}


def from_released(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename the weights of the authors' released generator.

    Args:
        state: their state dict; names may have something in front. What has no ``noise_`` in its name is SAM's own.

    Returns:
        State of a :class:`NoiseHead` of a ``vit_b``.
    """
    found = {}
    for name, value in state.items():
        _, here, rest = name.partition("noise_")
        if not here:
            continue
        name = here + rest
        for old, new in RELEASED.items():
            name = name.replace(old, new, 1) if name.startswith(old) else name
        if name.startswith("noise_mlp."):
            _, number, _, layer, part = name.split(".")
            name = f"mlp.{number}.{2 * int(layer)}.{part}"
        found[name] = value
    return found
