# SPDX-License-Identifier: Apache-2.0
"""What came of a demonstration, in a few lines for a screen and on a page with pictures of what the thieves see."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from umed.benchmark.report.predictions import PredictionTile, each_picture, make_tile
from umed.benchmark.results.floor import no_verdict
from umed.benchmark.results.verdict import ThiefForecast, Verdict
from umed.cases.records import write_text
from umed.protect.result import Result
from umed.protect.verification import Verification
from umed.report.pictures import png
from umed.report.template import render

ANSWERS: dict[Verdict, str] = {
    "holds": "Here the protection holds",
    "weakens": "Here the protection weakens the thief, it does not keep him out",
    "none": "Here the protection does nothing",
}
"""What a verdict means for this one thief."""


@dataclass(frozen=True)
class Demonstration:
    """What came of a demonstration.

    Args:
        result: of protecting the cases to publish.
        proof: what ``umed verify`` said of it.
        thief: DSC of the two trainings, and the verdict.
        phantom: whether the cases were computed.
        input: the cases to publish, as they were.
        page: the page, which shows originals.
        train: cases that were published and trained on.
        test: clean cases that judged.
        steps: optimiser steps of each training.
        seed: of both trainings.
        side: longest side in pixels that the thief trained at.
        threads: of each training.
        seconds: wall time of all of it.
    """

    result: Result
    proof: Verification
    thief: ThiefForecast
    phantom: bool
    input: Path
    page: Path
    train: int
    test: int
    steps: int
    seed: int
    side: int
    threads: int
    seconds: float

    @property
    def exit_code(self) -> int:
        """That of protecting or verifying, the worse of the two; what the thief learnt is no failure."""
        return self.proof.exit_code or self.result.exit_code

    @property
    def answer(self) -> str:
        """What the trainings say, in plain words."""
        if self.thief.verdict == "unknown":
            why = no_verdict(self.thief.clean.mean, self.thief.floor)
            return f"{why}. Train longer (--steps {3 * self.steps}), or give more cases."
        clean, protected = (100 * one.mean for one in (self.thief.clean, self.thief.protected))
        return (
            f"{ANSWERS[self.thief.verdict]}: a network that trained on the originals segments new, clean cases with a "
            f"DSC of {clean:.0f} %; the same network, trained on the release, with {protected:.0f} %."
        )

    @property
    def limits(self) -> tuple[str, ...]:
        """What it shows, and what it does not."""
        how = f"one plain U-Net with batch norm, {self.steps} steps from scratch, seed {self.seed}, one secret code"
        return (
            f"It shows what {how} gives; another seed or code gives other figures (--seed 1; every run draws a code).",
            "It does not show that a thief is kept out: a U-Net with instance norm learnt most in one of three runs "
            "(docs/demo.md), networks that train as nnU-Net does learn through the default bound of 4/255 "
            "(docs/strength.md), and longer training, a blur or JPEG bring more back (docs/limits.md).",
            "The lesions are computed, no patient's. For your own data: umed demo --data FOLDER."
            if self.phantom
            else "Few cases, a short training: umed plan FOLDER --forecast asks a stronger thief, umed benchmark more.",
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        names = ("phantom", "train", "test", "steps", "seed", "side", "threads", "seconds", "exit_code", "answer")
        return {
            **{name: getattr(self, name) for name in names},
            "limits": list(self.limits),
            "thief": self.thief.to_dict(),
            "verified": not self.proof.exit_code,
            "release_check": None if self.result.check is None else self.result.check.to_dict(),
            "page": str(self.page),
            "input": str(self.input),
            "release": str(self.result.output),
            "private": str(self.result.private),
        }

    def summary(self) -> str:
        """A few lines for people."""
        epsilon = f"{255 * self.result.plan.epsilon:.4g}/255"
        proved = f"proved from the files: no value moved by more than {epsilon} of the range"
        return "\n".join(
            [
                self.answer,
                *(f"- {line}" for line in self.limits),
                proved if not self.proof.exit_code else self.proof.summary(),
                self.published,
                f"pictures, side by side, with originals: {self.page}",
                f"never publish: {self.result.private} (key, report, page)",
                f"next: {self.next}",
                f"{self.train} cases protected, {self.test} clean ones judged, {self.seconds:.0f} s",
            ]
        )

    @property
    def published(self) -> str:
        """Which folder may be published, or why none."""
        check = self.result.check
        if self.exit_code not in (0, 3) or check is None or not check.ok:
            problems = [] if check is None else check.lines("problem")
            return "\n".join([f"do not publish {self.result.output}:", *(f"  {line}" for line in problems)])
        less = "" if self.phantom else f"; it lacks all cases but these {self.train}"
        return f"publish: {self.result.output} (umed check-release: nothing speaks against it){less}"

    @property
    def next(self) -> str:
        """What to run next."""
        if self.phantom:
            return "umed demo --data FOLDER shows the same on your own images and masks"
        return "umed protect FOLDER OUT protects all of them; --preview and --strength strong are worth a look first"

    @property
    def proof_command(self) -> str:
        """How to prove the bound again."""
        return f"umed verify {shlex.quote(str(self.input))} {shlex.quote(str(self.result.output))}"


def write_demo_page(
    found: Demonstration,
    shown: Mapping[str, Mapping[str, Any]],
    dsc: Mapping[str, Mapping[str, float | None]],
    environment: Mapping[str, Any],
) -> Path:
    """Write the page. It shows originals: it lies in the private folder.

    Args:
        found: what came of it.
        shown: for each training, pictures as :func:`umed.benchmark.run_job.shown_slices` gives them.
        dsc: for each training, DSC of each test case in [0, 1], ``None`` where there is none.
        environment: versions and hardware.

    Returns:
        Its path.
    """
    images: list[str] = []
    rows: dict[str, list[PredictionTile]] = {}
    for trained, pictures in shown.items():
        for name, image, truth, guess in each_picture(pictures):
            uri = png(image)
            if uri not in images:
                images.append(uri)
            score = dsc[trained][name]
            tile = make_tile(trained, float("nan") if score is None else score, images.index(uri), truth, guess)
            rows.setdefault(name, []).append(tile)
    page = render(
        "demo.html.j2",
        package="umed.benchmark.report",
        found=found,
        rows=rows,
        images=images,
        environment=environment,
        warnings=["This page shows originals: never publish it, keep it where it lies."],
    )
    write_text(found.page, page)
    return found.page
