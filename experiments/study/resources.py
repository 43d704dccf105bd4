"""What the jobs of a study request from a Slurm cluster: said in its YAML and on the command line."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from lightning_modules.errors import ConfigurationError
from lightning_modules.wording import TYPE_NAMES

_REPORT_MINUTES = 30
# What a job without a GPU must not ask for, besides GPUs.
_OF_A_TRAINING = ("array", "constraint", "exclusive", "nodelist", "prefer", "gres", "tres")


@dataclass(frozen=True)
class SlurmSettings:
    """What each training of a study requests from a Slurm cluster.

    Args:
        partition: Partition; the cluster's default if None.
        account: Account that the job is charged to.
        qos: Quality of service.
        constraint: Features that a node must have, for example "a100|h100".
        time: Minutes after which a job is put back into the queue, to resume after its last epoch; 1440 by default.
        gpus: GPUs per run; 0 by default.
        cpus: CPU cores per run; 1 by default.
        memory: GB of memory per run; 8 by default.
        array_parallelism: How many jobs of an array run at a time; 256 by default.
        setup: Shell commands before the run, for example ["module load cuda"].
        options: Further options of sbatch, for example {"gres": "gpu:a100:1"}. In a variant, null takes away an option
            that all runs have, and so does "" for the text above.
    """

    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    time: int | None = None
    gpus: int | None = None
    cpus: int | None = None
    memory: float | None = None
    array_parallelism: int | None = None
    setup: list[str] | None = None
    options: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        for names, types in _TYPES.items():
            for name in names:
                value = getattr(self, name)
                if value is not None and type(value) not in types:
                    kind = TYPE_NAMES[types[0]] + _UNITS.get(name, "")
                    raise ConfigurationError(f"slurm.{name} is {value!r}; it must be {kind}")
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise ConfigurationError(f"slurm.{name} {value} is too small; give at least {least}")

    def updated(self, other: SlurmSettings) -> SlurmSettings:
        """These settings, with those of another where it has any.

        Example:
            >>> settings = SlurmSettings(gpus=1, options={"comment": "AE"})
            >>> updated = settings.updated(SlurmSettings(gpus=0, options={"nice": 5}))
            >>> updated.gpus, updated.options
            (0, {'comment': 'AE', 'nice': 5})
        """
        changes = {name: value for name, value in asdict(other).items() if value is not None}
        if self.options and other.options:
            changes["options"] = self.options | other.options
        return SlurmSettings(**(asdict(self) | changes))

    def parameters(self, name: str) -> dict[str, Any]:
        """The parameters of submitit for jobs of a name."""
        settings = _DEFAULTS.updated(self)
        options = {name: value for name, value in (settings.options or {}).items() if value is not None}
        return {
            "job_name": name,
            "partition": settings.partition or None,
            "account": settings.account or None,
            "qos": settings.qos or None,
            "constraint": settings.constraint or None,
            "time": settings.time,
            "gpus_per_node": settings.gpus or None,
            "cpus_per_task": settings.cpus,
            # Since Slurm 22.05 srun does not inherit the number from sbatch.
            "srun_args": [f"--cpus-per-task={settings.cpus}"],
            "mem": f"{round((settings.memory or 0) * 1024)}M",
            "array_parallelism": settings.array_parallelism,
            # Without it, the current folder comes first, where a folder `metrics` would hide that of this package.
            "setup": ["export PYTHONSAFEPATH=1", *(settings.setup or [])],
            "additional_parameters": {"requeue": True, **options},
            "stderr_to_stdout": True,
        }

    def for_report(self) -> SlurmSettings:
        """The settings of the job that reports: where it may run and who pays, on one core without a GPU."""
        options = {
            name: value
            for name, value in (self.options or {}).items()
            if not name.startswith(_OF_A_TRAINING) and "gpu" not in name
        }
        return SlurmSettings(
            self.partition, self.account, self.qos, time=_REPORT_MINUTES, setup=self.setup, options=options
        )


_TYPES: dict[tuple[str, ...], tuple[type, ...]] = {
    ("partition", "account", "qos", "constraint"): (str,),
    ("time", "gpus", "cpus", "array_parallelism"): (int,),
    ("memory",): (float, int),
    ("setup",): (list,),
    ("options",): (dict,),
}
_UNITS = {"time": " of minutes, such as 240", "memory": " of GB, such as 16"}
_LEAST = {"time": 1, "gpus": 0, "cpus": 1, "memory": 0.1, "array_parallelism": 1}
_DEFAULTS = SlurmSettings(time=1440, gpus=0, cpus=1, memory=8.0, array_parallelism=256)

NO_REQUEST = SlurmSettings()
"""Nothing but the defaults."""
