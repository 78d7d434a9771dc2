#!/bin/sh
# For a workflow: applies the plan of tools/plan-page.sh in a stack's folder, but only if its page equals the reviewed page.
# usage: tools/apply-reviewed.sh STACK_FOLDER PAGE_FOLDER REVIEWED_FOLDER
set -eu
umask 077
usage='usage: tools/apply-reviewed.sh STACK_FOLDER PAGE_FOLDER REVIEWED_FOLDER'
if [ $# -gt 3 ]; then
  echo "$usage" >&2
  exit 1
fi
stack=${1:?$usage}
page=${2:?$usage}
reviewed=${3:?$usage}

if node -e '
  const { resources, elsewhere } = JSON.parse(require("node:fs").readFileSync(process.argv[1], "utf8"));
  process.exit(resources.length + elsewhere.length === 0 ? 0 : 1);
' "$page/changes.json"; then
  echo "nothing changes"
  exit
fi
if [ ! -d "$reviewed" ]; then
  echo "not applied: this plan was not on a pull request; open one to review the plan" >&2
  exit 1
fi
if ! diff -r "$reviewed" "$page" >&2; then
  echo "not applied: this plan differs from the reviewed one; open a pull request to review it" >&2
  exit 1
fi
"${TERRAFORM_BINARY_NAME:-terraform}" -chdir="$stack" apply -input=false -no-color plan
