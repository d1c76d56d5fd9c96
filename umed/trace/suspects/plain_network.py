# SPDX-License-Identifier: Apache-2.0
"""Networks that are no more than tensor in, tensor out: TorchScript and ONNX. What comes before is said by the user."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from monai.inferers.utils import sliding_window_inference
from torch import Tensor

from umed.core.device import pick_device
from umed.core.errors import ConfigError, InputError, error_line
from umed.core.progress import counted
from umed.core.types import Progress, Volume
from umed.data import formats
from umed.trace.suspects.suspect import Shares, shares_of

Normalise = Literal["zscore", "unit", "none"]
NORMALISE = ("zscore", "unit", "none")
WINDOWS = 4
"""Windows that go through a network at once, unless it takes a fixed number."""
CUDA = "CUDAExecutionProvider"
ONNX_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(double)": np.float64}


@dataclass(frozen=True, eq=False)
class PlainNetwork:
    """A network without preprocessing of its own; see :class:`umed.trace.suspects.suspect.Suspect`.

    Args:
        path: file that it came from.
        call: ``(B, C, *spatial)`` float32 to logits ``(B, K, *spatial)``.
        device: where it is.
        normalise: what it expects, see :func:`umed.trace.ask.ask`.
        window: size of the sliding window, ``None`` for the whole image at once.
        batch: windows at once.
    """

    path: Path
    call: Callable[[Tensor], Tensor]
    device: torch.device
    normalise: str
    window: tuple[int, ...] | None
    batch: int = WINDOWS

    def answers(
        self, queries: Mapping[str, Sequence[Path]], progress: Progress | None = None
    ) -> Iterator[tuple[str, Shares]]:
        """Answer every query; see :class:`umed.trace.suspects.suspect.Suspect`."""
        for name, paths in counted(sorted(queries.items()), "ask", progress):
            parts = [_values(one, self.normalise) for one in map(formats.read, paths)]
            yield name, self._shares(torch.from_numpy(np.concatenate(parts)).to(self.device))

    @torch.no_grad()
    def _shares(self, image: Tensor) -> Shares:
        if self.normalise == "zscore":
            axes = tuple(range(1, image.ndim))
            spread, mean = torch.std_mean(image, dim=axes, keepdim=True, correction=0)
            image = (image - mean) / spread.clamp(min=1e-8)
        logits = self._look(image[None])
        if logits.shape[2:] != image.shape[1:]:
            raise InputError(
                f"{self.path}: expected an answer of {tuple(image.shape[1:])}, got {tuple(logits.shape[2:])}. "
                "Give --window."
            )
        found: Shares = shares_of(logits[0].cpu()).numpy()
        return found

    def _look(self, batch: Tensor) -> Tensor:
        if self.window is not None and len(self.window) != batch.ndim - 2:
            raise ConfigError(
                f"--window: expected {batch.ndim - 2} sizes, as the queries have axes, got {len(self.window)}."
            )
        try:
            if self.window is None:
                return self.call(batch)
            found = sliding_window_inference(batch, self.window, self.batch, self.call, overlap=0.25, mode="gaussian")
        except RuntimeError as error:
            raise InputError(
                f"{self.path}: expected a network for {tuple(batch.shape[1:])}, got: {_cause(error)}. "
                "Its channels must be those of the queries; --window gives the size of its training."
            ) from error
        assert isinstance(found, Tensor)
        return found


def _cause(error: Exception) -> str:
    """What went wrong within a network: TorchScript says it last, below the lines of the program."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].removeprefix("RuntimeError: ").rstrip(".") if lines else type(error).__name__


