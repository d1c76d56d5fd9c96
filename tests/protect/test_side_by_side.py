# SPDX-License-Identifier: Apache-2.0
"""``umed protect --preview``: what it draws is what a run would write, it says the figures, and it stays private."""

from __future__ import annotations

import base64
import io
import json
import math
import re
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.release_files import hospital
from tests.report.test_report import check
from umed.cli.main import main
from umed.core.config import make_settings
from umed.core.errors import ConfigError, InputError
from umed.protect import side_by_side
from umed.protect.run import protect
from umed.protect.side_by_side import strengths_of, write_preview
from umed.protect.verify import verify

BOUNDS = [
    ("invisible", make_settings(overrides={"epsilon": "4/255"})),
    ("strong", make_settings(overrides={"epsilon": "8/255"})),
]


def images(page: str) -> dict[str, np.ndarray]:
    """Pixels by the text that stands for the picture."""
    found = re.findall(r'<img src="data:image/png;base64,([^"]+)"[^>]* alt="([^"]+)"', page)
    return {alt: np.asarray(Image.open(io.BytesIO(base64.b64decode(uri)))) for uri, alt in found}


def table(page: str, number: int) -> dict[str, str]:
    """One table of figures, by its words."""
    found = re.findall(r'<table class="figures">.*?</table>', page, re.DOTALL)[number]
    return dict(re.findall(r'<th scope="row">([^<]+)</th><td class="number">([^<]+)</td>', found))


