# SPDX-License-Identifier: Apache-2.0
"""A MONAI bundle as a suspect: its own network, weights, preprocessing and inferer, as ``configs/inference`` has them.

A configuration can run any code: through expressions (``$...``), and through any Python name in ``_target_``. So only
networks, transforms and inferers of MONAI and torch with plain words and numbers are built, unless the user trusts the
bundle.
"""

from __future__ import annotations

import pydoc
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.bundle import ConfigParser
from monai.bundle.config_item import ComponentLocator
from monai.data import image_reader
from monai.data.meta_tensor import MetaTensor
from monai.inferers.inferer import Inferer
from monai.transforms import Compose, Transform
from monai.transforms.io.dictionary import LoadImaged
from monai.transforms.post.dictionary import Invertd
from torch import Tensor, nn

from umed.core.errors import InputError, error_line
from umed.core.progress import counted
from umed.core.types import Progress
from umed.data import formats
from umed.trace.suspects.suspect import Shares, shares_of

CONFIGS = tuple(f"configs/inference.{ending}" for ending in ("json", "yaml", "yml"))
WEIGHTS = ("models/model.pt", "models/model.pth")
PARTS = ("network_def", "preprocessing", "inferer")
"""What is read of a configuration; the names that MONAI's specification of bundles gives them."""
PLAIN = (nn.Module, Transform, Inferer)
PLACES = ("monai.networks.", "monai.transforms.", "monai.inferers.", "torch.nn.")
"""Where these are taken from; elsewhere in MONAI are some that fetch code from the net."""
REFUSED = ("Save", "Write", "Lambda", "TorchVision", "TorchIO", "CuCIM", "PatchInferer")
"""What has one of these in its name writes files, or runs or imports what it is told by name."""
TEXTS = ("_target_", "_desc_")
"""What a component says of itself; no arguments of it."""
FETCHED = ("pretrained", "pickle")
"""Arguments with one of these in their names load other files than the weights."""
TRUST = "--trust-code"
BY_HAND = "Run the bundle yourself, and keep its answers as files."


class BundleNetwork:
    """A bundle whose parts were built; see :class:`umed.trace.suspects.suspect.Suspect`.

    Args:
        folder: of the bundle.
        network: with its weights, in evaluation mode, on the device.
        preprocessing: from ``{"image": path or paths}`` to ``{"image": (C, *spatial)}``.
        inferer: called with a batch and the network.
        device: where it runs.
    """

    def __init__(
        self, folder: Path, network: nn.Module, preprocessing: Compose, inferer: Inferer, device: torch.device
    ) -> None:
        self.folder, self.network, self.inferer, self.device = folder, network, inferer, device
        self.preprocessing = preprocessing
        self.back = Invertd(keys="pred", transform=preprocessing, orig_keys="image", nearest_interp=False)
        loaders = [one for one in preprocessing.flatten().transforms if isinstance(one, LoadImaged)]
        if not loaders:
            raise InputError(f"{folder}: expected preprocessing that begins with LoadImaged, got none. {BY_HAND}")
        self.loader = loaders[0]

    def answers(
        self, queries: Mapping[str, Sequence[Path]], progress: Progress | None = None
    ) -> Iterator[tuple[str, Shares]]:
        """Answer every query; see :class:`umed.trace.suspects.suspect.Suspect`."""
        for name, paths in counted(sorted(queries.items()), "ask", progress):
            try:
                with _readable(paths) as files:
                    shares = self._shares([str(path) for path in files])
                    turned = self._turned(files[0])
            except Exception as error:  # what a bundle is made of may raise anything
                raise InputError(
                    f"{self.folder}: expected a bundle that answers {name}, got: {error_line(error)[:300]}. {BY_HAND}"
                ) from error
            shape = formats.read(paths[0]).spatial_shape
            found = shares.transpose((0, *range(shares.ndim - 1, 0, -1))) if turned else shares
            if found.shape[1:] != shape and found[0].size == np.prod(shape):  # axes of size 1
                found = found.reshape(len(found), *shape)
            if found.shape[1:] != shape:
                raise InputError(
                    f"{self.folder}: expected an answer to {name} on its own grid {shape}, got {found.shape[1:]}. "
                    f"{BY_HAND}"
                )
            yield name, np.ascontiguousarray(found)

    @torch.no_grad()
    def _shares(self, paths: list[str]) -> Shares:
        """Probabilities on the grid that MONAI loads, ``(K, *spatial)``."""
        seen = self.preprocessing({"image": paths[0] if len(paths) == 1 else paths})
        image = seen["image"]
        logits = self.inferer(inputs=torch.as_tensor(image)[None].float().to(self.device), network=self.network)
        logits = logits[0] if isinstance(logits, (list, tuple)) else logits
        if logits.shape[2:] != image.shape[1:]:
            raise ValueError(f"an answer on another grid, {tuple(logits.shape[2:])} of {tuple(image.shape[1:])}")
        shares: Any = shares_of(torch.as_tensor(logits)[0].cpu())
        if isinstance(image, MetaTensor):
            shares = self.back({**seen, "pred": MetaTensor(shares)})["pred"]
        found: Shares = np.asarray(torch.as_tensor(shares).numpy(), np.float32).clip(0, 1)
        return found

    def _turned(self, path: Path) -> bool:
        """Whether MONAI loads a file with its axes the other way round, as it does with pictures; told by its values.

        ValueError where neither way gives the values that are stored.
        """
        volume = formats.read(path)
        first = volume.channels[0].squeeze() * volume.encoding.slope + volume.encoding.inter
        loaded = np.asarray(self.loader({"image": str(path)})["image"]).squeeze()
        for one in [loaded] if loaded.ndim == first.ndim else [loaded[..., 0], loaded[0]]:
            for turned, array in ((False, one), (True, one.T)):
                if array.shape == first.shape and np.allclose(array, first, rtol=1e-4, atol=1e-3):
                    return turned
        raise ValueError(f"{path.name} is loaded with other values than are stored, so the axes are not known")


