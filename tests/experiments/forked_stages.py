"""Runs stages of the command line on several processes: python forked_stages.py JOBS, a JSON of [processes, arguments].

A script of its own, so that processes are forked where nothing has used threads yet, and import torch once. They meet
as those that Lightning's own `ddp` starts, by LOCAL_RANK and a port.
"""

import json
import os
import socket
import sys

import torch
from lightning.pytorch.utilities import rank_zero_only

from experiments.cli import stages as cli
from experiments.cli.main import main


def run(processes, arguments):
    """Exit statuses of the processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    children = []
    for rank in range(processes):
        child = os.fork()
        if not child:
            os._exit(_work(rank, processes, port, arguments))
        children.append(child)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def _work(rank, processes, port, arguments):
    if processes > 1:
        os.environ |= {"LOCAL_RANK": str(rank), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        arguments = [*arguments, "--trainer.devices", str(processes), "--trainer.strategy", "ddp"]
        rank_zero_only.rank = rank
    try:
        return main(arguments)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


if __name__ == "__main__":
    torch.set_num_threads(1)
    assert cli  # imported here, once for all
    failed = [job for job in json.loads(sys.argv[1]) if any(run(*job))]
    sys.exit(f"failed: {failed}" if failed else 0)
