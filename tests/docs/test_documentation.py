"""What README and documentation show: commands exist, links resolve, and the code of "Extend" runs."""

import importlib
import re
import shlex
import sys
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from io import StringIO
from pathlib import Path

import pytest
import torch
from run_folders import RunMaker

from experiments.cli.main import main

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


# The command of "Extend" needs classes that only exist there; test_code_of_extend_runs runs it.
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
    """Blocks with a title are files, written beside those of the package; the others use them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    code = blocks("docs/extend.md", "python")
    files = [(tmp_path / title, block) for title, block in code if title]
    assert len(files) == 6
    for file, block in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(block)
        package = importlib.import_module(".".join(file.relative_to(tmp_path).parts[:-1]))
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(file.parent)])
    RunMaker("AE").write(tmp_path / "runs" / "demo" / "ae")
    RunMaker("MAE").write(tmp_path / "runs" / "demo" / "mae")
    for block in (block for title, block in code if not title):
        exec(block, {"__name__": "extend"})

    write_listed_clips(tmp_path / "recordings")
    (command,) = commands("docs/extend.md")
    quick = ["--trainer.fast_dev_run", "true", "--trainer.accelerator", "cpu", "--data.batch_size", "2"]
    status, printed = run(*command, *quick, "--trainer.enable_progress_bar", "false")
    assert status == 0, printed
    for name in [name for name in sys.modules if name.partition(".")[0] == "my_lab"]:
        del sys.modules[name]


def write_listed_clips(root):
    """Six spectrograms of 80 bands × 80 frames, and the table that the data set of the page reads."""
    root.mkdir()
    lines = ["file,split,label,type"]
    for number in range(6):
        torch.save(torch.randn(80, 80), root / f"{number}.pt")
        anomalous = number == 5
        split = "train" if number < 4 else "test"
        lines.append(f"{number}.pt,{split},{int(anomalous)},{'knock' if anomalous else ''}")
    (root / "clips.csv").write_text("\n".join(lines) + "\n")
