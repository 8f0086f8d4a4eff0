"""An observer of activations that leaves out the rarest values on either side."""

from __future__ import annotations

import torch
from torchao.quantization.pt2e.observer import HistogramObserver

#: Share of the values below which, and above which, the range ends: one in twenty thousand on either side.
LEFT_OUT = 5e-5


class PercentileObserver(HistogramObserver):  # type: ignore[misc]  # torchao has no types
    """The range that all but `LEFT_OUT` of the values on either side lie in, by a histogram of 2048 bins."""

    def _non_linear_param_search(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The smallest and largest value of the range; called by `calculate_qparams`."""
        below = torch.cumsum(self.histogram, dim=0).double()
        total = below[-1]
        first = int(torch.searchsorted(below, LEFT_OUT * total, right=True))
        last = int(torch.searchsorted(below, (1 - LEFT_OUT) * total))
        width = (self.max_val - self.min_val) / self.bins
        return self.min_val + width * min(first, self.bins - 1), self.min_val + width * (min(last, self.bins - 1) + 1)
