"""Where the truth is: PostgreSQL and DynamoDB, read as pages of documents under positions."""
