"""The local stack: real servers from packages, without Docker, root or Java.

Nothing in `src/`, `dags/` or `plugins/` imports from here. Tests and benchmarks use `local.postgres`,
`local.opensearch` and `local.sample_data` as a library; people use `./dev`.
"""
