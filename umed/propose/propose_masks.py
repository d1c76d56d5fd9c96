# SPDX-License-Identifier: Apache-2.0
"""Proposes masks for images that have none, by Segment Anything, so that they can be protected without annotation.

A proposal is no annotation. ``proposals.json`` says so, ``umed protect`` carries it on (:mod:`umed.cases.proposals`).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from umed.core.device import pick_device
from umed.core.errors import ConfigError
from umed.core.types import Progress
from umed.core.version import __version__
from umed.data import files
from umed.data.dicom_input import is_dicom, require_dicom
from umed.networks.sam import make_sam, shape_of
from umed.networks.sam_weights import WHERE, load_sam
from umed.propose.file_images import FileImages
from umed.propose.image_loop import ANNOTATED, FAILED, NOTHING, PROPOSED, UNASKED, ImageOutcome, ImageSource, Questions
from umed.propose.prompts_file import MOST_LABEL, read_prompts
from umed.propose.proposal_folder import check_target, publish, stage
from umed.propose.segment_anything import GridSettings

GRID = "grid"


@dataclass(frozen=True)
class ProposeResult:
    """What came of a run.

    Args:
        output: holds ``images/``, ``masks/`` and ``proposals.json``, of DICOM masks and ``proposals.json`` only; not
            there when nothing came of it.
        weights: which weights proposed, in words.
        cases: one an image, sorted by id.
        problems: name and reason of what was seen but cannot be a case.
        aside: of what was seen and is no image, which is no problem.
        next: the command that comes after a look at the masks.
    """

    output: Path
    weights: str
    cases: tuple[ImageOutcome, ...]
    problems: tuple[tuple[str, str], ...] = ()
    aside: tuple[tuple[str, str], ...] = ()
    next: str = ""

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
            "aside": [list(one) for one in self.aside],
            "next": self.next,
        }

    def summary(self) -> str:
        """A few lines for people."""
        counts = ", ".join(f"{number} {status}" for status, number in self.counts.items() if number)
        lines = [f"{len(self.cases)} images: {counts}; by {self.weights}"]
        lines += [f"{c.status}: {c.id}: {c.reason}" for c in self.cases if c.reason and c.status != ANNOTATED]
        lines += [f"left aside: {name}: {reason}" for name, reason in (*self.problems, *self.aside)]
        if not self.counts[PROPOSED]:
            return "\n".join([*lines, "No mask was proposed; nothing was written."])
        lines.append("Proposals are no annotation, and what they miss is not protected: look at the masks first.")
        return "\n".join([*lines, f"next: {self.next}"])


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
) -> ProposeResult:
    """Propose a mask for each image that has none.

    Args:
        input: folder of images, or one with ``images/`` or a data set in it, or a folder or zip of DICOM files; never
            changed. Masks that are there are copied as they are, and never replaced.
        output: new folder outside ``input``; images are copied byte for byte, but only those that get a mask. Of DICOM
            files nothing is copied: it holds masks for ``umed protect INPUT RELEASE --masks OUTPUT``.
        prompts: JSON file of boxes and points (:mod:`umed.propose.prompts_file`), or ``"grid"`` for automatic masks.
        sam: weights of Segment Anything; nothing is downloaded.
        encoder: size of those weights, one of :data:`umed.networks.sam.SHAPES`.
        device: ``"auto"``, ``"cpu"``, ``"cuda"`` ...
        label: class of masks whose prompt names none, 1 to 255.
        slice_axis: slices of volumes in files are taken along it, 0 to 2.
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
    files.check_readable(source)
    check_target(source, target, overwrite=overwrite)
    images = _open(source, target, slice_axis)
    asked = None if str(prompts) == GRID else read_prompts(Path(prompts), label)
    if asked is not None:
        images.check(asked)
    network = make_sam(encoder)
    weights = load_sam(network, Path(sam))
    network.eval().requires_grad_(False).to(where)
    questions = Questions(network, None if asked is None else asked.cases, settings, label)
    with stage(target) as work:
        found = []
        if progress is not None:
            progress("propose", 0, len(images.ids))
        for one in images.propose(questions, work):
            found.append(one)
            if progress is not None:
                progress("propose", len(found), len(images.ids))
        found, written = images.finish(work, found)
        written |= {name: digest for one in found for name, digest in one.files.items()}
        done = ProposeResult(target, weights, tuple(found), images.problems, images.aside, images.next)
        if not done.counts[PROPOSED]:
            return done
        chosen = {"kind": GRID, **asdict(settings)} if asked is None else {"kind": "file", "sha256": asked.sha256}
        content = {
            "umed_version": __version__,
            "sam": {"encoder": encoder, "weights": weights, "sha256": files.sha256(Path(sam))},
            "prompts": chosen,
            "label": label,
            **images.record(found),
        }
        publish(source, target, work, written, content)
    return done


def _open(source: Path, target: Path, slice_axis: int) -> ImageSource[Any]:
    """The images."""
    if not is_dicom(source):
        return FileImages(source, target, slice_axis)
    if slice_axis != 2:
        raise ConfigError(
            f"--slice-axis: expected none for DICOM, whose slices are looked at as they were taken, got {slice_axis}. "
            "Leave it out."
        )
    require_dicom()
    from umed.propose.series_images import SeriesImages

    return SeriesImages(source, target)
