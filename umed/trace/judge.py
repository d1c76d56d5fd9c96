# SPDX-License-Identifier: Apache-2.0
"""Says what the answers of a suspect network prove, and what they do not."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from umed.cases.records import KEY
from umed.cases.source import given_path
from umed.core.errors import InputError, UmedError, error_line
from umed.core.keyfile import Key
from umed.core.progress import counted
from umed.core.reasons import group_reasons, many
from umed.core.types import Progress
from umed.core.version import __version__
from umed.data import files
from umed.data.dicom_input import looks_like_dicom
from umed.protect.commitment import ALPHA, TESTS, read_trace
from umed.trace.answers import SuspectAnswer, find_answers, read_answer
from umed.trace.challenge import read_labels_of
from umed.trace.queries import DECOY, PUBLISHED, Challenge, Query, key_of, read_challenge
from umed.trace.rank_test import TestResult, cases_needed, holm, rank_test

NOTHING = TestResult(0.0, 1.0, 1.0, 0, 0)
"""What no answer says."""
SMOOTH = 1.0
"""Voxels that are added above and below, so that an empty answer has a score."""
LEAST = 1e-4
"""Dice coefficients this near to 0 or 1 count as this near: their log odds would have no bound."""


@dataclass(frozen=True)
class ReleaseVerdict:
    """What the answers say of one release.

    Args:
        name: of its private folder.
        release: id of the release.
        commitment: SHA-256 that was published before.
        result: of the test.
        p: its p-value, corrected for the number of releases that were tried.
        cases: that were asked about and answered.
        left_out: cases that did not count, and why.
        mean: mean Dice coefficient of the published copies, and of their twins.
        answers: SHA-256 over all answers that were read.
        soft: whether they were probabilities.
        recipient: whose copy it was, ``""`` where the owner did not say.
    """

    name: str
    release: str
    commitment: str
    result: TestResult
    p: float
    cases: int
    left_out: tuple[tuple[str, str], ...]
    mean: tuple[float, float]
    answers: str
    soft: bool
    recipient: str = ""

    @property
    def title(self) -> str:
        """Whose copy it is, or the name of its private folder."""
        return f"the copy of {self.recipient} ({self.name})" if self.recipient else self.name

    @property
    def is_evidence(self) -> bool:
        """Whether the corrected p-value is at most alpha."""
        return self.p <= ALPHA

    @property
    def sentence(self) -> str:
        """The verdict in words."""
        told = (
            f"of {many(self.result.cases, 'case')} the network does best on the published one of {self.result.copies} "
            f"copies in {self.result.won} ({self.result.cases / self.result.copies:.3g} expected by chance)"
        )
        if self.is_evidence:
            return f"evidence that the network was trained on this release: {told}, p = {self.p:.2g}"
        if self.result.least > ALPHA:
            needed = cases_needed(ALPHA, self.result.copies)
            lack = f"at least {many(needed, 'case')} that differ are needed"
            if self.result.cases >= needed:
                lack = f"too many copies score alike, so that p = {self.result.least:.2g} is the least there can be"
            return f"no verdict is possible: {told}; {lack}"
        return f"no evidence: {told}, p = {self.p:.2g}, above {ALPHA:g}. That does not prove that it was not used"


@dataclass(frozen=True)
class Verdict:
    """What came of a trace.

    Args:
        releases: one verdict for each private folder that was given.
        page: the page for people, ``None`` where none was asked for.
    """

    releases: tuple[ReleaseVerdict, ...]
    page: Path | None = None

    @property
    def whose(self) -> str:
        """Whose copy the network was trained on, in a sentence; ``""`` where no copy has a recipient's name."""
        found = [one.recipient or one.name for one in self.releases if one.is_evidence]
        if not any(one.recipient for one in self.releases):
            return ""
        if not found:
            return "whose copy: none of those that were asked about, as far as this test sees"
        return f"whose copy: {' and '.join(found)}"

    def to_dict(self) -> dict[str, Any]:
        """Plain data for ``--json`` and ``trace.json``."""
        return {
            "umed_version": __version__,
            "tests": TESTS,
            "alpha": ALPHA,
            "null_hypothesis": NULL,
            "assumed": list(ASSUMED),
            "releases": [
                {
                    **asdict(one),
                    "left_out": dict(one.left_out),
                    "evidence": one.is_evidence,
                    "sentence": one.sentence,
                    "p_uncorrected": one.result.p,
                }
                for one in self.releases
            ],
            **({"whose": self.whose} if self.whose else {}),
            **({} if self.page is None else {"page": str(self.page)}),
        }

    def summary(self) -> str:
        """A few lines for people."""
        lines: list[str] = []
        for one in self.releases:
            lines.append(f"{one.title}: {one.sentence}")
            lines += [f"  left out: {line}" for line in group_reasons(one.left_out, unit="cases")]
        if self.whose:
            lines.append(self.whose)
        if self.page is not None:
            lines.append(f"verdict: {self.page} (it names cases: keep it as private as the folder)")
        return "\n".join(lines)


