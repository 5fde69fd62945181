"""Who may do what: the roles of AWS, and those of OpenSearch."""
