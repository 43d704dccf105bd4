"""The page in a real browser: every control is used and what it shows compared with numbers worked out here."""

import shutil

import numpy as np
import pytest
from page_elements import Page
from study_folders import EXPLAINERS, SEEDS, f1_of, write_study

from experiments.report.comparison import load_comparison
from experiments.report.page import build_page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PERCENTILES = [97, 98, 99]
CLIPS = {"all": [0, 1, 2], "broken": [1, 2], "stuck": [0]}


def expected(variant, explainer, percentile=98, kind="all", change=lambda value: value):
    """Mean and standard deviation over seeds, as the page writes them."""
    at = PERCENTILES.index(percentile)
    means = [change(f1_of(variant, seed, explainer)[CLIPS[kind], at].mean()) for seed in SEEDS]
    return f"{np.mean(means):.3f}", f"{np.std(means, ddof=1):.3f}"


@pytest.fixture(scope="module")
def html(small_study):
    return build_page(small_study)


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("needs Chromium on the path")
    with playwright.sync_playwright() as api:
        browser = api.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(browser, html, tmp_path):
    """Opens a page; at the end it must have had nothing to complain about and asked for nothing."""
    contexts, complaints, requests = [], [], []

    def visit(contents=html, **options):
        path = tmp_path / "page.html"
        path.write_text(contents, encoding="utf-8")
        contexts.append(browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options}))
        page = contexts[-1].new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(path.as_uri())
        return page

    yield visit
    for context in contexts:
        context.close()
    assert complaints == []
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []


@pytest.fixture
def page(visit):
    return visit()


def choose(page, label, option):
    page.get_by_label(label, exact=True).select_option(label=option)


def box(page, name):
    return page.locator("#explorer fieldset").get_by_label(name, exact=True)


def dots(page):
    """What is said of each dot, by explainer and model."""
    said = [lane.get_attribute("aria-label") for lane in page.locator("#explorer .lane").all()]
    return {tuple(text.split(": ")[0].split(", ")): text.split(": ")[1] for text in said}


def tip(page):
    return page.locator("#explorer .tip").inner_text().splitlines()


def hover(page, explainer, percentile):
    """Put the pointer above a percentile of an explainer's chart."""
    chart = page.locator("#explorer .curves svg").filter(has=page.get_by_text(explainer, exact=True))
    chart.scroll_into_view_if_needed()
    label = chart.locator(".tick.x").get_by_text(str(percentile), exact=True).bounding_box()
    area = chart.bounding_box()
    page.mouse.move(label["x"] + label["width"] / 2, area["y"] + area["height"] / 2)


def test_hovering_shows_the_numbers_of_each_model(page):
    for percentile in PERCENTILES:
        hover(page, "Error map", percentile)
        lines = tip(page)
        assert lines[0] == f"Error map, {percentile}th percentile"
        for variant, published in (("AE", [0.5353, 0.5233, 0.5206]), ("MAE", [0.5956, 0.581, 0.5073])):
            mean, sd = expected(variant, "error_map", percentile)
            chance, _ = expected(variant, "error_map", percentile, change=lambda value: value / 2)
            start = lines.index(f"{variant} {mean}")
            assert lines[start + 1] == f"sd over runs {sd}"
            assert lines[start + 3] == f"chance {chance}"
            # Five equally likely values a clip, of which the observed one is the highest, in three clips.
            p_value = float(lines[start + 4].removeprefix("p against chance "))
            assert p_value == pytest.approx(1 / 125, abs=0.004)
            assert lines[start + 5] == f"published {published[PERCENTILES.index(percentile)]:.3f}"
        assert f"random frames {[0.3, 0.2, 0.1][PERCENTILES.index(percentile)]:.3f}" in lines
        assert "oracle 1.000" in lines
    page.mouse.move(2, 2)
    assert page.locator("#explorer .tip").is_hidden()


def test_dots_tell_the_chosen_percentile(page):
    assert page.locator("#explorer h3").inner_text() == "F1 at the 98th percentile"
    said = dots(page)
    assert len(said) == 2 * len(EXPLAINERS)
    assert said["Saliency", "MAE"].startswith(expected("MAE", "saliency")[0])
    page.get_by_role("slider").press("ArrowRight")
    assert page.locator("#explorer h3").inner_text() == "F1 at the 99th percentile"
    assert dots(page)["Error map", "AE"].startswith(f"{expected('AE', 'error_map', 99)[0]}, sd over runs 0.020")
    page.locator("#explorer .lane").first.hover()
    assert tip(page)[:2] == ["Error map", f"AE {expected('AE', 'error_map', 99)[0]}"]


