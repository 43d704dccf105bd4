"""The report: its numbers by hand, its page as a browser sees it."""

import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from experiments.report import report
from experiments.report.comparison import load_comparison
from experiments.report.page import build_page
from experiments.report.summary import summarise
from experiments.report.tables import anomaly_type_table, detection_table, explanation_table
from lightning_modules import ConfigurationError

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def texts(table):
    """A table's rows, the best cells starred."""
    return [[cell.text + "*" * cell.best for cell in row] for group in table.groups for row in group]


def compare(folders):
    return load_comparison([Path(folder) for folder in folders])


def refused(capsys, folders, output, *expected):
    with pytest.raises(ConfigurationError) as caught:
        report(folders, str(output))
    message = str(caught.value)
    assert "\n" not in message
    assert all(text in message for text in expected), message
    assert capsys.readouterr().out == ""


class Page(HTMLParser):
    """Collects what a page refers to, its tags in order and its text, and checks that tags are closed."""

    VOID = frozenset({"meta", "link", "img", "br"})

    def __init__(self, html):
        super().__init__()
        self.references, self.tags, self.ids, self.open, self.text = [], [], [], [], ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        attributes = dict(attributes)
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.references += [
            attributes[key] for key in ("src", "href", "srcset", "action", "data") if attributes.get(key)
        ]
        if tag == "img":
            assert attributes["alt"]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.text += data


def test_detection_table(ae_and_mae):
    # AE: the anomalies at 5, 3.5, 2.5 beat 4, 3 and 2 of the normal clips at 1, 2, 3, 4: 9 of 12 pairs. No false
    # alarm up to the largest normal score, so one third is found up to a rate of 0.1: an area of 1/30 of at most
    # 0.1, 0.005 at chance: (1 + (1/30 - 0.005) / 0.095) / 2.
    table = detection_table(compare(ae_and_mae))
    assert texts(table) == [["AE", "runs/ae", "0.750", "0.649"], ["MAE", "runs/mae", "1.000*", "1.000*"]]
    assert "4 normal and 3 anomalous" in table.note


def test_explanation_table(ae_and_mae):
    table = explanation_table(compare(ae_and_mae))
    assert table.header == ("Explainer", "Model", "Best F1", "F1 p98", "Frame p98", "Segment p98")
    assert texts(table) == [
        ["Error map", "AE", "0.500 (p99)", "0.400", "0.200", "0.300"],
        ["", "MAE", "0.550 (p99)*", "0.450*", "0.225*", "0.325*"],
        ["Saliency", "AE", "0.200 (p97)", "0.100", "0.050", "0.150"],
        ["", "MAE", "0.250 (p97)*", "0.150*", "0.075*", "0.175*"],
    ]
    assert "3 annotated clips" in table.note


def test_anomaly_type_table(ae_and_mae):
    table = anomaly_type_table(compare(ae_and_mae))
    assert table.header == ("Explainer", "Model", "broken (2)", "stuck (1)")
    assert texts(table)[:2] == [["Error map", "AE", "0.350", "0.500"], ["", "MAE", "0.400*", "0.550*"]]


def test_equal_numbers_are_both_plain(run_maker, tmp_path):
    folders = [run_maker(objective).write(tmp_path / objective) for objective in ("AE", "MAE")]
    assert not any(text.endswith("*") for row in texts(explanation_table(compare(folders))) for text in row)


def test_what_a_run_lacks_is_a_dash(run_maker, tmp_path):
    full = run_maker().write(tmp_path / "full")
    bare = run_maker("MAE", f1=None).write(tmp_path / "bare")
    assert texts(explanation_table(compare([full, bare])))[1] == ["", "MAE", "–", "–", "–", "–"]


def test_summary_states_the_numbers(ae_and_mae):
    sentences = " ".join(summarise(compare(ae_and_mae)))
    for fact in (
        "AE (runs/ae) and MAE (runs/mae) were tested on the same 7 clips: 4 normal and 3 anomalous",
        "(2 broken and 1 stuck)",
        "The AUC is 0.750 for AE and 1.000 for MAE",
        "0.500 for AE (Error map at the 99th percentile) and 0.550 for MAE",
        "MAE scores higher than AE in F1 for 2 of 2 explainers",
        "one training run",
    ):
        assert fact in sentences


def test_runs_of_one_objective_are_told_apart_by_their_folders(run_maker, tmp_path):
    folders = [run_maker().write(tmp_path / name) for name in ("seed0", "seed1")]
    assert list(compare(folders).runs) == ["AE (seed0)", "AE (seed1)"]
    same_name = [run_maker().write(tmp_path / name / "run") for name in ("x", "y")]
    assert list(compare(same_name).runs) == [f"AE ({folder})" for folder in same_name]


