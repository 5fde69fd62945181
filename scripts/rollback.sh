#!/usr/bin/env bash
# Goes back to the release before: scripts/rollback.sh --environment E [--plan-only | --auto-approve | --approved DIGEST]
# docs/infrastructure/README.md says what it needs and does. Never destroys what holds data.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
./dev --help >/dev/null # makes the environment
exec .local/venv/bin/python -m local.deployment rollback "$@"