def open_bundle(folder: Path, device: torch.device, *, trust_code: bool = False) -> BundleNetwork:
    """Build what a bundle says.

    Args:
        folder: of the bundle, with ``configs/inference.json`` (or YAML) and ``models/model.pt``.
        device: where it runs.
        trust_code: evaluate expressions and import the bundle's own code.

    Raises:
        InputError: when a part is missing or cannot be built, or would run code that is not trusted.
    """
    config = next((folder / name for name in CONFIGS if (folder / name).is_file()), None)
    if config is None:
        raise InputError(f"{folder}: expected a MONAI bundle with {CONFIGS[0]}, got none. Check the path.")
    weights = next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)
    if weights is None:
        raise InputError(
            f"{folder / WEIGHTS[0]}: expected the bundle's weights, got none. Fetch what its large_files.yml names."
        )
    try:
        parser = ConfigParser()
        parser.read_config(str(config))
        parser.resolve_macro_and_relative_ids()
    except Exception as error:
        raise InputError(f"{config}: expected a configuration of MONAI, got: {error_line(error)[:300]}.") from error
    missing = [name for name in PARTS if name not in parser]
    if missing:
        raise InputError(f"{config}: expected {', '.join(PARTS)}, got no {missing[0]}. {BY_HAND}")
    parser["bundle_root"], parser["device"] = str(folder.resolve()), device
    if not trust_code and (found := _code(parser, PARTS)):
        raise InputError(
            f"{config}: expected networks, transforms and inferers of MONAI with plain values, got {found}, which may "
            f"run any code. Give {TRUST} only if you trust whoever made the bundle."
        )
    try:
        with _importable(folder, trust_code):
            network, preprocessing, inferer = (parser.get_parsed_content(name) for name in PARTS)
        network.load_state_dict(_state(weights, trust_code))
        network.to(device).eval()
    except Exception as error:
        raise InputError(f"{folder}: the bundle cannot be built: {error_line(error)[:300]}. {BY_HAND}") from error
    if not isinstance(preprocessing, Compose):
        preprocessing = Compose([preprocessing])
    return BundleNetwork(folder, network, preprocessing, inferer, device)


