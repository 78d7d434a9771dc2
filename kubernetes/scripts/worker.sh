#!/bin/bash
# The container runtime and the kubelet of a machine.
#   worker.sh start      starts the container runtime unless it runs, and pulls the images that each worker needs
#   worker.sh converge   restarts every program whose files have changed, and waits until the node is ready
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "${BASH_SOURCE[0]%/*}/lib.sh"

pulled() { ctr --namespace k8s.io images pull --hosts-dir /etc/containerd/certs.d "$1"; }

start() {
  local image begin
  if ! systemctl is-active --quiet containerd; then
    "$LIB/programs.sh" "$LIB/releases" link
    run containerd
  fi
  await 60 containerd "containerd: healthy" ctr version
  for image in $(facts image); do
    if [[ -n $(ctr --namespace k8s.io images list --quiet "name==$image") ]]; then continue; fi
    begin=$SECONDS
    pulled "$image" >/dev/null || fail "the image $image cannot be pulled"
    say "$image: pulled in $((SECONDS - begin)) s"
  done
}

ready() {
  [[ $(kubectl --kubeconfig /var/lib/kubelet/kubeconfig --request-timeout=3s get node "$(facts hostname)" \
    --output 'jsonpath={.status.conditions[?(@.type=="Ready")].status}') == True ]]
}

converge() {
  local unit
  "$LIB/programs.sh" "$LIB/releases" link
  run containerd
  await 60 containerd "containerd: healthy" ctr version
  run pod-masquerade
  await 60 kubelet "the load balancer answers" \
    healthy --cacert /var/lib/kubernetes/ca.pem "https://$(facts load-balancer):6443/readyz"
  run kubelet
  run kube-proxy
  # A node stays ready for 40 s without its kubelet.
  await 60 kubelet "kubelet: healthy" healthy http://127.0.0.1:10248/healthz
  await 90 kubelet "the node is ready" ready
  await 60 kube-proxy "kube-proxy: healthy" healthy http://127.0.0.1:10256/livez
}

"$@"
