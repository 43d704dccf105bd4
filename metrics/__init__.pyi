from .clip_metric import ClipMetric as ClipMetric
from .detection import AnomalyAUROC as AnomalyAUROC
from .explanations import DeletionInsertionScore as DeletionInsertionScore
from .explanations import FaithfulnessScore as FaithfulnessScore
from .explanations import SegmentFScore as SegmentFScore
from .measures import DEFAULT_PERCENTILES as DEFAULT_PERCENTILES
from .measures import MEASURES as MEASURES
from .measures import Measure as Measure
