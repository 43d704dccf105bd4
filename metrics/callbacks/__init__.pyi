from .base import EvaluationCallback as EvaluationCallback
from .deletion import DeletionInsertion as DeletionInsertion
from .detection import DetectionAUC as DetectionAUC
from .explanation import EXPLANATIONS_FILE as EXPLANATIONS_FILE
from .explanation import ExplanationCallback as ExplanationCallback
from .explanation import null_file as null_file
from .faithfulness import Faithfulness as Faithfulness
from .fscore import AnnotationFScore as AnnotationFScore
