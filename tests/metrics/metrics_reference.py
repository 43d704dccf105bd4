"""The protocol written plainly with numpy, one clip and one segment at a time, to check metrics against."""

import numpy as np


def segments(frames, length):
    return [frames[start : start + length] for start in range(0, len(frames), length)]


def f1_precision_recall(curve, annotation, percentile, length):
    peaks = curve >= np.percentile(curve, percentile)
    pairs = list(zip(segments(peaks, length), segments(annotation, length), strict=True))
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


def frame_and_segment_faithfulness(function, x, curve, annotation, percentile, length):
    peaks = curve >= np.percentile(curve, percentile)
    whole = np.zeros_like(peaks)
    for start in range(0, len(peaks), length):
        if peaks[start : start + length].any():
            whole[start : start + length] = True
    return faithfulness(function, x, peaks), faithfulness(function, x, whole & annotation)
