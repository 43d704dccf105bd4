"""What the axes of a figure show, and small frames to draw."""

import pandas as pd


def evidence_rows(means, **columns):
    """F1 of the error map at 97, 98 and 99 as `Evidence.explanations` has it, from the means of each model.

    Further columns hold the values of the first model.
    """
    names = ("sd", "chance", "chance_low", "chance_high", "random_frames", "all_frames", "oracle", "published")
    frames = []
    for i, (model, values) in enumerate(means.items()):
        place = {"model": model, "explainer": "error_map", "measure": "f1", "anomaly_type": ""}
        numbers = {name: columns.get(name) if i == 0 or "frames" in name else None for name in names}
        numbers["oracle"] = columns.get("oracle")
        frames.append(pd.DataFrame({**place, "percentile": (97, 98, 99), "mean": values, **numbers}))
    return pd.concat(frames).astype(dict.fromkeys(names, float)).reset_index(drop=True)


def titled(figure, title):
    """The axes with a title."""
    return next(axes for axes in figure.axes if axes.get_title(loc="left") == title)


def bounds(band, percentile):
    """Lower and upper end of a filled band at a percentile."""
    heights = [y for x, y in band.get_paths()[0].vertices if x == percentile]
    return min(heights), max(heights)


def labelled(axes, label):
    """Lines and bands drawn under a label."""
    return [artist for artist in (*axes.lines, *axes.collections) if artist.get_label() == label]
