"""Lightning callbacks that measure detection and explanations while a model is validated or tested."""

from metrics.callbacks.base import EvaluationCallback
from metrics.callbacks.deletion import DeletionInsertion
from metrics.callbacks.detection import DetectionAUC
from metrics.callbacks.explanation import EXPLANATIONS_FILE, ExplanationCallback, null_file
from metrics.callbacks.faithfulness import Faithfulness
from metrics.callbacks.fscore import AnnotationFScore

__all__ = [
    "EXPLANATIONS_FILE",
    "AnnotationFScore",
    "DeletionInsertion",
    "DetectionAUC",
    "EvaluationCallback",
    "ExplanationCallback",
    "Faithfulness",
    "null_file",
]
