"""Where the shared facts lie: real catalogs, recorded usage and Korean vectors beside the checkout."""

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


def shared_data(name: str) -> Path:
    """The path of a shared data file; skips the test where the folder is not beside the checkout."""
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"shared data is not beside this checkout: ../shared/data/{name}")
    return path
