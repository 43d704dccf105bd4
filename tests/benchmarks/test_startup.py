"""What commands import before they answer, and that the benchmark of their start-up prints ratios."""

import subprocess
import sys

import pytest
from benchmarks import startup

# Parts that only the libraries themselves import: the libraries may be there as modules that nothing has used yet.
HEAVY = ("lightning.pytorch", "captum.attr", "scipy.stats", "scipy.signal", "sklearn.svm", "wandb.sdk", "torchmetrics")
HEAVY += ("matplotlib.figure", "altair.vegalite", "torchaudio.transforms")

PRELUDE = f"""
import sys
from experiments.cli.commands import COMMANDS, STAGE
from experiments.cli.main import main

def unneeded(arguments, *names):
    try:
        main(arguments)
    except SystemExit:
        pass
    found = [name for name in names if name in sys.modules]
    assert not found, (arguments, found)

HEAVY = {HEAVY}
"""
OVERVIEWS = """
for arguments in ([], ["--help"], ["configs"], ["configs", "show", "demo"], ["simulate", "--help"], ["no_such"]):
    unneeded(arguments, "torch", *HEAVY)
for name, command in COMMANDS.items():
    if command.target != STAGE:
        unneeded([*name.split(), "--help"], *HEAVY)
        unneeded([*name.split(), "--no_such"], *HEAVY)
"""
STAGES = """
unneeded(["fit", "--no_such"], "wandb", "captum.attr", "sklearn.svm", "altair.vegalite", "submitit")
"""


@pytest.mark.parametrize("script", [OVERVIEWS, STAGES], ids=["overviews", "stages"])
def test_commands_import_what_they_need(script):
    done = subprocess.run([sys.executable, "-c", PRELUDE + script], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_prints_a_ratio_per_command(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(startup, "IMPORTS", {"torch": 1.3})
    monkeypatch.setattr(startup, "command_lines", lambda: {"--help": "torch"})
    startup.main(repeats=1)
    words = next(line for line in capsys.readouterr().out.splitlines() if "--help" in line).split()
    assert 0 < float(words[5]) < 1, "importing PyTorch takes longer than the overview of commands"


def test_compares_every_command():
    lines = startup.command_lines()
    assert (lines["fit --help"], lines["report --help"]) == ("lightning.pytorch", "torch")
    assert len(lines) > len(startup.COMMANDS)
