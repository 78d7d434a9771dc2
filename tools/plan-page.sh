#!/bin/sh
# For a workflow: makes a plan in the folder of a synthesized stack. The plan holds secrets and stays there. PAGE_FOLDER gets
# page.md and the data that a page has no room for: changes.json with every change, the synthesized JSON, and the lock file
# with the versions of the providers. Prints Terraform's verdict on the plan: `empty` or `changes`.
# usage: tools/plan-page.sh STACK_FOLDER PAGE_FOLDER
set -eu
umask 077
usage='usage: tools/plan-page.sh STACK_FOLDER PAGE_FOLDER'
if [ $# -gt 2 ]; then
  echo "$usage" >&2
  exit 1
fi
stack=${1:?$usage}
page=${2:?$usage}

# Terraform also reads other files: they are on no page. Its own folder is made again.
other=$(find "$stack" -mindepth 1 -maxdepth 1 ! -name cdk.tf.json ! -name .terraform.lock.hcl ! -name .terraform \
  ! -name plan ! -name terraform.tfstate ! -name terraform.tfstate.backup | head -n 1)
if [ -n "$other" ]; then
  echo "the folder of a stack must have no files other than synthesis and Terraform write, got: $other" >&2
  exit 1
fi
rm -rf "$stack/.terraform"

"${TERRAFORM_BINARY_NAME:-terraform}" -chdir="$stack" init -input=false -no-color >&2

# The status is 0 for an empty plan, 2 for a plan with changes, and 1 for an error.
verdict=empty
"${TERRAFORM_BINARY_NAME:-terraform}" -chdir="$stack" plan -detailed-exitcode -input=false -no-color -out=plan >&2 || {
  status=$?
  [ "$status" -eq 2 ] || exit "$status"
  verdict=changes
}

json=$(mktemp)
trap 'rm -f "$json"' EXIT
"${TERRAFORM_BINARY_NAME:-terraform}" -chdir="$stack" show -json plan >"$json"
mkdir -p "$page"
npm run --silent review -- --plan "$json" >"$page/page.md"
npm run --silent review -- --plan "$json" --format json >"$page/changes.json"
cp "$stack/cdk.tf.json" "$page/"
[ ! -e "$stack/.terraform.lock.hcl" ] || cp "$stack/.terraform.lock.hcl" "$page/terraform.lock.hcl"
echo "$verdict"
