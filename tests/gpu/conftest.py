"""What runs on a GPU alone. By itself: python -m pytest --confcutdir=tests/gpu tests/gpu"""

import os

import pytest
import torch


@pytest.fixture(scope="session")
def device() -> torch.device:
    if not torch.cuda.is_available():
        pytest.skip("there is no GPU")
    if os.environ.get("TRITON_INTERPRET") == "1":
        pytest.skip("Triton runs its kernels on the CPU in this process")
    return torch.device("cuda", torch.cuda.current_device())
