"""Is a new version as good as the one before? A verdict, and nothing else: who deploys, asks."""
