"""The command that lays out the comparison of AE and MAE as a Weights & Biases workspace."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from explainers import EXPLAINERS
from lightning_modules.errors import ConfigurationError
from lightning_modules.files import write_atomically


def dashboard(
    project: str = "faithful-aad",
    entity: str | None = None,
    group: str | None = None,
    explainers: Sequence[str] = tuple(EXPLAINERS),
    output: str | None = None,
) -> None:
    """Lay out a study's comparison as a workspace on Weights & Biases.

    Args:
        project: The project whose runs are compared.
        entity: The user or team that owns it; the account's own by default.
        group: The group to show, a study's name; all runs by default.
        explainers: The explainers that get panels.
        output: A JSON file to write instead of saving the workspace on Weights & Biases; needs no account.

    Raises:
        ConfigurationError: If the optional packages, an account or the network is missing.
    """
    try:
        from experiments.tracking.workspace import build_workspace  # noqa: PLC0415  optional
    except ImportError as error:
        raise ConfigurationError(
            "dashboard needs an optional package: install it with `pip install 'faithful-aad[dashboard]'`"
        ) from error
    unknown = [name for name in explainers if name not in EXPLAINERS]
    if unknown:
        raise ConfigurationError(f"--explainers {unknown[0]} does not exist; choose from {', '.join(EXPLAINERS)}")
    if output is not None:
        view = build_workspace(project, entity or "", group, explainers)._to_model()  # the package only saves online
        write_atomically(Path(output), view.model_dump_json(by_alias=True, exclude_none=True, indent=1).encode())
        print(output)
        return
    # They take seconds, which the help of the command need not wait for.
    import wandb  # noqa: PLC0415

    from experiments.tracking.loggers import has_account  # noqa: PLC0415

    if not has_account():
        raise ConfigurationError(
            "dashboard needs an account: call `wandb login` first, or write the workspace to a file with --output"
        )
    try:
        workspace = build_workspace(project, entity or wandb.Api().default_entity, group, explainers)
        workspace.save()
        print(workspace.url)
    except Exception as error:  # W&B passes on exceptions of its transports
        reason = " ".join(str(error).split())
        raise ConfigurationError(
            f"the dashboard can't be saved to project {project} ({reason}); check --project, --entity and the network"
        ) from error
