"""Everything that talks to OpenSearch: the client, indexes, aliases, reads, snapshots, and documents of our own."""
