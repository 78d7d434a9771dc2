#!/bin/sh
# For `npm run check`: checks the shell scripts of the project with shellcheck.
set -eu
cd "$(dirname "$0")/.."
if ! command -v shellcheck >/dev/null; then
  echo "shellcheck is missing: install the package shellcheck" >&2
  exit 1
fi
exec shellcheck kubernetes/scripts/*.sh cloud/machine/*.sh tools/*.sh .ci/run .ci/cdktn
