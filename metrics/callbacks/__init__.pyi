from .base import EvaluationCallback as EvaluationCallback
from .deletion import DeletionInsertion as DeletionInsertion
from .detection import DetectionAUC as DetectionAUC
from .explanation import ExplanationCallback as ExplanationCallback
from .faithfulness import Faithfulness as Faithfulness
from .fscore import AnnotationFScore as AnnotationFScore
