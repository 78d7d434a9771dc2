#!/bin/sh
# For a workflow: applies the plan that tools/plan-page.sh has left in a stack's folder, if its page is the reviewed one.
# usage: tools/apply-reviewed.sh STACK_FOLDER PAGE_FOLDER REVIEWED_FOLDER
set -eu
umask 077
usage='usage: tools/apply-reviewed.sh STACK_FOLDER PAGE_FOLDER REVIEWED_FOLDER'
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
  echo "not applied: this plan was never on a pull request; open one, whose plan shows it" >&2
  exit 1
fi
if ! diff -r "$reviewed" "$page" >&2; then
  echo "not applied: this plan is not the reviewed one; open a pull request, whose plan shows it" >&2
  exit 1
fi
terraform -chdir="$stack" apply -input=false -no-color plan
