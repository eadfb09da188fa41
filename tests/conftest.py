"""What several tests share: the bundled policy, and pictures to ask it about."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
POLICY = ROOT / "examples" / "policy"

os.environ.setdefault("TORCH_EXTENSIONS_DIR", str(ROOT / ".venv" / "torch_extensions"))


@pytest.fixture(scope="session")
def policy_folder() -> Path:
    """The bundled policy, a Hugging Face InternVL of 1.3 million parameters."""
    assert (POLICY / "config.json").is_file(), f"{POLICY} holds no model"
    return POLICY
