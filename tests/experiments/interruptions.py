"""A training that is interrupted, for `--trainer.callbacks`."""

from pathlib import Path

from lightning.pytorch import Callback


class InterruptOnce(Callback):
    """Interrupts the third epoch after its validation, unless a file says that it has done so.

    Args:
        marker: The file.
    """

    def __init__(self, marker: str) -> None:
        super().__init__()
        self.marker = marker

    def on_train_epoch_end(self, trainer, pl_module):
        if trainer.current_epoch == 2 and not Path(self.marker).exists():
            Path(self.marker).touch()
            raise KeyboardInterrupt
