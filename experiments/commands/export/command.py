"""`faithful-aad export`: a trained run as one ONNX file."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from experiments.runs.folder import RunFolder
from lightning_modules.errors import ConfigurationError

_PACKAGES = ("onnx", "onnxruntime", "onnxscript")


def export(
    run: str,
    output: str | None = None,
    input: Literal["audio", "spectrogram"] = "audio",
    precision: Literal["float32", "float16", "int8"] = "float32",
    clips: str | None = None,
) -> None:
    """Write a trained autoencoder as one ONNX file, from audio to scores and error map, and compare it with PyTorch.

    Args:
        run: Folder of the run.
        output: The file to write, model.onnx in the run's folder by default; an existing one is replaced.
        input: What the file takes: audio, samples of one channel at the front end's rate, or spectrogram, in dB as the
            front end makes it.
        precision: Numbers in the network: float32; float16, with weights stored in half the space; or int8, with 8-bit
            weights and activations. The last two change the scores.
        clips: Recording or folder of recordings to compare on; the test clips of the run's data set by default.

    Raises:
        ConfigurationError: If an optional package is missing, the run has no trained autoencoder, or a float32 file
            would differ from PyTorch.
        DataError: If a clip or the data set can't be used.
    """
    folder = RunFolder(run)
    path = folder.path / "model.onnx" if output is None else Path(output).expanduser()
    if path.is_dir():
        raise ConfigurationError(f"--output {path} is a folder; name the ONNX file to write")
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        raise ConfigurationError(
            f"export needs {', '.join(missing)}: install what is optional with `pip install 'faithful-aad[export]'`"
        )
    from experiments.commands.export.writing import write_model  # noqa: PLC0415  loads Lightning

    write_model(folder, path, input, precision, clips)