def test_command_prints_tables_and_the_path_last(ae_and_mae, capsys):
    report(ae_and_mae, "out/report.html")
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "out/report.html"
    assert "MAE runs/mae 1.000 1.000" in [" ".join(line.split()) for line in lines]
    assert [path.name for path in Path("out").iterdir()] == ["report.html"]


def test_page_is_self_contained_and_complete(ae_and_mae):
    html = build_page(compare(ae_and_mae))
    page = Page(html)
    assert "script" not in page.tags
    assert all(reference.startswith(("data:", "#")) for reference in page.references)
    assert {reference[1:] for reference in page.references if reference[0] == "#"} == set(page.ids)
    assert page.ids == ["detection", "explanations", "example-clips", "replacement", "training", "configuration"]
    # ROC, three measures over percentiles, 2 clips and a replacement for each run, learning curves
    assert page.tags.count("img") == 1 + 3 + 2 * 2 + 2 + 1
    assert "url(" not in html
    assert "@import" not in html
    assert "lightning_modules.MaskedAutoencoder" in page.text
    assert len(html) < 5_000_000


def test_page_of_a_run_without_explanations(run_maker, tmp_path):
    folder = run_maker(f1=None, examples=False).write(tmp_path / "run")
    (folder / "fit" / "metrics.csv").unlink()
    assert Page(build_page(compare([folder]))).ids == ["detection", "configuration"]


def test_page_of_a_test_set_of_one_class_has_no_roc(run_maker, tmp_path):
    folder = run_maker(f1=None, examples=False, anomalous={}).write(tmp_path / "run")
    comparison = compare([folder])
    assert texts(detection_table(comparison))[0][2:] == ["–", "–"]
    assert "no ROC" in Page(build_page(comparison)).text


def test_names_are_text_whatever_they_hold(run_maker, tmp_path):
    nasty = {"<script>alert(1)/a.wav": 5.0, "[bold]$$title & co/b.wav": 6.0, "'\"/c.wav": 7.0}
    folder = run_maker(anomalous=nasty).write(tmp_path / "run <b>")
    report([str(folder)], str(tmp_path / "page.html"))
    page = Page((tmp_path / "page.html").read_text())
    assert "script" not in page.tags
    assert "<script>alert(1)" in page.text
    assert "[bold]$$title & co" in page.text


def test_refusals_name_what_is_wrong_and_write_nothing(run_maker, ae_and_mae, capsys):
    output = Path("page.html")
    refused(capsys, [], output, "at least one run")
    refused(capsys, ["runs/none"], output, "runs/none is not a folder")
    refused(capsys, ["runs/ae", "runs/../runs/ae"], output, "twice")
    Path("runs/fresh/fit").mkdir(parents=True)
    Path("runs/fresh/fit/config.yaml").write_text("model: {class_path: lightning_modules.Autoencoder}\n")
    refused(capsys, ["runs/ae", "runs/fresh"], output, "runs/fresh/test/clips.csv", "test --run runs/fresh")
    refused(capsys, ae_and_mae, Path("runs"), "runs is a folder")
    run_maker(anomalous={"stuck/z.wav": 5.0}, f1=None).write(Path("runs/other"))
    refused(capsys, ["runs/ae", "runs/other"], output, "runs/other", "tested on different clips (4 are in one only)")
    assert not output.exists()


def test_runs_explained_on_different_clips_are_refused(run_maker, ae_and_mae, capsys):
    for name in ("f1.csv", "faithfulness.csv"):
        path = Path("runs/mae/test") / name
        lines = path.read_text().splitlines()
        path.write_text("\n".join(line for line in lines if "broken/c.wav" not in line))
        refused(capsys, ae_and_mae, "page.html", "explained on different clips")


def test_an_earlier_page_survives_a_refusal(ae_and_mae, capsys):
    Path("page.html").write_text("earlier")
    (Path("runs/mae/test") / "clips.csv").unlink()
    refused(capsys, ae_and_mae, "page.html", "clips.csv")
    assert Path("page.html").read_text() == "earlier"


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium on the path")
def test_page_opens_in_a_browser(ae_and_mae):
    playwright = pytest.importorskip("playwright.sync_api")
    report(ae_and_mae, "page.html")
    complaints, requests = [], []
    with playwright.sync_playwright() as api:
        browser = api.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(Path("page.html").resolve().as_uri())
        loaded = page.evaluate("[...document.images].map(image => image.complete && image.naturalWidth > 0)")
        overflow = {}
        for width in (360, 1280):
            page.set_viewport_size({"width": width, "height": 900})
            overflow[width] = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        browser.close()
    assert complaints == []
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []
    assert loaded
    assert all(loaded)
    assert max(overflow.values()) <= 0, overflow
