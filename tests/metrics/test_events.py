"""From flagged windows to events: persistence, bands and likeness."""

import numpy as np
import pytest

from metrics.functional import carrying_bands, likeness, persistent


@pytest.mark.parametrize(("needed", "of"), [(1, 1), (1, 4), (2, 2), (2, 3), (3, 5), (5, 5)])
def test_persistence_looks_at_every_stretch_of_windows(needed, of):
    for seed in range(20):
        exceeds = np.random.default_rng(seed).random(12) < 0.4
        padded = np.pad(exceeds, of)
        for window, found in enumerate(persistent(exceeds, needed, of)):
            stretches = [padded[of + first : of + first + of].sum() for first in range(window - of + 1, window + 1)]
            assert found == (exceeds[window] and max(stretches) >= needed)


def test_a_recording_of_fewer_windows_than_needed_raises_no_alarm():
    assert not persistent([True], 2, 3).any()
    assert persistent([], 2, 3).tolist() == []


def test_carrying_bands_are_the_fewest_neighbours_with_the_share():
    for seed in range(20):
        spectrum = np.random.default_rng(seed).random(9) ** 4
        stretches = [(first, after) for first in range(9) for after in range(first + 1, 10)]
        enough = [pair for pair in stretches if spectrum[slice(*pair)].sum() >= 0.6 * spectrum.sum() - 1e-12]
        best = min(enough, key=lambda pair: (pair[1] - pair[0], -spectrum[slice(*pair)].sum()))
        assert carrying_bands(spectrum, 0.6) == best
    assert carrying_bands([0.0, 0.0, 5.0, 0.0]) == (2, 3)


def test_likeness_ignores_how_loud_events_are():
    assert likeness([1.0, 2.0, 0.0], [[10.0, 20.0, 0.0], [0.0, 0.0, 3.0], [0.0, 0.0, 0.0]]) == pytest.approx([1, 0, 0])
