# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from umed.core.errors import ConfigError
from umed.deid.profile import load_profile, profile_names


@pytest.mark.parametrize("name", profile_names())
def test_every_shipped_profile_loads(name: str) -> None:
    profile = load_profile(name)
    assert profile.codes[0] == "113100"
    assert len(profile.technique) > 50
    assert bool(profile.options) == (name != "basic")


def test_profiles_compose_by_name_and_by_file(tmp_path) -> None:
    joined = load_profile("longitudinal+patient_characteristics")
    path = tmp_path / "site.yaml"
    path.write_text(
        "profile: longitudinal\noptions: [retain_patient_characteristics]\nremove: [SeriesNumber, '0018,1020']\n"
    )
    built = load_profile(path)
    assert built.options == joined.options == ("retain_long_modified_dates", "retain_patient_characteristics")
    assert {0x00200011, 0x00181020} <= built.remove
    assert built.codes == ("113100", "113107", "113108")


def test_the_safe_list_counts_only_with_its_option(tmp_path) -> None:
    text = "safe_private: {ACME: {'0029,10': DS}}\n"
    (tmp_path / "off.yaml").write_text(text)
    (tmp_path / "on.yaml").write_text(text + "profile: safe_private\n")
    with pytest.raises(ConfigError, match="expected the option retain_safe_private"):
        load_profile(tmp_path / "off.yaml")
    safe = load_profile(tmp_path / "on.yaml").safe_private
    assert safe["ACME", 0x0029, 0x10] == "DS" and safe["SIEMENS MR HEADER", 0x0019, 0x0C] == "IS"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("optoins: []", "Did you mean 'options'"),
        ("options: [retain_long_modified_date]", "Did you mean 'retain_long_modified_dates'"),
        ("options: [retain_uids, retain_long_modified_dates]", "that gives the shift"),
        ("profile: clean_pixel_data\noptions: [retain_uids]", "needs a new UID"),
        ("options: [retain_uid]", "Did you mean 'retain_uids'"),
        ("options: retain_safe_private", "expected a list"),
        ("options: [retain_long_full_dates, retain_long_modified_dates]", "got both"),
        ("profile: basics", "Did you mean 'basic'"),
        ("remove: [PatientNam]", "expected a DICOM keyword"),
        ("[1, 2]", "expected keys"),
        ("a: [", "no valid YAML"),
        ("profile: safe_private\nsafe_private: {ACME: {'0029,10': LO}}", "odd group"),
        ("profile: safe_private\nsafe_private: {ACME: {'0028,10': DS}}", "odd group"),
        ("burned_in: [{modality: US}]", "must have rectangles"),
        ("burned_in: [{modality: US, rectangles: [[0, 0, 5, 5]]}]", "must name rows and columns"),
        ("burned_in: [{rows: 5, columns: 5, rectangles: [[0, 0, 5]]}]", "top, left, height, width"),
        ("burned_in: [{rows: 5, columns: 6, rectangles: [[0, 0, 6, 5]]}]", "within 5 rows and 6 columns"),
        ("burned_in: [{rows: 5, columns: 6, rectangles: [[0, 0, 5, 6], [9, 9, 1, 1]]}]", "got \\[9, 9, 1, 1\\]"),
        ("burned_in: [{rows: 5, columns: 6, rectangles: [[0, -1, 5, 6]]}]", "top, left, height, width"),
        ("burned_in: [{rows: 5, columns: 6, rectangles: [[0, 0, 0, 6]]}]", "top, left, height, width"),
        ("burned_in: [{row: 5}]", "Did you mean 'rows'"),
    ],
)
def test_mistakes_are_named(tmp_path, text: str, message: str) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        load_profile(path)
    assert "\n" not in str(caught.value)


def test_an_absent_file_and_a_loop_are_named(tmp_path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_profile(tmp_path / "absent.yaml")
    (tmp_path / "loop.yaml").write_text(f"profile: {tmp_path / 'loop.yaml'}\n")
    assert load_profile(tmp_path / "loop.yaml").options == ()
    (tmp_path / "one.yaml").write_text(f"profile: {tmp_path / 'two.yaml'}\n")
    (tmp_path / "two.yaml").write_text(f"profile: {tmp_path / 'one.yaml'}\n")
    with pytest.raises(ConfigError, match="builds on itself"):
        load_profile(tmp_path / "one.yaml")
