#!/bin/bash
# etcd and the control plane of a machine.
#   control-plane.sh start      starts everything that has not run here yet, and waits for nothing: members of a new etcd
#                               cluster wait for each other
#   control-plane.sh converge   joins etcd's cluster if there are no data here, restarts every program whose files have changed,
#                               and waits until it is healthy
#   control-plane.sh stop       stops everything
#   control-plane.sh state      prints whether etcd and the API server answer here, and whether there are files and data of etcd
#   control-plane.sh retire     takes this machine out of the cluster. Its data stay, under another name
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "${BASH_SOURCE[0]%/*}/lib.sh"

K=/var/lib/kubernetes
UNITS=(etcd kube-apiserver kube-controller-manager kube-scheduler)

# etcd_answers COMMAND   to `endpoint health`, a member answers if the cluster has a quorum; to `endpoint status`, always
etcd_answers() { etcdctl 127.0.0.1 endpoint "$1"; }

api_is_ready() { healthy --cacert "$K/ca.pem" https://127.0.0.1:6443/readyz; }

start() {
  local unit
  if ! has_data; then
    [[ -e $STATE/etcd-founding ]] || return 0
    initial new "$(facts etcd-founders)"
  fi
  for unit in "${UNITS[@]}"; do
    systemctl is-active --quiet "$unit" || break
  done
  if systemctl is-active --quiet "$unit"; then return 0; fi
  "$LIB/programs.sh" "$LIB/releases" link
  for unit in "${UNITS[@]}"; do
    systemctl is-active --quiet "$unit" || run "$unit"
  done
}

converge() {
  local is_new=''
  if ! has_data && [[ ! -e $STATE/etcd-founding ]]; then is_new=yes; fi
  # The scripts for etcd need its client.
  if [[ -n $is_new ]]; then
    "$LIB/programs.sh" "$LIB/releases" link
    "$LIB/etcd.sh" join
  else
    use_programs
  fi
  run etcd
  # A member without a vote answers no questions.
  if [[ -n $is_new || -e $STATE/etcd-added ]]; then "$LIB/etcd.sh" promote; fi
  await 120 etcd "etcd: healthy" etcd_answers health
  rm -f "$STATE"/etcd-{founding,restored,given-up}
  run kube-apiserver
  await 120 kube-apiserver "kube-apiserver: ready" api_is_ready
  run kube-controller-manager
  run kube-scheduler
  await 120 kube-controller-manager "kube-controller-manager: healthy" healthy --insecure https://127.0.0.1:10257/healthz
  await 120 kube-scheduler "kube-scheduler: healthy" healthy --insecure https://127.0.0.1:10259/healthz
}

# Puts the programs of the table into use. The API server uses this machine's member alone. If that has to be restarted and other
# machines have API servers, this one first leaves the load balancer and ends its answers.
use_programs() {
  local is_running=''
  if systemctl is-active --quiet etcd; then is_running=yes; fi
  if [[ -n $is_running ]] && ! will_stay etcd; then "$LIB/etcd.sh" spare; fi
  "$LIB/programs.sh" "$LIB/releases" link
  if [[ -n $is_running ]] && ! is_current etcd && [[ -n $(facts other-member) ]] && systemctl is-active --quiet kube-apiserver; then
    say "kube-apiserver: stops, because etcd is restarted"
    systemctl stop kube-apiserver
  fi
}

# will_stay UNIT   whether a unit needs no restart with the programs of the table
will_stay() { is_current "$1" && ! is_pending "$1"; }

stop_api() {
  systemctl stop kube-scheduler kube-controller-manager
  systemctl stop kube-apiserver
}

stop() {
  stop_api
  systemctl stop etcd
}

state() {
  local etcd=none api=none data=none files=none
  if [[ -e $LIB/facts ]]; then files=complete; fi
  if has_data; then
    data=own
    if [[ -e $STATE/etcd-restored ]]; then data=restored; fi
  fi
  if etcd_answers health >/dev/null 2>&1; then
    etcd=quorum
  elif etcd_answers status >/dev/null 2>&1; then
    etcd=alone
  fi
  if api_is_ready >/dev/null 2>&1; then api=ready; fi
  echo "etcd=$etcd api=$api data=$data files=$files"
}

retire() {
  local data=/var/lib/etcd
  "$LIB/etcd.sh" removable "$(facts hostname)"
  stop_api
  "$LIB/etcd.sh" remove "$(facts hostname)"
  systemctl stop etcd
  systemctl disable --quiet "${UNITS[@]}"
  if [[ -d $data/member ]]; then mv -T "$data/member" "$data/removed-$(date -u +%Y%m%dT%H%M%SZ)"; fi
  rm -f "$STATE/etcd-added"
  say "the control plane does not run here any more"
}

"$@"
