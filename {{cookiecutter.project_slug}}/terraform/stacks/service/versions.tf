terraform {
  required_version = ">= 1.11"

  # Bucket, key, region and encryption are given by `make tf-init`: docs/deploy.md.
  backend "s3" {}

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100, < 7"
    }
  }
}
