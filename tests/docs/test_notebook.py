"""The notebook of the documentation, on a reduced set."""

from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).resolve().parents[2] / "docs" / "demo.ipynb"

# Twelve clips of four seconds and one epoch, in the folder that the notebook runs in.
REDUCED = """
from pathlib import Path
import torch

torch.set_num_threads(1)
FOLDER = Path("notebook")
TRAIN, NORMAL, ANOMALIES, SECONDS = 12, 4, 6, 4
EPOCHS = 1
"""


def read():
    return nbformat.read(NOTEBOOK, as_version=4)


def test_notebook_is_committed_without_outputs():
    assert all(not cell.get("outputs") and not cell.get("execution_count") for cell in read().cells)


def test_notebook_runs(tmp_path):
    notebook = read()
    (parameters,) = (cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
    parameters.source = REDUCED
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = {output.output_type: output for cell in notebook.cells for output in cell.get("outputs", [])}
    assert "image/png" in shown["display_data"].data
    assert (tmp_path / "notebook" / "MAE" / "explanations.csv").is_file()
