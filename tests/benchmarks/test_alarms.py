"""What `make alarms` counts, by hand."""

import numpy as np
import pandas as pd
import pytest
import soundfile
from benchmarks.alarms import Joined, false_alarms, join, meet


def test_joined_clips_say_where_the_anomalies_are(tmp_path):
    clips = [tmp_path / f"{number}.wav" for number in range(3)]
    for clip, level in zip(clips, (0.25, -0.5, 0.125), strict=True):
        soundfile.write(clip, np.full(800, level), 8000)
    joined = join(clips, {clips[1]}, tmp_path / "joined" / "all.wav")
    assert joined == Joined(anomalies=((0.1, 0.2),), duration=pytest.approx(0.3))
    sound, _ = soundfile.read(tmp_path / "joined" / "all.wav")
    assert sound[[0, 799, 800, 1599, 1600, 2399]].tolist() == [0.25, 0.25, -0.5, -0.5, 0.125, 0.125]


def test_events_are_counted_in_time():
    """2 of 4 s are anomalous; events cover 1 s of them and 1 s of the normal time."""
    recordings = {"a.wav": Joined(((0.0, 1.0), (2.0, 3.0)), 4.0)}
    events = pd.DataFrame({"name": ["a.wav", "other.wav"], "start": [0.5, 0.0], "end": [2.5, 4.0]})
    found = meet(events, recordings)
    assert (found["found"], found["placed"]) == (2, 2)
    assert found["f_score"] == pytest.approx(2 * 1 / (2 + 2))
    assert found["normal_time_in_events"] == pytest.approx(0.5)
    # Rotated by any time, 2 s of events meet 1 s of 2 s in 4 s on average.
    assert found["chance"] == pytest.approx(0.5)


def test_false_alarms_are_as_many_as_promised():
    rates = false_alarms(np.random.default_rng(0).normal(size=40), 0.1, np.random.default_rng(1))
    assert rates["promised"] == pytest.approx(2 / 21)
    assert abs(rates["mean"] - rates["promised"]) < 4 * rates["error"]
