#!/bin/sh
# For a workflow: prints the folder of the stack to plan, after `npm run synth`. Refuses zero or several stacks, because the
# page shows only one. Refuses local state, because it would be deleted with the runner.
# usage: tools/stack-to-plan.sh
set -eu

if [ $# -ne 0 ]; then
  echo "usage: tools/stack-to-plan.sh" >&2
  exit 1
fi
set -- cdktf.out/stacks/*/
if [ $# -ne 1 ] || [ ! -f "$1cdk.tf.json" ]; then
  echo "a workflow plans exactly one stack, got: $*" >&2
  exit 1
fi
type=$(node -p '
  const { backend = {} } = JSON.parse(require("node:fs").readFileSync(process.argv[1], "utf8")).terraform;
  Object.keys(backend)[0] ?? "local";
' "$1cdk.tf.json")
if [ "$type" != s3 ]; then
  echo "'backend.type' must be s3 if a workflow plans, got: $type" >&2
  exit 1
fi
printf '%s\n' "${1%/}"
