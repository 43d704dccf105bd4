"""What stands in the axes of a figure."""


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
