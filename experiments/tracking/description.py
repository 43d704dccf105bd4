"""What Weights & Biases knows a run by: its id, name, group, tags and configuration."""

from __future__ import annotations

import os
import re
import secrets
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.runs.config import objective_name
from experiments.runs.folder import STUDY_FILE, TRACKING_ID_FILE, TRAINING_FILE
from experiments.runs.results import read_membership
from lightning_modules.backbones import describe_backbone
from lightning_modules.base import package_version
from lightning_modules.errors import ConfigurationError
from lightning_modules.files import write_atomically

_MAX_NAME = 128  # characters, of W&B
_MAX_TAG = 64


def stage_id(run: Path, stage: str) -> str:
    """The id of a stage of a run on Weights & Biases, where every stage is a run of its own.

    What W&B uploads under the id of another run replaces its summary. `fit` keeps one id, since a training that is
    interrupted continues and a sweep reads its results by the id that its agent sets; the other stages begin anew.
    """
    shared = shared_id(run)
    return shared if stage == "fit" else f"{shared}-{stage}-{secrets.token_hex(2)}"


def shared_id(run: Path) -> str:
    """The id that all stages of a run folder share, made at its first use.

    Raises:
        ConfigurationError: If the file that keeps it is damaged.
    """
    path = run / TRACKING_ID_FILE
    identity = path.read_text(encoding="utf-8", errors="replace").strip() if path.exists() else ""
    if not identity:
        given = os.environ.get("WANDB_RUN_ID", "").strip() if _in_sweep() else ""
        identity = given or secrets.token_hex(4)
        write_atomically(path, identity.encode())
    if not re.fullmatch(r"[\w.-]{1,100}", identity, re.ASCII):
        raise ConfigurationError(f"{path} does not contain a valid W&B run id; delete it to begin a new run there")
    return identity


def model_artifact(run: Path) -> str:
    """Name of the artifact that has the checkpoint of a run."""
    return f"model-{shared_id(run)}"


def describe(
    run: Path,
    stage: str,
    config: Mapping[str, Any],
    *,
    name: str | None = None,
    group: str | None = None,
    job_type: str | None = None,
    tags: Sequence[str] = (),
    n_train: int | None = None,
) -> dict[str, Any]:
    """What W&B knows a stage of a run by, as arguments of ``wandb.init``.

    Args:
        run: The run's folder.
        stage: The stage.
        config: Its whole configuration, as ``config.yaml`` has it, interpolations resolved.
        name: The run's name. By default its variant, settings and seed in a study, else its objective and seed, such as
            `MAE seed 1`; none in a sweep. The later stages are called `MAE seed 1 test`.
        group: Its group, by default the study.
        job_type: What it does, by default the stage.
        tags: Tags beside those of its objective, variant and seed.
        n_train: Number of training clips, None where they are not read.
    """
    member = read_membership(run / STUDY_FILE) or read_membership(run / TRAINING_FILE)
    objective = objective_name(dict(config))
    variant = objective if member is None else member.variant
    settings = {} if member is None else member.settings
    compared = " ".join([variant, *(f"{key}={value}" for key, value in settings.items())])
    seed = config["seed_everything"]
    if name is None and not _in_sweep():  # whose runs W&B names
        name = f"{compared} seed {seed}"
    end = "" if stage == "fit" else f" {stage}"
    model = config.get("model") or {}
    backbone = (model.get("init_args") or {}).get("backbone")
    has_artifact = (config.get("wandb") or {}).get("log_model", True)
    is_own_best = stage == "fit" or ((run / "fit").is_dir() and config.get("ckpt_path") in (None, "best"))
    known = {
        "stage": stage,
        # These two join the stages of a run.
        "run": str(run),
        "run_id": shared_id(run),
        "objective": objective,
        "variant": compared,  # what dashboards group by
        "study": None if member is None else member.study,
        "settings": settings or None,
        "backbone": None if backbone is None else describe_backbone(backbone).partition("(")[0],
        "training_clips": n_train,
        "model_artifact": f"{model_artifact(run)}:best" if has_artifact and is_own_best else None,
        "package_version": package_version(),
        "git_commit": _git_commit(),
    }
    sections = {key: value for key, value in config.items() if key != "wandb"}
    return {
        "id": stage_id(run, stage),
        "name": None if name is None else name[: _MAX_NAME - len(end)] + end,
        "group": group or (None if member is None else member.study),
        "job_type": job_type or stage,
        "tags": list(dict.fromkeys(tag[:_MAX_TAG] for tag in (objective, variant, f"seed-{seed}", *tags))),
        "config": sections | {key: value for key, value in known.items() if value is not None},
    }


def _in_sweep() -> bool:
    """Whether a sweep's agent has started this process."""
    return "WANDB_SWEEP_ID" in os.environ


def _git_commit() -> str | None:
    """The commit of the working folder's repository or else of the package's, None where neither is in one."""
    for folder in (Path.cwd(), Path(__file__).parent):
        command = ["git", "-C", str(folder), "rev-parse", "HEAD"]
        try:
            found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
        except (OSError, subprocess.TimeoutExpired):  # git is not installed, or waits for a file system
            return None
        if found.returncode == 0:
            return found.stdout.strip()
    return None
