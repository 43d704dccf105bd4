"""Lightning callbacks that measure detection and explanations while a model is validated or tested."""

from metrics.callbacks.base import LABELLED_DATALOADER, Clip, EvaluationCallback
from metrics.callbacks.chance import ChanceCallback
from metrics.callbacks.deletion import DeletionInsertion
from metrics.callbacks.detection import DetectionAUC
from metrics.callbacks.explanation import ExplanationCallback
from metrics.callbacks.faithfulness import Faithfulness
from metrics.callbacks.fscore import AnnotationFScore

__all__ = [
    "LABELLED_DATALOADER",
    "AnnotationFScore",
    "ChanceCallback",
    "Clip",
    "DeletionInsertion",
    "DetectionAUC",
    "EvaluationCallback",
    "ExplanationCallback",
    "Faithfulness",
]
