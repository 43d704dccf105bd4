"""Classes by name: modules that fail, folders that hide each other, and plugins of real distributions."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from torch import nn

from lightning_modules.backbones import BACKBONES
from lightning_modules.errors import ConfigurationError
from lightning_modules.imports import OWN_PACKAGES, find_class, hidden_package, search_current_folder_last

ROOT = Path(__file__).resolve().parents[2]
MODULES = {
    "u_nets/__init__.py": "",
    "u_nets/good.py": "from torch import nn\n\nclass Small(nn.Module):\n    pass\n\nSIZE = 3\n",
    "u_nets/lacks.py": "import math\nimport no_such_library\n",
    "u_nets/fails.py": "def half():\n    raise OSError('no weights here')\n\nhalf()\n",
    "u_nets/broken.py": "class Small(:\n    pass\n",
    "u_nets/asks.py": "from u_nets.good import Large\n",
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder of a user, with modules of their own."""
    for name, code in MODULES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(code)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    monkeypatch.chdir(tmp_path)
    search_current_folder_last()
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] in ("u_nets", "u_plugin")]:
        del sys.modules[name]


def find(name):
    return find_class(name, nn.Module, BACKBONES, "my_lab.SmallCAE")


def test_finds_classes_by_name_and_path(folder):
    small = find("u_nets.good.Small")
    assert small.__module__ == "u_nets.good"
    assert find("u_nets.good.Small") is small
    assert find("cae") is find("CAE") is find("lightning_modules.CAE") is BACKBONES["cae"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "cea",
            "'cea' does not exist; choose one of skip_cae_transformer, .*, or a class path such as my_lab.SmallCAE",
        ),
        (
            "u_nets.bad.Small",
            r"'u_nets\.bad\.Small' can't be imported: there is no module u_nets\.bad; run the command",
        ),
        ("nets.good.Small", r"there is no module nets; run the command in its folder, install it, or put"),
        ("u_nets.good.Smal", r"does not exist: u_nets\.good \(.*good\.py\) contains no Smal; did you mean Small\?"),
        ("u_nets.good.SIZE", r"'u_nets\.good\.SIZE' is not a class but a int; give a subclass of torch\.nn"),
        ("u_nets.good.nn", r"'u_nets\.good\.nn' is not a class but a module"),
        (
            "collections.OrderedDict",
            r"'collections\.OrderedDict' is not a subclass of torch\.nn\.modules\.module\.Modul",
        ),
        ("u_nets/good.py", r"'u_nets/good\.py' is not a class path, such as"),
        (
            "u_nets.lacks.Small",
            r"can't be imported: No module named 'no_such_library' \(ModuleNotFoundError, .*lacks\.py, line 2\)",
        ),
        ("u_nets.fails.Small", r"can't be imported: no weights here \(OSError, .*fails\.py, line 2\)"),
        ("u_nets.broken.Small", r"can't be imported: .* \(SyntaxError, .*broken\.py, line 1\)"),
        ("u_nets.asks.Small", r"can't be imported: cannot import name 'Large' .* \(ImportError, .*asks\.py, line 1\)"),
    ],
)
def test_says_in_one_line_why_there_is_no_class(folder, name, message):
    with pytest.raises(ConfigurationError, match=message) as error:
        find(name)
    assert "\n" not in str(error.value)


def test_names_a_folder_that_a_package_of_ours_hides(folder):
    (folder / "metrics").mkdir()
    (folder / "metrics" / "mine.py").write_text("")
    for name in ("metrics.mine.Small", "metrics.Small"):
        with pytest.raises(ConfigurationError, match=r"metrics is hidden by the package 'metrics' of faithful-aad; re"):
            find(name)
    assert hidden_package() == ""


def test_names_a_folder_that_hides_a_package_of_ours(tmp_path):
    (tmp_path / "metrics").mkdir()
    (tmp_path / "metrics" / "__init__.py").write_text("")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    path = f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(ROOT)!r}]; "
    code = f"{path}from experiments.cli.main import main; sys.exit(main(['report', 'nowhere']))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=elsewhere, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        f"faithful-aad report: error: {tmp_path}/metrics hides the package 'metrics' of faithful-aad; rename it, or "
        "take it off PYTHONPATH"
    ]


# As pip installs a checkout to be edited: what finds its packages comes after all folders.
EDITABLE = f"""
import importlib.machinery as machinery, importlib.util as util, pathlib, sys
class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        package = pathlib.Path({str(ROOT)!r}, name, "__init__.py")
        return util.spec_from_file_location(name, package) if package.is_file() else None
sys.path[:] = [entry for entry in sys.path if entry not in ("", {str(ROOT)!r})]  # as in a console script
sys.meta_path.insert(sys.meta_path.index(machinery.PathFinder) + 1, Finder)
from experiments.cli.main import main
"""


def test_no_folder_of_the_user_hides_an_editable_install(tmp_path):
    for name in OWN_PACKAGES:
        (tmp_path / name).mkdir()
    (tmp_path / "metrics" / "loss.csv").write_text("")
    (tmp_path / "u_lab.py").write_text("value = 3")
    code = f"{EDITABLE}\nstatus = main(['chance', 'nowhere.csv', '--seconds', '1'])\nimport u_lab\nsys.exit(status)"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("faithful-aad chance: error: nowhere.csv cannot be read")


def test_current_folder_comes_last_however_python_was_started(folder, monkeypatch):
    monkeypatch.setattr(sys, "path", ["", str(folder), "/of/python"])
    search_current_folder_last()
    search_current_folder_last()
    assert sys.path == ["/of/python", str(folder)]
    monkeypatch.chdir(ROOT)
    search_current_folder_last()
    assert sys.path == ["/of/python", str(folder)], "a checkout stays where it is"


@pytest.fixture
def plugins(folder):
    """A distribution with plugins, installed by its metadata as pip does."""
    (folder / "u_plugin.py").write_text(
        "from torch import nn\n\nclass SmallCAE(nn.Module):\n    pass\n\nclass Other(dict):\n    pass\n"
    )
    metadata = folder / "u_plugin-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: u-plugin\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        "[faithful_aad.plugins]\nsmall = u_plugin:SmallCAE\nbad = u_nets.lacks:Net\nother = u_plugin:Other\n"
        "cae = u_nets.fails:Net\n"
    )


@pytest.mark.usefixtures("plugins")
def test_finds_a_plugin_by_its_name_and_by_its_class():
    assert find("small").__name__ == "SmallCAE"
    assert find("SmallCAE") is find("small") is find("u_plugin.SmallCAE")
    assert find("cae") is BACKBONES["cae"], "a known name loads no plugin"
    assert "u_nets.fails" not in sys.modules


@pytest.mark.usefixtures("plugins")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("bad", r"'bad', a plugin of u-plugin \(u_nets\.lacks:Net\), can't be imported: No module named 'no_such_lib"),
        ("other", r"'other', a plugin of u-plugin \(u_plugin:Other\), is not a subclass of torch\.nn"),
        ("smal", "'smal' does not exist; choose one of"),
    ],
)
def test_names_a_plugin_that_can_not_be_used(name, message):
    with pytest.raises(ConfigurationError, match=message):
        find(name)
