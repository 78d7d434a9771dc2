#!/bin/bash
# Prepares a machine.
#   node.sh refuse ROLE     fails if a person has installed Kubernetes here by hand, or if the new versions cannot replace those here
#   node.sh prepare ROLE    makes users and folders
#   node.sh configure       makes systemd and the kernel use the new files
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "${BASH_SOURCE[0]%/*}/lib.sh"

units() {
  if [[ $1 == master ]]; then
    echo etcd kube-apiserver kube-controller-manager kube-scheduler
  else
    echo containerd kubelet kube-proxy
  fi
}

refuse() {
  local unit path
  for unit in $(units "$1"); do
    path=$(systemctl show --property=FragmentPath --value "$unit.service")
    [[ -n $path ]] || continue
    if [[ $path != "/etc/systemd/system/$unit.service" ]] || ! head -n 1 "$path" | grep -q '^# Written by the apply '; then
      printf '%s: Kubernetes was installed here by hand: %s is not of this project. Remove it and the data, or the setting kubernetes\n' \
        "$(hostname)" "$path" >&2
      exit 1
    fi
  done
  # On a machine of an apply that was interrupted, or of an earlier version of this project, the facts may be missing.
  if [[ ! -e $LIB/facts ]]; then return; fi
  refuse_versions
}

# installed NAME   the version of a release whose programs are in use here
installed() {
  local target
  target=$(readlink "/usr/local/bin/$1") || return 0
  target=${target%/*}
  echo "${target##*/}"
}

# A control plane skips no minor version, and never goes back: etcd and the API server change their data.
refuse_versions() {
  local name version before
  while read -r name version _; do
    before=$(installed "$name")
    if [[ -z $before || ! $name =~ ^(etcd|kube) ]]; then continue; fi
    if [[ ${before%.*} != "${version%.*}" || ${version##*.} -lt ${before##*.} ]]; then
      fail "$name $before runs here: it can only be replaced by a later patch version of ${before%.*}, got: $version"
    fi
  done <"$LIB/releases.new"
}

# folder MODE USER PATH
folder() { install -d -m "$1" -o "$2" -g "$2" "$3"; }

prepare() {
  local user
  if [[ $1 == master ]]; then
    for user in etcd kube-apiserver kube-controller-manager kube-scheduler; do
      id "$user" >/dev/null 2>&1 || useradd --system --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin "$user"
    done
    folder 0755 root /etc/etcd
    folder 0700 etcd /var/lib/etcd
  else
    folder 0755 root /var/lib/kubelet
    folder 0755 root /var/lib/kube-proxy
    folder 0755 root /etc/cni/net.d
    folder 0755 root /etc/containerd/conf.d
    folder 0755 root /etc/kubernetes/kubelet.conf.d
  fi
  folder 0755 root /var/lib/kubernetes
}

# The permission for etcd's first start with a new cluster. Only a machine of the founding has it, before any member starts.
etcd_permission() {
  local member
  if has_data; then
    rm -f "$STATE/etcd-founding"
    return
  fi
  if [[ -e $STATE/etcd-founding || -e $STATE/etcd-started || $(facts founder) != true ]]; then return; fi
  for member in $(facts other-member); do
    # Another cluster is there: this machine joins it.
    if answers "$member"; then return; fi
  done
  mkdir -p "$STATE"
  touch "$STATE/etcd-founding"
  say "etcd: this machine may found the cluster"
}

# containerd goes on with the mirror of a registry that is no longer in the settings, unless its file is removed.
forget_mirrors() {
  local file registry
  for file in /etc/containerd/certs.d/*/hosts.toml; do
    registry=${file%/hosts.toml}
    if head -n 1 "$file" 2>/dev/null | grep -q '^# Written by the apply ' && ! facts mirrored | grep -qxF "${registry##*/}"; then
      rm "$file"
    fi
  done
}

configure() {
  # Until now, the machine could refuse the versions of this table, or the others the change.
  if [[ -e $LIB/releases.new ]]; then mv -f "$LIB/releases.new" "$LIB/releases"; fi
  systemctl daemon-reload
  if [[ $(facts role) == master ]]; then
    etcd_permission
    return
  fi
  forget_mirrors
  # In a container, the modules are the host's.
  modprobe --all overlay br_netfilter 2>/dev/null || :
  [[ -e /proc/sys/net/bridge/bridge-nf-call-iptables ]] || fail "the kernel has no module br_netfilter"
  sysctl --quiet --load=/etc/sysctl.d/90-kubernetes.conf
}

"$@"
