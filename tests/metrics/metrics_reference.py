"""The protocol written plainly with numpy, one clip and one second at a time, to check metrics against."""

import numpy as np


def seconds(n_frames, rate):
    """Frames of each second of a clip, a last part of less than half a second left out."""
    of_frames = [int(k / rate) for k in range(n_frames)]
    frames = [[k for k, second in enumerate(of_frames) if second == s] for s in range(of_frames[-1] + 1)]
    return frames if n_frames / rate - of_frames[-1] >= 0.5 else frames[:-1]


def f1_precision_recall(curve, annotation, percentile, rate):
    peaks = curve >= np.percentile(curve, percentile)
    pairs = [(peaks[frames], annotation[frames]) for frames in seconds(len(curve), rate)]
    tp = sum(p.any() and a.any() for p, a in pairs)
    fp = sum(p.any() and not a.any() for p, a in pairs)
    fn = sum(a.any() and not p.any() for p, a in pairs)
    precision = tp / (tp + fp) if tp + fp else 0.0
    recall = tp / (tp + fn) if tp + fn else 0.0
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return f1, precision, recall


def faithfulness(function, x, frames):
    replaced = x.copy()
    replaced[:, frames] = function(x)[:, frames]
    before = np.mean((x - function(x)) ** 2)
    after = np.mean((replaced - function(replaced)) ** 2)
    return max(0.0, 1 - after / before)


def frame_and_segment_faithfulness(function, x, curve, annotation, percentile, rate):
    peaks = curve >= np.percentile(curve, percentile)
    whole = np.zeros_like(peaks)
    for frames in seconds(len(peaks), rate):
        whole[frames] = peaks[frames].any()
    return faithfulness(function, x, peaks), faithfulness(function, x, whole & annotation)
