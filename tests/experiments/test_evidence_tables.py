"""Tables of evidence by hand, and as CSV and LaTeX."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from run_folders import write_rows

from experiments.report.clips_table import clips_table
from experiments.report.evidence import compute_evidence
from experiments.report.loading import load_comparison
from experiments.report.table import Cell, only_columns
from experiments.report.table_files import to_csv
from experiments.report.tables import (
    ablation_table,
    area_table,
    checks_table,
    masked_table,
    measure_table,
    paired_tables,
)


def load(*folders):
    """A comparison and its evidence."""
    comparison = load_comparison([Path(folder) for folder in folders])
    return comparison, compute_evidence(comparison)


def by_column(table, row=0):
    """A row's texts by column."""
    cells = [cells for group in table.groups for cells in group][row]
    return {name: cell.text for name, cell in zip(table.header, cells, strict=True)}


@pytest.fixture
def with_evidence(run_maker, tmp_path):
    folders = [run_maker(objective, evidence=True).write(tmp_path / objective) for objective in ("AE", "MAE")]
    return load(*folders)


def test_a_legend_explains_the_columns_and_marks_that_are_there(small_table):
    table = replace(small_table, explained=(("p", "p: of a test."), ("p (holm)", "corrected"), ("*", "not the best")))
    assert table.legend == "A note. p: of a test. Bold: the best mean of its group as printed, without a test."
    assert only_columns(table, ("Explainer", "Model")).legend == "A note."
    starred = replace(table, header=("Explainer", "Model", "F1", "F1 p (Holm)"), groups=(((Cell("a *"),) * 4,),))
    assert starred.legend == "A note. corrected not the best"


def test_columns_and_rows_without_a_number_are_left_out(small_table):
    first_row = replace(small_table, groups=(small_table.groups[0][:1],))
    assert first_row.header == ("Explainer", "Model", "F1")
    dashes = (Cell("Saliency"), Cell("AE"), Cell("–"), Cell("–"))
    assert replace(small_table, groups=(*small_table.groups, (dashes,))).groups == small_table.groups
    # Where there is no number at all, the names and the columns to keep stay.
    empty = replace(small_table, groups=((dashes,),), keep=("F1",))
    assert (empty.header, empty.groups) == (("Explainer", "Model", "F1"), ((dashes[:3],),))
    # The columns of a terminal may have no number of a row that has others.
    assert len(only_columns(small_table, ("Explainer", "Model", "p")).rows) == 1


def test_readers_see_a_repeated_name_once(small_table):
    assert [row[0].text for row in small_table.shown_groups[0]] == ["Error map", ""]
    assert [row[0].text for row in only_columns(small_table, ("Explainer", "F1")).shown_groups[0]] == ["Error map"] * 2


def test_measure_table(with_evidence):
    # F1 0.4 with a chance of half of it; the oracle has 1: (0.4 − 0.2) / (1 − 0.2).
    row = by_column(measure_table(*with_evidence, "f1"))
    assert (row["F1"], row["Chance"], row["Corrected"]) == ("0.400", "0.200", "0.250")
    assert (row["Random frames"], row["All frames"], row["Oracle"]) == ("0.200", "0.400", "1.000")
    # Three clips of five values each: of 125 picks one is all observed, so p is about 1 in 125; two explainers.
    assert 0.004 < float(row["p"]) < 0.012
    assert float(row["p (Holm)"]) == pytest.approx(2 * float(row["p"]), abs=0.002)
    assert row["Verdict"] == "above chance, not above random frames and all frames"


def test_best_percentile_is_named(with_evidence):
    row = by_column(measure_table(*with_evidence, "f1", best=True))
    assert (row["Percentile"], row["F1"]) == ("99", "0.500")


