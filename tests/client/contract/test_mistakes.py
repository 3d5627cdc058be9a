"""What is wrong with a request is said in plain words: no regular expression, no type of Python."""

import pytest
from pydantic import ValidationError
from zooaudit.contract import AnnotationsChange, AuditRequest, said

MODEL = {"model": "timm/resnet50"}


@pytest.mark.parametrize(
    ("record", "fields", "complaint"),
    [
        (AuditRequest, {"model": "a b"}, "Input should be a model's name, such as timm/resnet50"),
        (AuditRequest, {"model": 5}, "Input should be text"),
        (AuditRequest, {"model": "x" * 200}, "give at most 128 characters"),
        (AuditRequest, {**MODEL, "weights": "checkpoint:a b"}, "Input should be pretrained, untrained or"),
        (AuditRequest, {**MODEL, "dataset": "/etc"}, "Input should be the name of a data set"),
        (AuditRequest, {**MODEL, "checkpoint_version": "V1"}, "Input should be the version of a checkpoint"),
        (AuditRequest, {**MODEL, "colour": 1}, "there is no such field"),
        (AnnotationsChange, {"labels": ["two words"]}, "Input should be a label"),
    ],
)
def test_what_is_refused_is_told_without_a_pattern(record, fields, complaint):
    with pytest.raises(ValidationError) as refused:
        record.model_validate(fields)
    (told,) = map(said, refused.value.errors())
    assert told.startswith(complaint)
    assert "^" not in told
