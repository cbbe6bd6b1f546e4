"""``python -m vertex_model_inference``: the ``vmi`` command."""

from __future__ import annotations

from vertex_model_inference.cli import main

if __name__ == "__main__":
    main()
