from torch import Tensor


class TruncatedSNR:
    """max(SNR, 1) for the error of x_0 (Salimans & Ho 2022), stated for that of v."""

    def __call__(self, log_snr: Tensor) -> Tensor:
        return log_snr.exp().clamp(min=1) * (-log_snr).sigmoid()
