"""The model that comes with the package."""

from typing import Final

SHIPPED: Final = "blocks-1"
"""Its name: another model has another, so that a run's fingerprint changes with it."""
