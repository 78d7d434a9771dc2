#!/bin/bash
# What is once in a cluster. It runs on the first control plane machine, with the administrator's kubeconfig.
#   cluster.sh addons   applies the manifests: access of the API servers to kubelets, cluster DNS
#   cluster.sh check    waits for cluster DNS and for each worker, and runs a pod on each: it reaches a service by address
#                       and by name. It deletes the Nodes of workers that are no longer in the settings
#   cluster.sh drain HOSTNAME    moves the pods of a node to others. A node that does not answer is not drained
#   cluster.sh forget HOSTNAME   deletes a Node with its pods
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "${BASH_SOURCE[0]%/*}/lib.sh"

# Through its own API server: a machine behind the load balancer may not reach itself through it.
kubectl() {
  command kubectl --kubeconfig /var/lib/kubernetes/admin.kubeconfig --server https://127.0.0.1:6443 --request-timeout=10s "$@"
}

addons() {
  kubectl apply --server-side --force-conflicts --field-manager=cluster --filename "$LIB/manifests" | while read -r line; do
    say "$line"
  done
}

field() { kubectl get node "$1" --output "jsonpath=$2" 2>/dev/null || :; }

# until_true SECONDS COMMAND...
until_true() {
  local end=$((SECONDS + $1))
  shift
  until "$@"; do
    if ((SECONDS > end)); then return 1; fi
    sleep 0.3
  done
}

node_ready() { [[ $(field "$1" '{.status.conditions[?(@.type=="Ready")].status}') == True ]]; }

succeeded() { [[ $(kubectl --namespace kube-system get pod "$1" --output 'jsonpath={.status.phase}') == Succeeded ]]; }

# check_worker NAME POD_NETWORK
check_worker() {
  local node=$1 network=$2 pod=check-$1 begin=${EPOCHREALTIME/./} got now
  until_true 180 node_ready "$node" || {
    kubectl describe node "$node" >&2 || :
    fail "$node: the node is not ready after 180 s"
  }
  got=$(field "$node" '{.spec.podCIDR}')
  if [[ -z $got ]]; then
    kubectl patch node "$node" --patch "{\"spec\":{\"podCIDR\":\"$network\",\"podCIDRs\":[\"$network\"]}}" >/dev/null
  elif [[ $got != "$network" ]]; then
    fail "$node: its pod network must be $network, got: $got (delete the Node, and restart its kubelet)"
  fi
  kubectl --namespace kube-system delete pod "$pod" --ignore-not-found --now >/dev/null 2>&1
  sed "s#NODE#$node#g" "$LIB/check-pod.yaml" | kubectl create --filename - >/dev/null
  if ! until_true 180 succeeded "$pod"; then
    kubectl --namespace kube-system get pod "$pod" --output wide >&2 || :
    kubectl --namespace kube-system events --for "pod/$pod" >&2 || :
    kubectl --namespace kube-system logs "$pod" --all-containers --prefix 2>/dev/null >&2 || :
    fail "$node: a pod does not reach a service by address and by name after 180 s"
  fi
  kubectl label node "$node" "$LABEL" --overwrite >/dev/null
  now=${EPOCHREALTIME/./}
  printf '%s: ready, pods %s, services by address and by name: %s.%s s\n' "$node" "$network" \
    $(((now - begin) / 1000000)) $(((now - begin) / 100000 % 10))
}

delete_pods() {
  kubectl --namespace kube-system delete pod --selector app.kubernetes.io/name=cluster-check --now --wait=false >/dev/null 2>&1 || :
}

# The label of the Nodes that this script has checked. Nodes that somebody else has added do not have it.
LABEL=cluster-check=passed

# A machine that is no longer in the settings is being destroyed, or is gone.
delete_stale() {
  local node
  for node in $(kubectl get nodes --selector "$LABEL" --output 'jsonpath={.items[*].metadata.name}'); do
    if grep -q "^$node " "$LIB/workers"; then continue; fi
    kubectl delete node "$node" --wait=false >/dev/null
    say "$node: the Node is deleted, because its machine is no longer in the settings"
  done
}

drain() { # HOSTNAME
  local found
  found=$(kubectl get node "$1" --ignore-not-found --output name)
  if [[ -z $found ]]; then
    say "$1: there is no such Node"
  elif node_ready "$1"; then
    drain_node "$1"
  else
    say "$1: the node is not ready, so it is not drained"
  fi
}

forget() { # HOSTNAME
  # kubectl warns about --force on each call.
  kubectl delete pods --all-namespaces --field-selector "spec.nodeName=$1" --force --grace-period=0 2> >(grep -v '^Warning: ' >&2)
  kubectl delete node "$1" --ignore-not-found
}

check() {
  local begin=$SECONDS worker network failed='' pid pids=()
  delete_stale
  [[ -s $LIB/workers ]] || return 0
  trap delete_pods EXIT
  kubectl --namespace kube-system rollout status deployment/coredns --timeout=240s --request-timeout=0 >/dev/null ||
    {
      kubectl --namespace kube-system get pods --selector k8s-app=kube-dns --output wide >&2 || :
      kubectl --namespace kube-system events --types Warning >&2 || :
      fail "cluster DNS is not ready after 240 s"
    }
  say "cluster DNS: ready after $((SECONDS - begin)) s"
  while read -r worker network; do
    check_worker "$worker" "$network" &
    pids+=($!)
  done <"$LIB/workers"
  for pid in "${pids[@]}"; do
    wait "$pid" || failed=yes
  done
  [[ -z $failed ]]
}

"$@"
