# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import datetime
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umed.deid.matcher import Matcher
from umed.deid.normal_form import located, normal
from umed.deid.spellings import date_spellings, day_of, digit_runs, id_variants, name_initials, name_spellings

ODD = st.text(
    alphabet=st.one_of(st.characters(codec="utf-8"), st.sampled_from("aeousijyüößåæéЮяŁ김ουή٣ -_\u200b")), max_size=30
)


@given(ODD)
def test_a_normal_form_is_its_own_and_knows_the_way_back(text: str) -> None:
    form = normal(text)
    place = located(text)
    assert normal(form) == form == place.text
    assert all(0 <= start < stop <= len(text) for start, stop in zip(place.starts, place.stops, strict=True))
    assert place.starts == sorted(place.starts)


@pytest.mark.parametrize(
    "spellings",
    [
        ("Müller", "Mueller", "MULLER", "mu\u0308ller", "M.ü_l-l/e^r", "Ｍüller", "M\u200bül\u00adl\u202eer"),
        ("Groß", "GROSS", "Gros", "gro\u1e9e"),
        ("Ångström", "Aangstroem", "Angstrom"),
        ("Søren Ærø", "SOEREN AERO", "soren aro"),
        ("van Dijk", "van Dĳk", "VAN DYK"),
        ("Łukasz Żółć", "Lukasz Zolc"),
        ("Дмитрий", "Dmitry", "Dmitrij", "Dmitri"),
        ("Παπαδόπουλος", "Papadopoulos"),
        ("123456789", "123 456-789", "12.34.56/789", "１２３４５６７８９", "١٢٣٤٥٦٧٨٩", "123\u2009456\u2011789"),
        ("やまだ", "ヤマタ", "ﾔﾏﾀﾞ"),
        ("김철수", unicodedata.normalize("NFD", "김철수")),
    ],
)
def test_usual_spellings_are_one(spellings: tuple[str, ...]) -> None:
    assert len({normal(one) for one in spellings}) == 1


def test_other_names_stay_other_names() -> None:
    names = ["Meier", "Maria", "Mario", "Moller", "Muster", "Doe", "Dee", "Li", "Le", "山田", "山本", "김", "박"]
    assert len({normal(name) for name in names}) == len(names)


@given(st.dates(datetime.date(1900, 1, 1), datetime.date(2099, 12, 31)))
def test_dates_in_every_usual_spelling(day: datetime.date) -> None:
    d, m, y = day.day, day.month, day.year
    german = "Januar Februar März April Mai Juni Juli August September Oktober November Dezember".split()[m - 1]
    polish = (
        "stycznia lutego marca kwietnia maja czerwca lipca sierpnia września października listopada grudnia".split()
    )
    written = [f"{day:%Y-%m-%d}", f"{day:%Y%m%d}", f"{day:%d.%m.%Y}", f"{m}/{d}/{y}", f"{day:%m/%d/%y}", f"{d}.{m}.{y}"]
    written += [f"{d:02d}{m:02d}{y}", f"{d}{m}{y}", f"{m}{d}{y}", f"{day:%y%m%d}", f"{day:%d-%b-%Y}".upper()]
    written += [
        f"{day:%B} {d}, {y}",
        f"{day:%b} {d} {y % 100:02d}",
        f"{d}. {german} {y}",
        f"{d} {polish[m - 1]} {y} r.",
    ]
    written += [f"{y}年{m}月{d}日", f"{y}년 {m}월 {d}일", f"{y}/{day:%b}/{d:02d}", f"{d}{german}{y}"]
    matcher = Matcher([], [day_of(f"{day:%Y%m%d}")])
    for text in written:
        assert normal(text.removesuffix(" r.")) in date_spellings(f"{day:%Y%m%d}"), text
        if len(normal(text)) >= 6 or not text.isdigit():
            assert matcher.without(f"x {text} x", "").replace(" r.", "") == "x  x", text


def test_short_dates_are_dates_only_where_they_are_set_apart() -> None:
    matcher = Matcher([], ["19410503"])
    assert matcher.without("3.5.41, x 3/5 41; is 5-3-41", "_") == "_, x _; is _"
    for text in ("3541", "35 41", "T1 3541", "2 3541", "13.5.41", "3.5.415", "mai", "5.41"):
        assert matcher.without(text, "_") == text


def test_identifiers_with_and_without_prefix_and_zeros() -> None:
    assert id_variants("PAT-000123456") == {"pat000123456", "000123456", "123456", "pat123456"}
    assert {"4711x", "4711"} <= id_variants("4711-X")
    assert id_variants("0000000") == id_variants("17") == id_variants("") == frozenset()
    assert digit_runs("+41 44 255 11 11") >= {"442551", "255111"}
    assert digit_runs("000000000") == frozenset()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Müller^Anne", "for MUELLER"),
        ("Müller^Anne", "A. Muller"),
        ("Müller^Anne", "AnneMüller7"),
        ("Doe^John^Quincy", "JQDOE"),
        ("Doe, John", "j.doe"),
        ("John Doe", "DOE_JOHN"),
        ("Li^Wu", "of LI, supine"),
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", "頭部 山田太郎様"),
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", "太郎"),
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", "ヤマダ"),
        ("Hong^Gildong=洪^吉洞=홍^길동", "홍길동님"),
        ("王^小明", "王 CT"),
        ("O'Brien-Katz^Zoë", "obrienkatz"),
        ("O'Brien-Katz^Zoë", "Katz"),
        ("Essers^Ilse", "fuEssers"),
        ("Иванов^Пётр", "Ivanov"),
    ],
)
def test_names_are_found_in_any_group_order_and_spelling(name: str, text: str) -> None:
    matcher = Matcher(name_spellings(name), words=name_initials(name))
    assert matcher.stretches(text)
    assert not matcher.has(matcher.without(text))


def test_words_that_only_begin_alike_stay() -> None:
    matcher = Matcher([*name_spellings("Li^Mari"), "4711"])
    for text in ("liver", "alike", "Marian", "Li7", "14711", "47110", "maria"):
        assert matcher.without(text, "_") == text
    assert Matcher([]).without("Li") == "Li" and not Matcher([]) and Matcher(["Li"])


@given(
    st.text(alphabet="abcdeghoustüßæåEÖ", min_size=6, max_size=12), ODD, ODD, st.sampled_from(["", " ", "-", "\u200b"])
)
def test_long_values_are_found_within_anything(name: str, left: str, right: str, between: str) -> None:
    if len(normal(name).lstrip("e")) < 4:
        return
    text = left + between.join(name) + right
    assert Matcher([name]).has(text)
