"""Which loggers a run has, and what they need."""

import pytest
from lightning.pytorch.loggers import CSVLogger, WandbLogger

from experiments.tracking import WandbSettings, build_loggers
from lightning_modules import ConfigurationError


@pytest.fixture
def without_account(monkeypatch, tmp_path):
    """An environment in which W&B finds no key."""
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    monkeypatch.setenv("HOME", str(tmp_path))


def test_online_needs_an_account(without_account, tmp_path):
    with pytest.raises(ConfigurationError, match=r"--wandb\.mode online needs an account: call `wandb login` first"):
        build_loggers(tmp_path / "run", "fit", WandbSettings(mode="online"))
    assert not (tmp_path / "run").exists()


def test_online_works_with_an_account(without_account, monkeypatch, tmp_path):
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    loggers = build_loggers(tmp_path / "run", "fit", WandbSettings(mode="online"))
    assert [type(logger) for logger in loggers] == [CSVLogger, WandbLogger]


def test_disabled_leaves_the_csv_files(tmp_path):
    assert [type(logger) for logger in build_loggers(tmp_path, "fit", WandbSettings(mode="disabled"))] == [CSVLogger]


@pytest.mark.parametrize(("variable", "mode"), [("disabled", "disabled"), ("dryrun", "offline"), (None, "offline")])
def test_the_mode_follows_wandbs_own_variable(monkeypatch, variable, mode):
    if variable is None:
        monkeypatch.delenv("WANDB_MODE", raising=False)
    else:
        monkeypatch.setenv("WANDB_MODE", variable)
    assert WandbSettings().mode == mode
