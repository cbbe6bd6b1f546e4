"""What Labelbox refuses in an annotation import, row by row. Pure: no files, no database, no clock.

Each refused row has ``status: FAILURE`` and one or more named errors:

| name | when |
|---|---|
| ``InvalidJson`` | the line is not a JSON object |
| ``InvalidDataRow`` | ``dataRow`` is missing, or has both or neither of ``id`` and ``globalKey`` |
| ``DataRowNotFound`` | there is no such data row |
| ``DataRowNotInModelRun`` | the data row is not in the model run (predictions) |
| ``DataRowNotInProject`` | the data row is in no batch of the project (pre-labels and labels) |
| ``InvalidFeatureReference`` | a feature or answer has both or neither of ``name`` and ``schemaId`` |
| ``FeatureNotFound`` | the ontology has no such tool or classification (at that place) |
| ``AnnotationKindMismatch`` | the value's kind does not fit the tool or classification |
| ``MediaTypeMismatch`` | that kind of annotation does not exist on that kind of asset |
| ``UnknownAnnotationKind`` | the row has no value that is known here, or values of two kinds |
| ``UnknownField`` | a field that this kind does not have |
| ``OptionNotFound`` | the classification has no such option |
| ``MissingValue`` | a required value is missing or null |
| ``InvalidValue`` | a value is of the wrong type or form |
| ``InvalidGeometry`` | coordinates that make no shape: not numbers, too few points, no area, reversed ranges |
| ``BoundingBoxOutOfBounds`` | a box that leaves its image, page (PERCENT) or the plane's positive quarter |
| ``PageNotFound`` | a box on a page that the document does not have |
| ``TokenNotFound`` | a document entity of tokens that the document's text layer does not have |
| ``MessageNotFound`` | a message that the conversation does not have |
| ``InvalidConfidence`` | ``confidence`` is not a number from 0 to 1, or is where this kind has none |
| ``InvalidCustomMetrics`` | ``customMetrics`` is not a list of ``{"name", "value"}`` |
| ``InvalidUuid`` | ``uuid`` is not a UUID |
| ``DuplicateUuid`` | the uuid is used twice: in the file, or in an earlier import into the same run or project |
| ``InvalidRelationship`` | source or target of a relationship is not an annotation of the same data row |
| ``InvalidMetric`` | a metric's value, aggregation or name is not one that Labelbox takes |

The conditions are those of Labelbox's documentation and of its SDK's own tests; the names are ours, since no public
source lists Labelbox's.
"""

from __future__ import annotations

from vertex_model_inference.sandbox.labelbox.validation.features import Feature, FeatureIndex, Option
from vertex_model_inference.sandbox.labelbox.validation.rows import Asset, Checked, Kind, Problem, Rules, check

__all__ = ["Asset", "Checked", "Feature", "FeatureIndex", "Kind", "Option", "Problem", "Rules", "check"]
