"""Fixtures: the tests of the stacks need the same machine as the end-to-end tests."""

from tests.e2e.conftest import compose, every_compose

__all__ = ["compose", "every_compose"]
