"""OpenSearch as this service sees it: bytes in, bytes out, by a deadline, and spared while it fails."""