NULL = "The network, and whoever made it, never saw this release."
ASSUMED = (
    "All copies were drawn from the secret key before the release, which the commitment proves from its time stamp on.",
    "Nobody told the network's maker which copy of a case was published but by publishing it.",
    "The answers are those of the network to the queries, without knowledge of which query is which.",
    "The numbers of twins and looks were chosen before the network was asked.",
    "This is the only challenge of this release that was judged for this network; of several, all must be told.",
)


def judge(
    queries: str | Path,
    answers: str | Path,
    *,
    private: str | Path,
    key_file: str | Path | None = None,
    also: Sequence[Sequence[str | Path]] = (),
    page: str | Path | None = None,
    output: str | Path | None = None,
    progress: Progress | None = None,
) -> Verdict:
    """Judge the answers to a challenge.

    Args:
        queries: folder that was asked.
        answers: folder with an answer to each query, called like it: a mask, or probabilities in an NPZ.
        private: private folder of the release that the queries were made of.
        key_file: its key; ``release.key`` of the private folder if ``None``. Also that of further releases whose
            private folders hold none.
        also: queries, answers and private folder of each further release that is asked about, such as the copies that
            others got; the p-values are then corrected for their number (Holm 1979).
        page: folder for ``trace.html`` and ``trace.json``; none is written if ``None``.
        output: the release; its commitment is compared where it is given.
        progress: called with ``"judge"``, cases done and cases in all.

    Returns:
        The verdict.

    Raises:
        InputError: when queries, answers and private folder do not belong together.
    """
    if page is not None and Path(page).exists():
        raise InputError(f"{page}: expected a new folder for the verdict, got one that is there. Pick another.")
    found = []
    for asked, told, folder in [(queries, answers, private), *also]:
        place = Path(folder)
        if not Path(told).is_dir():
            raise InputError(f"{told}: expected a folder with an answer to each query, got none. Check the path.")
        first = place == Path(private)
        own = not first and (place / KEY).is_file()
        key = key_of(place, None if own else given_path(key_file))
        release = given_path(output) if first else None
        found.append(_judge_release(Path(asked), Path(told), place, key, release, progress))
    corrected = holm([one.result.p for one in found])
    verdict = Verdict(tuple(replace(one, p=p) for one, p in zip(found, corrected, strict=True)))
    if page is None:
        return verdict
    from umed.report.template import render

    target = Path(page)
    with files.whole_folder(target) as place:
        content = verdict.to_dict()
        (place / "trace.json").write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        html = render("trace.html.j2", package="umed.trace", verdict=verdict, null=NULL, assumed=ASSUMED, tests=TESTS,
                      warnings=[], alpha=ALPHA, version=__version__)  # fmt: skip
        (place / "trace.html").write_text(html, encoding="utf-8")
    return Verdict(verdict.releases, target / "trace.html")


