# SPDX-License-Identifier: Apache-2.0
"""Proposes masks for images that have none, by Segment Anything, so that they can be protected without annotation.

A proposal is no annotation. ``proposals.json`` says so, ``umed protect`` carries it on (:mod:`umed.proposals`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from umed import __version__, io
from umed.cases import no_paths
from umed.device import pick_device
from umed.errors import ConfigError, InputError, UmedError
from umed.io import files, layouts
from umed.networks.sam import make_sam, shape_of
from umed.networks.sam_weights import WHERE, load_sam
from umed.proposals import NAME, read_proposals
from umed.proposing.automatic import GridSettings
from umed.proposing.cases import ANNOTATED, FAILED, NOTHING, PROPOSED, UNASKED, Job, Proposal, propose_case
from umed.proposing.folder import check_target, publish, stage
from umed.proposing.planes import open_planes
from umed.proposing.prompts_file import MOST_LABEL, PromptsFile, check_ids, check_prompts, read_prompts
from umed.types import Dataset, Progress

GRID = "grid"


@dataclass(frozen=True)
class Proposed:
    """What came of a run.

    Args:
        output: holds ``images/``, ``masks/`` and ``proposals.json``; not there when nothing came of it.
        weights: which weights proposed, in words.
        cases: one an image, sorted by id.
        problems: name and reason of what was seen but cannot be a case.
    """

    output: Path
    weights: str
    cases: tuple[Proposal, ...]
    problems: tuple[tuple[str, str], ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """Number of images of each status."""
        found = Counter(case.status for case in self.cases)
        return {status: found[status] for status in (PROPOSED, ANNOTATED, NOTHING, UNASKED, FAILED)}

    @property
    def exit_code(self) -> int:
        """0 when all that was asked for was proposed, 3 when some was not, 1 when nothing was."""
        counts = self.counts
        if not counts[PROPOSED]:
            return 1
        return 3 if counts[FAILED] or counts[NOTHING] or self.problems else 0

    def to_dict(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        return {
            "output": str(self.output),
            "exit_code": self.exit_code,
            "counts": self.counts,
            "weights": self.weights,
            "cases": [case.to_dict() for case in self.cases],
            "problems": [list(one) for one in self.problems],
        }

    def summary(self) -> str:
        """A few lines for people."""
        counts = ", ".join(f"{number} {status}" for status, number in self.counts.items() if number)
        lines = [f"{len(self.cases)} images: {counts}; by {self.weights}"]
        lines += [f"{c.status}: {c.id}: {c.reason}" for c in self.cases if c.reason and c.status != ANNOTATED]
        lines += [f"left aside: {name}: {reason}" for name, reason in self.problems]
        if not self.counts[PROPOSED]:
            return "\n".join([*lines, "No mask was proposed; nothing was written."])
        lines.append("Proposals are no annotation, and what they miss is not protected: look at the masks first.")
        return "\n".join([*lines, f"next: umed protect {self.output} RELEASE"])


def propose_masks(
    input: str | Path,
    output: str | Path,
    *,
    prompts: str | Path,
    sam: str | Path | None,
    encoder: str = "vit_b",
    device: str = "auto",
    label: int = 1,
    slice_axis: int = 2,
    grid: GridSettings | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Proposed:
    """Propose a mask for each image that has none.

    Args:
        input: folder of images, or one with ``images/`` or a data set in it; never changed. Masks that are there are
            copied as they are, and never replaced.
        output: new folder outside ``input``; images are copied byte for byte, but only those that get a mask.
        prompts: JSON file of boxes and points (:mod:`umed.proposing.prompts_file`), or ``"grid"`` for automatic masks.
        sam: weights of Segment Anything; nothing is downloaded.
        encoder: size of those weights, one of :data:`umed.networks.sam.SHAPES`.
        device: ``"auto"``, ``"cpu"``, ``"cuda"`` ...
        label: class of masks whose prompt names none, 1 to 255.
        slice_axis: slices of volumes are taken along it, 0 to 2.
        grid: what automatic masks must be like.
        overwrite: replace the proposals of an earlier run; a mask that was changed since stops it.
        progress: called with ``"propose"``, images done and images in all.

    Returns:
        What came of each image.

    Raises:
        ConfigError: when a setting is wrong or there are no weights.
        InputError: when input, prompts, weights or output cannot be used. Nothing has been written then.
    """
    source, target = Path(input), Path(output)
    where, settings = pick_device(device), GridSettings() if grid is None else grid
    shape = shape_of(encoder)
    if not 1 <= label <= MOST_LABEL:
        raise ConfigError(f"--label: expected 1 to {MOST_LABEL}, got {label}. 0 is background.")
    if slice_axis not in (0, 1, 2):
        raise ConfigError(f"--slice-axis: expected 0, 1 or 2, got {slice_axis}. The default is 2, the last.")
    if sam is None:
        file = shape.file or "them"
        raise ConfigError(
            "--sam-checkpoint: expected weights of Segment Anything, got none; random weights would propose rubbish. "
            f"Get {file} from {WHERE} yourself; umed downloads nothing."
        )
    check_target(source, target, overwrite=overwrite)
    dataset = layouts.find_images(source)
    if read_proposals(dataset.root) is not None:
        raise InputError(
            f"{source}: expected images, got masks that are proposals already ({NAME}). Give it to umed protect, or "
            "the images without masks to this command."
        )
    asked = None if str(prompts) == GRID else read_prompts(Path(prompts), label)
    if asked is not None:
        _check(asked, dataset, slice_axis)
    network = make_sam(encoder)
    weights = load_sam(network, Path(sam))
    network.eval().requires_grad_(False).to(where)
    job = Job(dataset, network, None if asked is None else asked.cases, settings, label, slice_axis, target)
    problems = tuple((name, no_paths(reason, dataset, target)) for name, reason in dataset.problems)
    with stage(target) as work:
        found = []
        for number, case in enumerate(dataset.cases):
            found.append(propose_case(job, case, work))
            if progress is not None:
                progress("propose", number + 1, len(dataset.cases))
        done = Proposed(target, weights, tuple(found), problems)
        if not done.counts[PROPOSED]:
            return done
        written = {name: digest for case in found for name, digest in case.files.items()}
        for name in dataset.sidecars:
            files.copy(source / name, work / name)
            written[name.as_posix()] = files.sha256(work / name)
        by = {"encoder": encoder, "weights": weights, "sha256": files.sha256(Path(sam))}
        publish(source, target, work, written, _content(done, by, asked, job))
    return done


def _content(done: Proposed, by: Mapping[str, str], asked: PromptsFile | None, job: Job) -> dict[str, Any]:
    """What ``proposals.json`` says, but for the files."""
    grid = {"kind": GRID, **job.grid.to_dict()}
    return {
        "umed_version": __version__,
        "sam": dict(by),
        "prompts": grid if asked is None else {"kind": "file", "sha256": asked.sha256},
        "label": job.label,
        "slice_axis": job.slice_axis,
        "cases": [case.to_dict() for case in done.cases],
        "problems": [{"name": name, "reason": reason} for name, reason in done.problems],
    }


def _check(asked: PromptsFile, dataset: Dataset, slice_axis: int) -> None:
    """Check all prompts against their images, before anything is written."""
    cases = {case.id: case for case in dataset.cases}
    check_ids(asked, list(cases), [name for name, case in cases.items() if case.label is not None])
    for name in asked.cases:
        try:
            volume = io.read(dataset.root / cases[name].images[0])
        except UmedError:
            continue  # the image's own failure, told in its turn; it stops no other
        check_prompts(asked, name, open_planes(volume, slice_axis).extent)
