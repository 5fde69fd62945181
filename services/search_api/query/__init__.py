"""What a request may ask, what is sent to OpenSearch for it, and the answer that is made of what comes back."""
