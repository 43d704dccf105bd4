"""What README and documentation show: commands exist, links resolve, and the code of "Extend" runs."""

import importlib
import os
import re
import shlex
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest
import torch
from run_folders import RunMaker

from experiments.cli.main import main
from experiments.report.evidence import compute_evidence
from experiments.report.loading import load_comparison
from experiments.report.tables import overview_table
from experiments.runs.config import read_yaml

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = sorted(path.relative_to(REPOSITORY).as_posix() for path in (REPOSITORY / "docs").rglob("*.md"))
DOCUMENTS = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", *PAGES]
CONFIG = "audio_folder"
STAGES = ("fit", "validate", "test", "predict")
WITH_ACTIONS = ("annotations", "data", "download")


def blocks(document, language):
    """Titles and contents of the code blocks of a document, "" where there is no title."""
    fenced = re.compile(rf'^```{language}(?: title="([^"]*)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
    return fenced.findall((REPOSITORY / document).read_text())


def commands(document):
    """Arguments of each faithful-aad command in the bash blocks of a document."""
    for _, block in blocks(document, "bash"):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words[:1] == ["faithful-aad"]:
                yield tuple(words[1:])


# The commands of "Extend" need classes that only exist there; test_commands_of_extend_run runs them.
SHOWN = sorted({command for document in DOCUMENTS for command in commands(document) if document != "docs/extend.md"})


@cache
def run(*arguments):
    """Exit status and output of a command."""
    printed = StringIO()
    with redirect_stdout(printed), redirect_stderr(printed):
        try:
            status = main(list(arguments))
        except SystemExit as end:  # from --help and --print_config
            status = end.code
    return status, printed.getvalue()


def check_stage(*arguments):
    """Parse the options of a stage, with a configuration where it would take that of a run, which is not there."""
    config = () if "--config" in arguments else ("--config", CONFIG)
    status, printed = run(*arguments, *config, "--print_config")
    assert status == 0, printed


@pytest.mark.parametrize("command", SHOWN, ids=" ".join)
def test_shown_command_parses(command, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    name = command[0]
    end = command.index("--") if "--" in command else len(command)
    own, of_training = command[:end], command[end + 1 :]
    if name in STAGES:
        check_stage(*own)
        return
    status, printed = run(*own[: 2 if name in WITH_ACTIONS else 1], "--help")
    assert status == 0, printed
    assert {word for word in own if word.startswith("--")} <= set(re.findall(r"--[\w.]+", printed))
    if of_training:
        check_stage("fit", "--run", "runs/study", *of_training)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_mentioned_commands_exist(document):
    existing = re.findall(r"^  ([a-z]+) ", run("--help")[1], re.MULTILINE)
    text = (REPOSITORY / document).read_text()
    if document == "CHANGELOG.md":
        text = re.sub(r"### Removed\n.*?(?=\n### )", "", text, flags=re.DOTALL)
    assert set(re.findall(r"faithful-aad ([a-z]+)\b", text)) <= set(existing)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_relative_links_resolve(document):
    path = REPOSITORY / document
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", path.read_text())
    missing = [target for target in targets if "://" not in target and not (path.parent / target).exists()]
    assert missing == []


@pytest.mark.parametrize("document", sorted(set(DOCUMENTS) - {"CHANGELOG.md"}))
def test_mentioned_files_exist(document):
    folders = "datamodules|lightning_modules|explainers|metrics|experiments|tests|docs"
    mentioned = re.findall(rf"`((?:{folders})/[\w/.]+)`", (REPOSITORY / document).read_text())
    assert [path for path in mentioned if not (REPOSITORY / path).exists()] == []


def test_code_of_extend_runs(tmp_path, monkeypatch):
    """Blocks with a title are files, those of this package written beside its own; the others use them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    code = blocks("docs/extend.md", "python")
    files = [(tmp_path / title, block) for title, block in code if title]
    assert len(files) == 7
    for file, block in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(block)
        package = importlib.import_module(".".join(file.relative_to(tmp_path).parts[:-1]))
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(file.parent)])
    RunMaker("AE").write(tmp_path / "runs" / "demo" / "ae")
    RunMaker("MAE").write(tmp_path / "runs" / "demo" / "mae")
    for block in (block for title, block in code if not title):
        exec(block, {"__name__": "extend"})
    forget("my_lab")


def forget(package):
    """Let a package of a test be imported anew by the next one."""
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        del sys.modules[name]


def test_commands_of_extend_run(tmp_path, monkeypatch):
    """In a folder of the user's, outside the checkout: with the classes of the page, and no file of the package."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    for title, block in blocks("docs/extend.md", "python"):
        if title.startswith("my_lab/"):
            (tmp_path / title).parent.mkdir(exist_ok=True)
            (tmp_path / title).write_text(block)
    # A package of the user's that has the name of one of ours, which must go on to work.
    (tmp_path / "metrics").mkdir()
    (tmp_path / "metrics" / "__init__.py").write_text("raise SystemExit('the package of the user was imported')")
    write_listed_clips(tmp_path / "recordings")
    fit, test, report, sgd = commands("docs/extend.md")
    quick = ["--trainer.max_epochs", "1", "--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"]
    quick += ["--data.batch_size", "2", "--trainer.enable_model_summary", "false", "--wandb.mode", "disabled"]
    printed = faithful_aad(tmp_path, *fit, *quick)
    assert not printed, "no advice of a library"
    run_folder = tmp_path / "runs" / "denoising"
    epoch = pd.read_csv(run_folder / "fit" / "metrics.csv").iloc[-1]
    assert epoch["train/gradient_norm"] > 0
    few = ["--sanity.clips", "0", "--attributions.examples", "0"]  # figures are drawn by other tests
    status, printed = run(*test, *few)
    assert status == 0, printed
    explained = pd.read_csv(run_folder / "test" / "explanations.csv")
    assert {"error_map", "gradient_times_input"} <= set(explained["explainer"])
    assert "test/f1/gradient_times_input/p98" in pd.read_csv(run_folder / "test" / "metrics.csv")
    assert "Gradient times input" in printed, "in the summary"
    # What `report` shows; drawing its page takes as long as all the rest.
    comparison = load_comparison([Path(report[1])])
    overview = overview_table(comparison, compute_evidence(comparison, headline_only=True))
    assert [row[0].text for row in overview.rows] == ["Error map", "Gradient times input"]
    config = read_yaml(run_folder / "test" / "config.yaml")
    assert config["attributions"]["explainers"] == ["error_map", "my_lab.explainers.GradientTimesInput"]
    assert config["trainer"]["callbacks"][0] == {
        "class_path": "my_lab.callbacks.GradientNorm",
        "init_args": {"order": 1.0},
    }
    forget("my_lab")
    monkeypatch.chdir(REPOSITORY)
    check_stage(*sgd)


def faithful_aad(folder, *arguments):
    """Run the command in a folder as the script that pip installs does; returns what it prints."""
    script = folder / "bin" / "faithful-aad"
    script.parent.mkdir(exist_ok=True)
    script.write_text("import sys\nfrom experiments.cli.main import main\nsys.exit(main())\n")
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, script, *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def write_listed_clips(root):
    """Six spectrograms of 80 bands × 80 frames, and the tables that the data set of the page reads."""
    root.mkdir()
    lines = ["file,split,label,type"]
    for number in range(6):
        torch.save(torch.randn(80, 80), root / f"{number}.pt")
        anomalous = number == 5
        split = "train" if number < 4 else "test"
        lines.append(f"{number}.pt,{split},{int(anomalous)},{'knock' if anomalous else ''}")
    (root / "clips.csv").write_text("\n".join(lines) + "\n")
    (root / "annotations.csv").write_text("file,start,end\n5.pt,0.5,1.2\n")
