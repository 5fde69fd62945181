"""The agent: answers a question in words from what the API's own searches find, and shows which documents say so."""