@pytest.mark.parametrize(
    ("measure", "change"),
    [
        ("F1", lambda value: value),
        ("Precision", lambda value: value),
        ("Recall", lambda value: value),
        ("Frame-based faithfulness", lambda value: value / 2),
        ("Segment-based faithfulness", lambda value: value / 2 + 0.1),
        ("Deletion", lambda value: value),
        ("Insertion", lambda value: 1 - value),
    ],
)
def test_every_measure_can_be_chosen(page, measure, change):
    choose(page, "Measure", measure)
    assert page.locator("#explorer h3").inner_text() == f"{measure} at the 98th percentile"
    said = dots(page)
    for variant in ("AE", "MAE"):
        for name, label in (("error_map", "Error map"), ("random", "Random map")):
            assert said[label, variant].startswith(expected(variant, name, change=change)[0])
    hover(page, "Error map", 97)
    assert f"MAE {expected('MAE', 'error_map', 97, change=change)[0]}" in tip(page)


def test_chance_corrected_f1_lies_between_chance_and_oracle(page):
    choose(page, "Measure", "F1, chance-corrected")
    chance = np.mean([f1_of("AE", seed, "error_map")[:, 1].mean() / 2 for seed in SEEDS])
    corrected, sd = expected("AE", "error_map", change=lambda value: (value - chance) / (1 - chance))
    assert dots(page)["Error map", "AE"] == f"{corrected}, sd over runs {sd}"


def test_sanity_checks_are_over_stages_or_over_nothing(page):
    choose(page, "Measure", "Sanity: parameter randomisation")
    assert page.locator("#explorer h3").inner_text() == "Sanity: parameter randomisation, up to encoder"
    assert dots(page)["Error map", "AE"].startswith("0.100")
    hover(page, "Error map", "decoder")
    assert tip(page)[:2] == ["Error map, decoder", "AE 0.500"]
    assert page.get_by_role("slider").is_disabled()
    choose(page, "Measure", "Sanity: infidelity")
    assert page.locator("#explorer .curves").is_hidden()
    assert dots(page)["Error map", "MAE"] == "3.000, sd over runs 1.000"
    choose(page, "Measure", "F1")
    assert page.locator("#explorer .curves").is_visible()
    assert page.get_by_role("slider").is_enabled()


def test_types_of_anomaly(page):
    for kind in ("broken", "stuck", "all"):
        choose(page, "Type of anomaly", kind)
        assert dots(page)["Error map", "MAE"].startswith(expected("MAE", "error_map", kind=kind)[0])
    choose(page, "Type of anomaly", "stuck")
    choose(page, "Measure", "Sanity: infidelity")
    assert page.get_by_label("Type of anomaly", exact=True).input_value() == "0", "checks are not told apart by type"


def test_models_and_explainers_are_switched_off_and_on(page):
    charts, lanes = page.locator("#explorer .curves svg"), page.locator("#explorer .lane")
    box(page, "AE").uncheck()
    assert lanes.count() == len(EXPLAINERS)
    assert {model for _, model in dots(page)} == {"MAE"}
    box(page, "MAE").click()
    assert box(page, "MAE").is_checked(), "one model stays"
    box(page, "Error map").uncheck()
    box(page, "Saliency").uncheck()
    assert charts.count() == lanes.count() == len(EXPLAINERS) - 2
    assert "Error map" not in {explainer for explainer, _ in dots(page)}
    page.get_by_role("button", name="all").click()
    assert charts.count() == len(EXPLAINERS)


def test_chance_references_and_published_are_switched_off_and_on(page):
    curves = page.locator("#explorer .curves")
    for name, mark in (("chance", ".chance"), ("references", ".reference"), ("published", ".published")):
        assert curves.locator(mark).count() > 0
        box(page, name).uncheck()
        assert curves.locator(mark).count() == 0
        hover(page, "Error map", 98)
        assert not any(line.startswith((f"{name} ", "oracle " if name == "references" else "\0")) for line in tip(page))
        box(page, name).check()
        assert curves.locator(mark).count() > 0


