"""Predictions against labels: matching, metrics over the whole range of confidence, and runs compared. Pure."""

from __future__ import annotations
