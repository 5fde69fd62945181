#!/usr/bin/env bash
# Makes what must be in an account before Terraform: scripts/bootstrap.sh --environment E [--plan-only]
# docs/infrastructure/README.md says when.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
./dev --help >/dev/null # makes the environment
exec .local/venv/bin/python -m local.deployment bootstrap "$@"
