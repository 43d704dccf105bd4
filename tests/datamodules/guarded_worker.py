"""Doing what may crash, hang or ask for all memory, in a process of its own."""

import multiprocessing
import resource
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path

_MEMORY_BYTES = 4 << 30
"""What the process may ask for beyond what it has when it begins."""


def guarded(job: Callable[[int], str], numbers: range, seconds: float) -> Iterator[tuple[int, str]]:
    """Yield what a job says of each number, "crashed" with the exit status, or "hung" after so many seconds.

    A process that crashes or hangs is replaced by a new one, which continues with the next number.
    """
    context = multiprocessing.get_context("fork")  # a new interpreter would take seconds to import torch
    following = numbers.start
    while following < numbers.stop:
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=_work, args=(job, range(following, numbers.stop), sender), daemon=True)
        process.start()
        sender.close()
        try:
            while following < numbers.stop:
                outcome = _outcome(receiver, seconds)
                if outcome == "crashed":
                    process.join()
                    outcome = f"crashed with status {process.exitcode}"
                yield following, outcome
                following += 1
                if outcome.startswith(("crashed", "hung")):
                    break
        finally:
            process.kill()
            process.join()
            receiver.close()


def _outcome(receiver: Connection, seconds: float) -> str:
    if not receiver.poll(seconds):
        return "hung"
    try:
        return receiver.recv()
    except EOFError:
        return "crashed"


def _work(job: Callable[[int], str], numbers: range, sender: Connection) -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + _MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    for number in numbers:
        sender.send(job(number))
