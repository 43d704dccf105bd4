"""`faithful-aad data describe` from the command line to the page."""

import csv
import re
import shutil
from dataclasses import dataclass
from html import unescape

import numpy as np
import pytest
import soundfile
import torch
from page_elements import Page

from datamodules import DCASEDataModule
from datamodules.audio import read_sound
from experiments.cli.main import main
from metrics.functional import anomaly_auroc, oriented


def describe(root, page, capsys, *options):
    assert main(["data", "describe", str(root), "--output", str(page), *options]) == 0
    return " ".join(capsys.readouterr().out.split())


def rows(page):
    with page.with_suffix(".csv").open(newline="") as file:
        return {row["name"]: row for row in csv.DictReader(file)}


def sections(page):
    return re.findall(r"<h2>(.*?)</h2>", page.read_text())


def test_a_sound_set(simulated, tmp_path, capsys):
    page = tmp_path / "page" / "data.html"
    printed = describe(simulated, page, capsys)
    assert "26 clips (4 min 20 s) in the planer layout: 12 normal ones to train on, 14 to test on" in printed
    assert "All readable clips are WAV 16 bit, 20 kHz, mono, each 10 s long." in printed
    assert "Every file can be read; none is silent, interrupted or clipped" in printed
    assert re.search(r"4 of 8 anomalous clips are annotated, with \d+ intervals", printed)

    parsed = Page(page.read_text())
    assert all(reference.startswith(("data:", "#")) for reference in parsed.references)
    assert parsed.scripts == []
    assert sections(page) == ["Clips", "Findings", "Levels", "Spectra", "Annotations"]
    assert parsed.tags.count("img") == 3

    table = rows(page)
    assert len(table) == 26
    for name, row in table.items():
        samples, _ = soundfile.read(simulated / name)
        assert float(row["level_db"]) == pytest.approx(20 * np.log10(np.sqrt(np.mean(samples**2))), abs=0.006)
        assert float(row["peak_db"]) == pytest.approx(20 * np.log10(np.abs(samples).max()), abs=0.006)


def test_what_is_wrong_is_said_printed_drawn_and_listed(planer_copy, tmp_path, capsys):
    first, second, *_ = sorted((planer_copy / "training").rglob("*.wav"))
    normal = planer_copy / "evaluation/normal"
    shutil.copy(first, normal / "copy<b>.wav")
    soundfile.write(normal / "nothing.wav", np.zeros(2_000), 20_000)
    second.write_bytes(second.read_bytes()[:1_000])
    (planer_copy / "annotations.csv").write_text("file,start,end\nnobody.wav,0,1\n")
    page = tmp_path / "data.html"
    printed = describe(planer_copy, page, capsys)
    name = second.relative_to(planer_copy).as_posix()
    assert f"1 clip ({name}) cannot be used: training would stop there." in printed
    assert "Leakage: 1 clip (evaluation/normal/copy<b>.wav) of the test set contains the samples" in printed
    assert "1 clip (evaluation/normal/nothing.wav) is silent." in printed
    assert "The annotations cannot be used" in printed
    assert "none is silent" not in printed
    unusable = printed.partition("Unusable files: 1")[2].partition("Training stops at them.")[0]
    assert name in "".join(unusable.split()), "the table has its row"

    html = page.read_text()
    assert "copy<b>" not in html
    assert "copy<b>" in unescape(html)
    titles = ("Unusable files: 1", "Same samples: 1", "Silent test clips: 1")
    assert all(f"<h3>{title}</h3>" in html for title in titles)
    assert Page(html).tags.count("img") == 3  # durations differ now, and nothing is annotated

    table = rows(page)
    assert table[name]["findings"] == "unusable"
    assert "truncated" in table[name]["problem"]
    assert table["evaluation/normal/nothing.wav"]["findings"] == "silent"
    copy = table["evaluation/normal/copy<b>.wav"]
    assert (copy["findings"], copy["same_samples_as"]) == ("duplicate leak", first.relative_to(planer_copy).as_posix())


