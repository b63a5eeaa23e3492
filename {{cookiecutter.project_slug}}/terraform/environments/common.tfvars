# What is the same in every environment: names, the region, and where the code lives.
slug        = "{{ cookiecutter.project_slug }}"
region      = "{{ cookiecutter.aws_region }}"
domain_name = "{{ cookiecutter.domain_name }}"
# A tag, which takes few characters.
owner = "{{ cookiecutter.owner | slugify }}"

# The repository on GitHub, as the subject of its tokens names it: "OWNER/REPOSITORY", or
# "OWNER@ID/REPOSITORY@ID" where it was made since July 2026. null: workflows get no roles.
github_repository = null

# Those whose roles and states are in the first account. Take out what has an account of its own: docs/deploy.md, 2.
environments = ["dev", "staging", "production"]

# Of all environments, the newest first; what production runs must be among them.
images_kept = 1000
