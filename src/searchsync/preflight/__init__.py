"""Whether an environment is as its files say: before a deployment, after it, and whenever something seems wrong."""
