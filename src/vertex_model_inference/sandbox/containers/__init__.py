"""Model servers that the sandbox's Vertex AI starts for models whose image is ``sandbox/NAME``.

Each module serves one kind of model over Vertex's custom container contract (see ``serve.py``). They need no training
library: a model is a file of numbers, fetched from ``AIP_STORAGE_URI`` and applied with numpy, so nothing is unpickled.
"""

from __future__ import annotations
