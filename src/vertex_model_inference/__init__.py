"""Press Train Model in Labelbox; your Vertex AI model's predictions appear on the model run."""

from __future__ import annotations

__version__ = "0.1.0"
