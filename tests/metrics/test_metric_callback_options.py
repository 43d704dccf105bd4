"""The options of the callbacks that measure."""

import pytest
from jsonargparse import ArgumentParser
from lightning.pytorch import Callback

from metrics.callbacks import AnnotationFScore, DetectionAUC, Faithfulness
from metrics.measures import Measure


@pytest.mark.parametrize("callback", [AnnotationFScore, Faithfulness])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"percentiles": [98, 101]}, "percentiles: 101"),
        ({"percentiles": []}, "percentiles: "),
        ({"frames_per_second": 0}, "frames_per_second: 0"),
    ],
)
def test_rejects_bad_options(callback, options, message):
    with pytest.raises(ValueError, match=message):
        callback(**options)


def test_rejects_other_bad_options():
    with pytest.raises(ValueError, match="batch_size: 0"):
        Faithfulness(batch_size=0)
    with pytest.raises(ValueError, match="max_fpr: 1"):
        DetectionAUC(max_fpr=1)
    with pytest.raises(ValueError, match="shifts: -1"):
        Faithfulness(shifts=-1)
    with pytest.raises(ValueError, match="seed: -1"):
        Faithfulness(seed=-1)


@pytest.mark.parametrize("callback", [AnnotationFScore, Faithfulness])
def test_options_come_from_yaml(callback):
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(Callback, "callback")
    path = f"{callback.__module__}.{callback.__name__}"
    default = parser.instantiate_classes(parser.parse_object({"callback": {"class_path": path}})).callback
    assert default.percentiles == tuple(range(90, 100))
    options = {"percentiles": [95, 98], "frames_per_second": 31}
    config = parser.parse_object({"callback": {"class_path": path, "init_args": options}})
    chosen = parser.instantiate_classes(parser.parse_string(parser.dump(config))).callback
    assert (chosen.percentiles, chosen.frames_per_second) == ((95, 98), 31)
    with pytest.raises(Exception, match="percentiles"):
        parser.parse_object({"callback": {"class_path": path, "init_args": {"percentiles": ["high"]}}})


def test_rejects_a_measure_of_peaks_without_a_function():
    with pytest.raises(ValueError, match="the measure mine of the family annotation needs compute"):
        Measure("mine", "Mine", "Mine.", "max", family="annotation")
