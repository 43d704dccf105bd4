"""Players of recordings in a real browser: on the page of a prediction by the real command, and of a report."""

import base64
import io
import re

import numpy as np
import pytest
import soundfile
from page_elements import Page
from PIL import Image

from experiments.cli.main import main
from experiments.report import prediction_page
from experiments.report.clip_players import clip_player
from experiments.report.html import render_page
from experiments.report.loading import load_comparison
from experiments.report.page import example_clips
from experiments.report.player import player_script
from experiments.report.timeline import draw_timeline

RATE = 8_000
NAME = "saw <b>&_20191204_084800.wav"
TONE, QUIET = (12, 13), (5, 8)
OPTIONS = ["--data", "AudioFolderDataModule", "--data.n_frames", "40", "--data.frontend.sample_rate", str(RATE)]
OPTIONS += ["--data.frontend.n_mels", "40", "--data.reference_level", "null", "--wandb.mode", "disabled"]
OPTIONS += ["--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false", "--trainer.max_epochs", "3"]
OPTIONS += ["--trainer.enable_model_summary", "false", "--data.val_fraction", "0.5", "--model", "Autoencoder"]
OPTIONS += ["--model.backbone", "dense", "--attributions.explainers", "[saliency,error_map]"]


@pytest.fixture(scope="module")
def predict(tmp_path_factory):
    """Predicts 20 s of noise with a tone of 1 kHz and a faint part, with options; returns the folder."""
    root = tmp_path_factory.mktemp("recordings")
    noise = np.random.default_rng(0)
    for number in range(40):
        path = root / f"data/train/{number:02}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, 0.02 * noise.standard_normal(RATE), RATE)
    samples = 0.02 * noise.standard_normal(20 * RATE)
    samples[QUIET[0] * RATE : QUIET[1] * RATE] /= 30
    tone = np.sin(2 * np.pi * 1_000 * np.arange((TONE[1] - TONE[0]) * RATE) / RATE)
    samples[TONE[0] * RATE : TONE[1] * RATE] += 0.1 * tone
    (root / "new").mkdir()
    soundfile.write(root / "new" / NAME, samples, RATE)
    assert main(["fit", "--run", str(root / "run"), "--data.root", str(root / "data"), *OPTIONS]) == 0

    def run(*options):
        command = ["predict", "--run", str(root / "run"), "--data.predict_path", str(root / "new"), "--hop", "0.5"]
        assert main([*command, "--persistence", "2/3", *options]) == 0
        return root / "run/predict"

    return run


@pytest.fixture(scope="module")
def html(predict):
    folder = predict("--alpha", "0.05")
    assert len(list((folder / "examples").iterdir())) == 2, "one file per event"
    return (folder / "page.html").read_text()


@pytest.fixture
def visit(browser, tmp_path):
    """Opens a page; at the end it must have logged nothing and requested nothing from the network."""
    complaints, requests = [], []
    context = browser.new_context(viewport={"width": 1280, "height": 900})

    def visit(path):
        page = context.new_page()
        page.set_default_timeout(5_000)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(path.as_uri())
        return page

    yield visit
    context.close()
    assert complaints == []
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []


def contents(uri):
    return io.BytesIO(base64.b64decode(uri.partition(",")[2]))


def player(html, name):
    return re.search(rf'<article class="player" id="{name}".*?</article>', html, re.DOTALL)[0]


def test_sentences_say_what_is_heard(html):
    quieter, louder = (re.search(r'"sentence">(.*)<', player(html, f"event-{number}"))[1] for number in (1, 2))
    assert re.fullmatch(r"5–8 s: quieter than normal between .*Hz, p = 0\.048\.", quieter)
    low, high, unit = re.fullmatch(
        r"12–1[34] s: louder than normal between (\d+) Hz and ([\d.]+) (k?Hz), p.*", louder
    ).groups()
    assert int(low) < 1000 <= float(high) * (1000 if unit == "kHz" else 1) < 1400
    assert "2019-12-04 08:48:12" in player(html, "event-2")
    assert "saw &lt;b&gt;&amp;_2019" in html
    assert "<b>&" not in html


