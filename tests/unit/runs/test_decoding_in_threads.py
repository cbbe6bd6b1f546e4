from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import vertex_model_inference

# Runs begin in several threads of a process that has decoded nothing yet.
_FRESH_PROCESS = """
import sys, threading
import msgspec
from vertex_model_inference.models import ModelOption, Predictor, VertexModel
from vertex_model_inference.runs import service
from vertex_model_inference.spec import RunSpec

model = VertexModel(name="projects/p/locations/l/models/1")
option = ModelOption(name="o", predictor=Predictor.BATCH, model=model)
raw = msgspec.json.encode(RunSpec(run_id="r", model_run_id="m", option=option, created_at="")).decode()
sys.setswitchinterval(1e-6)
gate = threading.Barrier(16)
seen = []

def begin():
    gate.wait()
    seen.append(service.read_spec(raw).option.name)

threads = [threading.Thread(target=begin) for _ in range(16)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(seen == ["o"] * 16)
"""


def test_runs_that_begin_together_in_a_fresh_process() -> None:
    done = subprocess.run([sys.executable, "-c", _FRESH_PROCESS], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.strip()) == (0, "True"), done.stderr


def test_no_decoder_of_a_struct_is_made_inside_a_function_that_runs_use() -> None:
    # msgspec 0.22.0 can crash when threads make the first decoder of a type at once; see steps/context.py.
    package = Path(vertex_model_inference.__file__).parent
    made = re.compile(r"^ +.*(msgspec\.json\.Decoder\([A-Z_]|msgspec\.json\.decode\(.*type=_?[A-Z])", re.MULTILINE)
    found = {
        f"{folder}/{path.name}"
        for folder in ("steps", "labelbox", "decoders", "vertex")
        for path in (package / folder).glob("*.py")
        if made.search(path.read_text())
    }
    assert found <= {"vertex/catalog.py"}  # one thread, and decoded when the catalog is made
