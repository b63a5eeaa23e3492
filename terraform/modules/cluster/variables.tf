variable "name" {
  description = "Prefix of everything the module makes, such as `acme-staging`; the name of the cluster and the load balancer."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,30}[a-z0-9]$", var.name)) && !startswith(var.name, "internal-")
    error_message = "name must be 3 to 32 lower-case letters, digits and hyphens, begin with a letter (not with `internal-`) and not end with a hyphen."
  }
}

variable "public_subnet_ids" {
  description = "Public subnets of the load balancer, in at least two availability zones."
  type        = list(string)
  nullable    = false

  validation {
    condition     = length(distinct(var.public_subnet_ids)) >= 2
    error_message = "public_subnet_ids must hold at least two subnets, each in another availability zone; a load balancer needs them."
  }
}

variable "region" {
  description = "Region everything stands in."
  type        = string
  nullable    = false
}

variable "vpc_id" {
  description = "VPC of the load balancer."
  type        = string
  nullable    = false
}

variable "access_logs" {
  description = "Access logs of the load balancer: how long they are kept, and whether destroying the module may delete them."
  type = object({
    force_destroy  = optional(bool, false)
    retention_days = optional(number, 90)
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.access_logs.retention_days >= 1 && floor(var.access_logs.retention_days) == var.access_logs.retention_days
    error_message = "access_logs.retention_days must be a whole number of at least 1."
  }
}

variable "certificate_arn" {
  description = "Certificate of the load balancer that exists already. Exactly one of `certificate_arn` and `dns` is given."
  type        = string
  default     = null

  validation {
    condition     = (var.certificate_arn == null) != (var.dns == null)
    error_message = "Give exactly one of certificate_arn (a certificate and DNS of your own) and dns (both are made in a zone)."
  }

  validation {
    condition     = var.certificate_arn == null || can(regex("^arn:aws[a-z-]*:acm:[a-z0-9-]+:[0-9]{12}:certificate/", var.certificate_arn))
    error_message = "certificate_arn must be the ARN of an ACM certificate: arn:aws:acm:REGION:ACCOUNT:certificate/ID."
  }

  validation {
    condition     = var.certificate_arn == null || try(split(":", var.certificate_arn)[3] == var.region, false)
    error_message = "certificate_arn must be a certificate of ${var.region}: a load balancer takes none of another region."
  }
}

variable "container_insights" {
  description = "Container Insights: `enabled`, or `enhanced` for figures by task and container at a higher price."
  type        = string
  default     = "enabled"
  nullable    = false

  validation {
    condition     = contains(["enabled", "enhanced"], var.container_insights)
    error_message = "container_insights must be `enabled` or `enhanced`; scaling by backlog reads its running task count."
  }
}

variable "default_capacity_provider_strategy" {
  description = "Where tasks run that name no strategy of their own: weight and base by FARGATE and FARGATE_SPOT."
  type = map(object({
    base   = optional(number, 0)
    weight = number
  }))
  default  = { FARGATE = { weight = 1 } }
  nullable = false

  validation {
    condition = (length(var.default_capacity_provider_strategy) > 0 &&
    alltrue([for provider in keys(var.default_capacity_provider_strategy) : contains(["FARGATE", "FARGATE_SPOT"], provider)]))
    error_message = "default_capacity_provider_strategy must name FARGATE, FARGATE_SPOT or both."
  }

  validation {
    condition = alltrue([
      for strategy in values(var.default_capacity_provider_strategy) :
      strategy.base >= 0 && strategy.base <= 100000 && floor(strategy.base) == strategy.base &&
      strategy.weight >= 0 && strategy.weight <= 1000 && floor(strategy.weight) == strategy.weight
    ])
    error_message = "default_capacity_provider_strategy: base must be a whole number from 0 to 100000, weight one from 0 to 1000."
  }

  validation {
    condition     = length([for strategy in values(var.default_capacity_provider_strategy) : strategy if strategy.base > 0]) <= 1
    error_message = "default_capacity_provider_strategy: at most one provider may have a base."
  }

  validation {
    condition     = anytrue([for strategy in values(var.default_capacity_provider_strategy) : strategy.weight > 0])
    error_message = "default_capacity_provider_strategy: at least one provider must have a weight above 0."
  }
}

variable "deletion_protection" {
  description = "Whether the load balancer refuses to be deleted."
  type        = bool
  default     = true
  nullable    = false
}

variable "dns" {
  description = "Zone and names to make the certificate and the records for. Exactly one of `certificate_arn` and `dns` is given."
  type = object({
    alternative_names = optional(set(string), [])
    domain_name       = string
    zone_id           = string
  })
  default = null

  validation {
    condition = var.dns == null || alltrue([
      for name in try(setunion([var.dns.domain_name], var.dns.alternative_names), []) :
      can(regex("^([*][.])?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?[.])+[a-z][a-z0-9-]{0,61}[a-z0-9]$", name)) && length(name) <= 253
    ])
    error_message = "dns: domain_name and alternative_names must be domain names in lower case without a dot at their end, such as api.example.com or *.example.com."
  }

  validation {
    condition     = try(length(var.dns.domain_name) <= 64, var.dns == null)
    error_message = "dns.domain_name must be at most 64 characters, the most that ACM takes for a certificate's first name; a longer one can be among alternative_names."
  }
}

variable "idle_timeout" {
  description = "Seconds a connection may be silent. The service must keep its own connections open for longer."
  type        = number
  default     = 60
  nullable    = false

  validation {
    condition     = var.idle_timeout >= 1 && var.idle_timeout <= 4000
    error_message = "idle_timeout must be 1 to 4000 seconds."
  }
}

variable "ingress_cidr_blocks" {
  description = "Who may reach the load balancer, by name: IPv4 or IPv6 blocks. Null: everybody."
  type        = map(string)
  default     = null

  validation {
    condition     = try(length(var.ingress_cidr_blocks) > 0 && alltrue([for block in values(var.ingress_cidr_blocks) : can(cidrhost(block, 0))]), var.ingress_cidr_blocks == null)
    error_message = "ingress_cidr_blocks must hold at least one block, each in CIDR notation such as 203.0.113.0/24 or ::/0."
  }
}

variable "ipv6_enabled" {
  description = "Whether the load balancer has IPv6 addresses and AAAA records; its subnets need IPv6."
  type        = bool
  default     = false
  nullable    = false
}

variable "kms_key_arn" {
  description = "Key of the log groups and of execute-command sessions; it must allow CloudWatch Logs. Null: the module makes one."
  type        = string
  default     = null
}

variable "log_retention_days" {
  description = "Days that logs of the firewall, execute-command sessions and Container Insights are kept."
  type        = number
  default     = 90
  nullable    = false

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "log_retention_days must be a retention CloudWatch Logs knows: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, …"
  }
}

variable "ssl_policy" {
  description = "TLS policy of the HTTPS listener."
  type        = string
  default     = "ELBSecurityPolicy-TLS13-1-2-2021-06"
  nullable    = false

  validation {
    condition     = can(regex("^ELBSecurityPolicy-TLS13-1-[23]-", var.ssl_policy))
    error_message = "ssl_policy must be one that refuses everything below TLS 1.2: ELBSecurityPolicy-TLS13-1-2-… or ELBSecurityPolicy-TLS13-1-3-…."
  }
}

variable "tags" {
  description = "Tags of everything the module makes."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "waf" {
  description = <<-EOT
    The firewall: requests an address may make in five minutes, and the rules of AWS's common set that only count.
    SizeRestrictions_BODY counts, since it refuses every body above 8 KiB; the service has a limit of its own.
  EOT
  type = object({
    count_rules = optional(set(string), ["SizeRestrictions_BODY"])
    rate_limit  = optional(number, 2000)
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.waf.rate_limit >= 10 && var.waf.rate_limit <= 2000000000
    error_message = "waf.rate_limit must be 10 to 2,000,000,000 requests per address in five minutes."
  }
}
