#!/bin/sh
# Becomes the systemd-nspawn of a machine. It is started in a mount namespace of its own, and starts a process namespace,
# so all mounts and processes of the machine end with it, also after SIGKILL.
#   start.sh ID ROOT FOLDER NAMESPACE HOSTNAME CGROUP...
set -eu
id=$1 root=$2 folder=$3 namespace=$4 hostname=$5
shift 5
# A mount, because its path in /proc is not valid in the process namespace.
touch "$folder/network"
mount --bind "$namespace" "$folder/network"
# Version 2 has one hierarchy, and version 1 may have it too. A group in it has either processes or controllers for its
# groups, so these processes have a group of their own, and each boot another.
for group; do
  if [ -e "$group/cgroup.subtree_control" ]; then
    unified=$group
    group=$group/supervisor
    mkdir "$group"
  fi
  echo $$ >"$group/cgroup.procs"
done

# What systemd-nspawn writes to /run disappears. And paths without colons and commas, which separate options of mounts.
mount -t tmpfs -o mode=0755 tmpfs /run
mkdir /run/lower /run/machine
mount --bind "$root" /run/lower
mount --rbind "$folder" /run/machine
mount -t overlay -o lowerdir=/run/lower,upperdir=/run/machine/upper,workdir=/run/machine/work overlay /run/machine/root

# /tmp is on the disk, as on Ubuntu.
exec env --ignore-environment PATH="$PATH" SYSTEMD_NSPAWN_API_VFS_WRITABLE=network SYSTEMD_NSPAWN_TMPFS_TMP=0 \
  unshare --pid --fork --kill-child --mount-proc sh "$(dirname "$0")/boots.sh" "${unified:-}" \
  --quiet --settings=no --register=no --keep-unit --machine="$id" --hostname="$hostname" \
  --directory=/run/machine/root --network-namespace-path=/run/machine/network \
  --capability=all --system-call-filter="add_key keyctl request_key bpf perf_event_open" \
  --resolv-conf=off --timezone=off --link-journal=no --console=read-only --kill-signal=SIGRTMIN+4 \
  --bind=/run/machine/containerd:/var/lib/containerd --bind=/run/machine/kubelet:/var/lib/kubelet \
  --bind-ro=/run/machine/given:/run/cloud --bind=/dev/kmsg \
  sh /run/cloud/init.sh
