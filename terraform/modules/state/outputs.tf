output "bucket" {
  description = "Name of the bucket."
  value       = aws_s3_bucket.this.id
}

output "bucket_arn" {
  description = "ARN of the bucket."
  value       = aws_s3_bucket.this.arn
}

output "kms_key_arn" {
  description = "Key the states are encrypted with."
  value       = local.kms_key_arn
}

output "backend" {
  description = "Settings of an `s3` backend; what is missing is the `key` of the state."
  value = {
    bucket       = aws_s3_bucket.this.id
    encrypt      = true
    kms_key_id   = local.kms_key_arn
    region       = var.region
    use_lockfile = true
  }

  # A state goes into the bucket only once the bucket keeps it well.
  depends_on = [
    aws_s3_bucket_policy.this, aws_s3_bucket_public_access_block.this,
    aws_s3_bucket_server_side_encryption_configuration.this, aws_s3_bucket_versioning.this,
  ]
}

output "backend_config" {
  description = "The same as the text of a file for `terraform init -backend-config=FILE`."
  value       = <<-EOT
    bucket       = "${aws_s3_bucket.this.id}"
    encrypt      = true
    kms_key_id   = "${local.kms_key_arn}"
    region       = "${var.region}"
    use_lockfile = true
  EOT
}

output "access_policies" {
  description = "Policy documents, by the prefix given in `access_prefixes`, for the roles that plan and apply the states under it."
  value       = local.access_policies
}
