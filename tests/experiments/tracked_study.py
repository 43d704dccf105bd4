"""A small study that is tracked offline, and what a server of Weights & Biases has of it after `wandb sync`."""

import json
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from wandb_server import WandbServer, wandb_server

from experiments.cli.main import main
from experiments.study.definition import read_definition
from experiments.study.plan import RunPlan, plan_runs

BASE = {
    "trainer": {"max_epochs": 3, "accelerator": "cpu", "limit_train_batches": 1, "enable_progress_bar": False,
                "enable_model_summary": False},
    "data": {"class_path": "PlanerDataModule", "init_args": {"n_frames": 80, "labelled_validation": 0.4}},
    "attributions": {"settings": {"smoothgrad": {"n_samples": 1}, "gradient_shap": {"n_samples": 1},
                                  "integrated_gradients": {"n_steps": 1}}},
    "faithfulness": {"shifts": 1},
    "sanity": {"clips": 1, "noise_samples": 1, "radius_samples": 1},
    "wandb": {"mode": "offline"},
}  # fmt: skip
STUDY = """
seeds: [1]
variants:
  MAE: {config: base.yaml, fit: {model: MaskedAutoencoder, model.backbone: cae}, grid: {model.mask_ratio: [0.5]}}
  One-class SVM: {config: base.yaml, fit: {model: OneClassSVM}, curve: null}
curve: {fscore.percentiles: [98], faithfulness.percentiles: [98]}
"""


@dataclass
class TrackedStudy:
    """A study's runs, each trained and tested.

    Attributes:
        mae: The MAE, whose training was interrupted in its third epoch and resumed.
        svm: The baseline.
        server: What was uploaded.
    """

    mae: RunPlan
    svm: RunPlan
    server: WandbServer

    def uploaded(self, plan, stage):
        """What the server has of a stage of a run."""
        shared = (plan.folder / "wandb-id").read_text()
        (found,) = [
            run for run in self.server.runs.values()
            if run.fields and (run.config["run_id"], run.config["stage"]) == (shared, stage)
        ]  # fmt: skip
        return found


def sync(server, *folders):
    """Upload offline runs as a user does, in a folder for W&B's logs."""
    variables = {"WANDB_BASE_URL": server.address, "WANDB_API_KEY": "0" * 40, "WANDB_MODE": "online"}
    command = [str(Path(sys.executable).with_name("wandb")), "sync", *map(str, folders)]
    logs = Path(folders[0]).parent
    subprocess.run(command, cwd=logs, env=os.environ | variables, check=True, capture_output=True, timeout=120)


def interrupted(marker):
    """Options of a training that is interrupted once."""
    callback = {"class_path": "interruptions.InterruptOnce", "init_args": {"marker": str(marker)}}
    return f"--trainer.callbacks={json.dumps([callback])}"


@contextmanager
def tracked_study(folder, data):
    """Run the commands of a study, interrupt one of its trainings, and upload everything."""
    (folder / "base.yaml").write_text(json.dumps(BASE))
    (folder / "study.yaml").write_text(STUDY)
    overrides = [f"--data.root={data}"]
    mae, svm = plan_runs(read_definition(folder / "study.yaml"), folder / "small", overrides)
    for plan in (mae, svm):
        plan.folder.mkdir(parents=True)
        plan.record()
    fit = [*mae.fit, interrupted(folder / "marker")]
    assert main(fit) == 130
    assert main(fit) == 0
    for command in (mae.test, mae.curve, svm.fit, svm.test):
        assert main(command) == 0
    with wandb_server() as server:
        sync(server, *sorted((folder / "small" / "runs").rglob("wandb")))
        yield TrackedStudy(mae, svm, server)
    shutil.rmtree(folder / "small", ignore_errors=True)
