"""What README and documentation show: commands exist, links resolve, and the code of "Extend" runs."""

import importlib
import re
import shlex
import sys
from functools import cache
from pathlib import Path

import pytest

from experiments.cli.main import main

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = sorted(path.relative_to(REPOSITORY).as_posix() for path in (REPOSITORY / "docs").rglob("*.md"))
DOCUMENTS = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", *PAGES]
CONFIG = "experiments/configs/audio_folder.yaml"
STAGES = ("fit", "validate", "test", "predict")
OPTION = re.compile(r"--[\w.]+")


def blocks(document, language):
    """Titles and contents of the code blocks of a document, "" where there is no title."""
    text = (REPOSITORY / document).read_text()
    fenced = re.compile(rf'^```{language}(?: title="([^"]*)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
    return fenced.findall(text)


def commands(document):
    """Arguments of each faithful-aad command in the bash blocks of a document."""
    for _, block in blocks(document, "bash"):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words[:1] == ["faithful-aad"]:
                yield tuple(words[1:])


SHOWN = sorted({command for document in DOCUMENTS for command in commands(document)})


def run(arguments, capsys):
    """Exit status and output of a command that prints and ends."""
    try:
        status = main(list(arguments))
    except SystemExit as end:
        status = end.code
    printed = capsys.readouterr()
    return status, printed.out + printed.err


def complete_stage(command):
    """The stage with a configuration where it would take that of a run which is not there."""
    return [*command, *([] if "--config" in command else ["--config", CONFIG]), "--print_config"]


@cache
def help_text(*command):
    """Help of a command that is not a stage, through a pipe of its own since it is cached across tests."""
    from contextlib import redirect_stdout  # noqa: PLC0415
    from io import StringIO  # noqa: PLC0415

    printed = StringIO()
    with redirect_stdout(printed), pytest.raises(SystemExit) as end:
        main([*command, "--help"])
    assert end.value.code == 0
    return printed.getvalue()


@pytest.mark.parametrize("command", SHOWN, ids=" ".join)
def test_shown_command_parses(command, capsys, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    if any("my_lab" in word for word in command):
        pytest.skip("runs in test_code_of_extend_runs")
    name = command[0]
    own, _, of_training = (list(part) for part in partition(command, "--"))
    if name in STAGES:
        status, printed = run(complete_stage(own), capsys)
        assert status == 0, printed
        return
    known = set(
        OPTION.findall(help_text(*[word for word in own[:2] if word.islower() and word.isalnum()][: depth(name)]))
    )
    assert {word.partition("=")[0] for word in own if word.startswith("--")} <= known
    if of_training:
        status, printed = run(complete_stage(["fit", "--run", "runs/x", *of_training]), capsys)
        assert status == 0, printed


def depth(name):
    """Words that name the command: two where it has actions."""
    return 2 if name in ("annotations", "data", "download") else 1


def partition(words, separator):
    """The words before and after a separator."""
    at = words.index(separator) if separator in words else len(words)
    return words[:at], separator, words[at + 1 :]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_mentioned_commands_exist(document, capsys):
    _, overview = run(["--help"], capsys)
    existing = set(re.findall(r"^  ([a-z]+)  ", overview, re.MULTILINE))
    text = (REPOSITORY / document).read_text()
    removed = text[text.find("### Removed") :].partition("### Fixed")[0] if document == "CHANGELOG.md" else ""
    mentioned = set(re.findall(r"faithful-aad ([a-z]+)\b", text.replace(removed, "")))
    assert mentioned <= existing


@pytest.mark.parametrize("document", DOCUMENTS)
def test_relative_links_resolve(document):
    path = REPOSITORY / document
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", path.read_text()):
        if "://" not in target:
            assert (path.parent / target).exists(), target


def test_readme_is_short():
    assert len((REPOSITORY / "README.md").read_text().splitlines()) < 150


def test_code_of_extend_runs(tmp_path, monkeypatch, capsys):
    """Files with a title are written where it says, beside the packages; the other blocks use them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    code = blocks("docs/extend.md", "python")
    assert len(code) > 6
    for title, block in code:
        if title:
            file = tmp_path / title
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block)
            for parent in file.relative_to(tmp_path).parents[:-1]:
                package = importlib.import_module(".".join(parent.parts))
                monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path / parent)])
    for number, (_, block) in enumerate(each for each in code if not each[0]):
        exec(compile(block, f"extend_{number}.py", "exec"), {})

    write_listed_clips(tmp_path / "recordings")
    (command,) = commands("docs/extend.md")
    quick = ["--trainer.fast_dev_run", "true", "--trainer.accelerator", "cpu", "--data.batch_size", "2"]
    assert main([*command, *quick, "--trainer.enable_progress_bar", "false"]) == 0, capsys.readouterr().err
    for name in [name for name in sys.modules if name.partition(".")[0] == "my_lab"]:
        monkeypatch.delitem(sys.modules, name)


def write_listed_clips(root):
    """Six spectrograms of 80 × 80 and the table that the example's data set reads."""
    import torch  # noqa: PLC0415

    root.mkdir()
    lines = ["file,split,label,type"]
    for number in range(6):
        torch.save(torch.randn(80, 80), root / f"{number}.pt")
        label = int(number == 5)
        lines.append(f"{number}.pt,{'train' if number < 4 else 'test'},{label},{'knock' * label}")
    (root / "clips.csv").write_text("\n".join(lines) + "\n")
