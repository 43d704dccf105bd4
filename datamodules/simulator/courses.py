"""What happens over a clip: normal running with its harmless events, starts and stops."""

from __future__ import annotations

import numpy as np

from datamodules.simulator.render import CONTROL_HZ, N_BANDS
from datamodules.simulator.tracks import Course, stretch, wander


def steady_course(duration: float, rng: np.random.Generator) -> Course:
    """Boards going through one after the other, `duration` seconds of it, and nothing else."""
    size = round(duration * CONTROL_HZ) + 1
    return Course(
        cut=(1 + wander(size, 0.8, 0.08, rng)).astype(np.float32),
        feed=(1 + wander(size, 2.0, 0.15, rng)).astype(np.float32),
        speed=(1 + wander(size, 1.5, 0.0015, rng)).astype(np.float32),
        level=wander(size, 3.0, 0.5, rng),
        extra=np.full((size, N_BANDS), -60, dtype=np.float32),
        squeal=np.full(size, -60, dtype=np.float32),
        squeal_hz=np.full(size, 3000, dtype=np.float32),
    )


def normal_course(duration: float, rng: np.random.Generator) -> Course:
    """Boards going through with the harmless events of a workshop."""
    course = steady_course(duration, rng)
    for happens, chance in ((_board_change, 0.35), (_knocks, 0.5), (_rumble, 0.15), (_hiss, 0.12)):
        if rng.random() < chance:
            happens(course, rng)
    return course


def start_stop_course(duration: float, rng: np.random.Generator) -> Course:
    """The machine runs up from standstill, or runs down to it, at some time of the clip."""
    course = normal_course(duration, rng)
    seconds = np.arange(course.cut.size) / CONTROL_HZ
    running = 1 / (1 + np.exp(-(seconds - rng.uniform(0.2, 0.8) * duration) / rng.uniform(0.15, 0.4)))
    if rng.random() < 0.5:
        running = running[::-1]
    course.level += (-14 * (1 - running)).astype(np.float32)
    course.speed *= (0.35 + 0.65 * running).astype(np.float32)
    # Boards go through at full speed only.
    course.cut *= running > 0.9
    course.feed *= running > 0.9
    return course


def _board_change(course: Course, rng: np.random.Generator) -> None:
    """A longer gap: no board for some tenths of a second, sometimes for seconds."""
    start = rng.uniform(0, course.cut.size / CONTROL_HZ)
    board = 1 - stretch(course.cut.size, start, start + min(0.15 + rng.exponential(0.5), 3.0))
    course.cut *= board
    course.feed *= board


def _knocks(course: Course, rng: np.random.Generator) -> None:
    """Boards dropped on a pile: broadband, gone after a few hundredths of a second."""
    seconds = np.arange(course.cut.size) / CONTROL_HZ
    colour = np.linspace(0, -rng.uniform(6, 16), N_BANDS)
    for _ in range(rng.integers(1, 4)):
        age = seconds - rng.uniform(0, seconds[-1])
        decay = np.where(age >= 0, rng.uniform(4, 12) - age / rng.uniform(0.01, 0.03), -60)
        course.add_noise(decay[:, None] + colour)


def _rumble(course: Course, rng: np.random.Generator) -> None:
    """A forklift passes: low bands, over some seconds."""
    course_seconds = course.cut.size / CONTROL_HZ
    near = stretch(course.cut.size, rng.uniform(-2, course_seconds), rng.uniform(1, course_seconds + 2), 2.0)
    colour = np.interp(np.arange(N_BANDS), (0, 10, 25), (rng.uniform(0, 6), rng.uniform(-4, 2), -30))
    course.add_noise((near[:, None] - 1) * 20 + colour)


def _hiss(course: Course, rng: np.random.Generator) -> None:
    """Compressed air: upper bands, up to two seconds."""
    start = rng.uniform(0, course.cut.size / CONTROL_HZ)
    open_valve = stretch(course.cut.size, start, start + rng.uniform(0.3, 2.0))
    colour = np.interp(np.arange(N_BANDS), (40, 60, 79), (-25, rng.uniform(-12, -6), rng.uniform(-10, -5)))
    course.add_noise((open_valve[:, None] - 1) * 40 + colour)
