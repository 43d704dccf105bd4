from .convert import convert_annotations as convert_annotations
from .joining import annotate as annotate
from .joining import check_annotations as check_annotations
from .joining import frame_mask as frame_mask
from .reading import ANNOTATION_FILE as ANNOTATION_FILE
from .reading import annotation_format as annotation_format
from .reading import read_annotations as read_annotations
from .rows import AnnotationRow as AnnotationRow
