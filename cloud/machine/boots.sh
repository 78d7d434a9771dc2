#!/bin/sh
# Boots a machine, and boots it again after each reboot. systemd-nspawn ends with status 133 then.
#   boots.sh CGROUP OPTION...   CGROUP is the machine's in the hierarchy of version 2, or empty; OPTION is systemd-nspawn's
unified=$1 boot=0
shift
while :; do
  boot=$((boot + 1))
  group=${unified:+$unified/boot-$boot}
  [ -z "$group" ] || mkdir "$group"
  # 0 is the process that writes.
  sh -c '[ -z "$1" ] || echo 0 >"$1/cgroup.procs"; shift; exec systemd-nspawn "$@"' sh "$group" "$@"
  status=$?
  [ $status = 133 ] || exit $status
done