def test_it_says_how_long_a_run_will_protect_but_not_of_a_short_one(
    pictures: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root, now = pictures(5), iter(range(0, 10_000, 7))
    command = ["protect", str(root), str(tmp_path / "out"), "--preview", "--quiet"]
    assert main(command) == 0 and "takes about" not in capsys.readouterr().out  # these take a moment
    monkeypatch.setattr(side_by_side.time, "perf_counter", lambda: float(next(now)))  # 7 s from a look to the next
    found = write_preview(root, tmp_path / "out", BOUNDS)
    assert (found.total, found.seconds, found.lasts) == (5, 35.0, "35 s")
    assert "protecting all 5 takes about 35 s, timed on these; the training before" in found.summary()
    assert found.to_dict()["lasts"] == "35 s"
    quick = [(name, replace(settings, method="checkerboard", method_options={})) for name, settings in BOUNDS]
    assert "the training before" not in write_preview(root, tmp_path / "out", quick).summary()


def test_the_command_writes_one_private_page_and_nothing_else(
    pictures: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = pictures(5)
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    command = ["protect", str(root), str(tmp_path / "out"), "--preview", "--quiet"]
    assert main(command) == 0
    said = capsys.readouterr().out
    page = tmp_path / "out-private" / "preview.html"
    assert str(page) in said and "never publish it. Nothing was protected" in said and "epsilon 4/255" in said
    assert not (tmp_path / "out").exists() and [path.name for path in page.parent.iterdir()] == ["preview.html"]
    assert stat.S_IMODE(page.stat().st_mode) == 0o600 and stat.S_IMODE(page.parent.stat().st_mode) == 0o700
    assert before == {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    assert main([*command, "--json"]) == 0  # again, beside the first page
    found = json.loads(capsys.readouterr().out)
    assert len(found["cases"]) == 3 and found["preview"] == str(page)
    one, two = found["strengths"]["invisible"], found["strengths"]["strong"]
    assert one["epsilon"] < two["epsilon"] and one["psnr"] > two["psnr"] + 1 and one["delta_e_roi"] < two["delta_e_roi"]
    assert all("against nnU-Net-like training" in text for text in found["expectations"].values())
    text = page.read_text(encoding="utf-8")
    assert "What to expect" in text and "Where a code can lie" in text and text.count("<svg class") == 1
    assert main([*command, "--dry-run"]) == 2


def test_a_run_begins_beside_a_preview_and_clears_it_with_the_rest(phantom: Path, tmp_path: Path) -> None:
    plain = make_settings(overrides={"method": "random"})
    out, page = tmp_path / "out", tmp_path / "out-private" / "preview.html"
    write_preview(phantom, out, [("plain", plain)])
    assert protect(phantom, out, settings=plain).exit_code == 0  # with check-release at its end
    assert page.is_file() and verify(phantom, out).ok
    with pytest.raises(InputError, match=r"got an earlier run.*--overwrite"):
        write_preview(phantom, out, [("plain", plain)])
    write_preview(phantom, out, [("plain", plain)], resume=True)
    assert verify(phantom, out).ok
    protect(phantom, out, settings=plain, overwrite=True)
    assert not page.exists()


def test_what_is_drawn_keeps_to_bound_and_support_and_has_the_figures_it_says(
    pictures: Callable[..., Path], tmp_path: Path
) -> None:
    root = pictures(3)
    found = write_preview(root, tmp_path / "out", BOUNDS, private=tmp_path / "mine")
    assert found.page == tmp_path / "mine" / "preview.html" and found.cases == ("case_0", "case_1", "case_2")
    page = found.page.read_text(encoding="utf-8")
    checker = check(page)
    assert all(uri.startswith("data:image/png;base64,") for uri in checker.loads)
    assert page.index("never publish it") < page.index("<img")
    shown = images(page)
    number = 0
    for case in found.cases:
        original = shown[f"{case}, original"].astype(int)
        assert np.array_equal(original, np.asarray(Image.open(root / "images" / f"{case}.png")))
        mask = np.asarray(Image.open(root / "masks" / f"{case}.png")) > 0
        for name, most in (("invisible", 4), ("strong", 8)):
            moved = shown[f"{case}, {name}"] - original
            assert np.abs(moved).max() == most and not moved[:5].any() and moved[mask].any()
            drawn = shown[f"{case}, {name}, difference × 16"].astype(float)
            assert np.abs(drawn - np.clip(127.5 + 16 * moved, 0, 255)).max() <= 1
            figures = table(page, number)
            psnr = 10 * math.log10(255**2 / np.square(moved).mean())
            assert figures["PSNR"] == f"{psnr:.2f} dB" and 0 < float(figures["ΔE in ROI, mean"]) < most / 2
            assert float(figures["ΔE in ROI, 99 %"]) >= float(figures["ΔE in ROI, mean"])
            number += 1
    assert found.means["strong"]["epsilon"] == 8 / 255
    assert all(f"Why: {name}" in page for name in ("invisible", "strong"))


def test_volumes_are_shown_at_the_slice_with_the_largest_roi(phantom: Path, tmp_path: Path) -> None:
    three = [*BOUNDS, ("loud", make_settings(overrides={"epsilon": "16/255", "method": "random"}))]
    page = write_preview(phantom, tmp_path / "out", three).page.read_text(encoding="utf-8")
    assert page.count(" along axis 2, the one") == 3 and page.count('class="figures"') == 9 and "columns-4" in page
    assert len(images(page)) == 3 * (2 + 2 * 3) and "16/255" in page


def test_series_are_shown_and_nothing_of_the_header_is(tmp_path: Path) -> None:
    root = hospital(tmp_path / "in")
    found = write_preview(root, tmp_path / "out", BOUNDS)
    page = found.page.read_text(encoding="utf-8")
    assert len(found.cases) >= 1 and "along axis 0" in page and not (tmp_path / "out").exists()
    assert all(math.isfinite(one["delta_e_roi"]) and one["psnr_roi"] > 25 for one in found.means.values())
    assert str(root) not in page and "Erika" not in page


def test_the_strengths_are_what_was_asked_and_strong() -> None:
    assert [name for name, _ in strengths_of(make_settings())] == ["invisible", "strong"]
    asked, strong = strengths_of(make_settings(overrides={"epsilon": "6/255"}))
    assert asked[0] == "as asked" and asked[1].epsilon == 6 / 255
    assert (asked[1].strength, strong[1].strength) == ("epsilon", "strong")


def test_trained_generators_are_shown_where_they_are_given(phantom: Path, tmp_path: Path) -> None:
    protect(phantom, tmp_path / "first", training={"iterations": 1, "batch_size": 1}, report=False, check=False)
    generators = tmp_path / "first-private" / "generators"
    chosen = strengths_of(make_settings())
    assert write_preview(phantom, tmp_path / "out", chosen, generators=generators).page.is_file()
    assert write_preview(phantom, tmp_path / "out", chosen, generators=generators / "umed.pt").page.is_file()
    with pytest.raises(InputError, match="expected trained generators, got none"):
        write_preview(phantom, tmp_path / "out", chosen, generators=phantom)


def test_a_method_that_must_be_trained_first_says_so(phantom: Path, tmp_path: Path) -> None:
    settings = make_settings(overrides={"method": "error_minimizing"})
    with pytest.raises(ConfigError, match=r"before it is trained.*got error_minimizing.*--generators"):
        write_preview(phantom, tmp_path / "out", [("one", settings)])
    assert not (tmp_path / "out-private").exists()


def test_what_cannot_be_shown_is_passed_over_and_said(pictures: Callable[..., Path], tmp_path: Path) -> None:
    root = pictures(5, empty=(0, 1))
    (root / "images" / "case_2.png").write_bytes(b"broken")
    found = write_preview(root, tmp_path / "out", BOUNDS)
    page = found.page.read_text(encoding="utf-8")
    assert found.cases == ("case_3", "case_4") and "case_2 cannot be shown" in page and str(root) not in page
    tiny = [("below a step", make_settings(overrides={"epsilon": 1e-4})), *BOUNDS[1:]]
    page = write_preview(root, tmp_path / "out", tiny).page.read_text(encoding="utf-8")
    assert "below a step: " in page and "expected an epsilon of at least 1 stored step" in page
    with pytest.raises(InputError, match=r"expected a case that can be protected, got none.*1 stored step"):
        write_preview(root, tmp_path / "out", tiny[:1])


def test_the_page_never_lies_in_the_output_or_the_input(phantom: Path, tmp_path: Path) -> None:
    for place in (tmp_path / "out", tmp_path / "out" / "private", phantom / "private"):
        with pytest.raises(InputError, match="one inside the other"):
            write_preview(phantom, tmp_path / "out", BOUNDS, private=place)
    assert not list(tmp_path.rglob("preview.html"))


def test_no_more_cases_are_drawn_than_are_wanted(
    pictures: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(side_by_side, "SHOWN_CASES", 2)
    calls: list[tuple[str, int, int]] = []
    found = write_preview(
        pictures(4), tmp_path / "out", BOUNDS, progress=lambda name, done, total: calls.append((name, done, total))
    )
    assert len(found.cases) == 2 and [one for one in calls if one[0] == "preview"][-1] == ("preview", 4, 4)
