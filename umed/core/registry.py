# SPDX-License-Identifier: Apache-2.0
"""Names of everything that can be chosen, and where it lives. The single source for ``umed info`` and for look-ups.

Nothing is imported until it is asked for, so that listing the names costs no torch.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from umed.core.errors import ConfigError, did_you_mean


@dataclass(frozen=True)
class Entry:
    """One thing that can be chosen by name.

    Args:
        target: where it lives, ``"package.module:attribute"``.
        summary: one line for people.
        options: names of a method's options, as its signature has them; ``None`` where only the signature knows.
        defaults: of options that a plan fills in, by the kind of image: ``"colour"`` or ``"other"``.
        slicewise: why a method takes volumes slice by slice, always; empty for those that need not.
        universal: whether one generator of a method serves any data, so that it is trained once.
        background: bound outside the labels as a share of epsilon, where nobody asks for another; the whole frame may
            then change. ``None`` for methods that keep to the labels and their band.
    """

    target: str
    summary: str
    options: tuple[str, ...] | None = None
    defaults: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    slicewise: str = ""
    universal: bool = False
    background: float | None = None


_NETWORKS = "umed.networks.surrogates"
_VICTIMS = "umed.benchmark.victims.victim_networks"
_COUNTER = "umed.benchmark.countermeasures"
METHODS: dict[str, Entry] = {
    "umed": Entry(
        "umed.methods.umed:UMed",
        "contour- and texture-aware learnt perturbation (arXiv 2403.14250)",
        ("carriers", "widths", "theta", "amplitude_floor", "gain", "outside", "smoothing", "half", "window"),
        defaults={
            "colour": {"carriers": ["corner8c+cells16"], "outside": 0.0, "smoothing": 0.0},
            "other": {"carriers": ["corner16"], "outside": 0.5, "smoothing": 0.0},
        },
    ),
    "random": Entry("umed.methods.random:Random", "noise in the same support and budget (control)", ("distribution",)),
    "checkerboard": Entry(
        "umed.methods.checkerboard:Checkerboard", "fixed +-1 pattern in the same support (control)", ()
    ),
    "error_minimizing": Entry(
        "umed.methods.error_minimizing:ErrorMinimizing",
        "EM: error-minimizing noise of each case (arXiv 2101.04898)",
        ("steps", "step_size", "inner_steps", "surrogate_iterations"),
    ),
    "targeted_adversarial": Entry(
        "umed.methods.targeted_adversarial:TargetedAdversarial",
        "TAP: adversarial examples of a clean-trained network (arXiv 2106.10807)",
        ("targeted", "steps", "step_size", "surrogate_iterations"),
    ),
    "self_ensemble": Entry(
        "umed.methods.self_ensemble:SelfEnsemble",
        "SEP: adversarial to all checkpoints of one training (ICLR 2023)",
        ("checkpoints", "targeted", "variance_reduction", "steps", "step_size", "surrogate_iterations"),
    ),
    "stable_error_minimizing": Entry(
        "umed.methods.stable_error_minimizing:StableErrorMinimizing",
        "SEM and REM: error-minimizing under disturbance (arXiv 2311.13091, 2203.14533)",
        ("robust", "radius", "samples", "attack_steps", "steps", "step_size", "inner_steps", "surrogate_iterations"),
    ),
    "linear_separable": Entry(
        "umed.methods.linear_separable:LinearSeparable",
        "LSP: linearly separable blocks inside and outside the ROI (arXiv 2111.00898)",
        ("patch", "separation", "period", "classes", "seed"),
    ),
    "autoregressive": Entry(
        "umed.methods.autoregressive:Autoregressive",
        "AR: one autoregressive process inside, another outside the ROI (arXiv 2206.03693)",
        ("classes", "seed"),
    ),
    "unseg": Entry(
        "umed.methods.unseg.method:UnSeg",
        "UnSeg: universal generator made of Segment Anything (arXiv 2410.09909)",
        (
            *("encoder", "prompts", "surrogate", "surrogate_prompts", "label_modification", "train_epsilon", "epochs"),
            *("learning_rate", "surrogate_learning_rate", "jitter", "high_pass", "per_instance", "enlarge"),
        ),
        slicewise="has a prompt for each slice",
        universal=True,
        background=1 / 4,
    ),
    "voxshield": Entry(
        "umed.methods.voxshield:VoxShield",
        "VoxShield: 3D generator against consistency between slices (arXiv 2605.17345)",
        ("consistency", "semantic", "widths", "window"),
    ),
}
UNIVERSAL = tuple(name for name, entry in METHODS.items() if entry.universal)
SURROGATES: dict[str, Entry] = {
    "unet": Entry(f"{_NETWORKS}:make_unet", "plain U-Net with instance norm"),
    "batchnorm_unet": Entry(f"{_NETWORKS}:make_batchnorm_unet", "plain U-Net with batch norm"),
    "dynunet": Entry(f"{_NETWORKS}:make_dynunet", "nnU-Net-style DynUNet with deep supervision"),
    "nnunet_like": Entry(f"{_NETWORKS}:make_nnunet_like", "nnU-Net's plain U-Net with five stages"),
}
VICTIMS: dict[str, Entry] = {
    "unet": Entry(f"{_NETWORKS}:make_unet", "plain U-Net with instance norm, 2D and 3D"),
    "batchnorm_unet": Entry(f"{_NETWORKS}:make_batchnorm_unet", "the same with batch norm, 2D and 3D"),
    "strided_unet": Entry(f"{_NETWORKS}:make_strided_unet", "residual U-Net that starts at half resolution, 2D and 3D"),
    "attention_unet": Entry(f"{_VICTIMS}:make_attention_unet", "Attention U-Net (arXiv 1804.03999), 2D and 3D"),
    "unet_plus_plus": Entry(f"{_VICTIMS}:make_unet_plus_plus", "U-Net++ (arXiv 1807.10165), 2D and 3D"),
    "dynunet": Entry(f"{_NETWORKS}:make_dynunet", "the nnU-Net architecture with deep supervision, 2D and 3D"),
    "nnunet_like": Entry(
        f"{_NETWORKS}:make_nnunet_like", "nnU-Net's plain U-Net, optimizer and augmentation, small, 2D and 3D"
    ),
    "plain_dynunet": Entry(f"{_VICTIMS}:make_plain_dynunet", "the same without deep supervision"),
    "segresnet": Entry(f"{_VICTIMS}:make_segresnet", "SegResNet (arXiv 1810.11654), 2D and 3D"),
    "unetr": Entry(f"{_VICTIMS}:make_unetr", "UNETR (arXiv 2103.10504), 2D and 3D"),
    "swin_unetr": Entry(f"{_VICTIMS}:make_swin_unetr", "Swin UNETR (arXiv 2201.01266), 2D and 3D"),
    "nnunet": Entry(
        "umed.benchmark.victims.external:run_external", "the real nnU-Net v2, in an environment of its own"
    ),
    "flexible_unet": Entry(f"{_VICTIMS}:make_flexible_unet", "FlexibleUNet with EfficientNet-B0, 2D and 3D"),
}
COUNTERMEASURES: dict[str, Entry] = {
    "none": Entry(f"{_COUNTER}.interface:Nothing", "nothing: the thief just trains"),
    "jpeg": Entry(f"{_COUNTER}.compression:Jpeg", "JPEG (quality)"),
    "bit_depth": Entry(f"{_COUNTER}.compression:BitDepth", "fewer levels (bits)"),
    "grey": Entry(f"{_COUNTER}.compression:Grey", "grey-scale, for colour pictures"),
    "blur": Entry(f"{_COUNTER}.filters:Blur", "Gaussian blur (sigma in px)"),
    "low_pass": Entry(f"{_COUNTER}.filters:LowPass", "ideal low-pass (cutoff as a share of Nyquist)"),
    "median": Entry(f"{_COUNTER}.filters:Median", "median filter (size in px)"),
    "non_local_means": Entry(
        f"{_COUNTER}.filters:NonLocalMeans",
        "non-local means denoising (h as a share of the full scale)",
    ),
    "total_variation": Entry(f"{_COUNTER}.filters:TotalVariation", "total variation denoising (weight)"),
    "half": Entry(f"{_COUNTER}.resampling:Half", "trained at half resolution, blocks averaged"),
    "resample": Entry(f"{_COUNTER}.resampling:Resample", "trained at another spacing (scale)"),
    "down_up": Entry(f"{_COUNTER}.resampling:DownUp", "down to a coarser grid and up again (factor)"),
    "window": Entry(f"{_COUNTER}.intensity:Window", "clipped to a window before training (low, high)"),
    "percentile": Entry(f"{_COUNTER}.intensity:Percentile", "percentiles brought to 0 and 1 instead of z-score"),
    "minmax": Entry(f"{_COUNTER}.intensity:MinMax", "range brought to 0 and 1 instead of z-score"),
    "augment": Entry(f"{_COUNTER}.augmented:Augment", "nnU-Net's default augmentation"),
    "cutout": Entry(f"{_COUNTER}.augmented:Cutout", "a box of every image hidden (share)"),
    "mixup": Entry(f"{_COUNTER}.augmented:MixUp", "weighted means of two cases (alpha)"),
    "cutmix": Entry(f"{_COUNTER}.augmented:CutMix", "a box of another case pasted in (alpha)"),
    "gamma_contrast": Entry(f"{_COUNTER}.augmented:GammaContrast", "random gamma and contrast"),
    "ueraser": Entry(f"{_COUNTER}.augmented:UEraser", "the worst of several augmented versions (arXiv 2303.15127)"),
    "adversarial_training": Entry(
        f"{_COUNTER}.adversarial:AdversarialTraining",
        "training on attacked images (arXiv 1706.06083)",
    ),
    "ddc_at": Entry(f"{_COUNTER}.adversarial:DdcAt", "adversarial training by pixels, DDC-AT-like (arXiv 2003.06555)"),
    "mix": Entry(f"{_COUNTER}.mixing:Mix", "a share of the training cases is clean (share)"),
    "clean_subset": Entry(f"{_COUNTER}.mixing:CleanSubset", "only that clean share: the control of mix (share)"),
    "early_stopping": Entry(f"{_COUNTER}.mixing:EarlyStopping", "stopped by clean validation cases (patience)"),
    "d_vae": Entry(
        f"{_COUNTER}.purification:DVae",
        "purified by a rate-limited autoencoder, D-VAE-like (arXiv 2405.01460)",
    ),
    "orthogonal_projection": Entry(
        f"{_COUNTER}.projection:OrthogonalProjection",
        "linear class directions removed (arXiv 2305.19254)",
    ),
    "strip": Entry(f"{_COUNTER}.strip:Strip", "code regenerated or estimated, and taken off (attack)"),
}
LAYOUTS: dict[str, Entry] = {
    "decathlon": Entry(
        "umed.data.layout_index:find_decathlon",
        "Medical Segmentation Decathlon and nnU-Net v1: dataset.json, imagesTr, labelsTr",
    ),
    "nnunet": Entry(
        "umed.data.layout_index:find_nnunet", "nnU-Net v2 raw: dataset.json, imagesTr/<case>_0000.<ending>, labelsTr"
    ),
    "bids": Entry("umed.data.layout_bids:find_bids", "BIDS: sub-*/ with masks beside images or in derivatives/"),
    "pairs": Entry(
        "umed.data.layout_pairs:find_pairs", "images/ and masks/ (or labels/), a.png beside a_mask.png, a folder a case"
    ),
    "map": Entry(
        "umed.data.layout_map:find_mapped", "any other folder: --layout map.yaml says where images and masks lie"
    ),
}
KINDS: dict[str, dict[str, Entry]] = {
    "method": METHODS,
    "surrogate": SURROGATES,
    "victim": VICTIMS,
    "countermeasure": COUNTERMEASURES,
    "layout": LAYOUTS,
}


def check_name(kind: str, name: str) -> Entry:
    """Look a name up without importing what it stands for.

    Args:
        kind: one of :data:`KINDS`.
        name: name within that kind.

    Returns:
        Its entry.

    Raises:
        ConfigError: when the name is unknown.
    """
    entries = KINDS[kind]
    if name not in entries:
        known = ", ".join(sorted(entries))
        raise ConfigError(f"{kind}: expected one of {known}, got {name!r}.{did_you_mean(name, entries)}")
    return entries[name]


def check_options(name: str, given: Iterable[str], known: Sequence[str] | None = None, *, kind: str = "method") -> None:
    """Refuse options that a method or a countermeasure does not take, without importing it.

    Args:
        name: its name.
        given: names of the options.
        known: those that it takes, where its signature is at hand; else the registry's, which may not say.
        kind: one of :data:`KINDS`.

    Raises:
        ConfigError: when the name or an option is unknown.
    """
    entry = check_name(kind, name)
    known = entry.options if known is None else known
    for key in given:
        if known is not None and key not in known:
            takes = ", ".join(known) or "no options"
            raise ConfigError(f"{kind}_options.{key}: {name} takes {takes}.{did_you_mean(key, known)}")


def resolve(kind: str, name: str) -> Any:
    """Import what a name stands for.

    Args:
        kind: one of :data:`KINDS`.
        name: name within that kind.

    Returns:
        The class or function.

    Raises:
        ConfigError: when the name is unknown.
    """
    module, _, attribute = check_name(kind, name).target.partition(":")
    return getattr(importlib.import_module(module), attribute)
