"""The page as a file and in a real browser: inputs are used, and what charts show is compared with known numbers."""

import numpy as np
import pandas as pd
import pytest
from page_elements import Page
from study_folders import EXPLAINERS, SEEDS, f1_of, write_study

from experiments.report.evidence import compute_evidence
from experiments.report.loading import load_comparison
from experiments.report.page import build_page
from experiments.report.tables import all_tables
from metrics.measures import MEASURES

PERCENTILES = [97, 98, 99]
CLIPS = {"all": [0, 1, 2], "broken": [1, 2], "stuck": [0]}
CURVES, DOTS = "#explanations-chart .concat_0_group", "#explanations-chart .concat_1_group"
MARKS = {"chance": "chance_low:", "references": "Mean of level:", "published": "; published:"}


def expected(variant, explainer, percentile=98, kind="all", change=lambda value: value):
    """Mean and standard deviation over seeds, as the page writes them."""
    at = PERCENTILES.index(percentile)
    means = [change(f1_of(variant, seed, explainer)[CLIPS[kind], at].mean()) for seed in SEEDS]
    return f"Value {np.mean(means):.3f}", f"sd over runs {np.std(means, ddof=1):.3f}"


def page_of(folders):
    comparison = load_comparison(folders)
    evidence = compute_evidence(comparison)
    return build_page(comparison, evidence, all_tables(comparison, evidence))


@pytest.fixture(scope="module")
def html(small_study, small_evidence):
    return build_page(small_study, small_evidence, all_tables(small_study, small_evidence))


@pytest.fixture
def visit(browser, html, tmp_path):
    """Opens a page; at the end it must have logged nothing and requested nothing."""
    contexts, complaints, requests = [], [], []

    def visit(contents=html, **options):
        path = tmp_path / "page.html"
        path.write_text(contents, encoding="utf-8")
        contexts.append(browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options}))
        page = contexts[-1].new_page()
        page.set_default_timeout(5_000)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(path.as_uri())
        if options.get("java_script_enabled", True):
            page.wait_for_selector("#explanations-chart svg")
        return page

    yield visit
    for context in contexts:
        context.close()
    assert complaints == []
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []


@pytest.fixture
def page(visit):
    return visit()


def choose(page, name, option):
    page.locator(f"select[name={name}]").select_option(label=option)


def described(page, part):
    """What is said of the points of a chart, by explainer and model and, for curves, percentile."""
    points = page.locator(f"{part} path[aria-label*='Value ']").evaluate_all(
        "points => points.map(point => point.getAttribute('aria-label').split(', '))"
    )
    assert all(point[2].startswith("Percentile ") for point in points)
    if part == DOTS:
        return {(explainer, model): [*facts] for explainer, model, _, *facts in points}
    return {(explainer, model, int(at.split()[1])): [*facts] for explainer, model, at, *facts in points}


def test_curves_show_every_number(page):
    points = described(page, CURVES)
    assert len(points) == 2 * len(EXPLAINERS) * len(PERCENTILES)
    for percentile in PERCENTILES:
        for variant, published in (("AE", [0.5353, 0.5233, 0.5206]), ("MAE", [0.5956, 0.581, 0.5073])):
            facts = points["Error map", variant, percentile]
            chance, _ = expected(variant, "error_map", percentile, change=lambda value: value / 2)
            assert facts[:2] == [*expected(variant, "error_map", percentile)]
            assert facts[2].startswith("95 % over clips 0.")
            assert facts[3] == chance.replace("Value", "chance")
            # Five equally likely values per clip, of which the observed one is the highest, in three clips.
            assert float(facts[4].removeprefix("p against chance ")) == pytest.approx(1 / 125, abs=0.004)
            assert facts[5] == f"published {published[PERCENTILES.index(percentile)]:.3f}"
            assert facts[6] == f"random frames {[0.3, 0.2, 0.1][PERCENTILES.index(percentile)]:.3f}"
            assert facts[8] == "oracle 1.000"


def test_dots_follow_the_percentile(page):
    dots = described(page, DOTS)
    assert len(dots) == 2 * len(EXPLAINERS)
    assert dots["Saliency", "MAE"][:2] == [*expected("MAE", "saliency")]
    choose(page, "percentile", "99")
    assert described(page, DOTS)["Error map", "AE"][:2] == [*expected("AE", "error_map", 99)]
    assert page.locator(DOTS).get_by_text("At percentile 99", exact=True).count() == 1
    choose(page, "percentile", "97")
    choose(page, "measure", "Deletion")
    assert page.locator(DOTS).get_by_text("At percentile 97", exact=True).count() == 1


