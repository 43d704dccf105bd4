"""A Slurm of one node on this machine: its own configuration, key and ports, in a folder that goes away."""

import getpass
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "squeue")
PATIENCE_S = 120
CONFIGURATION = """\
ClusterName=test
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
# No control groups, no accounting: a container has neither.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
ReturnToService=2
JobRequeue=1
# Jobs begin within a second.
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0
# Two GPUs that are none, on as many cores as wanted.
SlurmdParameters=config_overrides
GresTypes=gpu
NodeName=localhost NodeAddr=127.0.0.1 CPUs=2 RealMemory=65536 Gres=gpu:2 State=UNKNOWN
PartitionName=debug Nodes=localhost Default=YES MaxTime=INFINITE State=UP
"""
GPUS = """\
NodeName=localhost Name=gpu File=/dev/null
NodeName=localhost Name=gpu File=/dev/zero
"""


class NoCluster(Exception):  # noqa: N818
    """Slurm can't work here."""


class SlurmCluster:
    """Starts the daemons and waits for an idle node; `environment` is what clients need.

    Raises:
        NoCluster: The message says why.
    """

    def __init__(self) -> None:
        search = f"{os.environ['PATH']}:/usr/sbin:/sbin"
        missing = [program for program in PROGRAMS if shutil.which(program, path=search) is None]
        if missing:
            raise NoCluster(f"{', '.join(missing)} not found; install slurm-wlm and munge")
        # Short, because a socket's path may not be long.
        self.folder = Path(tempfile.mkdtemp(prefix="slurm-"))
        self.environment = {"SLURM_CONF": str(self.folder / "slurm.conf"), "PATH": search}
        self._daemons = []
        try:
            self._configure()
            self._start()
        except BaseException:
            self.stop()
            raise

    def call(self, *command, folder=None, **environment):
        """Output of one of Slurm's commands, called in a folder."""
        environment = os.environ | self.environment | environment
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    def job(self, number):
        """What Slurm knows of a job, by field."""
        words = self.call("scontrol", "--oneliner", "--details", "show", "job", number).split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def history(self):
        """What the controller's log says of jobs."""
        lines = (self.folder / "slurmctld.log").read_text(errors="replace").splitlines()
        return "\n".join(line for line in lines if "JobId=" in line)

    def wait(self, condition, seconds=PATIENCE_S):
        """Wait until a condition holds.

        Raises:
            NoCluster: If it does not for a while; the message ends with the logs.
        """
        limit = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > limit:
                logs = (path.read_text(errors="replace")[-1500:] for path in sorted(self.folder.glob("*.log")))
                raise NoCluster(f"waited {seconds} s in vain; {self.call('squeue')} {' '.join(logs)}")
            time.sleep(0.1)

    def stop(self) -> None:
        """End the daemons and delete their folder."""
        self.call("scancel", "--full", "--signal=KILL", "--user", getpass.getuser())
        for daemon in reversed(self._daemons):
            daemon.send_signal(signal.SIGTERM)
            try:
                daemon.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                daemon.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _configure(self) -> None:
        self.folder.chmod(0o755)
        for name in ("state", "spool"):
            (self.folder / name).mkdir()
        ports = dict(zip(("controller_port", "node_port"), _free_ports(2), strict=True))
        configuration = CONFIGURATION.format(folder=self.folder, user=getpass.getuser(), **ports)
        (self.folder / "slurm.conf").write_text(configuration)
        (self.folder / "gres.conf").write_text(GPUS)
        key = self.folder / "munge.key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o600)

    def _start(self) -> None:
        places = {"socket": "socket", "key-file": "key", "pid-file": "pid", "seed-file": "seed", "log-file": "log"}
        options = [f"--{option}={self.folder}/munge.{suffix}" for option, suffix in places.items()]
        self._daemon("munged", "--foreground", "--force", *options)
        self.wait((self.folder / "munge.socket").exists)
        self._daemon("slurmctld", "-D")
        self._daemon("slurmd", "-D", "-N", "localhost")
        self.wait(lambda: "idle" in self.call("sinfo", "--noheader"))

    def _daemon(self, *command) -> None:
        log = (self.folder / f"{command[0]}.output.log").open("wb")
        with log:
            self._daemons.append(
                subprocess.Popen(command, env=os.environ | self.environment, stdout=log, stderr=subprocess.STDOUT)
            )


def _free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
