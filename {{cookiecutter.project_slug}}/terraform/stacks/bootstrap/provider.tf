provider "aws" {
  region = var.region

  default_tags {
    tags = {
      owner   = var.owner
      project = var.slug
      stack   = "bootstrap"
    }
  }
}
