"""What is done of a run already, told from its folder."""

from __future__ import annotations

import json
from typing import Any

from experiments.runs.folder import STUDY_FILE, RunFolder
from experiments.study.plan import RunPlan
from lightning_modules.errors import ConfigurationError
from lightning_modules.files import write_atomically


def is_fitted(plan: RunPlan) -> bool:
    """Whether the training that a run tests has ended.

    Raises:
        ConfigurationError: If the run's folder was made with other options of training.
    """
    made = _read_record(plan)
    # A run that failed before it had a stage holds nothing that the new options could be mixed with.
    begun = any((plan.folder / stage).exists() for stage in ("fit", "test"))
    if begun and made is not None and made.get("fit") != plan.fit:
        raise ConfigurationError(
            f"{plan.folder} was made with other options ({_first_change(made.get('fit'), plan.fit)}); "
            f"delete that folder, or give the study another --output"
        )
    return plan.fitted_in is not None and RunFolder(plan.fitted_in).is_finished("fit")


def is_tested(plan: RunPlan) -> bool:
    """Whether a run has its results, made with the options that the plan has now."""
    made = _read_record(plan)
    return made is not None and made.get("test") == plan.test and RunFolder(plan.folder).is_finished("test")


def record(plan: RunPlan) -> None:
    """Write into a run's folder which run of which study it is, and how it is made.

    Results that were made otherwise go, so that they never pass for those of the plan.
    """
    if not is_tested(plan):
        RunFolder(plan.folder).clear("test")
    contents = {
        "study": plan.study,
        "variant": plan.variant,
        "settings": plan.settings,
        "seed": plan.seed,
        "fit": plan.fit,
        "test": plan.test,
    }
    write_atomically(plan.folder / STUDY_FILE, json.dumps(contents, indent=1).encode())


def _read_record(plan: RunPlan) -> dict[str, Any] | None:
    path = plan.folder / STUDY_FILE
    try:
        made: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:  # not what is wrong with the path
        raise ConfigurationError(f"{path} is damaged ({error}); delete the folder") from error
    return made


def _first_change(before: Any, now: list[str]) -> str:
    """The first argument that differs, as it was and as it is."""
    before = before if isinstance(before, list) else []
    gone = [argument for argument in before if argument not in now]
    new = [argument for argument in now if argument not in before]
    return f"was {(gone or ['without'])[0]}, is {(new or ['without'])[0]}"
