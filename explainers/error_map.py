"""Error map: where the reconstruction is wrong."""

import torch
from torch import Tensor

from explainers.base import Explainer
from lightning_modules.base import squared_error


class ErrorMap(Explainer):
    """Squared error of each cell, dB² (An & Cho, 2015; paper section 3.3, "pixel-wise error map").

    Example:
        >>> ErrorMap(torch.nn.ReLU()).attribute(torch.tensor([[[1.0, -2.0]]]))
        tensor([[[0., 4.]]])
    """

    def _attribute(self, x: Tensor, reconstruction: Tensor | None) -> Tensor:
        if reconstruction is None:
            with torch.no_grad():
                reconstruction = torch.cat([self.module(rows) for rows in x.split(self.rows_per_pass(x))])
        return squared_error(x, reconstruction)
