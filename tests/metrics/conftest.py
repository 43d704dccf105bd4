"""Helpers beside these tests can be imported, and several processes run once for all tests that compare."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent


@pytest.fixture(scope="session")
def distributed_run(tmp_path_factory):
    """Folder with what `metrics_distributed.py` saved."""
    folder = tmp_path_factory.mktemp("distributed")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parents[1]), *sys.path])}
    done = subprocess.run(
        [sys.executable, HERE / "metrics_distributed.py", folder],
        env=environment,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder
