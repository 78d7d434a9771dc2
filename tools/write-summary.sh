#!/bin/sh
# For a workflow: adds a page to the summary of the job. GitHub takes 1 MiB from a step, and shows nothing of a longer one.
# usage: tools/write-summary.sh PAGE
set -eu
usage='usage: tools/write-summary.sh PAGE'
if [ $# -ne 1 ]; then
  echo "$usage" >&2
  exit 1
fi
page=$1
limit=$((1024 * 1024))

size=$(wc -c <"$page")
written=0
[ ! -e "$GITHUB_STEP_SUMMARY" ] || written=$(wc -c <"$GITHUB_STEP_SUMMARY")
if [ "$((written + size))" -le "$limit" ]; then
  cat "$page" >>"$GITHUB_STEP_SUMMARY"
else
  echo "The page has $size bytes, and GitHub takes at most $limit. It is in the artifact of this run." >>"$GITHUB_STEP_SUMMARY"
fi
