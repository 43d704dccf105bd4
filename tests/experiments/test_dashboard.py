"""The dashboard: its layout, and its errors."""

import json
import sys

import pytest
import wandb
from wandb_server import wandb_server

from experiments.cli.main import main
from explainers import EXPLAINERS as ALL_EXPLAINERS
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
        "Explanations at percentile 98",
        "Sanity checks, deletion and insertion",
        "Clips and tables",
        "Training",
        "Quality against training length",
    ]
    saliency = configs(laid_out["F1 over percentiles"])["Saliency"]
    assert saliency["metrics"] == ["test/f1_curve/saliency", "test/f1_chance_curve/saliency"]
    assert (saliency["xAxis"], saliency["groupBy"]) == ("percentile", "variant.value")
    assert (saliency["groupAgg"], saliency["groupArea"]) == ("mean", "stddev")
    assert {title: panel["metrics"] for title, panel in configs(laid_out["Detection"]).items()} == {
        "AUC": ["test/auc"],
        "pAUC": ["test/pauc"],
        "AUC, masked score": ["test/auc_masked_score"],
        "pAUC, masked score": ["test/pauc_masked_score"],
        "AUC, level alone": ["test/auc_level"],
        "pAUC, level alone": ["test/pauc_level"],
    }
    length = configs(laid_out["Quality against training length"])
    assert length["F1 over chance, Saliency"]["metrics"] == ["curve/f1_over_chance/saliency"]
    assert (length["AUC"]["xAxis"], length["AUC"]["groupBy"]) == ("curve/steps", "variant.value")
    training = configs(laid_out["Training"])["Learning rate"]
    assert (training["xAxis"], training["metrics"]) == ("trainer/global_step", ["train/learning_rate"])
    assert training["groupBy"] == "variant.value"


@pytest.mark.parametrize("group", ["planer", "a 'quoted' \"study\""])
def test_compares_variants_of_a_group(workspace, group):
    (runs,) = workspace("--group", group)["spec"]["section"]["runSets"]
    (chosen,) = runs["filters"]["filters"]
    assert (chosen["key"], chosen["op"], chosen["value"]) == ({"section": "run", "name": "group"}, "=", group)
    assert runs["grouping"] == [{"section": "config", "name": "variant.value"}]


def test_shows_all_runs_without_a_group(workspace):
    (runs,) = workspace()["spec"]["section"]["runSets"]
    assert not runs["filters"]["filters"]


def test_panels_show_what_a_study_logs(workspace, tracked):
    """Lines and media are keys of the history, bars and columns of the summary, of one of the stages."""
    stages = [tracked.uploaded(tracked.mae, stage) for stage in ("fit", "curve", "test")]
    history = {key for stage in stages for row in stage.history for key in row}
    summary = {key for stage in stages for key in stage.summary}
    view = workspace("--explainers", json.dumps(list(ALL_EXPLAINERS)))
    panels = [panel for of_section in sections(view).values() for panel in of_section]
    by_type = {
        kind: {key for panel in panels if kind in panel["viewType"] for key in panel["config"].get(keys, ())}
        for kind, keys in {"Line": "metrics", "Bar": "metrics", "Media": "mediaKeys"}.items()
    }
    assert by_type["Line"] <= history
    assert {name for name in history if "_curve/" in name} <= by_type["Line"], "every curve is shown"
    corrected = {name for name in by_type["Bar"] if "_corrected/" in name}
    assert corrected & summary
    assert by_type["Bar"] - corrected <= summary, "a corrected value is undefined where the oracle is at chance"
    assert by_type["Media"] <= history
    assert by_type["Media"]
    tables = {name for name in ("test/clips", "test/explanations", "test/detection") if name in json.dumps(panels)}
    assert len(tables & summary) == 3
    (runs,) = view["spec"]["section"]["runSets"]
    pinned = {name.removeprefix("summary:") for name in runs["runFeed"]["columnPinned"]} - {"run:displayName"}
    assert pinned <= summary
    assert all("variant" in stage.config for stage in stages)


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
    monkeypatch.delitem(sys.modules, "experiments.tracking.workspace", raising=False)
    (line,) = error_lines(capsys, "--output", str(tmp_path / "workspace.json"))
    assert "pip install 'faithful-aad[dashboard]'" in line
    assert not list(tmp_path.iterdir())


def test_rejects_unknown_explainers(capsys, tmp_path):
    (line,) = error_lines(capsys, "--explainers", "[lime]", "--output", str(tmp_path / "workspace.json"))
    assert "--explainers lime does not exist; choose from error_map" in line


def test_saves_for_the_entity_of_the_account(account, capsys):
    with wandb_server() as server:
        account(server.address, "0" * 40)
        assert main(["dashboard", "--project", "planing", "--group", "study"]) == 0
    (view,) = server.views
    assert (view["entityName"], view["projectName"]) == ("somebody", "planing")
    assert view["displayName"] == "AE against MAE: study"
    assert "test/f1_curve/error_map" in view["spec"]
    assert capsys.readouterr().out.strip() == f"{server.address}/somebody/planing?nw=view"
