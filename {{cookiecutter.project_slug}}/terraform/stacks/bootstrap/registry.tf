# One repository of images for all environments, so that the digest that was tested is the one that runs.

module "registry" {
  source = "../../modules/registry"

  name         = var.slug
  force_delete = var.force_destroy
  retention    = { images = var.images_kept }
}