def test_sound_and_spectrogram_are_those_of_the_event(html):
    sounds = dict(re.findall(r'<audio id="([\w-]+)" preload="none" src="(data:audio/mpeg[^"]*)"', html))
    event = player(html, "event-2")
    sound, start, seconds = re.search(
        r'data-sound="([\w-]+)" data-start="([\d.]+)" data-seconds="([\d.]+)"', event
    ).groups()
    samples, rate = soundfile.read(contents(sounds[sound]))
    start, seconds = float(start), float(seconds)
    assert (rate, len(samples) / rate) == (RATE, pytest.approx(seconds, abs=0.1))
    in_windows = samples[: len(samples) // 400 * 400].reshape(-1, 400)  # of 50 ms
    tone = np.abs(in_windows @ np.exp(-2j * np.pi * 1_000 * np.arange(400) / rate))
    heard = np.flatnonzero(tone > tone.max() / 2) / 20 + start
    assert (heard.min(), heard.max() + 0.05) == (pytest.approx(TONE[0], abs=0.06), pytest.approx(TONE[1], abs=0.06))
    assert 0.7 < np.abs(samples).max() <= 1, "sounds are amplified"

    image = np.array(
        Image.open(contents(re.search(r'src="(data:image/png[^"]*)" alt="Spectrogram of Event 2"', event)[1]))
    )
    assert image.shape == (40, round(40 * seconds))
    column = image[:, round(40 * (12.5 - start))]
    edges = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + 4000 / 700), 42) / 2595) - 1)  # centres 1 to 40
    assert edges[40 - column.argmax()] == pytest.approx(1_000, rel=0.1), "low frequencies are at the bottom"


def test_every_control_in_a_browser(visit, html, tmp_path):  # noqa: PLR0915
    (tmp_path / "page.html").write_text(html)
    page = visit(tmp_path / "page.html")
    article = page.locator("#event-2")
    plot, normal = article.locator(".plot").first, article.locator(".plot").last
    button = {name: article.get_by_role("button", name=name) for name in ("Event alone", "In context", "Lowest score")}
    number = "plot => Number(plot.getAttribute('aria-valuenow'))"
    state = "sound => [sound.readyState >= 2, sound.paused, sound.duration, sound.error]"

    def sound_of(each):
        return page.locator(f"#{each.get_attribute('data-sound')}")

    page.get_by_role("link", name="Event 2").click()
    assert page.url.endswith("#event-2")
    for name, shown in {"In context": plot, "Lowest score": normal, "Event alone": plot}.items():
        before = float(button[name].get_attribute("data-start"))
        button[name].focus()
        page.keyboard.press("Space")
        page.wait_for_function(
            f"([plot, start]) => ({number})(plot) > start + 0.2", arg=[shown.element_handle(), before]
        )
        assert button[name].get_attribute("aria-pressed") == "true"
        ready, paused, duration, error = sound_of(shown).evaluate(state)
        assert (ready, paused, error) == (True, False, None)
        assert duration == pytest.approx(float(shown.get_attribute("data-seconds")), abs=0.15)
        assert shown.locator(".cursor").is_visible()
    drawing = page.locator(".timeline .drawing")
    cursor, box = drawing.locator(".cursor").bounding_box(), drawing.bounding_box()
    assert 11.9 < 20 * (cursor["x"] + 1 - box["x"]) / box["width"] < 14.1
    page.wait_for_function("button => button.ariaPressed === 'false'", arg=button["Event alone"].element_handle())
    ended = float(button["Event alone"].get_attribute("data-end"))
    assert plot.evaluate(number) == pytest.approx(ended, abs=0.06), "the event alone ends with it"
    assert sound_of(plot).evaluate("sound => sound.paused")
    stopped = sound_of(plot).evaluate("sound => Number(sound.dataset.start) + sound.currentTime")
    assert stopped == pytest.approx(ended, abs=0.5)

    plot.focus()
    page.keyboard.press("Home")
    start = float(plot.get_attribute("data-start"))
    assert plot.evaluate(number) == pytest.approx(start, abs=0.06)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    assert plot.evaluate(number) == pytest.approx(start + 0.5, abs=0.06)
    assert plot.evaluate("plot => getComputedStyle(plot).outlineStyle") == "solid"
    page.keyboard.press("Space")
    page.wait_for_function(f"([plot, start]) => ({number})(plot) > start + 0.6", arg=[plot.element_handle(), start])
    page.keyboard.press("Escape")
    assert sound_of(plot).evaluate("sound => sound.paused")
    plot.click(position={"x": 0.75 * plot.bounding_box()["width"], "y": 50})
    at = start + 0.75 * float(plot.get_attribute("data-seconds"))
    page.wait_for_function(f"([plot, start]) => ({number})(plot) > start", arg=[plot.element_handle(), at])
    page.keyboard.press("Space")
    assert sound_of(plot).evaluate("sound => sound.paused")

    maps, explainer = plot.locator(".maps img"), article.get_by_role("combobox", name="Explanation")
    shown = "maps => maps.filter(map => map.checkVisibility()).map(map => map.dataset.explainer)"
    assert maps.evaluate_all(shown) == ["error_map"]
    explainer.select_option(label="Saliency")
    assert maps.evaluate_all(shown) == ["saliency"]
    explainer.select_option(label="none")
    assert maps.evaluate_all(shown) == []
    explainer.select_option(label="Error map")
    blend = article.get_by_label("From the recording alone to the explanation alone")
    opacity = "image => Number(getComputedStyle(image).opacity)"
    for key, expected in {"End": (0, 1), "Home": (1, 0)}.items():
        blend.press(key)
        assert (plot.locator(".recording").evaluate(opacity), maps.last.evaluate(opacity)) == expected
    assert article.locator(".note").inner_text() == ""


