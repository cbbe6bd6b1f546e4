"""The catalog with everything it needs, for the server, the command line and the Cloud Functions."""

from __future__ import annotations

from vertex_model_inference.errors import NotFoundError, StorageError
from vertex_model_inference.settings import Settings
from vertex_model_inference.vertex.auth import GoogleAuth
from vertex_model_inference.vertex.catalog import Catalog

__all__ = ["catalog_of"]


def catalog_of(settings: Settings) -> Catalog:
    """The catalog that the settings describe; it looks at the bucket's region too. Nothing is asked of Google yet."""

    def batch_problem() -> str | None:
        from vertex_model_inference.storage.regions import Regions, contains

        bucket = settings.bucket
        assert bucket is not None, "the catalog asks only when there is a bucket"
        regions = Regions(endpoint=settings.storage_url, token=GoogleAuth(settings.google_token))
        try:
            location = regions.location(bucket)
        except NotFoundError:
            return f"The bucket {bucket} does not exist: create it in {settings.region}, or set VMI_BUCKET."
        except StorageError:
            return None  # reading a bucket's metadata needs a permission that jobs do not; the job is the judge then
        if contains(location, settings.region):
            return None
        return f"The bucket {bucket} is in {location}, and batch jobs in {settings.region} cannot read it."

    return Catalog.of(settings, batch_problem)