def open_torchscript(
    path: Path, device: torch.device, normalise: str, window: Sequence[int] | None, *, trust_code: bool = False
) -> PlainNetwork:
    """Load a network in TorchScript: a program, which may run while it is loaded, and read and write files.

    Args:
        path: file of ``torch.jit.save``.
        device: where it runs.
        normalise: see :func:`umed.trace.ask.ask`.
        window: likewise.
        trust_code: whether it may run; no byte of it is read otherwise.

    Raises:
        InputError: when it is none, or is not trusted.
    """
    if not path.is_file():
        raise InputError(f"{path}: expected a network in TorchScript or ONNX, got nothing there. Check the path.")
    if not trust_code:
        raise InputError(
            f"{path}: expected leave to run a network in TorchScript, a program that can read and write files, got "
            "none. Give --trust-code only if you trust whoever made it; one in ONNX (.onnx) needs none."
        )
    try:
        network = torch.jit.load(str(path), map_location=device).eval()  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError, OSError) as error:
        raise InputError(
            f"{path}: expected a network in TorchScript, got: {error_line(error)}. Export it with torch.jit.trace or "
            "torch.jit.script, or run it yourself and keep its answers as files."
        ) from error

    def call(batch: Tensor) -> Tensor:
        given = network(batch)
        logits: Tensor = given[0] if isinstance(given, (list, tuple)) else given
        return logits.float()

    return PlainNetwork(path, call, device, normalise, None if window is None else tuple(window))


def open_onnx(path: Path, device: str, normalise: str, window: Sequence[int] | None) -> PlainNetwork:
    """Load a network in ONNX, which holds no code of its maker.

    Args:
        path: file with one input ``(B, C, *spatial)`` of floats; its first output are logits ``(B, K, *spatial)``.
        device: where it runs, ``"auto"`` among them; on a GPU only with a build of onnxruntime that knows it.
        normalise: see :func:`umed.trace.ask.ask`.
        window: likewise; where the network takes one size only, that one if ``None``.

    Raises:
        ConfigError: when onnxruntime is missing, or cannot use the device.
        InputError: when it is no such network.
    """
    if not path.is_file():
        raise InputError(f"{path}: expected a network in ONNX, got nothing there. Check the path.")
    try:
        import onnxruntime
    except ImportError as error:
        raise ConfigError(
            f"{path}: expected onnxruntime for a network in ONNX, got none. Install it: pip install 'umed[onnx]'"
        ) from error
    known = onnxruntime.get_available_providers()
    where = pick_device("cpu" if device == "auto" and CUDA not in known else device)
    provider = CUDA if where.type == "cuda" else "CPUExecutionProvider"
    if provider not in known:
        raise ConfigError(f"--device {device}: expected a device that onnxruntime can use here, got none. Try cpu.")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 4  # what is wrong with a file is said once, by the error
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=[provider])
    except Exception as error:  # its errors have no common base but this one
        raise InputError(f"{path}: expected a network in ONNX, got: {error_line(error)}. Export it again.") from error
    inputs = session.get_inputs()
    kind = ONNX_TYPES.get(inputs[0].type) if len(inputs) == 1 else None
    if kind is None or len(inputs[0].shape) not in (4, 5):
        got = ", ".join(f"{one.name}: {one.type} {one.shape}" for one in inputs)
        raise InputError(f"{path}: expected one input of floats (batch, channels, *spatial), got {got}. Export it so.")
    source, fixed = inputs[0], [side if isinstance(side, int) else None for side in inputs[0].shape]

    def call(batch: Tensor) -> Tensor:
        count, full = len(batch), fixed[0] or 0
        if count < full:
            batch = torch.cat([batch, batch[:1].expand(full - count, *batch.shape[1:])])
        try:
            given = session.run(None, {source.name: batch.cpu().numpy().astype(kind)})
        except Exception as error:
            raise RuntimeError(error_line(error)) from error
        return torch.from_numpy(np.asarray(given[0][:count]).astype(np.float32)).to(where)

    sides = [side for side in fixed[2:] if side is not None]
    own = tuple(sides) if window is None and len(sides) == len(fixed) - 2 else None
    chosen = own if window is None else tuple(window)
    return PlainNetwork(path, call, where, normalise, chosen, fixed[0] or WINDOWS)


def _values(volume: Volume, normalise: str) -> Any:
    """Channels of a file ``(C, *spatial)`` float32, in [0, 1] of its type where that is asked for."""
    values = volume.channels.astype(np.float32)
    if normalise == "unit" and volume.encoding.is_integer:
        low, high = volume.encoding.stored_limits
        return (values - low) / (high - low)
    return values * volume.encoding.slope + volume.encoding.inter
