"""What a document is: its text, its id, its position; and how an item of DynamoDB becomes a document."""
