output "functions" {
  description = "By entity: name, alias and published version of its function."
  value = {
    for name, function in aws_lambda_function.stream : name => {
      name    = function.function_name
      alias   = aws_lambda_alias.live[name].name
      version = function.version
    }
  }
}

output "queue_urls" {
  description = "By entity: URLs of its queues."
  value = {
    for name in keys(var.entities) : name => {
      dead_letters = aws_sqs_queue.dead_letters[name].url
      parked       = aws_sqs_queue.parked[name].url
    }
  }
}

output "mappings" {
  description = "By entity: id of its event source mapping."
  value       = { for name, mapping in aws_lambda_event_source_mapping.stream : name => mapping.uuid }
}
