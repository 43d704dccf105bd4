"""The plain objective: reconstruct what is seen."""

from torch import Tensor

from lightning_modules.base import ReconstructionModule, squared_error


class Autoencoder(ReconstructionModule):
    """Autoencoder (AE), trained on the mean squared error of the whole spectrogram (paper section 3.2.1).

    The arguments are those of `ReconstructionModule`.

    Example:
        >>> module = Autoencoder(n_mels=32, n_frames=48, num_heads=4)
        >>> module.hparams["learning_rate"]
        0.001
    """

    def training_loss(self, x: Tensor) -> Tensor:
        """Mean squared error of a batch (B, F, T), a scalar in dB²."""
        return squared_error(x, self(x)).mean()

    def validation_loss(self, x: Tensor, index: Tensor, reconstruction: Tensor) -> Tensor:
        """Mean squared error of each held-out clip, (B, F, T) to (B,), dB²."""
        return squared_error(x, reconstruction).mean(dim=(1, 2))
