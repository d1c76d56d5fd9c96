# SPDX-License-Identifier: Apache-2.0
"""A Segment Anything that always finds the box it was asked for, for tests where only the way matters."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from umed.propose import image_loop
from umed.propose.segment_anything import Answer


def fill_boxes(monkeypatch: pytest.MonkeyPatch, nothing_at: int) -> None:
    """Let every prompt find its own box, whatever the network says; one that ends at ``nothing_at`` finds nothing."""

    def answer(seen: Any, prompts: Any) -> list[Answer]:
        found = []
        for prompt in prompts:
            mask = np.zeros(seen.shape, bool)
            x0, y0, x1, y1 = (int(value) for value in prompt.box)
            mask[y0 : y1 + 1, x0 : x1 + 1] = x1 != nothing_at
            found.append(Answer(mask, 0.9))
        return found

    monkeypatch.setattr(image_loop, "ask", answer)
