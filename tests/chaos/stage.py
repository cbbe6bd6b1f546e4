"""What all cells share: a sandbox, the customer's servers, a model of each kind, and pictures that Labelbox knows."""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import msgspec
from tests.chaos import customer

from vertex_model_inference.models import ModelOption
from vertex_model_inference.sandbox.config import LOCATION, PROJECT, SandboxConfig
from vertex_model_inference.sandbox.launcher import running

__all__ = ["MODELS", "SHARED_ROWS", "Stage", "labelbox_client", "prepared", "standing"]

SHARED_ROWS = 48
MODELS = ("batch", "endpoint", "container")
_VERTEX = {"pending_s": 0.02, "quota_concurrent_jobs": 64}
_TOOL = {"tool": "rectangle", "name": "thing", "color": "#ff0000", "classifications": []}


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """Where everything is.

    Attributes:
        sandbox: The sandbox.
        customer_url: The customer's web server and container.
        folder: For the runs' data and logs.
        model_id: Labelbox's model, with an ontology of one box.
        dataset_id: Of the pictures.
        options: Kind of model -> the menu's entry, as the webhook would find it.
        keys: Global keys of the shared pictures, number 0 first.
    """

    sandbox: SandboxConfig
    customer_url: str
    folder: Path
    model_id: str = ""
    dataset_id: str = ""
    options: dict[str, ModelOption] = {}
    keys: tuple[str, ...] = ()

    def url(self, server: str) -> str:
        """Base URL of a server that can be broken."""
        return self.customer_url if server == "customer" else str(getattr(self.sandbox, f"{server}_url"))


@contextlib.contextmanager
def standing(folder: Path) -> Iterator[Stage]:
    """The servers, for the time of a ``with`` block; nothing is in them yet.

    No thread is started here: whoever forks later may use this.
    """
    with customer.running() as url, running(port_base=0, state=folder / "sandbox") as config:
        yield Stage(sandbox=config, customer_url=url, folder=folder)


def labelbox_client(stage: Stage) -> Any:
    """The SDK's client, under a key that no fault is for."""
    import labelbox

    return labelbox.Client(
        api_key="chaos-admin",
        endpoint=f"{stage.sandbox.labelbox_url}/graphql",
        rest_endpoint=f"{stage.sandbox.labelbox_url}/api/v1",
        enable_experimental=True,
    )


def prepared(stage: Stage) -> Stage:
    """Make the models and the shared pictures, as a person would, with the real SDKs."""
    import labelbox
    from google.oauth2.credentials import Credentials

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the SDK's own import warns
        from google.cloud import aiplatform

    config = stage.sandbox
    httpx2.put(f"{config.vertex_url}/_sandbox/settings", json=_VERTEX).raise_for_status()
    httpx2.put(f"{config.labelbox_url}/_sandbox/settings", json={"export_lines_per_file": 5}).raise_for_status()
    client = labelbox_client(stage)
    normalized = {"tools": [_TOOL], "classifications": []}
    ontology = client.create_ontology("things", normalized, labelbox.MediaType.Image)
    model = client.create_model("chaos", ontology.uid)
    dataset = client.create_dataset(name="pictures")
    keys = tuple(f"shared-{n}" for n in range(SHARED_ROWS))
    task = dataset.create_data_rows(
        [{"global_key": key, "row_data": f"{stage.customer_url}/pictures/shared/{n}.png"} for n, key in enumerate(keys)]
    )
    task.wait_till_done()
    assert task.errors is None, task.errors

    aiplatform.init(
        project=PROJECT,
        location=LOCATION,
        credentials=Credentials("sandbox-token"),
        api_endpoint=config.vertex_url,
        api_transport="rest",
    )
    uploaded = aiplatform.Model.upload(
        display_name="chaos",
        serving_container_image_uri=stage.customer_url,
        serving_container_predict_route="/predict",
        serving_container_health_route="/health",
    )
    uploaded.deploy(machine_type="n1-standard-2", min_replica_count=1)
    return msgspec.structs.replace(
        stage, model_id=model.uid, dataset_id=dataset.uid, keys=keys, options=_menu(stage, ("batch", *MODELS[1:]))
    )


def _menu(stage: Stage, kinds: tuple[str, ...]) -> dict[str, ModelOption]:
    from vertex_model_inference.settings import load
    from vertex_model_inference.webhook.wiring import catalog_of

    section = 'task = "image-object-detection"\ndecoder = "hf-detection"\ninstance = { url = "{url}", uri = "{uri}" }\n'
    plain = 'task = "image-object-detection"\ndecoder = "hf-detection"\ninstance = { url = "{url}" }\nbatch_size = 2\n'
    (stage.folder / "vmi.toml").write_text(
        f'[models."chaos"]\n{section}[models."chaos_endpoint (endpoint)"]\n{plain}'
        f'[models."plain"]\ncontainer = "{stage.customer_url}/predict"\n{plain}'
    )
    settings = load({**stage.sandbox.environment(), "VMI_DATA_DIR": str(stage.folder / "vmi")}, stage.folder)
    names = {"batch": "chaos", "endpoint": "chaos_endpoint (endpoint)", "container": "plain"}
    catalog = catalog_of(settings)
    end = time.monotonic() + 60
    while True:
        options = catalog.refresh()
        found = {kind: options.find(names[kind]) for kind in kinds}
        if all(found.values()):
            return {kind: option for kind, option in found.items() if option is not None}
        assert time.monotonic() < end, f"the menu has {options.names}, left out: {options.left_out}"
        time.sleep(0.2)
