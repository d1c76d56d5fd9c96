# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import csv
import io
import json
import re

import pytest

from tests.benchmark.benchmark_folder import make_cell
from umed.benchmark.results.summary import Summary, summarise
from umed.benchmark.results.text_tables import csv_table, escape, grids, latex_report, markdown_report, record

JPEG = [("jpeg", {"quality": 30})]


@pytest.fixture(scope="module")
def summary() -> Summary:
    made = []
    reached = {("clean", False): 0.8, ("clean", True): 0.7}
    reached |= {("error_minimizing", False): 0.3, ("error_minimizing", True): 0.5}
    for (method, jpeg), dsc in reached.items():
        for seed in range(3):
            values = (dsc - 0.1 + seed / 100, dsc + 0.1 + seed / 100)
            made.append(make_cell("isic_600", method, "50%_net|x", JPEG if jpeg else [], seed, values))
    price = {"data": "isic_600", "method": "error_minimizing", "fidelity": {"psnr": 41.234}}
    return summarise(made, [price])


def test_csv_has_raw_numbers_and_one_row_each(summary: Summary) -> None:
    lines = list(csv.DictReader(io.StringIO(csv_table(summary))))
    assert len(lines) == len(summary.rows) == 4 * 2
    line = next(one for one in lines if one["method"] == "error_minimizing" and one["choice"] == "last")
    assert line["countermeasure"] == "none" and line["seeds"] == "3" and line["cases"] == "2"
    assert float(line["dsc"]) == pytest.approx(0.31) and float(line["dsc_sd"]) == pytest.approx(0.01)
    assert float(line["difference"]) == pytest.approx(-0.5) and line["psnr"] == "41.234"
    assert line["brought_back"] == "" and line["counts"] == "True" and line["flags"] == ""
    assert line["class_dsc"] == "lesion=0.31" and line["nsd"] == ""


def test_record_is_strict_json(summary: Summary) -> None:
    text = json.dumps([record(row) for row in summary.rows], allow_nan=False)
    assert json.loads(text)[0]["data"] == "isic_600"


def test_markdown_has_all_tables_with_as_many_cells_as_columns(summary: Summary) -> None:
    text = markdown_report(summary, "Benchmark x")
    assert text.startswith("# Benchmark x\n") and text.endswith("\n")
    assert "| error_minimizing | 50%_net\\|x | 31.0 ± 1.0 | 31.0 ± 1.0 | – | −50.0 [−50.0, −50.0] |" in text
    assert "| jpeg quality=30 | 71.0 | 51.0 (40 %) | 10.0 |" in text
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1


def test_latex_is_escaped_booktabs(summary: Summary) -> None:
    text = latex_report(summary)
    body = "\n".join(line for line in text.splitlines() if not line.startswith("%") and "resizebox" not in line)
    assert "isic\\_600" in body and "error\\_minimizing" in body and "50\\%\\_net|x" in body
    assert not re.search(r"(?<!\\)[_%#]", body)
    assert text.count("\\toprule") == text.count("\\bottomrule") == text.count("\\end{table}") == len(grids(summary))
    for columns, lines in re.findall(r"\\begin\{tabular\}\{(\w+)\}(.*?)\\end\{tabular\}", text, re.DOTALL):
        rows = [line for line in lines.splitlines() if line.endswith("\\\\")]
        assert rows and all(len(re.findall(r"(?<!\\)&", row)) == len(columns) - 1 for row in rows)


def test_escape_leaves_no_special_character() -> None:
    assert escape("a\\b_{c}~^#$") == r"a\textbackslash{}b\_\{c\}\textasciitilde{}\textasciicircum{}\#\$"
    assert escape("−5 ± 1 †") == r"$-$5 $\pm$ 1 $\dagger$"


def test_setting_that_does_not_count_has_a_dagger() -> None:
    values = {("clean", "a"): 0.8, ("clean", "b"): 0.2, ("umed", "a"): 0.3, ("umed", "b"): 0.1}
    made = [make_cell("set", method, victim, [], 0, (dsc, dsc)) for (method, victim), dsc in values.items()]
    text = markdown_report(summarise(made))
    assert "| umed | b † |" in text and "| umed | a |" in text
    assert "- did not learn: set: b, none." in text
