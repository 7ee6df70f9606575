"""Experiments as the stages leave them."""

from tests.report.conftest import write_experiment  # noqa: F401 - a fixture
