"""From a scorer to an ONNX model, with 8-bit weights and activations where wanted."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import logging
import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import Tensor

from experiments.commands.export.scorer import Scorer
from lightning_modules.errors import ConfigurationError, first_line

_OPSET = 18
"""Of ONNX 1.13: the oldest that the exporter writes."""

_SCOPES = "pkg.torch.onnx.name_scopes"
"""Where the exporter notes the modules that a node comes from, the outermost first."""

_QUANTISED = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def to_onnx(scorer: Scorer) -> onnx.ModelProto:
    """Convert a scorer to a model that takes any number of clips.

    Raises:
        ConfigurationError: If the network does what ONNX has no operator for, or depends on the values of its input.
    """
    shape = {0: torch.export.Dim("clips", min=1)}
    if scorer.input_name == "audio":
        shape[1] = torch.export.Dim("samples", min=scorer.least_samples)
    try:
        with _quiet():
            # By itself, torch.onnx fixes the number of clips where it can't keep it open.
            traced = torch.export.export(scorer, (scorer.example,), dynamic_shapes=(shape,), strict=False)
            program = torch.onnx.export(
                traced,
                input_names=[scorer.input_name],
                output_names=list(scorer.outputs),
                opset_version=_OPSET,
                verbose=False,
            )
    except Exception as error:  # of any type, and about the network: the rest is known to work
        reason = first_line(error.__cause__ if isinstance(error.__cause__, Exception) else error)
        raise ConfigurationError(f"{type(scorer.network).__name__} can't be converted to ONNX: {reason}") from error
    assert program is not None  # as it is where a file is named
    return program.model_proto


def store_as_float16(model: onnx.ModelProto) -> onnx.ModelProto:
    """Store the network's weights in half the space; what reads the file computes in float32 with them.

    ONNX Runtime has few float16 operators for processors, and failed on networks made of them.
    """
    model = copy.deepcopy(model)
    of_network = {name for node in _network(model) for name in node.input}
    casts = []
    for weights in model.graph.initializer:
        if weights.name in of_network and weights.data_type == onnx.TensorProto.FLOAT:
            name, stored = weights.name, f"{weights.name}.float16"
            rounded = onnx.numpy_helper.to_array(weights).astype(np.float16)
            weights.CopyFrom(onnx.numpy_helper.from_array(rounded, stored))
            casts.append(onnx.helper.make_node("Cast", [stored], [name], f"cast {name}", to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    model.graph.ClearField("node")
    model.graph.node.extend(nodes)
    return model


def quantise(model: onnx.ModelProto, clips: Iterable[Tensor]) -> onnx.ModelProto:
    """Give the network's products with weights 8-bit integers; front end and errors remain float32.

    Args:
        model: What `to_onnx` returned.
        clips: Normal clips, whose activations give the range of the integers.
    """
    weights = {initializer.name for initializer in model.graph.initializer}
    chosen = [node.name for node in _network(model) if node.op_type in _QUANTISED and weights & set(node.input)]
    with TemporaryDirectory() as folder, _quiet():
        prepared, quantised = Path(folder, "prepared.onnx"), Path(folder, "quantised.onnx")
        # Shapes only: its optimisations would rename nodes.
        quant_pre_process(model, prepared, skip_optimization=True, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            quantised,
            _Clips(model.graph.input[0].name, clips),
            per_channel=True,
            reduce_range=True,  # 7-bit weights, whose sums don't saturate on processors without VNNI
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_quantize=chosen,
        )
        return onnx.load(quantised)


def serialise(model: onnx.ModelProto, metadata: Mapping[str, Any]) -> bytes:
    """The contents of the file: the model with its metadata, without the exporter's notes, such as paths of sources.

    Args:
        model: What `to_onnx` or `quantise` returned.
        metadata: Text, or what is written as JSON.
    """
    model = copy.deepcopy(model)
    for noted in (*model.graph.node, *model.graph.value_info, *model.graph.input, *model.graph.output):
        noted.ClearField("metadata_props")
    for holder in (model, model.graph):
        holder.ClearField("metadata_props")
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in metadata.items()}
    onnx.helper.set_model_props(model, texts)
    onnx.checker.check_model(model)
    contents: bytes = model.SerializeToString()
    return contents


class _Clips(CalibrationDataReader):
    """The clips from which ONNX Runtime takes the ranges of activations."""

    def __init__(self, name: str, clips: Iterable[Tensor]) -> None:
        self.name, self.clips = name, iter(clips)

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        """The next clip as a batch; None after the last one."""
        clip = next(self.clips, None)
        return None if clip is None else {self.name: clip.unsqueeze(0).numpy()}


def _network(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """The nodes of the network, rather than of the front end and the errors."""
    notes = ((node, {note.key: note.value for note in node.metadata_props}) for node in model.graph.node)
    return [node for node, note in notes if "'network'" in note.get(_SCOPES, "")]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Print no advice about the exporter's and quantiser's own parts."""
    nowhere = io.StringIO()
    with warnings.catch_warnings(), contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)
