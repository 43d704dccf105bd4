"""From the scores of a recording to alarms, by the scores of normal recordings."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from experiments.predictions.calibration import Calibration
from experiments.predictions.scores import ScoredRecording
from lightning_modules.base import require_number
from lightning_modules.errors import ConfigurationError
from lightning_modules.wording import counted
from metrics.functional import (
    conformal_p_values,
    conformal_threshold,
    needed_scores,
    persistent,
    smallest_alpha,
)

DEFAULT_ALPHA = 0.05
"""Highest probability of a false alarm where none is asked for and there is enough to calibrate with."""

_SECONDS_PER_DAY = 86_400


@dataclass(frozen=True)
class AlarmSettings:
    """What raises an alarm.

    Attributes:
        alpha: Highest probability of a false alarm per stretch of normal sound as long as those of the calibration.
        false_alarms_per_day: Highest expected number of such stretches per day, in place of alpha.
        persistence: k/n, where a window above the threshold counts if k of n consecutive ones are above it.
        score: The score that decides.

    Raises:
        ConfigurationError: A value is out of its range, or both rates are given.
    """

    alpha: float | None = None
    false_alarms_per_day: float | None = None
    persistence: str = "1/1"
    score: Literal["score", "masked_score"] = "score"

    def __post_init__(self) -> None:
        if self.alpha is not None:
            require_number("alpha", self.alpha, lambda alpha: 0 < alpha < 1, "above 0 and below 1")
        if self.false_alarms_per_day is not None:
            require_number("false_alarms_per_day", self.false_alarms_per_day, lambda rate: rate > 0, "above 0")
            if self.alpha is not None:
                raise ConfigurationError(
                    "alpha and false_alarms_per_day are two ways to say the same; give one of them"
                )
        match = re.fullmatch(r"(\d+)/(\d+)", self.persistence)
        if match is None or not 1 <= int(match[1]) <= int(match[2]):
            raise ConfigurationError(
                f"persistence={self.persistence} is not valid; it must be k/n, such as 2/3 for 2 of 3 windows"
            )

    @property
    def windows_needed(self) -> tuple[int, int]:
        """How many windows above the threshold persistence asks for, k, and among how many, n."""
        k, n = self.persistence.split("/")
        return int(k), int(n)

    def alpha_of(self, n: int, stretch_seconds: float, of: str = "") -> float:
        """The probability of a false alarm to promise with n stretches of normal sound.

        Args:
            n: Stretches of the calibration.
            stretch_seconds: Seconds of a recording in which as many windows begin as a stretch has.
            of: What they are of, for messages, such as " in the condition fast".

        Raises:
            ConfigurationError: There are too few stretches; the message says how many are needed.
        """
        rate, lowest = self.false_alarms_per_day, smallest_alpha(n)
        if rate is None and self.alpha is None:
            return max(DEFAULT_ALPHA, lowest)
        per_day = _SECONDS_PER_DAY / stretch_seconds
        alpha = self.alpha if rate is None else rate / per_day
        option = f"--alpha {self.alpha:g}" if rate is None else f"--false_alarms_per_day {rate:g}"
        assert alpha is not None
        if alpha >= 1:
            raise ConfigurationError(f"{option} is more than the {per_day:,.0f} stretches of a day; give fewer")
        if n < needed_scores(alpha):
            possible = f"{lowest:.3g}" if rate is None else f"{lowest * per_day:.3g}"
            raise ConfigurationError(
                f"{option} needs {counted(needed_scores(alpha), 'normal clip')} or recordings to calibrate with{of}, "
                f"but there are {n}, which allow {option.partition(' ')[0]} {possible}; give that, more normal "
                "recordings with --calibrate, or shorter stretches of them with --block"
            )
        return alpha


@dataclass(frozen=True)
class Decision:
    """What a calibration says about the N windows and S seconds of a recording.

    Attributes:
        p_values: Conformal p-value of each window, (N,).
        flagged: Windows that raise an alarm, (N,).
        flagged_seconds: Seconds with a higher error than normal stretches reach, (S,).
        margin: Highest score minus the threshold.
    """

    p_values: NDArray[np.float64]
    flagged: NDArray[np.bool_]
    flagged_seconds: NDArray[np.bool_]
    margin: float


@dataclass(frozen=True)
class Decider:
    """Decides about recordings with one calibration.

    Attributes:
        calibration: Scores of normal stretches.
        settings: What raises an alarm.
        window_seconds: Length of a window in s.
        hop_seconds: Step from window to window in s.
    """

    calibration: Calibration
    settings: AlarmSettings
    window_seconds: float
    hop_seconds: float

    @property
    def alpha(self) -> float:
        """Highest probability of a false alarm per stretch; raises a ConfigurationError if it can't be promised."""
        return self.settings.alpha_of(len(self.calibration), self._stretch_seconds)

    @property
    def threshold(self) -> float:
        """The score that windows above the threshold exceed."""
        return conformal_threshold(self._normal_scores, self.alpha)

    @property
    def promise(self) -> str:
        """The promise in a sentence."""
        per_stretch = self.calibration.windows_per_stretch
        what = "windows" if per_stretch == 1 else f"stretches of {self._stretch_seconds:g} s"
        per_day = self.alpha * _SECONDS_PER_DAY / self._stretch_seconds
        number = f"{per_day:,.0f}" if per_day >= 10 else f"{per_day:.2g}"
        n = len(self.calibration)
        return (
            f"with alpha = {self.alpha:.3g} at most {100 * self.alpha:.3g} % of normal {what} raise an alarm on "
            f"average, {number} a day, if they are like the {n} normal ones that calibrate; so few allow no alpha "
            f"below {smallest_alpha(n):.3g}"
        )

    def decide(self, recording: ScoredRecording) -> Decision:
        """Decide about a recording, whose scores the settings name."""
        scores = recording.scores[self.settings.score]
        return Decision(
            p_values=self.p_values(scores),
            flagged=persistent(scores > self.threshold, *self.settings.windows_needed),
            flagged_seconds=self.flag_seconds(recording.second_errors),
            margin=float(scores.max() - self.threshold),
        )

    def p_values(self, scores: ArrayLike) -> NDArray[np.float64]:
        """Conformal p-values of the scores (N,) of windows."""
        return conformal_p_values(scores, self._normal_scores)

    def flag_seconds(self, errors: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which seconds have a higher error (S,), dB², than normal stretches reach."""
        return errors > conformal_threshold(self.calibration.second_error, self.alpha)  # NaN is not

    @property
    def _normal_scores(self) -> NDArray[np.float64]:
        scores: NDArray[np.float64] = getattr(self.calibration, self.settings.score)
        return scores

    @property
    def _stretch_seconds(self) -> float:
        return self.calibration.windows_per_stretch * self.hop_seconds
