"""S3: how many old versions a lifecycle rule keeps, and versions that outlive a bucket's versioning."""

from typing import Any

from moto.core.responses import ActionResult
from moto.s3.models import FakeBucket, S3Backend
from moto.s3.responses import S3Response as Response

from tests.aws_emulator.patching import around


def apply() -> None:
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

    @around(S3Backend, "delete_object")
    def delete(original: Any, backend: Any, bucket_name: str, *arguments: Any, **named: Any) -> Any:
        """A version is deleted alone where versioning was suspended, too."""
        bucket = backend.get_bucket(bucket_name)
        if named.get("version_id") is None or bucket.versioning_status != "Suspended":
            return original(backend, bucket_name, *arguments, **named)
        bucket.versioning_status = "Enabled"
        try:
            return original(backend, bucket_name, *arguments, **named)
        finally:
            bucket.versioning_status = "Suspended"
