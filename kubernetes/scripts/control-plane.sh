#!/bin/bash
# etcd and the control plane of a machine.
#   control-plane.sh start      starts everything that has not run here yet, and waits for nothing: members of a new etcd
#                               cluster wait for each other
#   control-plane.sh converge   restarts every program whose files have changed, and waits until it is healthy
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "${BASH_SOURCE[0]%/*}/lib.sh"

K=/var/lib/kubernetes
UNITS=(etcd kube-apiserver kube-controller-manager kube-scheduler)

etcdctl() {
  command etcdctl --cacert=/etc/etcd/ca.pem --cert=/etc/etcd/master-kubernetes.pem --key=/etc/etcd/master-kubernetes-key.pem \
    --dial-timeout=3s --command-timeout=5s "$@"
}

# The variables for a member's first start.
initial() { # STATE CLUSTER
  touch "$STATE/etcd-started"
  printf 'ETCD_INITIAL_CLUSTER_STATE=%s\nETCD_INITIAL_CLUSTER=%s\nETCD_INITIAL_CLUSTER_TOKEN=%s\n' "$1" "$2" "$(facts etcd-token)" \
    >/etc/etcd/initial.env
}

start() {
  local unit
  if [[ ! -d /var/lib/etcd/member ]]; then
    [[ -e $STATE/etcd-founding ]] || return 0
    initial new "$(facts etcd-cluster)"
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
  if [[ ! -d /var/lib/etcd/member && ! -e $STATE/etcd-founding ]]; then
    fail "etcd has no data here, and this machine is not one of those that founded the cluster (docs/kubernetes.md: a control plane machine is lost)"
  fi
  "$LIB/programs.sh" "$LIB/releases" link
  run etcd
  await 120 etcd "etcd: healthy" etcdctl --endpoints=https://127.0.0.1:2379 endpoint health
  rm -f "$STATE/etcd-founding"
  run kube-apiserver
  await 120 kube-apiserver "kube-apiserver: ready" healthy --cacert "$K/ca.pem" https://127.0.0.1:6443/readyz
  run kube-controller-manager
  run kube-scheduler
  await 60 kube-controller-manager "kube-controller-manager: healthy" healthy --insecure https://127.0.0.1:10257/healthz
  await 60 kube-scheduler "kube-scheduler: healthy" healthy --insecure https://127.0.0.1:10259/healthz
}

"$@"
