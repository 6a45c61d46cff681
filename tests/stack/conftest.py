"""The machine that the stack's tests need: the same as for the end-to-end tests."""

from tests.e2e.conftest import compose, every_compose

__all__ = ["compose", "every_compose"]
