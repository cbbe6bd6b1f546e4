"""The web page of the sandbox's Labelbox: models and runs, what is in a run, and the Train Model button."""

from __future__ import annotations

from vertex_model_inference.sandbox.labelbox.page.routes import page_routes

__all__ = ["page_routes"]
