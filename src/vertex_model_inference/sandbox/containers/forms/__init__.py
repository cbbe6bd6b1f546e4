"""The forms in which model families answer, to put what a real model found into.

A model that knows several answers each at its own route, ``<predict route>/<form>``, so that one real model stands for
every family of output. Each form is written from the family's own source, not from what reads it.
"""

from __future__ import annotations
