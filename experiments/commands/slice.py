"""`faithful-aad data slice`: clips from long recordings."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import Literal

from datamodules.audio import cancelled
from datamodules.errors import DataError
from datamodules.files import left_out_text
from datamodules.recordings import MANIFEST_FILE, slice_recordings
from lightning_modules.wording import counted

_NAMED = 3
_YEARS = range(1969, 2069)
"""Years that their last two digits identify."""


def data_slice(
    sources: list[str],
    output: str,
    seconds: int = 10,
    format: Literal["wav", "flac"] = "wav",
    start: str | None = None,
    channel: int | Literal["mix"] = "mix",
) -> None:
    """Cut recordings of any length into clips with the planer's names, and list them in a manifest.

    Args:
        sources: Recordings, and folders of them at any depth, in any format that libsndfile reads.
        output: Folder to write; the same command resumes after an interruption.
        seconds: Length of a clip, s; a divisor of 60.
        format: Format of the clips; sample rate and sample format stay those of the recording.
        start: When the first recording without a time in its name begins, as in "2019-12-04 08:48"; each further one
            begins at the next full minute. Without it their clips are named after the file.
        channel: Which channel to take: its index from 0, or mix, the mean of all channels.

    Raises:
        DataError: As `slice_recordings`, or `start` is not a time that names of clips can contain.
    """
    try:
        begin = None if start is None else datetime.fromisoformat(start)
    except ValueError:
        raise DataError(f'--start {start} is not a valid time; write it as "2019-12-04 08:48"') from None
    if begin is not None and (begin.tzinfo or begin.second or begin.microsecond or begin.year not in _YEARS):
        raise DataError(
            f"--start {start} is not a whole minute, without time zone, of the years {_YEARS[0]} to {_YEARS[-1]}, "
            'which is what the names of clips contain; write it as "2019-12-04 08:48"'
        )
    summary = slice_recordings([Path(source) for source in sources], Path(output), seconds, format, begin, channel)
    kept = f" ({summary.kept:,} were there already)" if summary.kept else ""
    clips = counted(summary.written + summary.kept, "clip")
    print(f"{clips} of {seconds} s in {output}{kept}, listed in {MANIFEST_FILE}")
    if summary.left_over:
        longest = sorted(summary.left_over.items(), key=lambda item: -item[1])
        named = ", ".join(f"{source} {rest:.2f} s" for source, rest in longest[:_NAMED])
        more = f" and {len(longest) - _NAMED:,} more" if len(longest) > _NAMED else ""
        print(f"left out, as no whole clip: the ends of {named}{more}, {sum(summary.left_over.values()):.2f} s in all")
    for text in (left_out_text(summary.left_out), cancelled(summary.mixed)):
        if text:
            print(f"warning: {text}", file=sys.stderr)
