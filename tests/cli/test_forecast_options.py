# SPDX-License-Identifier: Apache-2.0
"""``--forecast`` of plan and protect: what is said, what is kept, and what is refused before anything is written."""

from __future__ import annotations

import contextlib
import json
import math
import shutil
import stat
from pathlib import Path

import pytest

from tests.benchmark.phantom_pictures import write_pictures
from umed.cli.main import main
from umed.core.errors import InputError
from umed.protect.check_release import check_release
from umed.protect.private_content import private_kind
from umed.protect.run import protect


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("slices") / "data", 12, size=32)


def test_plan_says_what_is_likely_left(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["plan", str(root), "--forecast", "--forecast-steps", "1", "--set", "training.iterations=7"]
    assert main([*words, "--json"]) == 0
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    assert found["plan"]["training"]["iterations"] == 7
    forecast = found["forecast"]
    assert [one["victim"] for one in forecast["thieves"]] == ["nnunet_like", "unet"] and forecast["steps"] == 1
    assert forecast["verdict"] == "unknown" and "Try --forecast-steps 3;" in forecast["sentence"]
    assert "forecast: 4 trainings of 1 steps on" in captured.err


def test_protect_keeps_it_and_says_it_again(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, command = tmp_path / "out", ["protect", str(root), str(tmp_path / "out"), "--method", "random"]
    assert main([*command, "--forecast", "--forecast-steps", "1", "--quiet"]) == 0
    captured = capsys.readouterr()
    kept = tmp_path / "out-private/forecast.json"
    content = json.loads(kept.read_text())
    assert f"forecast: {content['sentence']}" in captured.out and "no forecast was made" not in captured.out
    assert captured.err == "" and stat.S_IMODE(kept.stat().st_mode) == 0o600
    page = (tmp_path / "out-private/report.html").read_text()
    assert f"<strong>Forecast.</strong> {content['sentence']}" in page
    assert page.index("Forecast.") < page.index(">strength<") < page.index("What it looks like"), "on top"
    record = json.loads((tmp_path / "out-private/release.json").read_text())
    assert "forecast.json" in record["private"]
    assert main(["verify", str(root), str(out)]) == 0
    assert check_release(out, original=root).ok
    assert not [path for path in out.rglob("*") if path.is_file() and b"orecast" in path.read_bytes()]
    capsys.readouterr()
    assert main([*command, "--resume", "--json"]) == 0  # the finished run keeps its own
    assert json.loads(capsys.readouterr().out)["forecast"] == content["sentence"]
    kept.write_text(kept.read_text().replace("Nothing can be said", "It holds"))
    assert main(["verify", str(root), str(out)]) == 1
    assert "forecast.json" in capsys.readouterr().out
    kept.write_text("[]")
    assert main([*command, "--resume"]) == 1
    assert "expected what Forecast.to_dict() gives" in capsys.readouterr().err
    assert main([*command, "--overwrite"]) == 0 and not kept.exists()
    assert "no forecast was made" in capsys.readouterr().out
    assert "There is no forecast" in (tmp_path / "out-private/report.html").read_text()


@pytest.fixture(scope="module")
def made(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``umed plan --forecast --json`` wrote for the method random."""
    file = tmp_path_factory.mktemp("made") / "forecast.json"
    with file.open("w") as out, contextlib.redirect_stdout(out):
        words = ["plan", str(root), "--method", "random", "--forecast", "--forecast-steps", "1", "--json", "--quiet"]
        assert main(words) == 0
    return file


def test_an_earlier_forecast_stands_in_the_report_of_the_same_files_and_settings(
    root: Path, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sentence = json.loads(made.read_text())["forecast"]["sentence"]
    command = ["protect", str(root), str(tmp_path / "out"), "--method", "random", "--quiet"]
    assert main([*command, "--forecast-from", str(made), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["forecast"] == sentence and "forecast_unfit" not in result
    page = (tmp_path / "out-private/report.html").read_text()
    assert f"<strong>Forecast.</strong> {sentence}" in page
    assert "for the same files and settings: random, bound 4/255. Thieves trained 1 steps on " in page
    assert "no measurement of this release" in page
    assert main(["verify", str(root), str(tmp_path / "out")]) == 0


@pytest.mark.parametrize("change", ["settings", "content", "less", "version", "generators", "nothing said"])
def test_a_forecast_of_anything_else_is_left_out_with_the_reason(
    change: str, root: Path, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, content = tmp_path / "data", json.loads(made.read_text())["forecast"]
    shutil.copytree(root, data)  # with the times of the files
    command = ["protect", str(data), str(tmp_path / "out"), "--method", "random"]
    picture = next((data / "images").iterdir())
    if change == "settings":
        command += ["--strength", "strong"]
    elif change == "content":
        picture.write_bytes(picture.read_bytes())  # the time alone: the bytes may be others
    elif change == "less":
        (data / "masks" / picture.name).unlink()
        picture.unlink()
    elif change == "version":
        content["made_for"]["umed"] = "0.0"
    elif change == "generators":
        content["made_for"]["trained"] = True
    else:
        del content["made_for"]
    (tmp_path / "mine.json").write_text(json.dumps(content))
    assert main([*command, "--forecast-from", str(tmp_path / "mine.json"), "--json"]) == 0
    captured = capsys.readouterr()
    result = json.loads(captured.out)
    why = {
        "settings": "other settings (epsilon was 0.0156",
        "content": "files of the input have changed since",
        "less": "made for 12 cases, and there are 11",
        "version": "by umed 0.0",
        "generators": "made with trained generators",
        "nothing said": "does not say which files",
    }[change]
    assert result["forecast"] is None and why in result["forecast_unfit"]
    assert result["forecast_unfit"].endswith("with the other options of this run"), "else it is unfit again"
    assert captured.err.index("the earlier forecast is not shown") >= 0  # at once, not only at the end
    assert not (tmp_path / "out-private/forecast.json").exists()
    assert "There is no forecast" in (tmp_path / "out-private/report.html").read_text()


def test_a_resumed_run_drops_the_forecast_of_files_that_changed(
    root: Path, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    shutil.copytree(root, data)
    command = ["protect", str(data), str(tmp_path / "out"), "--method", "random", "--quiet", "--json"]
    assert main([*command, "--forecast-from", str(made)]) == 0
    assert json.loads(capsys.readouterr().out)["forecast"]
    picture = next((data / "images").iterdir())
    picture.write_bytes(picture.read_bytes())
    assert main([*command, "--resume"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["forecast"] is None and "changed since" in result["forecast_unfit"]
    assert not (tmp_path / "out-private/forecast.json").exists()
    assert main(["verify", str(data), str(tmp_path / "out")]) == 0


def test_a_file_that_is_no_forecast_is_refused(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["protect", str(root), str(tmp_path / "out"), "--forecast-from"]
    for text in ("", "[]", '{"plan": {}}', '{"forecast": {"thieves": []}}'):
        (tmp_path / "f.json").write_text(text)
        assert main([*command, str(tmp_path / "f.json")]) == 1
        assert f"{tmp_path}/f.json: expected what" in capsys.readouterr().err
    assert main([*command, str(tmp_path / "none.json")]) == 1
    capsys.readouterr()
    assert main([*command, str(tmp_path)]) == 1
    assert f"{tmp_path}: expected what umed plan --forecast --json wrote, got: no file." in capsys.readouterr().err
    (tmp_path / "f.json").write_bytes(b" " * 10_000_001)
    assert main([*command, str(tmp_path / "f.json")]) == 1
    assert "more than 10,000 kB" in capsys.readouterr().err
    assert main([*command, str(tmp_path / "f.json"), "--forecast"]) == 2
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("thieves",), []),
        (("verdict",), "all is well"),
        (("thieves", 0, "verdict"), None),
        (("thieves", 0, "victim"), 3),
        (("thieves", 0, "clean"), [0.8, 0.7, 0.9]),
        (("thieves", 0, "clean", "mean"), "0.8"),
        (("thieves", 1, "left", "high"), math.nan),
        (("thieves", 1, "chance"), {}),
    ],
)
def test_damaged_figures_are_refused_before_the_run_not_by_its_report(
    path: tuple[str | int, ...],
    value: object,
    root: Path,
    made: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    content = json.loads(made.read_text())
    place = content["forecast"]
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    (tmp_path / "f.json").write_text(json.dumps(content))
    words = ["protect", str(root), str(tmp_path / "out"), "--method", "random", "--quiet", "--forecast-from"]
    assert main([*words, str(tmp_path / "f.json")]) == 1
    assert "expected what Forecast.to_dict() gives" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_forecast_that_is_left_out_is_not_said_never_to_have_been_made(
    root: Path, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["protect", str(root), str(tmp_path / "out"), "--method", "random", "--quiet", "--psnr-target", "50"]
    assert main([*words, "--forecast-from", str(made)]) == 0
    said = capsys.readouterr().out
    assert "WARNING: the earlier forecast is not shown" in said and "no forecast was made" not in said


def test_a_forecast_in_the_output_is_a_private_file() -> None:
    data = json.dumps({"verdict": "holds", "sentence": "", "thieves": [], "steps": 1}).encode()
    assert private_kind("notes.json", data) == "the forecast of a release"


def test_what_is_wrong_is_said_before_the_trainings_and_nothing_is_written(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("umed.benchmark.forecast.run_cell", lambda *_: pytest.fail("trained"))
    few = write_pictures(tmp_path / "few", 4, size=32)
    assert main(["protect", str(few), str(tmp_path / "out"), "--forecast"]) == 1
    assert "expected at least 12 cases" in capsys.readouterr().err
    assert not (tmp_path / "out").exists() and not (tmp_path / "out-private").exists()
    (tmp_path / "full").mkdir()
    (tmp_path / "full/letter.txt").write_text("mine")
    assert main(["protect", str(root), str(tmp_path / "full"), "--forecast"]) == 1
    assert "expected an empty folder" in capsys.readouterr().err
    assert main(["plan", str(root), "--forecast-steps", "9"]) == 2
    assert "--forecast-steps: expected --forecast beside it" in capsys.readouterr().err
    with pytest.raises(InputError, match="forecast: expected what Forecast.to_dict"):
        protect(root, tmp_path / "other", method="random", forecast={"sentence": "all is well"})
    assert not (tmp_path / "other").exists()
