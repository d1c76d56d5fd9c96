# SPDX-License-Identifier: Apache-2.0
"""What every method has in common: it proposes a direction, and :mod:`umed.plan.budget` turns it into stored values."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from umed.core.errors import InputError
from umed.core.keyfile import Secret
from umed.core.registry import check_options, resolve
from umed.core.types import Progress, Regions, Volume
from umed.methods.options import check_fields
from umed.plan import budget
from umed.plan.budget import Budget
from umed.plan.limits import make_limits
from umed.plan.planning import Plan


@dataclass(kw_only=True, eq=False, repr=False)
class Method(ABC):
    """A perturbation method. A subclass is a dataclass of its options; ``repr`` shows them and goes into the manifest.

    Subclasses write :meth:`direction` and, where they learn, :meth:`fit`, :meth:`save` and :meth:`load`.
    """

    name: ClassVar[str]
    requires_training: ClassVar[bool] = False
    file: ClassVar[str] = ""
    """What :meth:`save` writes into its folder."""
    where_from: ClassVar[str] = "Give OUTPUT-private/generators of a run"
    """How a user gets trained generators, for errors."""

    def __post_init__(self) -> None:
        check_fields(self)
        self.secret: Secret | None = None
        """What everything random is drawn from; see :func:`make_method`."""

    @classmethod
    def options(cls) -> tuple[str, ...]:
        """Names of the options."""
        return tuple(item.name for item in fields(cls))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in self.options())})"

    def require_secret(self) -> Secret:
        """The secret of the release.

        Raises:
            InputError: when there is none, so that nothing can be drawn.
        """
        if self.secret is None:
            raise InputError(
                f"{self.name}: expected the secret of a release, from which all that is random is drawn, got none. "
                "Give make_method a Secret."
            )
        return self.secret

    def keyed(self, plan: Plan) -> Plan:
        """The plan for a training: its seed follows from the secret, and must never be written.

        Raises:
            InputError: without a secret.
        """
        return replace(plan, seed=self.require_secret().seed("training"))

    def fit(  # noqa: B027 - not abstract: most methods learn nothing
        self, samples: Sequence[Any], plan: Plan, workdir: Path, progress: Progress | None = None
    ) -> None:
        """Learn from the cases; nothing to do unless :attr:`requires_training`.

        Args:
            samples: lazy sequence of :class:`umed.training.patches.Sample`.
            plan: the resolved plan.
            workdir: folder for checkpoints; training goes on from the newest one there.
            progress: called with a text, the steps done and the steps in all.
        """

    def check(self, plan: Plan) -> None:  # noqa: B027 - the same
        """Refuse options that do not fit the plan, before anything is written.

        Args:
            plan: the resolved plan.

        Raises:
            ConfigError: when an option is out of range.
        """

    def reasons(self, given: Path | None = None) -> tuple[str, ...]:
        """Sentences for the plan about what the method has learnt, or will learn.

        Args:
            given: file of what was learnt before, which need not be loaded yet.

        Raises:
            InputError: when the file is not one of the method's.
        """
        return ()

    @property
    def has_twins(self) -> bool:
        """Whether another draw is as good a code for a case; an even coin of the secret then says which is published.

        That is what a trace (:mod:`umed.trace`) rests on.
        """
        return False

    def shared_code(self) -> str:
        """Why the code of a case is not its own and secret, or is none, in a sentence for the steward; else empty."""
        return ""

    def save(self, folder: Path) -> None:  # noqa: B027 - the same
        """Write what was learnt into a folder; nothing to do unless :attr:`requires_training`."""

    def load(self, folder: Path) -> None:  # noqa: B027 - the same
        """Read what :meth:`save` wrote; nothing to do unless :attr:`requires_training`."""

    def to(self, device: str) -> Method:
        """Move what was learnt to a device (``"auto"``, ``"cpu"``, ``"cuda:0"`` ...); gives the method itself."""
        return self

    @abstractmethod
    def direction(self, image: Tensor, regions: Regions, rng: np.random.Generator) -> Tensor:
        """Propose how to change an image.

        Args:
            image: unit image in the crop ``regions.box``, shape ``(C, *box)``, float32 in [0, 1].
            regions: where the case may be changed.
            rng: the case's own generator.

        Returns:
            Direction of the same shape in [-1, 1]; 1 is the full budget upwards.
        """

    def directions(self, image: Tensor, regions: Regions, rngs: Sequence[np.random.Generator]) -> list[Tensor]:
        """Propose several directions, each as :meth:`direction` does from its generator."""
        return [self.direction(image, regions, rng) for rng in rngs]

    @final
    def __call__(
        self,
        volumes: Sequence[Volume],
        regions: Regions,
        *,
        plan: Plan,
        case_id: str,
        limits: Sequence[Budget] | None = None,
    ) -> list[NDArray[Any]]:
        """Perturb one case within its budget; the first of :meth:`pair`, which has the arguments."""
        draws = [self._draws(case_id)[0]] if not regions.empty else []
        return self._copies(volumes, regions, plan, limits, draws)[0]

    @final
    def pair(
        self,
        volumes: Sequence[Volume],
        regions: Regions,
        *,
        plan: Plan,
        case_id: str,
        limits: Sequence[Budget] | None = None,
    ) -> tuple[list[NDArray[Any]], list[NDArray[Any]] | None]:
        """Perturb one case within its budget, and say what its twin is.

        Args:
            volumes: the case's image files; their channels are stacked.
            regions: where it may be changed.
            plan: the resolved plan.
            case_id: stable name; the case's randomness follows from the secret and from it alone.
            limits: budget of each file, made from the plan when left out.

        Returns:
            New stored values, one array a file, same shapes and dtypes; and those with the other of two codes, ``None``
            where the method has no twins. Which of the two is published was tossed by the secret, evenly.

        Raises:
            BudgetError: when the bound is below one stored step, or ``psnr_target`` leaves nothing.
            InputError: without a secret.
        """
        copies = self._copies(volumes, regions, plan, limits, [] if regions.empty else self._draws(case_id))
        return copies[0], copies[1] if len(copies) > 1 else None

    @final
    def further(
        self,
        volumes: Sequence[Volume],
        regions: Regions,
        *,
        plan: Plan,
        case_id: str,
        count: int,
        limits: Sequence[Budget] | None = None,
    ) -> list[list[NDArray[Any]]]:
        """Perturb one case with draws of its code that are never published, for a trace to compare with.

        Args:
            volumes: as in :meth:`pair`, and so are the next ones.
            regions: where it may be changed.
            plan: the resolved plan.
            case_id: stable name.
            count: number of draws; the first ones are the same for any number.
            limits: budget of each file.

        Returns:
            New stored values of each draw, one array a file.
        """
        secret = self.require_secret()
        found: list[list[NDArray[Any]]] = []
        for start in range(0, count, 2):  # by twos: large volumes are held once for each draw
            numbers = range(start, min(start + 2, count))
            draws = [secret.draw("case", case_id, "further", str(number)) for number in numbers]
            found += self._copies(volumes, regions, plan, limits, draws)
        return found

    def _draws(self, case_id: str) -> list[np.random.Generator]:
        """What the published copy of a case is drawn from, and then its twin, if it has one."""
        secret = self.require_secret()
        heads = self.has_twins and secret.coin("twin", case_id)
        sides = (heads, not heads) if self.has_twins else (heads,)
        return [secret.draw("case", case_id, *(["twin"] if side else [])) for side in sides]

    def _copies(
        self,
        volumes: Sequence[Volume],
        regions: Regions,
        plan: Plan,
        limits: Sequence[Budget] | None,
        draws: Sequence[np.random.Generator],
    ) -> list[list[NDArray[Any]]]:
        """The case with a code of each draw; as it is where nothing may change."""
        if regions.empty:
            return [[volume.stored.copy() for volume in volumes] for _ in range(max(len(draws), 1))]
        limits = make_limits(volumes, plan) if limits is None else limits
        box = (slice(None), *regions.box)
        crops = [volume.channels[box] for volume in volumes]
        units = [budget.to_unit(c, v.encoding, limit) for c, v, limit in zip(crops, volumes, limits, strict=True)]
        image = torch.from_numpy(np.ascontiguousarray(np.concatenate(units)))
        copies = []
        with torch.no_grad():
            directions = self.directions(image, regions, draws)
        for proposed in directions:
            if proposed.shape != image.shape:
                raise RuntimeError(f"{self.name}: expected direction {tuple(image.shape)}, got {tuple(proposed.shape)}")
            whole = proposed.detach().cpu().numpy().astype(np.float32, copy=False)
            parts = np.split(whole, np.cumsum([len(crop) for crop in crops])[:-1])
            scale = np.float32(_scale(volumes, crops, parts, regions, limits, plan))
            changed = []
            for volume, crop, part, limit in zip(volumes, crops, parts, limits, strict=True):
                part = part if scale == 1 else part * scale
                new = budget.apply(crop, part, regions.support, limit, volume.encoding, regions.labels > 0)
                changed.append(budget.insert(volume, regions.box, new))
            copies.append(changed)
        return copies


def _scale(
    volumes: Sequence[Volume],
    crops: Sequence[NDArray[Any]],
    parts: Sequence[NDArray[np.float32]],
    regions: Regions,
    limits: Sequence[Budget],
    plan: Plan,
) -> float:
    """One factor for the whole case, so that each of its files reaches ``psnr_target``."""
    if plan.psnr_target is None:
        return 1.0
    return min(
        budget.scale_for_psnr(
            crop,
            part,
            regions.support,
            limit,
            v.encoding,
            target=plan.psnr_target,
            values=v.channels.size,
            inside=regions.labels > 0,
        )[0]
        for v, crop, part, limit in zip(volumes, crops, parts, limits, strict=True)
    )


def make_method(plan: Plan, secret: Secret | None = None) -> Method:
    """Make the method that a plan names.

    Args:
        plan: its ``method`` and ``method_options`` are used.
        secret: what everything random is drawn from; ``None`` where nothing is perturbed or trained, as in a dry run.

    Returns:
        The method, untrained.

    Raises:
        ConfigError: when the name or an option is unknown, or its value out of range.
    """
    cls = resolve("method", plan.method)
    check_options(plan.method, plan.method_options, cls.options())
    method: Method = cls(**plan.method_options)
    method.secret = secret
    method.check(plan)
    return method