def _judge_release(
    queries: Path, answers: Path, private: Path, key: Key, output: Path | None, progress: Progress | None
) -> ReleaseVerdict:
    challenge = read_challenge(queries, private, key)
    committed = read_trace(private, output)
    if committed["sha256"] != challenge.commitment:
        raise InputError(
            f"{private}: expected the copies that the challenge was made with, got others. The release was made again "
            "since; use the private folder of that time."
        )
    scores, left_out, read, soft = _scores(challenge, answers, private, progress)
    odds = {role: [log_odds(one[role]) for one in scores.values()] for role in challenge.roles}
    others = np.array([found for role, found in odds.items() if role != PUBLISHED]).T
    result = rank_test(odds[PUBLISHED], others.tolist()) if scores else replace(NOTHING, copies=len(challenge.roles))
    means = {role: float(np.mean([np.mean(one[role]) for one in scores.values()] or 0.0)) for role in challenge.roles}
    mean = means.pop(PUBLISHED), float(np.mean(list(means.values())))
    return ReleaseVerdict(
        private.name, challenge.release, challenge.commitment, result, result.p, len(scores), tuple(left_out), mean,
        read, soft, str(committed.get("recipient", "")),
    )  # fmt: skip


def _scores(
    challenge: Challenge, answers: Path, private: Path, progress: Progress | None
) -> tuple[dict[str, dict[str, list[float]]], list[tuple[str, str]], str, bool]:
    """Scores of each copy of each case; cases without all answers do not count, which no draw decides."""
    by_case: dict[str, list[tuple[str, Query]]] = {}
    for name in challenge.queries:
        query = challenge.query(name)
        if query.role != DECOY:
            by_case.setdefault(query.case, []).append((name, query))
    scores: dict[str, dict[str, list[float]]] = {}
    left_out, digest, soft = list[tuple[str, str]](), hashlib.sha256(), set[bool]()
    there = find_answers(answers, challenge.queries)
    if not there:
        dicom = any(looks_like_dicom(path) for path in answers.iterdir())
        got = "DICOM files. Convert them (SEG: to NIfTI on the grid of its query)" if dicom else "none"
        raise InputError(
            f"{answers}: expected an answer to each of {len(challenge.queries)} queries, called like "
            f"{min(challenge.queries)}.nii.gz, .png or .npz, got {got}."
        )
    for case, queries in counted(sorted(by_case.items()), "judge", progress):
        labels = read_labels_of(private, challenge.id, case)
        each: dict[str, list[float]] = {role: [] for role in challenge.roles}
        kinds = set[bool]()
        try:
            for name, query in queries:
                path = there.get(name)
                if path is None:
                    raise InputError("not all of its queries were answered")
                truth = labels if query.frame is None else labels[query.frame]
                answer = read_answer(path, truth.shape, challenge.values)
                digest.update(f"{name} {files.sha256(path)}\n".encode())
                each[query.role].append(score(answer, np.flip(truth, tuple(query.flips))))
                kinds.add(answer.soft)
            if len(kinds) > 1:
                raise InputError("some of its answers are masks, others probabilities")
        except UmedError as error:
            left_out.append((case, error_line(error).replace(f"{answers}/", "")))
            continue
        soft |= kinds
        scores[case] = each
    return scores, left_out, digest.hexdigest(), soft == {True}


def log_odds(scores: Sequence[float]) -> float:
    """Mean of ``log(d / (1 - d))`` over Dice coefficients: near 1, where most of them lie, small steps count as well.

    >>> log_odds([0.5, 0.5])
    0.0
    """
    near = np.clip(scores, LEAST, 1 - LEAST)
    return float(np.mean(np.log(near / (1 - near))))


def score(answer: SuspectAnswer, labels: NDArray[Any]) -> float:
    """Mean Dice coefficient over the classes of a case, of shares instead of masks where the answer has them.

    Args:
        answer: on the grid of the labels.
        labels: class of each voxel ``(*spatial)``, 0 to K - 1.

    Returns:
        In [0, 1], ``(2 sum(s t) + 1) / (sum(s) + sum(t) + 1)`` for each class that the case has.
    """
    found = []
    for number in range(1, len(answer.shares)):
        truth = labels == number
        if truth.any():
            share = answer.shares[number]
            both, sizes = float(share[truth].sum(dtype=np.float64)), float(share.sum(dtype=np.float64))
            found.append((2 * both + SMOOTH) / (sizes + float(truth.sum()) + SMOOTH))
    return float(np.mean(found)) if found else 0.0