def _code(parser: ConfigParser, ids: Sequence[str]) -> str:
    """The first thing that could run code in parts of a configuration and all that they refer to; ``""`` if none."""
    if (odd := _odd_key(parser.get())) is not None:
        return f"the key {odd!r}"
    seen, waiting = set[str](), [(name, parser[name]) for name in ids]
    while waiting:
        place, item = waiting.pop()
        if isinstance(item, Mapping):
            if "_target_" in item and not _is_plain(item["_target_"]):
                return f"{place}: _target_ {item['_target_']!r}"
            if "_requires_" in item or str(item.get("_mode_", "default")) != "default":
                return f"{place}: _requires_ or _mode_"
            if bad := next((key for key, value in item.items() if not _is_argument(key, value)), ""):
                return f"{place}: {bad} {str(item[bad])[:60]!r}"
            if "$" in str(item.get("_desc_", "")):
                return f"{place}: _desc_"
            waiting += [(f"{place}::{key}", value) for key, value in item.items() if key not in TEXTS]
        elif isinstance(item, (list, tuple)):
            waiting += [(f"{place}::{key}", value) for key, value in enumerate(item)]
        elif isinstance(item, str):
            if "$" in item or item.startswith("%") or (item[:1] != "@" and set(item) & set("./\\:")):
                return f"{place}: {item[:60]!r}"
            if item.startswith("@") and item[1:] not in seen:
                seen.add(item[1:])
                waiting.append((item[1:], parser[item[1:]]))
    return ""


def _odd_key(item: Any) -> Any:
    """A key by which MONAI might find something else than :func:`_code` does, which looks up references itself."""
    if isinstance(item, Mapping):
        odd = (key for key in item if not isinstance(key, str) or "::" in key or "#" in key)
        found = [next(odd, None), *map(_odd_key, item.values())]
    else:
        found = list(map(_odd_key, item)) if isinstance(item, (list, tuple)) else []
    return next((one for one in found if one is not None), None)


def _is_argument(name: str, value: Any) -> bool:
    """Whether an argument of a component is harmless, as far as its own value goes.

    MONAI imports and calls what some words name, such as a loader's ``reader``, and loads what others name. So a reader
    must be one of MONAI's, and :func:`_code` takes no word that is a path, an address or a dotted name.
    """
    if value is None:
        return True
    if name == "reader":
        words = value if isinstance(value, (list, tuple)) else [value]
        return all(isinstance(one, str) and _is_reader(one) for one in words)
    return value is False or not any(part in name for part in FETCHED)


def _is_reader(name: str) -> bool:
    found = getattr(image_reader, name, None) if name in image_reader.__all__ else None
    return isinstance(found, type) and issubclass(found, image_reader.ImageReader)


def _is_plain(target: Any) -> bool:
    """Whether a ``_target_`` is a network, transform or inferer of MONAI or torch, and no more."""
    if not isinstance(target, str) or any(sign in target for sign in "$@%"):
        return False
    modules = [target.rpartition(".")[0]]
    if "." not in target:
        said = ComponentLocator().get_component_module_name(target)
        modules = [said] if isinstance(said, str) else list(said or ())
    name = target.rpartition(".")[2]
    if not modules or any(word in name for word in REFUSED):
        return False
    for module in modules:
        if not f"{module}.".startswith(PLACES):
            return False
        found = pydoc.locate(f"{module}.{name}")
        own = isinstance(found, type) and issubclass(found, PLAIN)
        if not own or not f"{getattr(found, '__module__', '')}.".startswith(PLACES):
            return False
    return True


@contextmanager
def _readable(paths: Sequence[Path]) -> Iterator[Sequence[Path]]:
    """The same images as NIfTI, where MONAI reads their format only with a further package."""
    if all(formats.ending(path) not in (".mha", ".nrrd") for path in paths):
        yield paths
        return
    import SimpleITK

    with tempfile.TemporaryDirectory(prefix="umed-bundle-") as folder:
        written = [Path(folder) / f"{number}.nii.gz" for number in range(len(paths))]
        for path, target in zip(paths, written, strict=True):
            SimpleITK.WriteImage(SimpleITK.ReadImage(str(path)), str(target))
        yield written


@contextmanager
def _importable(folder: Path, trusted: bool) -> Iterator[None]:
    """Let a trusted bundle import its own ``scripts``, as MONAI does."""
    if trusted:
        sys.path.insert(0, str(folder.resolve()))
    try:
        yield
    finally:
        if trusted:
            sys.path.remove(str(folder.resolve()))


def _state(weights: Path, trusted: bool) -> dict[str, Tensor]:
    """Weights of a checkpoint, also one that holds them under a name of its own."""
    content = torch.load(weights, map_location="cpu", weights_only=not trusted)
    for name in ("model", "state_dict", "network"):
        if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
            content = content[name]
    found: dict[str, Tensor] = dict(content)
    return found