def test_paired_table(ae_and_mae):
    (table,) = paired_tables(*load(*ae_and_mae))
    row = by_column(table)
    assert table.title == "MAE against AE"
    assert (row["AE"], row["MAE"], row["Difference"], row["95 %"]) == ("0.400", "0.450", "+0.050", "[0.050, 0.050]")
    # Three positive differences: 2 / 2³.
    assert (row["p"], row["p (Holm)"], row["Verdict"]) == ("0.250", "0.500", "open")
    assert float(row["Published"].replace("−", "-")) == pytest.approx(PUBLISHED_DIFFERENCE, abs=0.001)


PUBLISHED_DIFFERENCE = 0.581 - 0.5233
"""F1 of the error map at the 98th percentile, MAE minus AE, in the paper's Figure 4."""


def test_masked_error_map_against_the_plain_one(run_maker, tmp_path):
    f1 = {"error_map": [[0.2] * 3] * 3, "masked_error_map": [[0.5] * 3] * 3}
    row = by_column(masked_table(*load(run_maker(f1=f1).write(tmp_path / "run"))))
    assert (row["Error map"], row["Masked"], row["Difference"]) == ("0.200", "0.500", "+0.300")
    assert masked_table(*load(run_maker().write(tmp_path / "plain"))) is None


def test_deletion_areas(with_evidence):
    # Values 0.4, 0.4, 0.5 at 97, 98, 99 on average: 0.425 by trapezoids; insertion is 1 − that.
    row = by_column(area_table(*with_evidence))
    assert (row["Deletion ↓"], row["Insertion ↑"]) == ("0.425", "0.575")


def test_sanity_table(run_maker, tmp_path):
    folder = run_maker().write(tmp_path / "run")
    rows = [
        (4, "stuck/a.wav", "error_map", "randomisation", "output", 0.9),
        (5, "broken/b.wav", "error_map", "randomisation", "output", 0.5),
        (4, "stuck/a.wav", "error_map", "randomisation", "encoder", 0.1),
        (4, "stuck/a.wav", "error_map", "infidelity", "", 0.0012345),
    ]
    write_rows(folder / "test" / "sanity.csv", ("index", "name", "explainer", "check", "step", "value"), rows)
    table = checks_table(*load(folder))
    assert by_column(table) == {
        "Explainer": "Error map",
        "Model": "AE",
        "output": "0.700",
        "encoder": "0.100",
        "Infidelity": "0.00123",
    }


def test_mask_ablation(run_maker, tmp_path):
    study = tmp_path / "masks"
    study.mkdir()
    (study / "study.yaml").write_text("name: masks\n")
    for ratio, size in ((0.75, 4), (0.3, 4), (0.3, 16)):
        run = run_maker("MAE").write(study / "runs" / f"{ratio}_{size}")
        config = run / "fit" / "config.yaml"
        mask = f"learning_rate: 0.001\n    mask_ratio: {ratio}\n    patch_size: {size}"
        config.write_text(config.read_text().replace("learning_rate: 0.001", mask))
        membership = {"study": "masks", "variant": "MAE", "settings": {"mask_ratio": ratio, "size": size}, "seed": 0}
        (run / "study.json").write_text(json.dumps(membership))
    table = ablation_table(*load(study))
    assert table.header == ("Mask ratio", "4 × 4", "16 × 16", "4 × 4 published", "16 × 16 published")
    assert list(by_column(table, 0).values()) == ["75 %", "0.750", "–", "0.864", "0.710"]
    assert list(by_column(table, 1).values()) == ["30 %", "0.750", "0.750", "0.902", "0.636"]


def test_clips_and_annotated_share(with_evidence):
    # Marking every frame has an F1 of 0.4, so a quarter of the seconds is positive: 2 · 0.25 / 1.25.
    table = clips_table(with_evidence[0])
    assert by_column(table, 0)["Clips"] == "4"
    broken = by_column(table, 1)
    assert (broken["Type"], broken["Clips"], broken["Annotated"], broken["Share"]) == ("broken", "2", "2", "25 %")
    assert by_column(table, 3)["Published clips"] == "3,235"
    reader = csv.DictReader(io.StringIO(to_csv(table)))
    assert next(reader)["Clips"] == "4"
