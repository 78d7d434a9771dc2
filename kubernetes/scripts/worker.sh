#!/bin/bash
# The container runtime and the kubelet of a machine.
#   worker.sh start      starts the container runtime unless it runs, and pulls the images that each worker needs
#   worker.sh join       starts everything that has not run here yet, and waits until the node is ready. The Node and the pods of
#                        an earlier machine with the same name are deleted
#   worker.sh converge   restarts every program whose files have changed, and waits until the node is ready. If a program has
#                        another version, the node is drained before
#   worker.sh retire     stops the kubelet, so that it does not register the node again
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "${BASH_SOURCE[0]%/*}/lib.sh"

UNITS=(containerd pod-masquerade kubelet kube-proxy)

# The kubelet's rights: those on its own Node and the pods of its own node.
kubectl() { command kubectl --kubeconfig /var/lib/kubelet/kubeconfig --request-timeout=5s "$@"; }

pulled() { ctr --namespace k8s.io images pull --hosts-dir /etc/containerd/certs.d "$1"; }

start() {
  local image begin
  if ! systemctl is-active --quiet containerd; then
    "$LIB/programs.sh" "$LIB/releases" link
    run containerd
  fi
  await 120 containerd "containerd: healthy" ctr version
  for image in $(facts image); do
    if [[ -n $(ctr --namespace k8s.io images list --quiet "name==$image") ]]; then continue; fi
    begin=$SECONDS
    pulled "$image" >/dev/null || fail "the image $image cannot be pulled"
    say "$image: pulled in $((SECONDS - begin)) s"
  done
}

ready() {
  [[ $(kubectl get node "$(facts hostname)" --output 'jsonpath={.status.conditions[?(@.type=="Ready")].status}') == True ]]
}

api_answers() { await 180 kubelet "the load balancer answers" kubectl get --raw /readyz; }

healthy_node() {
  # A node stays ready for 40 s without its kubelet.
  await 60 kubelet "kubelet: healthy" healthy http://127.0.0.1:10248/healthz
  await 180 kubelet "the node is ready" ready
  await 120 kube-proxy "kube-proxy: healthy" healthy http://127.0.0.1:10256/livez
}

# The machine of that Node is gone, and its disk with it: its containers do not run any more.
forget() {
  local node namespace pod
  node=$(facts hostname)
  kubectl get pods --all-namespaces --field-selector "spec.nodeName=$node" \
    --output 'jsonpath={range .items[*]}{.metadata.namespace} {.metadata.name}{"\n"}{end}' |
    while read -r namespace pod; do
      kubectl --namespace "$namespace" delete pod "$pod" --force --grace-period=0 2>/dev/null
    done
  kubectl delete node "$node" --ignore-not-found --wait=false
}

join() {
  local unit
  if [[ -e $STATE/kubelet ]]; then return; fi
  api_answers
  if [[ -n $(kubectl get node "$(facts hostname)" --ignore-not-found --output name) ]]; then
    await 60 kubelet "the Node of an earlier machine: deleted" forget
  fi
  for unit in "${UNITS[@]}"; do run "$unit"; done
  healthy_node
}

uncordon() {
  if [[ ! -e $STATE/cordoned ]]; then return; fi
  kubectl uncordon "$(facts hostname)" >/dev/null || fail "the node is still cordoned"
  rm "$STATE/cordoned"
}

# Pods without a controller would be lost, so they stop it.
drain() {
  local node begin=$SECONDS errors
  node=$(facts hostname)
  if [[ $(kubectl get node "$node" --output 'jsonpath={.spec.unschedulable}') == true && ! -e $STATE/cordoned ]]; then
    say "the node takes no pods, because somebody has cordoned it; it stays so"
  else
    touch "$STATE/cordoned"
  fi
  until errors=$(drain_node "$node" 2>&1 >/dev/null); do
    # A node may not read a pod that is gone. A kubectl that waits for it ends with an error, and the next one goes on.
    if [[ $errors == *'cannot get resource "pods"'* ]] && ((SECONDS - begin < 300)); then continue; fi
    uncordon
    fail "the node cannot be drained within 300 s, and its programs were not replaced: ${errors##*$'\n'}"
  done
  say "drained after $((SECONDS - begin)) s"
}

converge() {
  local unit
  api_answers
  if is_pending 'kubelet|containerd|runc'; then drain; fi
  "$LIB/programs.sh" "$LIB/releases" link
  run containerd
  await 120 containerd "containerd: healthy" ctr version
  for unit in "${UNITS[@]:1}"; do run "$unit"; done
  healthy_node
  uncordon
}

retire() {
  systemctl disable --quiet --now kubelet kube-proxy
  say "the kubelet does not run here any more"
}

"$@"
