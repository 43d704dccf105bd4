"""The dashboard: its layout, and its errors."""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import wandb
from offline_runs import offline_runs

from experiments.cli.main import main
from experiments.tracking.loggers import WandbSettings, build_loggers
from metrics.measures import MEASURES

pytest.importorskip("wandb_workspaces")

EXPLAINERS = ("error_map", "saliency")


@pytest.fixture
def account(monkeypatch, tmp_path):
    """Set W&B's server and key, in an environment that has no other."""

    def use(server, key):
        monkeypatch.setenv("WANDB_BASE_URL", server)
        if key is not None:
            monkeypatch.setenv("WANDB_API_KEY", key)

    wandb.teardown()  # forgets server and credentials of this process
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    monkeypatch.setenv("HOME", str(tmp_path))
    yield use
    wandb.teardown()


@pytest.fixture
def server():
    """A stand-in for W&B's server; yields its address and the workspaces that were saved."""
    saved = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            request = self.rfile.read(int(self.headers["Content-Length"]))
            data = {"viewer": {"id": "1", "entity": "somebody", "username": "somebody", "flags": "{}"}}
            if b"upsertView" in request:
                saved.append(json.loads(request)["variables"])
                data = {"upsertView": {"view": {"id": "1", "name": "nw-view-v"}, "inserted": True}}
            answer = json.dumps({"data": data}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *args):
            pass

    stand_in = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=stand_in.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{stand_in.server_port}", saved
    stand_in.shutdown()


@pytest.fixture
def workspace(tmp_path):
    """Write a workspace to a file and read it."""

    def write(*options):
        path = tmp_path / "out" / "workspace.json"
        arguments = ["dashboard", "--output", str(path), "--explainers", json.dumps(EXPLAINERS), *options]
        assert main(arguments) == 0
        return json.loads(path.read_text())

    return write


def sections(view):
    found = view["spec"]["section"]["panelBankConfig"]["sections"]
    return {section["name"]: section["panels"] for section in found}


def configs(panels):
    return {panel["config"]["chartTitle"]: panel["config"] for panel in panels}


def test_sections_and_panels(workspace):
    laid_out = sections(workspace())
    assert list(laid_out) == [
        "Detection",
        *(f"{measure.label} over percentiles" for measure in MEASURES.values() if measure.headline),
        "Chance levels",
        "Sanity checks, deletion and insertion",
        "Clips",
        "Training",
    ]
    saliency = configs(laid_out["F1 over percentiles"])["Saliency"]
    assert saliency["metrics"] == ["test/f1_curve/saliency", "test/f1_chance_curve/saliency"]
    assert (saliency["xAxis"], saliency["groupBy"]) == ("percentile", "jobType")
    assert (saliency["groupAgg"], saliency["groupArea"]) == ("mean", "stddev")
    assert {title: panel["metrics"] for title, panel in configs(laid_out["Detection"]).items()} == {
        "AUC": ["test/auc.max"],
        "pAUC": ["test/pauc.max"],
        "AUC, masked score": ["test/auc_masked_score.max"],
        "pAUC, masked score": ["test/pauc_masked_score.max"],
    }
    assert "test/clips" in json.dumps(laid_out["Clips"][0]["config"])


@pytest.mark.parametrize("group", ["planer", "a 'quoted' \"study\""])
def test_compares_job_types_of_a_group(workspace, group):
    (runs,) = workspace("--group", group)["spec"]["section"]["runSets"]
    (chosen,) = runs["filters"]["filters"]
    assert (chosen["key"], chosen["op"], chosen["value"]) == ({"section": "run", "name": "group"}, "=", group)
    assert runs["grouping"] == [{"section": "run", "name": "jobType"}]


def test_shows_all_runs_without_a_group(workspace):
    (runs,) = workspace()["spec"]["section"]["runSets"]
    assert not runs["filters"]["filters"]


def test_panels_match_logged_scalars(workspace, tmp_path):
    with_chance = [key for key, measure in MEASURES.items() if measure.has_chance]
    levels = [f"{key}{what}" for key in with_chance for what in ("", "_chance", "_corrected", "_pvalue")]
    names = [f"test/{level}/{name}/p{p}" for level in levels for name in EXPLAINERS for p in (97, 98)]
    checks = ("deletion", "insertion", "sanity/randomisation", "sanity/infidelity", "sanity/max_sensitivity")
    names += [f"test/{check}/{name}" for check in checks for name in EXPLAINERS]
    names += ["test/auc", "test/pauc", "test/auc_masked_score", "test/pauc_masked_score", "train/loss", "val/loss"]
    (_, logger) = build_loggers(tmp_path / "run", "test", WandbSettings(mode="offline"))
    logger.log_metrics(dict.fromkeys(names, 0.5))
    wandb.finish()
    (run,) = offline_runs(tmp_path / "run")
    summary = {f"{name}.{best}" for name, value in run.summary.items() if isinstance(value, dict) for best in value}

    panels = [panel for of_section in sections(workspace()).values() for panel in of_section]
    lines = {metric for panel in panels if "Line" in panel["viewType"] for metric in panel["config"]["metrics"]}
    bars = {metric for panel in panels if "Bar" in panel["viewType"] for metric in panel["config"]["metrics"]}
    assert lines <= run.logged
    assert bars <= summary
    assert {name for name in run.logged if "_curve/" in name} <= lines, "every curve is shown"


def error_lines(capsys, *options):
    """What `dashboard` prints when it fails."""
    assert main(["dashboard", *options]) == 2
    return [line for line in capsys.readouterr().err.splitlines() if not line.startswith("wandb:")]


def test_saving_needs_an_account(account, capsys):
    account("http://127.0.0.1:9", None)
    (line,) = error_lines(capsys)
    assert line == (
        "faithful-aad dashboard: error: dashboard needs an account: call `wandb login` first, "
        "or write the workspace to a file with --output"
    )


def test_missing_package_is_named(monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, "wandb_workspaces", None)
    monkeypatch.delitem(sys.modules, "experiments.tracking.dashboard", raising=False)
    (line,) = error_lines(capsys, "--output", str(tmp_path / "workspace.json"))
    assert "pip install 'faithful-aad[dashboard]'" in line
    assert not list(tmp_path.iterdir())


def test_rejects_unknown_explainers(capsys, tmp_path):
    (line,) = error_lines(capsys, "--explainers", "[lime]", "--output", str(tmp_path / "workspace.json"))
    assert "--explainers lime does not exist; choose from error_map" in line


def test_saves_for_the_entity_of_the_account(account, server, capsys):
    address, saved = server
    account(address, "0" * 40)
    assert main(["dashboard", "--project", "planing", "--group", "study"]) == 0
    (view,) = saved
    assert (view["entityName"], view["projectName"]) == ("somebody", "planing")
    assert view["displayName"] == "AE against MAE: study"
    assert "test/f1_curve/error_map" in view["spec"]
    assert capsys.readouterr().out.strip() == f"{address}/somebody/planing?nw=view"
