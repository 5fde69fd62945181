# One role for each part, with one policy, rendered from include/policies/roles.yaml. Nothing is granted elsewhere but by
# the policies of buckets, keys, queues and topics themselves.

locals {
  # `places` shorten the ARNs of the file. They are read first, because the file is a template of them.
  places = {
    for name, arn in yamldecode(file(var.roles_file)).places : name => replace(replace(replace(
    arn, "$${partition}", var.place.partition), "$${region}", var.place.region), "$${account}", var.place.account)
  }
  words = merge(var.place, local.places)

  none = { entity = "no-entity", table = "no-table", heartbeat = "no-heartbeat" }
  entities = {
    for name, entity in var.entities : name => {
      entity    = name
      table     = entity.table
      heartbeat = coalesce(entity.heartbeat, local.none.heartbeat)
    }
  }

  # The file as it reads for each entity, and for roles that are no entity's.
  read = {
    for name, words in merge(local.entities, { "" = local.none }) : name =>
    yamldecode(templatefile(var.roles_file, merge(local.words, words))).roles
  }
  among = {
    dynamodb  = sort(keys(var.entities))
    exported  = sort([for name, entity in var.entities : name if entity.from_export])
    heartbeat = sort([for name, entity in var.entities : name if entity.heartbeat != null])
  }

  # By name: the role of the file, and the entity whose words it is read with.
  roles = merge([
    for role, said in local.read[""] : {
      for entity in try(local.among[said.for_each], [""]) :
      (entity == "" ? role : "${role}-${entity}") => { role = role, entity = entity }
    }
  ]...)

  # A statement is of all entities together, or, `apart`, of one.
  statements = {
    for name, made in local.roles : name => flatten([
      for number, grant in local.read[made.entity][made.role].grants : [
        for some in chunklist(try(local.among[grant.for_each], [made.entity]), try(grant.apart, false) ? 1 : 1000) : merge(
          {
            Effect   = try(grant.deny, false) ? "Deny" : "Allow"
            Action   = grant.calls
            Resource = distinct(flatten([for entity in some : local.read[entity][made.role].grants[number].resources]))
          },
          try({ Condition = local.read[some[0]][made.role].grants[number].when }, {}),
        )
      ]
    ])
  }

  trust = { for name, made in local.roles : name => local.read[made.entity][made.role].trust }
  kinds = { service = "Service", federated = "Federated" }
}

resource "aws_iam_role" "this" {
  for_each = local.roles

  name        = "searchsync-${each.key}"
  description = local.read[each.value.entity][each.value.role].does
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [merge(
      {
        Effect    = "Allow"
        Action    = can(local.trust[each.key].federated) ? "sts:AssumeRoleWithWebIdentity" : "sts:AssumeRole"
        Principal = { for kind, name in local.kinds : name => local.trust[each.key][kind] if can(local.trust[each.key][kind]) }
      },
      try({ Condition = local.trust[each.key].when }, {}),
    )]
  })
  force_detach_policies = true

  # OpenSearch may take hours to change, and Terraform could not write its state with a token that has ended meanwhile.
  max_session_duration = can(local.trust[each.key].federated) ? 10800 : 3600
}

resource "aws_iam_role_policy" "this" {
  for_each = local.roles

  name   = "searchsync-${each.key}"
  role   = aws_iam_role.this[each.key].name
  policy = jsonencode({ Version = "2012-10-17", Statement = local.statements[each.key] })
}

# How GitHub proves which workflow asks. AWS knows the certificates of this provider by itself.
resource "aws_iam_openid_connect_provider" "github" {
  url            = "https://token.actions.githubusercontent.com"
  client_id_list = ["sts.amazonaws.com"]
}

# OpenSearch's own role: without it no domain can be in a network, and an empty account lacks it.
resource "aws_iam_service_linked_role" "opensearch" {
  aws_service_name = "opensearchservice.amazonaws.com"
}