def test_keys_move_along_a_chart(page):
    chart = page.locator("#explorer .curves svg").first
    chart.focus()
    page.keyboard.press("ArrowLeft")
    assert tip(page)[0] == "Error map, 97th percentile"
    assert page.get_by_role("slider").get_attribute("aria-valuetext") == "97th percentile"
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert tip(page)[0] == "Error map, 99th percentile"
    page.keyboard.press("Escape")
    assert page.locator("#explorer .tip").is_hidden()
    page.locator("#explorer .lane").nth(3).focus()
    assert tip(page)[:2] == ["Saliency", f"MAE {expected('MAE', 'saliency', 99)[0]}"]


def test_clicking_a_chart_chooses_its_percentile(page):
    hover(page, "Saliency", 97)
    page.mouse.down()
    page.mouse.up()
    assert page.locator("#explorer h3").inner_text() == "F1 at the 97th percentile"


def test_the_same_as_numbers(page):
    page.get_by_text("The same as numbers").click()
    rows = [row.inner_text().split("\t") for row in page.locator("#explorer table tr").all()]
    assert rows[0][:4] == ["Explainer", "Model", "F1", "sd over runs"]
    assert rows[2][:4] == ["Error map", "MAE", *expected("MAE", "error_map")]
    assert len(rows) == 1 + 2 * len(EXPLAINERS)


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
        "[...document.querySelectorAll('#explorer svg, #explorer label')].map(e => e.getBoundingClientRect().right)"
    )
    assert max(edges) <= options["viewport"]["width"]
    dark = options.get("color_scheme") == "dark"
    lightness = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert (max(lightness) < 60) == dark
    assert all(page.evaluate("[...document.images].map(image => image.complete && image.naturalWidth > 0)"))


def test_a_tap_shows_the_numbers_and_chooses_the_percentile(visit):
    page = visit(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    chart = page.locator("#explorer .curves svg").first
    chart.scroll_into_view_if_needed()
    area = chart.bounding_box()
    page.touchscreen.tap(area["x"] + area["width"] - 12, area["y"] + area["height"] / 2)
    assert tip(page)[:2] == ["Error map, 99th percentile", f"AE {expected('AE', 'error_map', 99)[0]}"]
    assert page.locator("#explorer h3").inner_text() == "F1 at the 99th percentile"
    page.locator("#explorer legend").first.tap()
    assert page.locator("#explorer .tip").is_hidden()


def test_a_resized_window_is_drawn_anew(page):
    page.set_viewport_size({"width": 400, "height": 800})
    page.wait_for_function("document.querySelector('#explorer .curves svg').width.baseVal.value < 400")
    assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0


def test_paper_gets_the_figures_and_the_numbers_without_controls(page):
    page.pdf()
    assert page.locator("#explorer details").evaluate("node => node.open")
    page.emulate_media(media="print")
    assert page.locator("#explorer .controls").is_hidden()
    assert page.locator("#explorer table").is_visible()
    assert page.locator("#explorer .curves svg").first.is_visible()


def test_without_scripts_there_are_figures(visit):
    page = visit(java_script_enabled=False)
    assert page.locator("noscript img").count() == 2
    assert page.locator("noscript img").first.is_visible()


def test_names_stay_text(visit, tmp_path):
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
    clips = {f"{evil}/a.wav": 5.0, "$$title & co/b.wav": 6.0, "'\"/c.wav": 7.0}
    comparison = load_comparison([write_study(tmp_path / "study", {"AE": evil, "MAE": "<!--"}, clips)])
    html = build_page(comparison)
    assert Page(html).scripts == ["application/json", "module"]
    page = visit(html)
    page.on("dialog", lambda dialog: pytest.fail(dialog.message))
    assert page.locator("#explorer fieldset").first.inner_text().count("alert") == 2
    page.locator("#explorer .lane").first.hover()
    assert evil in tip(page)[1]
    choose(page, "Type of anomaly", "$$title & co")
    page.get_by_text("The same as numbers").click()
    assert page.locator("img[src=x]").count() == 0


def test_runs_without_evidence_have_an_explorer_too(visit, run_maker, tmp_path):
    folder = run_maker().write(tmp_path / "run")
    page = visit(build_page(load_comparison([folder])))
    assert page.get_by_label("Measure", exact=True).inner_text().splitlines() == [
        "F1", "Precision", "Recall", "Frame-based faithfulness", "Segment-based faithfulness",
    ]  # fmt: skip
    hover(page, "Error map", 98)
    assert tip(page)[1] == "AE 0.400"
    assert not any(line.startswith(("chance", "sd", "p against")) for line in tip(page))