def test_a_page_that_is_too_large_has_its_sounds_beside_it(predict, visit, monkeypatch):
    monkeypatch.setattr(prediction_page, "MOST_BYTES", 10_000)
    folder = predict("--alpha", "0.05", "--attributions.examples", "1")
    html = (folder / "page.html").read_text()
    assert "The 1 highest of 2 events are explained; --attributions.examples 2 explains all of them." in html
    assert "data:audio" not in html
    assert "The sounds are in the folder page_sounds" in html
    assert sorted(Page(html).references)[-1].startswith("page_sounds/")
    page = visit(folder / "page.html")
    page.get_by_role("button", name="In context").click()
    page.wait_for_function("() => [...document.querySelectorAll('audio')].some(sound => sound.currentTime > 0.1)")


def test_without_a_calibration_the_highest_windows_are_shown(predict):
    folder = predict("--alpha", "0.05", "--persistence", "30/30", "--attributions.examples", "1")
    page = (folder / "page.html").read_text()
    assert "0 events in 1 recording" in page
    (folder.parent / "fit/calibration.npz").unlink()
    page = (predict("--attributions.explainers", "[]") / "page.html").read_text()
    assert "Scores of 1 recording" in page
    sentences = re.findall(r'"sentence">(.*)\.<', page)
    assert [re.fullmatch(r"[\d.]+–[\d.]+ s: score [\d.]+", sentence) is not None for sentence in sentences] == [
        True
    ] * 2
    assert 'class="threshold"' not in page


def test_clips_of_a_report_are_heard_where_their_files_still_are(visit, run_maker, tmp_path):
    folders = [
        run_maker(objective, {"stuck/a.wav": 5.0}, f1=None).write(tmp_path / objective) for objective in ("AE", "MAE")
    ]
    clip = tmp_path / "data/stuck/a.wav"
    clip.parent.mkdir(parents=True)
    soundfile.write(clip, 0.1 * np.random.default_rng(0).standard_normal(32_000), 16_000)
    for folder in folders:
        config = folder / "fit/config.yaml"
        config.write_text(config.read_text().replace("    frame_step", f"    root: {tmp_path}/data\n    frame_step"))
    comparison = load_comparison(folders)
    (tmp_path / "page.html").write_text(
        render_page("AE and MAE", [], 1, {"Clips": example_clips(comparison)}, [player_script()])
    )
    page = visit(tmp_path / "page.html")
    (article,) = page.locator(".player").all()
    assert article.locator("figcaption").all_inner_texts() == ["AE", "MAE"]
    article.get_by_role("button", name="Annotated: 1.2–1.8 s").click()
    page.wait_for_function("() => document.querySelector('.player button:last-of-type').ariaPressed === 'false'")
    plots = article.locator(".plot")
    positions = plots.evaluate_all("plots => plots.map(plot => Number(plot.getAttribute('aria-valuenow')))")
    assert positions == pytest.approx([1.75, 1.75], abs=0.06), "both cursors run along"
    article.get_by_role("combobox", name="Explanation").select_option(label="Saliency")
    shown = "maps => maps.filter(map => map.checkVisibility()).map(map => map.dataset.explainer)"
    assert article.locator(".maps img").evaluate_all(shown) == ["saliency"] * 2
    runs = {label: model.runs[0] for label, model in comparison.models.items()}
    clip.write_bytes(b"damaged")
    assert clip_player("clip", comparison.common_examples()[0], runs) == []


def test_long_timelines_keep_every_peak():
    scores = np.zeros(36_000)
    peaks = [100, 17_003, 35_999]
    scores[peaks] = 5.0
    flagged = np.zeros(36_000, bool)
    flagged[[7, 8, 20_000]] = True
    drawn = draw_timeline(
        "r", "long.wav", "", np.arange(36_000.0), scores, 10.0, 4.0, flagged, [(0, 30), (20, 40)],
        [(10.0, "1", "event-1", "Event 1"), (40.0, "2", "event-2", "Event 2"), (30_000.0, "3", "event-3", "Event 3")],
    )  # fmt: skip
    points = [tuple(map(float, point.split())) for point in drawn.line[1:].split(" L")]
    assert len(points) <= 1_002
    top = min(height for _, height in points)
    found = [x * drawn.seconds / 1000 - 5 for x, height in points if height == top]
    assert sorted({round(x, -2) for x in found}) == [100, 17_000, 36_000]
    assert top < drawn.threshold < max(height for _, height in points)
    assert len(drawn.flagged) == 2
    assert [(span.start, span.width) for span in drawn.events] == [(0, pytest.approx(1.6, abs=0.1))]
    assert [marker.row for marker in drawn.markers] == [0, 1, 0]