def test_spectrograms_and_a_level_that_gives_anomalies_away(tmp_path, capsys):
    draw = torch.Generator().manual_seed(0)
    for number in range(5):
        for folder, step in (("train", 0), ("test/normal", 0), ("test/anomaly", 10)):
            path = tmp_path / "set" / folder / f"{number}.pt"
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.save(torch.randn(80, 41, generator=draw) + step, path)
    printed = describe(tmp_path / "set", tmp_path / "data.html", capsys, "--layout", "folder")
    assert "All readable clips are spectrograms of 80 bands, each 1 s long." in printed
    assert "louder than normal ones by 10.0 dB in the median" in printed
    assert "AUC of 1.000, which any detector should be compared with" in printed
    assert "Levels of spectrograms (dB)" in printed
    assert "these file names do not tell whether parts of one recording are in both splits" in printed


def test_what_training_would_warn_of_is_said_too(tmp_path, capsys):
    noise = np.random.default_rng(0).integers(-9_000, 9_000, (3, 8_000)).astype(np.int16)
    (tmp_path / "set/train").mkdir(parents=True)
    soundfile.write(tmp_path / "set/train/a.wav", np.stack([noise[0], -noise[0]], axis=1), 20_000)
    soundfile.write(tmp_path / "set/train/b.flac", noise[1:].T, 16_000)
    (tmp_path / "set/train/c.m4a").touch()
    page = tmp_path / "data.html"
    printed = describe(tmp_path / "set", page, capsys)
    assert "2 clips (0.9 s) in the folder layout: 2 normal ones to train on, 0 to test on." in printed
    assert "Nothing can be tested: " in printed
    assert "Left out 1 file that cannot be read (1 .m4a)" in printed
    assert "Channels cancel each other or average away in 1 of 2 recordings" in printed
    assert "The sample rate of 1 of 2 recordings (16,000 Hz) is below the front end's 20,000 Hz" in printed
    assert "Levels of channels (dBFS)" in printed
    assert rows(page)["train/a.wav"]["level_db"] == "-200.00"
    levels = [20 * np.log10(np.sqrt(np.mean((channel / 32_768) ** 2))) for channel in noise[1:]]
    found = [float(level) for level in rows(page)["train/b.flac"]["channel_levels_db"].split()]
    assert found == pytest.approx(levels, abs=0.006)

    printed = describe(tmp_path / "set", page, capsys, "--channel", "1")
    assert "Channels cancel" not in printed
    assert float(rows(page)["train/b.flac"]["level_db"]) == pytest.approx(levels[1], abs=0.006)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["."], "none of the layouts"),
        ([".", "--layout", "planer"], "planer layout"),
        ([".", "--output", "."], "--output has to name the HTML file"),
        ([".", "--annotations", "gone.csv"], "--annotations gone.csv is not a file"),
        (["gone"], "gone is not a folder"),
    ],
)
def test_mistakes_are_told_in_a_line(tmp_path, monkeypatch, capsys, arguments, complaint):
    monkeypatch.chdir(tmp_path)
    assert main(["data", "describe", *arguments]) == 2
    error = capsys.readouterr().err
    assert complaint in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_told(simulated, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["data", "describe", str(simulated), "--output", str(tmp_path / "file" / "data.html")]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_actions_of_the_command(capsys):
    assert main(["data", "nonsense"]) == 2
    assert "'nonsense' is not an action of data; choose one of " in capsys.readouterr().err


@dataclass
class Recording:
    """How a clip of noise is recorded; fields are what a test may want otherwise in one class."""

    rate: int = 8_000
    subtype: str = "PCM_16"
    suffix: str = ".wav"
    channels: int = 1
    seconds: float = 0.5
    level: float = 0.1

    def write(self, stem, seed):
        """Write a clip whose samples are the seed's."""
        stem.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(seed).standard_normal((round(self.seconds * self.rate), self.channels))
        loudness = np.sqrt(np.mean(noise**2))
        soundfile.write(f"{stem}{self.suffix}", self.level * noise / loudness, self.rate, subtype=self.subtype)


def write_set(root, anomalous=Recording(), clips=5):  # noqa: B008  never changed
    """An audio folder whose anomalous clips are recorded in their own way; levels are the same to 0.001 dB."""
    for seed in range(clips):
        for number, folder in enumerate(("train", "test/normal", "test/anomaly")):
            recorded = anomalous if folder == "test/anomaly" else Recording()
            recorded.write(root / folder / str(seed), 10 * seed + number)
    return root


def first_finding(printed):
    """The sentence after counts and formats."""
    return printed.split(" long. ", 1)[1]


@pytest.mark.parametrize(
    ("anomalous", "said"),
    [
        (Recording(rate=16_000), "have 8 kHz (5), anomalous ones 16 kHz (5); the sampling rate alone"),
        (Recording(subtype="PCM_24"), "have WAV PCM 16 (5), anomalous ones WAV PCM 24 (5); the file format alone"),
        (Recording(suffix=".flac"), "have WAV PCM 16 (5), anomalous ones FLAC PCM 16 (5); the file format alone"),
        (Recording(channels=2), "1 channel (5), anomalous ones 2 channels (5); the number of channels alone"),
        (Recording(seconds=0.75), "are longer than normal ones by 0.25 s in the median; the duration alone"),
        (Recording(seconds=0.25), "are shorter than normal ones by 0.25 s in the median; the duration alone"),
        (Recording(level=0.2), "are louder than normal ones by 6.0 dB in the median; the level alone"),
        (Recording(level=0.05), "are quieter than normal ones by 6.0 dB in the median; the level alone"),
    ],
)
def test_a_property_that_gives_anomalies_away_is_the_first_finding(tmp_path, capsys, anomalous, said):
    printed = describe(write_set(tmp_path / "set", anomalous), tmp_path / "data.html", capsys)
    finding = first_finding(printed)
    assert said in finding.partition(" tells them apart")[0]
    assert "tells them apart with an AUC of 1.000, which any detector should be compared with." in finding
    assert "<h3>Properties that give anomalous clips away: " in (tmp_path / "data.html").read_text()


def test_the_most_telling_property_comes_first(tmp_path, capsys):
    root = write_set(tmp_path / "set", Recording(level=0.2))
    # All five anomalies are louder; three of them have another format: (3 + 2 / 2) of 5 pairs, an AUC of 0.8.
    for seed in range(3):
        (root / f"test/anomaly/{seed}.wav").unlink()
        Recording(level=0.2, subtype="PCM_24").write(root / f"test/anomaly/{seed}", 10 * seed + 2)
    finding = first_finding(describe(root, tmp_path / "data.html", capsys))
    assert 0 < finding.index("the level alone tells them apart with an AUC of 1.000") < finding.index("AUC of 0.800")


def test_classes_recorded_alike_have_no_such_finding(tmp_path, capsys):
    root = write_set(tmp_path / "set", clips=4)
    printed = describe(root, tmp_path / "data.html", capsys)
    assert "alone tells" not in printed
    assert "give anomalous clips away" not in (tmp_path / "data.html").read_text()


def test_silent_training_clips_are_the_first_finding(tmp_path, capsys):
    root = write_set(tmp_path / "set", Recording(level=0.2))
    for seed in (1, 3):
        Recording(level=0).write(root / f"train/{seed}", seed)
    finding = first_finding(describe(root, tmp_path / "data.html", capsys))
    assert finding.startswith("2 clips (train/1.wav and train/3.wav) are silent training clips")
    for seed in (0, 2, 4):
        Recording(level=0).write(root / f"train/{seed}", seed)
    finding = first_finding(describe(root, tmp_path / "data.html", capsys))
    assert finding.startswith("All training clips are silent: there is nothing to learn from")


def test_a_test_set_of_one_class_is_told(tmp_path, capsys):
    for name in ("train/normal_id_00_00000000", "test/normal_id_00_00000000", "test/normal_id_00_00000001"):
        Recording().write(tmp_path / "slider" / name, len(name))
    printed = describe(tmp_path / "slider", tmp_path / "data.html", capsys)
    assert "The test set has no anomalous clips, so there can be no AUC." in printed


@pytest.mark.parametrize(("folder", "auc"), [("dev_data", 1.0), ("dev_data_id_06", 0.632)])
def test_real_slide_rails_by_their_level(shared, tmp_path, capsys, folder, auc):
    root = shared / "audio" / "dcase2020" / folder
    printed = describe(root, tmp_path / "data.html", capsys)
    assert f"the level alone tells them apart with an AUC of {auc:.3f}" in printed
    clips = DCASEDataModule(str(root), "slider")._layout.test
    levels = torch.tensor([read_sound(clip.path)[1].level_db for clip in clips])
    labels = torch.tensor([clip.label for clip in clips])
    assert float(anomaly_auroc(oriented(levels, labels), labels)) == pytest.approx(auc, abs=0.0005)
