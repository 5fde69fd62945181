"""The sources of truth: PostgreSQL and DynamoDB, read as pages of documents, each page with its position."""
