# SPDX-License-Identifier: Apache-2.0
"""What victims see: clean test cases with the true outline, and the prediction after each training laid over it.

Each image is embedded once, as a background that all its tiles share; outlines and predictions are vectors.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from umed.benchmark.results.cells import CLEAN, NONE, Cell
from umed.benchmark.results.statistics import as_array, mean_of
from umed.benchmark.results.summary import Summary
from umed.core.errors import InputError
from umed.report.pictures import outline

LONGEST = 256
MOST = 2_000_000
"""Bytes of all pictures together; what is beyond is left out, and the page says so."""
CLASSES = 5  # colours of predicted classes


class Gallery:
    """Draws pictures as long as there is room.

    Args:
        folder: of the benchmark.
        summary: for the order, and for which victims count.
    """

    def __init__(self, folder: Path, summary: Summary) -> None:
        self.folder, self.summary = folder, summary
        self.room = MOST
        self.styles: list[str] = []
        self.left_out = 0

    def draw(self, cells: Sequence[Cell], data: str) -> dict[str, str]:
        """Pictures of each victim of a data set, without countermeasure, of its first seed that has some.

        Args:
            cells: all cells.
            data: name of the data set.

        Returns:
            HTML by victim; empty where there are no pictures.
        """
        counted = {row.victim for row in self.summary.pick(data=data, countermeasure=NONE) if row.counts}
        found = {}
        for victim in sorted(self.summary.victims, key=lambda name: name not in counted):
            chosen: dict[str, Cell] = {}
            for cell in sorted(cells, key=lambda cell: cell.spec.seed):
                spec = cell.spec
                if (spec.data, spec.victim, spec.countermeasure) == (data, victim, NONE) and cell.pictures:
                    chosen.setdefault(spec.method, cell)
            ordered = [chosen[method] for method in self.summary.methods if method in chosen]
            html = self._victim(ordered)
            if html and len(html) <= self.room:
                self.room -= len(html)
                found[victim] = html
            elif html:
                self.left_out += 1
        return found

    def _victim(self, cells: Sequence[Cell]) -> str:
        loaded = {cell.spec.method: load_pictures(self.folder / cell.pictures) for cell in cells}
        loaded = {method: pictures for method, pictures in loaded.items() if pictures}
        rows: dict[str, list[str]] = {}
        for cell in cells:
            for name, image, truth, prediction in _each(loaded.get(cell.spec.method, {})):
                tile = self._tile(cell, name, image, truth, prediction)
                rows.setdefault(name, []).append(tile)
        return "".join(
            f'<h4>{escape(name)}, trained on</h4><div class="tiles">{"".join(tiles)}</div>'
            for name, tiles in rows.items()
        )

    def _tile(
        self, cell: Cell, name: str, image: NDArray[np.uint8], truth: NDArray[Any], prediction: NDArray[Any]
    ) -> str:
        height, width = truth.shape
        place = self._background(image)
        fills = "".join(
            f'<path class="guess k{(int(value) - 1) % CLASSES}" d="{runs(prediction == value)}"/>'
            for value in np.unique(prediction)
            if value
        )
        lines = f'<path class="guessed" d="{outline(prediction)}"/><path class="contour" d="{outline(truth)}"/>'
        dsc = case_dsc(cell, name)
        figure = "" if np.isnan(dsc) else f" {100 * dsc:.1f} %"
        trained = "clean images" if cell.spec.method == CLEAN else cell.spec.method
        return (
            f'<figure><div class="tile {place}" style="aspect-ratio:{width}/{height}">'
            f'<svg viewBox="0 0 {width} {height}" preserveAspectRatio="none" role="img" '
            f'aria-label="{escape(f"{name}, trained on {trained}")}">{fills}{lines}</svg></div>'
            f"<figcaption>{escape(trained)}<b>{figure}</b></figcaption></figure>"
        )

    def _background(self, image: NDArray[np.uint8]) -> str:
        """Class whose background the image is."""
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, format="PNG", optimize=True)
        uri = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
        rule = f"background-image:url({uri})"
        if rule not in self.styles:
            self.styles.append(rule)
            self.room -= len(rule)
        return f"i{self.styles.index(rule)}"

    def css(self) -> str:
        """The images, as rules of the page's style."""
        return "".join(f".tile.i{index}{{{rule}}}" for index, rule in enumerate(self.styles))


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
    """Fill a mask as an SVG path of one box for each run of pixels along a row.

    Args:
        mask: ``(rows, columns)``.

    Returns:
        Data of the path in pixels.

    Example:
        >>> runs(np.array([[False, True, True]]))
        'M1 0h2v1h-2z'
    """
    padded = np.pad(mask.astype(np.int8), ((0, 0), (1, 1)))
    change = np.diff(padded, axis=1)
    starts, stops = np.argwhere(change == 1), np.argwhere(change == -1)
    return "".join(f"M{a[1]} {a[0]}h{b[1] - a[1]}v1h-{b[1] - a[1]}z" for a, b in zip(starts, stops, strict=True))


def _each(
    pictures: Mapping[str, NDArray[Any]],
) -> Iterator[tuple[str, NDArray[np.uint8], NDArray[Any], NDArray[Any]]]:
    """Case id, image, truth and prediction, thinned to a size for the page."""
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
