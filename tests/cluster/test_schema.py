"""The API server alone refuses what is wrong with a workflow, and says what and where."""

from __future__ import annotations
