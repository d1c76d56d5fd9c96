# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.release_files import hospital
from umed.cli.main import main
from umed.core.errors import InputError
from umed.data.phantom import make_phantom
from umed.networks.sam import make_sam
from umed.networks.sam_weights import load_encoder
from umed.protect.train import WORK, train_generator
from umed.protect.verify import verify


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_phantom(tmp_path_factory.mktemp("data") / "phantom", cases=3, size=(64, 64, 16))


def words(phantom: Path, out: Path, *more: str) -> list[str]:
    given = ["train-generator", "unseg", "--data", str(phantom), "--out", str(out), "--encoder", "tiny"]
    return [*given, "--iterations", "4", "--batch-size", "2", "--set", "method_options.epochs=4", *more]


def test_a_generator_is_trained_and_used_by_its_file_or_folder(
    phantom: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "generator"
    assert main(words(phantom, out)) == 0
    said = capsys.readouterr().out
    assert "without pretrained weights" in said and f"OUTPUT --recipe unseg --generators {out}" in said
    assert sorted(path.name for path in out.iterdir()) == ["training.json", "unseg.pt"]
    record = json.loads((out / "training.json").read_text())
    assert record["pictures"] > 10 and set(record["loss"]) == {"generator", "surrogate"}
    assert str(tmp_path) not in json.dumps(record)
    assert main(words(phantom, out)) == 1 and "expected no generator yet" in capsys.readouterr().err
    renamed = tmp_path / "mine.pt"
    renamed.write_bytes((out / "unseg.pt").read_bytes())
    for number, given in enumerate((out, renamed)):
        target = tmp_path / f"protected{number}"
        command = ["protect", str(phantom), str(target), "--method", "unseg", "--generator", str(given), "--quiet"]
        command += ["--epsilon", "64/255"]  # a generator that has learnt little is quiet
        assert main(command) == 0 and verify(phantom, target).ok
    files = [sorted((tmp_path / f"protected{k}" / "imagesTr").iterdir()) for k in range(2)]
    assert [path.read_bytes() for path in files[0]] == [path.read_bytes() for path in files[1]]
    assert sorted(path.name for path in (tmp_path / "protected0-private" / "generators").iterdir()) == ["unseg.pt"]


def test_pretrained_weights_are_frozen_and_named(phantom: Path, tmp_path: Path) -> None:
    torch.manual_seed(3)
    sam = make_sam("tiny").sam.state_dict()
    torch.save(sam, tmp_path / "sam.pth")
    more = ["--sam-checkpoint", str(tmp_path / "sam.pth"), "--surrogate-checkpoint", str(tmp_path / "sam.pth")]
    more += ["--set", "method_options.surrogate=sam"]
    assert main(words(phantom, tmp_path / "out", *more, "--quiet")) == 0
    content = torch.load(tmp_path / "out" / "unseg.pt", weights_only=True)
    assert content["frozen"] and content["origin"]["sam"].startswith("unknown weights (SHA-256")
    assert all(torch.equal(content["weights"][f"sam.sam.{name}"], value) for name, value in sam.items())
    network = make_sam("tiny")
    assert load_encoder(network, tmp_path / "sam.pth") == len(network.sam.image_encoder.state_dict())
    plain = {name.removeprefix("image_encoder."): value for name, value in sam.items() if name.startswith("image_enc")}
    torch.save(
        {"model": {k: v for k, v in plain.items() if "rel_pos" not in k and "neck" not in k}}, tmp_path / "mae.pth"
    )
    assert 0 < load_encoder(network, tmp_path / "mae.pth") < len(plain)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--encoder", "vit_b", "--sam-checkpoint", "none.pth"], "Get sam_vit_b_01ec64.pth from https"),
        (
            ["--surrogate-checkpoint", "none.pth", "--set", "method_options.surrogate=sam"],
            "none.pth: expected weights for the surrogate",
        ),
        (["--surrogate-checkpoint", "none.pth"], "expected sam, for which weights are given"),
        (["--iterations", "0"], "expected at least 1 to train"),
        (["--set", "method=umed"], "expected unseg"),
        (["--encoder", "vit_x"], "encoder: expected one of tiny, vit_s"),
    ],
)
def test_what_cannot_be_trained_is_refused(
    phantom: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], message: str
) -> None:
    assert main(words(phantom, tmp_path / "out", *more)) in (1, 2)
    assert message in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_a_stopped_training_goes_on(phantom: Path, tmp_path: Path) -> None:
    from umed.core.config import make_settings

    changes = {"method": "unseg", "method_options": {"encoder": "tiny", "epochs": 4}, "training": {"iterations": 8}}
    changes["training"]["batch_size"] = 1  # type: ignore[index]
    settings = make_settings("default", changes)
    whole = train_generator(phantom, tmp_path / "whole", settings=settings)

    def stop(text: str, done: int, _total: int) -> None:
        if (text, done) == ("train", 5):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_generator(phantom, tmp_path / "cut", settings=settings, progress=stop)
    assert list((tmp_path / "cut" / WORK).glob("*.pt"))
    with pytest.raises(InputError, match="expected checkpoints of this training, got those of other data, settings"):
        train_generator(phantom, tmp_path / "cut", settings=replace(settings, seed=1))
    train_generator(phantom, tmp_path / "cut", settings=settings)
    one, two = (torch.load(tmp_path / name / "unseg.pt", weights_only=True)["weights"] for name in ("whole", "cut"))
    assert whole.pictures > 0 and all(torch.allclose(one[key], two[key], atol=1e-6) for key in one)


def test_dicom_and_masks_on_the_command_line(phantom: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, masks = hospital(tmp_path / "in"), tmp_path / "masks"
    masks.mkdir()
    (source / "seg.dcm").rename(masks / "seg.dcm")
    assert main(words(source, tmp_path / "out", "--quiet")) == 1
    assert "series_0001: no mask was found" in capsys.readouterr().err
    assert main(words(source, tmp_path / "out", "--masks", str(masks), "--quiet")) == 0
    said = capsys.readouterr().out
    assert "left out: cut.dcm: " in said and "4 pictures or slices" in said
    assert main(words(phantom, tmp_path / "other", "--masks", str(masks))) == 2
    assert "expected DICOM files as input, got another layout" in capsys.readouterr().err
