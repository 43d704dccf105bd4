"""Lightning callbacks that measure detection and explanations while a model is validated or tested."""

from metrics.callbacks.base import LABELLED_DATALOADER, Clip, EvaluationCallback
from metrics.callbacks.detection import DetectionAUC
from metrics.callbacks.explanation import ExplanationCallback
from metrics.callbacks.faithfulness import Faithfulness
from metrics.callbacks.fscore import AnnotationFScore

__all__ = [
    "LABELLED_DATALOADER",
    "AnnotationFScore",
    "Clip",
    "DetectionAUC",
    "EvaluationCallback",
    "ExplanationCallback",
    "Faithfulness",
]