def test_percentiles_are_those_of_the_measure(visit, tmp_path):
    study = write_study(tmp_path / "study")
    for path in study.glob("runs/*/*/test/explanations.csv"):
        rows = pd.read_csv(path)
        of_deletion = rows["measure"].isin(["deletion", "insertion"])
        rows.loc[of_deletion, "percentile"] = rows["percentile"].map({97: 0, 98: 90, 99: 100})
        rows.to_csv(path, index=False)
    page = visit(page_of([study]))
    select = page.locator("select[name=percentile]")
    options = "options => options.filter(option => !option.hidden && !option.disabled).map(option => option.text)"
    for measure, shown, at in (("F1", ["97", "98", "99"], "98"), ("Deletion", ["0", "90", "100"], "90")) * 2:
        choose(page, "measure", measure)
        page.locator(DOTS).get_by_text(f"At percentile {at}", exact=True).wait_for()
        assert select.locator("option").evaluate_all(options) == shown
        assert select.input_value() == at
        top = page.locator("#explanations-chart svg").bounding_box()["y"]
        assert page.locator("#explanations-chart .role-legend").first.bounding_box()["y"] >= top


def test_only_chosen_models_are_in_the_legend(page):
    labels = page.locator("#explanations-chart .role-legend-label text")
    assert labels.all_text_contents()[:2] == ["AE", "MAE"]
    page.get_by_label("AE", exact=True).uncheck()
    assert labels.all_text_contents()[:2] == ["MAE", "Random frames"]
    page.get_by_label("MAE", exact=True).uncheck()
    assert page.locator("#explanations-chart").is_hidden()
    assert page.get_by_text("Choose a model and an explainer.").is_visible()
    page.get_by_label("AE", exact=True).check()
    assert page.locator("#explanations-chart").is_visible()


def test_tables_fit_a_window_of_1200_pixels(visit):
    page = visit(viewport={"width": 1200, "height": 900})
    page.evaluate("document.querySelectorAll('details').forEach(folded => { folded.open = true; })")
    tables = page.locator(".scroll:has(table)")
    widths = tables.evaluate_all("tables => tables.map(e => [e.scrollWidth, e.clientWidth])")
    assert len(widths) > 10
    assert all(needed <= available for needed, available in widths), widths


@pytest.mark.parametrize(
    ("measure", "change"),
    [
        ("f1", lambda value: value),
        ("precision", lambda value: value),
        ("recall", lambda value: value),
        ("faithfulness_frame", lambda value: value / 2),
        ("faithfulness_segment", lambda value: value / 2 + 0.1),
        ("deletion", lambda value: value),
        ("insertion", lambda value: 1 - value),
    ],
)
def test_every_measure_can_be_chosen(page, measure, change):
    choose(page, "measure", MEASURES[measure].label)
    assert page.locator("#explanations-chart-note").inner_text() == MEASURES[measure].description
    dots, curves = described(page, DOTS), described(page, CURVES)
    for variant in ("AE", "MAE"):
        for name, label in (("error_map", "Error map"), ("random", "Random map")):
            assert dots[label, variant][:2] == [*expected(variant, name, change=change)]
    assert curves["Error map", "MAE", 97][:2] == [*expected("MAE", "error_map", 97, change=change)]


def test_chance_corrected_f1_lies_between_chance_and_oracle(page):
    choose(page, "measure", "F1, chance-corrected")
    mean = np.mean([f1_of("AE", seed, "error_map")[:, 1].mean() for seed in SEEDS])
    assert described(page, DOTS)["Error map", "AE"] == [f"Value {(mean / 2) / (1 - mean / 2):.3f}"]
    assert "The oracle has the best value" in page.locator("#explanations-chart-note").inner_text()


def test_checks_have_charts(page):
    labels = page.locator("#checks-chart path[aria-label*='Value ']").evaluate_all(
        "points => points.map(point => point.getAttribute('aria-label'))"
    )
    randomised = [label for label in labels if "coder" in label]
    assert len(randomised) == 2 * 2 * len(EXPLAINERS)
    assert len(labels) == len(randomised) + 2 * len(EXPLAINERS)
    assert "Error map, AE, step encoder, Value 0.100" in labels
    assert "Random map, MAE, Value 3.000" in labels


def test_types_models_and_explainers_are_chosen(page):
    for kind in ("broken", "stuck", "all"):
        choose(page, "anomaly_type", kind)
        assert described(page, DOTS)["Error map", "MAE"][:2] == [*expected("MAE", "error_map", kind=kind)]
    page.get_by_label("AE", exact=True).uncheck()
    page.get_by_label("Error map", exact=True).uncheck()
    shown = described(page, DOTS)
    assert {model for _, model in shown} == {"MAE"}
    assert {explainer for explainer, _ in shown} == {"Saliency", "Masked error map", "Random map"}
    assert set(shown) == {(explainer, model) for explainer, model, _ in described(page, CURVES)}
    page.get_by_label("Error map", exact=True).check()
    assert len(described(page, DOTS)) == len(EXPLAINERS)


