# SPDX-License-Identifier: Apache-2.0
"""What victims see: clean test cases with the true outline, and the prediction after each training laid over it.

Each image is embedded once, as a background that all its tiles share; outlines and predictions are vectors.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from umed.benchmark.results.cells import CLEAN, NONE, Cell
from umed.benchmark.results.statistics import as_array, mean_of
from umed.benchmark.results.summary import Summary
from umed.core.errors import InputError
from umed.report.pictures import outline, png, runs_down

LONGEST = 256
MOST = 2_000_000
"""Bytes of all pictures together; what is beyond is left out, and the page says so."""
CLASSES = 5  # colours of predicted classes


FRAME = 360
"""Characters of a tile beside its paths."""


@dataclass(frozen=True)
class PredictionTile:
    """A test case as one victim sees it.

    Args:
        trained: what the victim was trained on.
        figure: DSC of the case, in words.
        background: number of its image in :attr:`Gallery.images`.
        size: width and height in pixels.
        fills: colour and SVG path of each predicted class.
        guessed: SVG path along the borders of the prediction.
        contour: SVG path along the true borders.
    """

    trained: str
    figure: str
    background: int
    size: tuple[int, int]
    fills: Sequence[tuple[int, str]]
    guessed: str
    contour: str

    @property
    def length(self) -> int:
        """Characters in the page, about."""
        return FRAME + len(self.guessed) + len(self.contour) + sum(len(path) for _, path in self.fills)


class Gallery:
    """Draws pictures as long as there is room.

    Args:
        folder: of the benchmark.
        summary: for the order, and for which victims count.
    """

    def __init__(self, folder: Path, summary: Summary) -> None:
        self.folder, self.summary = folder, summary
        self.room = MOST
        self.images: list[str] = []
        self.left_out = 0

    def draw(self, cells: Sequence[Cell], data: str) -> dict[str, dict[str, list[PredictionTile]]]:
        """Pictures of each victim of a data set, without countermeasure, of its first seed that has some.

        Args:
            cells: all cells.
            data: name of the data set.

        Returns:
            Tiles by victim and test case, one a method; empty where there are no pictures.
        """
        counted = {row.victim for row in self.summary.pick(data=data, countermeasure=NONE) if row.counts}
        found = {}
        for victim in sorted(self.summary.victims, key=lambda name: name not in counted):
            chosen: dict[str, Cell] = {}
            for cell in sorted(cells, key=lambda cell: cell.spec.seed):
                spec = cell.spec
                if (spec.data, spec.victim, spec.countermeasure) == (data, victim, NONE) and cell.pictures:
                    chosen.setdefault(spec.method, cell)
            rows: dict[str, list[PredictionTile]] = {}
            for method in self.summary.methods:
                if method in chosen:
                    pictures = load_pictures(self.folder / chosen[method].pictures)
                    for name, *arrays in each_picture(pictures):
                        rows.setdefault(name, []).append(self._tile(chosen[method], name, *arrays))
            size = sum(tile.length for tiles in rows.values() for tile in tiles)
            if rows and size <= self.room:
                self.room -= size
                found[victim] = rows
            elif rows:
                self.left_out += 1
        return found

    def _tile(
        self, cell: Cell, name: str, image: NDArray[np.uint8], truth: NDArray[Any], prediction: NDArray[Any]
    ) -> PredictionTile:
        trained = "clean images" if cell.spec.method == CLEAN else cell.spec.method
        return make_tile(trained, case_dsc(cell, name), self._background(image), truth, prediction)

    def _background(self, image: NDArray[np.uint8]) -> int:
        """Number of the background that the image is."""
        uri = png(image)
        if uri not in self.images:
            self.images.append(uri)
            self.room -= len(uri)
        return self.images.index(uri)


def make_tile(
    trained: str, dsc: float, background: int, truth: NDArray[Any], prediction: NDArray[Any]
) -> PredictionTile:
    """Draw what a victim says of a test case.

    Args:
        trained: what it was trained on.
        dsc: of the case in [0, 1], NaN where there is none.
        background: number of its image in the page.
        truth: class of each pixel, ``(rows, columns)``.
        prediction: the same by the victim.

    Returns:
        The tile.
    """
    return PredictionTile(
        trained=trained,
        figure="" if np.isnan(dsc) else f" {100 * dsc:.1f} %",
        background=background,
        size=(truth.shape[1], truth.shape[0]),
        fills=[(int(v - 1) % CLASSES, runs(prediction == v)) for v in np.unique(prediction).astype(int) if v],
        guessed=outline(prediction),
        contour=outline(truth),
    )


def load_pictures(path: Path) -> dict[str, NDArray[Any]]:
    """Read a file of pictures.

    Args:
        path: as named in a cell.

    Returns:
        ``image_K``, ``truth_K``, ``prediction_K``, ``id_K``; empty where the file is gone (it may be deleted to save
        room).

    Raises:
        InputError: when it cannot be read.
    """
    if not path.is_file():
        return {}
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise InputError(f"{path}: expected NPZ pictures, got: {error}. Delete it; the report goes without.") from error


def case_dsc(cell: Cell, name: str) -> float:
    """DSC of a test case with the last checkpoint, mean of its classes; NaN where there is none."""
    scores = cell.choices.get("last")
    if scores is None or name not in cell.cases:
        return float("nan")
    return float(mean_of(as_array((scores.dsc[cell.cases.index(name)],))))


def runs(mask: NDArray[np.bool_]) -> str:
    """Fill a mask ``(rows, columns)`` as an SVG path of one box for each run of pixels along a row.

    Example:
        >>> runs(np.array([[False, True, True]]))
        'M1 0h2v1h-2z'
    """
    return "".join(f"M{start} {row}h{stop - start}v1h-{stop - start}z" for row, start, stop in runs_down(mask.T))


def each_picture(
    pictures: Mapping[str, NDArray[Any]],
) -> Iterator[tuple[str, NDArray[np.uint8], NDArray[Any], NDArray[Any]]]:
    """Case id, image, truth and prediction of each case in what :func:`load_pictures` gives, thinned for the page."""
    for key in sorted(name for name in pictures if name.startswith("image_")):
        number = key.removeprefix("image_")
        image, truth, guess = (pictures.get(f"{kind}_{number}") for kind in ("image", "truth", "prediction"))
        if image is None or truth is None or guess is None or not image.shape[:2] == truth.shape == guess.shape:
            continue
        step = -(-max(truth.shape) // LONGEST)
        rows, columns = (size // step * step for size in truth.shape)
        middle = slice(step // 2, None, step)
        small = np.asarray(Image.fromarray(image[:rows, :columns]).reduce(step))
        name = str(pictures[f"id_{number}"]) if f"id_{number}" in pictures else number
        yield name, small, truth[:rows, :columns][middle, middle], guess[:rows, :columns][middle, middle]
