# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from umed.cli.doctor_command import check_weights
from umed.cli.main import main
from umed.execution import doctor, machine
from umed.execution.doctor import Diagnosis, check_codecs, check_extra, check_packages, check_torch, requirements
from umed.execution.machine import Check, check_cores, check_folder, check_locale

TORCH: dict[str, Any] = {"version": "2.13.0", "build": "", "right": True, "gpu": "", "gpu_right": True}


def test_what_umed_needs_is_read_from_its_metadata() -> None:
    core, dicom = requirements(""), requirements("dicom")
    assert {"torch", "numpy", "simpleitk"} <= core.keys() and "pydicom" not in core
    assert dicom["pydicom"].startswith("pydicom>=") and "torch" not in dicom
    assert (
        requirements("nothing") == {} and {"dicom", "unlock"} <= set(doctor.extras()) and "dev" not in doctor.extras()
    )


def test_a_library_that_ends_the_process_is_named_and_the_others_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "one_good.py").write_text("")
    (tmp_path / "one_dies.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGILL)")
    (tmp_path / "one_bad.py").write_text("raise ImportError('libxyz.so.1: no such file')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    found = doctor._broken(["one-good", "one-dies", "one-bad", "json"])
    assert found.keys() == {"one-dies", "one-bad"}
    assert "signal" in found["one-dies"] and found["one-bad"] == "ImportError: libxyz.so.1: no such file"


def test_missing_old_and_broken_packages_have_their_cure() -> None:
    wanted = {"numpy": "numpy>=1.26", "torch": "torch>=2.8", "pillow": "pillow>=999"}
    missing = dict(doctor._missing({"pillow": "pillow>=999", "no-such-package": "no-such-package>=1"}))
    assert missing["no-such-package"] == "not installed" and missing["pillow"].startswith("expected pillow>=999, got ")
    found = list(check_packages(wanted, {"torch": "not installed"}, {"numpy": "ImportError: x", "other": "y"}))
    assert [(one.name, one.level) for one in found] == [("torch", "broken"), ("numpy", "broken")]
    assert found[0].cure == "pip install torch --index-url https://download.pytorch.org/whl/cpu"
    assert "pip install --force-reinstall 'numpy>=1.26'" in found[1].cure
    [fine] = check_packages(wanted, {}, {"other": "y"})
    assert fine.level == "ok" and "3 packages" in fine.said


@pytest.mark.parametrize(
    ("answer", "level", "words"),
    [
        (([TORCH], ""), "ok", "CPU build: computes"),
        (([{**TORCH, "build": "13.0"}], ""), "note", "whl/cpu"),
        (([{**TORCH, "build": "13.0", "gpu": "H"}], ""), "ok", "CUDA 13.0, H: computes"),
        (([{**TORCH, "build": "13.0", "gpu": "H", "gpu_right": False}], ""), "broken", "--device cpu"),
        (([{**TORCH, "right": False}], ""), "broken", "computes wrongly"),
        (([], "signal 4"), "broken", "signal 4"),
        (([], ""), "broken", "said nothing"),
    ],
)
def test_torch(answer: tuple[list[Any], str], level: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_ask", lambda *_: answer)
    [found] = check_torch()
    assert found.level == level and words in f"{found.said} {found.cure}"


def test_an_extra_is_whole_absent_in_part_or_broken() -> None:
    wanted = {"a": "a>=1", "b": "b>=2"}

    def level(missing: dict[str, str], broken: dict[str, str]) -> list[tuple[str, str]]:
        return [(one.level, one.cure) for one in check_extra("x", wanted, missing, broken)]

    step = "Run: pip install 'umed[x]'"
    assert level({}, {}) == [("ok", "")]
    assert level({"a": "not installed", "b": "not installed"}, {}) == [("note", f"{step}, if you need it.")]
    assert level({"a": "not installed"}, {}) == [("note", step)]
    assert level({}, {"b": "ImportError"}) == [("broken", "Run: pip install --force-reinstall 'b>=2'")]


def test_codecs_that_are_missing_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pydicom")
    monkeypatch.setattr(doctor, "_ask", lambda *_: ([["JPEG", ["pillow"]], ["JPEG-LS", []]], ""))
    absent, there = check_codecs()
    assert absent.level == "note" and "JPEG-LS" in absent.said and "umed[dicom]" in absent.cure
    assert (there.level, there.said) == ("ok", "JPEG (pillow)")


def test_every_syntax_that_umed_decodes_is_asked_for() -> None:
    base = pytest.importorskip("pydicom.pixels.decoders.base")
    from umed.core.errors import InputError
    from umed.dicom.pixels.codecs import available

    def decodes(uid: str) -> bool:
        try:
            return bool(available(uid))
        except InputError:
            return False

    known = {str(uid) for uid in base._PIXEL_DATA_DECODERS if uid.is_compressed and not uid.is_deflated}
    assert {uid for uid in known if decodes(uid)} == set(doctor.SYNTAXES.values())


def test_a_folder_is_left_as_it_was_and_may_be_full_open_or_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [found] = check_folder(tmp_path / "not" / "yet", "folder", needed=True)
    assert found.level == "ok" and str(tmp_path) in found.said and list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    [found] = check_folder(tmp_path / "file", "folder", needed=True)
    assert found.level == "broken" and "cannot be written to" in found.said
    usage = shutil.disk_usage(tmp_path)
    for free, level in ((1 << 20, "broken"), (1 << 30, "note")):
        monkeypatch.setattr(shutil, "disk_usage", lambda _, free=free: usage._replace(free=free))
        [found] = check_folder(tmp_path, "folder", needed=True)
        assert found.level == level and "Make room" in found.cure
    monkeypatch.undo()
    monkeypatch.setattr(machine.stat, "S_IMODE", lambda _: 0o777)  # a mounted share that keeps no permissions
    [found] = check_folder(tmp_path, "folder", needed=True)
    assert found.level == "note" and "--private" in found.cure


def test_threads_load_and_limits_of_a_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    monkeypatch.setattr(machine, "_CGROUP", tmp_path / "cpu.max")
    assert machine.usable_cores() == 1
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert machine.usable_cores() >= 1
    monkeypatch.setenv("OMP_NUM_THREADS", "999")
    monkeypatch.setattr(machine.os, "getloadavg", lambda: (1e6, 0, 0))
    found = {one.name: one for one in check_cores()}
    assert found["threads"].level == found["load"].level == "note" and "export OMP_NUM_THREADS" in found["threads"].cure


def test_a_locale_that_knows_ascii_only(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [one.level for one in check_locale()] == ["ok"]
    monkeypatch.setattr(machine.locale, "getpreferredencoding", lambda _: "ANSI_X3.4-1968")
    [found] = check_locale()
    assert found.level == "note" and "LC_ALL=C.UTF-8" in found.cure


def test_weights(tmp_path: Path) -> None:
    assert check_weights(tmp_path / "none.pth").level == "broken"
    for name, level in (("sam_vit_b_01ec64.pth", "broken"), ("others.pth", "note")):
        (tmp_path / name).write_bytes(b"x")
        assert check_weights(tmp_path / name).level == level


def test_the_answer_comes_first_and_decides_the_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    checks = (Check("a", "ok", "fine"), Check("b", "note", "slow", "Wait."), Check("c", "broken", "gone", "Run: x"))
    for kept, code, answer in (
        (checks, 1, "1 to mend before umed can work. 1 worth knowing."),
        (checks[:1], 0, "umed can work here."),
    ):
        monkeypatch.setattr(doctor, "diagnose", lambda *_, kept=kept: Diagnosis(kept))
        assert main(["doctor"]) == code
        lines = capsys.readouterr().out.splitlines()
        assert lines[0] == answer and len(lines) == 1 + len(kept)
        assert main(["doctor", "--json"]) == code
        assert json.loads(capsys.readouterr().out)["exit_code"] == code
    assert lines[1].startswith("ok ")


def test_python_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [one.level for one in doctor.check_python()] == ["ok"]
    monkeypatch.setattr(doctor, "OLDEST", (99, 0))
    [found] = doctor.check_python()
    assert found.level == "broken" and sys.executable in found.said