def test_chance_references_and_published_values_are_switched_off_and_on(page):
    for name, label in MARKS.items():
        marks = page.locator(f"{CURVES} path[aria-label*='{label}']")
        assert marks.count() > 0
        page.get_by_label(name, exact=True).uncheck()
        assert marks.count() == 0
        page.get_by_label(name, exact=True).check()
        assert marks.count() > 0


def test_pointing_at_a_dot_shows_its_numbers(page):
    page.locator(f"{DOTS} path[aria-label^='Saliency, MAE']").hover()
    rows = [" ".join(text.split()) for text in page.locator("#vg-tooltip-element tr").all_inner_texts()]
    assert rows[:2] == ["Explainer Saliency", "Model MAE"]
    assert set(expected("MAE", "saliency")) < set(rows)


@pytest.mark.parametrize(
    "options",
    [
        {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True},
        {"viewport": {"width": 1280, "height": 900}, "color_scheme": "dark"},
    ],
    ids=["phone", "dark"],
)
def test_page_fits_its_window(visit, options):
    page = visit(**options)
    assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
    edges = page.evaluate(
        "[...document.querySelectorAll('.chart svg, .controls label')].map(e => e.getBoundingClientRect().right)"
    )
    assert max(edges) <= options["viewport"]["width"]
    dark = options.get("color_scheme") == "dark"
    lightness = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert (max(lightness) < 60) == dark
    colour = page.evaluate(f"getComputedStyle(document.querySelector(\"{DOTS} path[aria-label*='AE']\")).fill")
    assert colour.startswith("oklab(0.7" if dark else "oklab(0.5"), "colours are lighter on dark pages"
    assert all(page.evaluate("[...document.images].map(image => image.complete && image.naturalWidth > 0)"))


def test_paper_gets_charts_without_controls(page):
    page.emulate_media(media="print")
    assert page.locator(".controls").is_hidden()
    assert page.locator(CURVES).is_visible()


def test_without_scripts_there_are_figures(visit):
    page = visit(java_script_enabled=False)
    assert page.locator("noscript img").count() == 3
    assert page.locator("noscript img").first.is_visible()


def test_names_stay_text(visit, tmp_path):
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
    clips = {f"{evil}/a.wav": 5.0, "$$title & co/b.wav": 6.0, "'\"/c.wav": 7.0}
    html = page_of([write_study(tmp_path / "study", {"AE": evil, "MAE": "<!--'\\"}, clips)])
    assert Page(html).scripts == ["application/json", "application/json", "module"]
    page = visit(html)
    page.on("dialog", lambda dialog: pytest.fail(dialog.message))
    assert page.locator("#explanations-chart-models").inner_text().count("alert") == 2
    page.locator(f"{DOTS} path[aria-label^='Saliency, <!--']").hover()
    assert "<!--'\\" in page.locator("#vg-tooltip-element").inner_text()
    page.locator(f"{DOTS} path[aria-label^='Saliency, </script>']").hover()
    assert evil in page.locator("#vg-tooltip-element").inner_text()
    choose(page, "anomaly_type", "$$title & co")
    assert page.locator("img[src=x]").count() == 0


def test_runs_without_chance_levels_have_charts_too(visit, run_maker, tmp_path):
    page = visit(page_of([run_maker().write(tmp_path / "run")]))
    assert page.locator("select[name=measure]").inner_text().splitlines() == [
        "F1", "Precision", "Recall", "Frame-based faithfulness", "Segment-based faithfulness",
    ]  # fmt: skip
    assert page.locator("#checks-chart").count() == 0
    facts = described(page, CURVES)["Error map", "AE", 98]
    assert facts[0] == "Value 0.400"
    assert not any(fact.startswith(("chance", "sd", "p against")) for fact in facts)


def test_page_is_self_contained(html):
    page = Page(html)
    assert page.scripts == ["application/json", "application/json", "module"]
    assert all(reference.startswith(("data:", "#")) for reference in page.references)
    anchors = {reference[1:] for reference in page.references if reference[0] == "#"}
    assert anchors == {"data", "detection", "explanations", "example-clips", "replacement", "training", "configuration"}
    assert anchors <= set(page.ids)
    assert "@import" not in html
    assert "unsafe-eval" not in html
    assert len(html) < 6_000_000


def test_without_explanations_there_is_no_program(run_maker, tmp_path):
    folder = run_maker(f1=None, examples=False).write(tmp_path / "run")
    (folder / "fit" / "metrics.csv").unlink()
    page = Page(page_of([folder]))
    assert page.scripts == []
    assert page.ids == ["data", "detection", "configuration"]


def test_images_do_not_grow_with_the_number_of_models(run_maker, tmp_path):
    folders = [run_maker(("AE", "MAE")[i % 2]).write(tmp_path / f"run{i}") for i in range(8)]
    tags = Page(page_of(folders)).tags
    # Two static figures, ROC, learning curves, one clip and one replacement of four models.
    assert tags.count("img") == 4 + 4 + 4
