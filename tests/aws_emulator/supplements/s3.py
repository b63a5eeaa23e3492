"""S3: how many old versions a lifecycle rule keeps, and markers of deletions that can be deleted."""

from typing import Any

from moto.core.responses import ActionResult
from moto.s3.models import FakeBucket, FakeDeleteMarker
from moto.s3.responses import S3Response as Response

from tests.aws_emulator.patching import around


def apply() -> None:
    # Once versioning is suspended all versions of a key are disposed of at once, and a marker holds nothing.
    setattr(FakeDeleteMarker, "dispose", lambda _marker: None)  # noqa: B010

    @around(FakeBucket, "set_lifecycle")
    def keep(original: Any, bucket: Any, rules: list[dict[str, Any]]) -> None:
        original(bucket, rules)
        for rule, sent in zip(bucket.rules, rules, strict=True):
            rule.versions_kept = (sent.get("NoncurrentVersionExpiration") or {}).get(
                "NewerNoncurrentVersions"
            )

    @around(Response, "serialized")
    def tell(original: Any, response: Any, result: ActionResult) -> Any:
        rules = result.result.get("Rules", []) if isinstance(result.result, dict) else []
        if rules and response.data.get("Action") == "GetBucketLifecycleConfiguration":
            kept = response.backend.get_bucket_lifecycle(response.bucket_name)
            for rule, told in zip(kept, rules, strict=True):
                if rule.versions_kept:
                    told["NoncurrentVersionExpiration"]["NewerNoncurrentVersions"] = int(rule.versions_kept)
        return original(response, result)
