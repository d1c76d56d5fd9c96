# SPDX-License-Identifier: Apache-2.0
"""All that is asked about one image, slice by slice, and the masks that answer it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from umed.core.errors import InputError
from umed.networks.sam import PromptedSam
from umed.propose.asking import Answer, ask, see
from umed.propose.automatic import GridSettings, ask_everywhere
from umed.propose.prompts_file import Extent, Prompt

Record = tuple[int, dict[str, Any]]
"""Place of a mask among those of its image, and what is told of it."""


@dataclass(frozen=True)
class Questions:
    """What is asked, and who.

    Args:
        network: ready to be asked.
        prompts: by case id; ``None`` to look for masks without prompts.
        grid: what masks without prompts must be like.
        label: class of masks without prompts.
    """

    network: PromptedSam
    prompts: Mapping[str, tuple[Prompt, ...]] | None
    grid: GridSettings
    label: int

    def about(self, case_id: str) -> bool:
        """Whether anything is asked about an image."""
        return self.prompts is None or case_id in self.prompts


class Pictures(Protocol):
    """An image as flat pictures."""

    @property
    def extent(self) -> Extent:
        """Size as prompts see it."""
        ...

    def picture(self, place: int | None) -> NDArray[np.float32]:
        """One picture ``(3, height, width)`` in [0, 1] by its slice, ``None`` for flat images."""
        ...


@dataclass(frozen=True, eq=False)
class FoundMask:
    """One mask.

    Args:
        row: place of its prompt among those of the image, or number of the mask.
        prompt: kind of the prompt.
        label: class.
        answer: the mask.
    """

    row: int
    prompt: str
    label: int
    answer: Answer

    def record(self, place: int | None) -> Record:
        """What is told of it."""
        figures = {"predicted_iou": round(self.answer.predicted_iou, 4), "share": round(self.answer.share, 6)}
        return self.row, {"label": self.label, "slice": place, "prompt": self.prompt, **figures}


def answers(questions: Questions, case_id: str, pictures: Pictures) -> Iterator[tuple[int | None, list[FoundMask]]]:
    """Ask all about one image, slice by slice.

    Args:
        questions: what is asked.
        case_id: of the image.
        pictures: the image.

    Yields:
        A slice and its masks; where they overlap, the later one wins. The grid passes over slices that cannot be read.

    Raises:
        InputError: when a slice with prompts, or every slice, cannot be read.
    """
    if questions.prompts is None:
        slices, count, unread = pictures.extent.slices, 0, 0
        for place in [None] if slices is None else range(slices):
            try:
                picture = pictures.picture(place)
            except InputError:
                unread += 1
                if unread == (slices or 1):
                    raise
                continue
            everything = ask_everywhere(see(questions.network, picture), questions.grid)
            yield place, [FoundMask(count + row, "grid", questions.label, one) for row, one in enumerate(everything)]
            count += len(everything)
        return
    prompts = questions.prompts[case_id]
    for place in dict.fromkeys(prompt.slice for prompt in prompts):
        rows = [row for row, prompt in enumerate(prompts) if prompt.slice == place]
        told = ask(see(questions.network, pictures.picture(place)), [prompts[row] for row in rows])
        yield (
            place,
            [FoundMask(row, prompts[row].kind, prompts[row].label, one) for row, one in zip(rows, told, strict=True)],
        )
