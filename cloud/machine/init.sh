#!/bin/sh
# The first process of a machine, at each boot. It gives the machine what systemd-nspawn withholds, and becomes systemd.
set -eu
given=/run/cloud

# With version 1 of cgroups, systemd-nspawn mounts the controllers read-only. The machine sees only its own groups.
for controller in /sys/fs/cgroup/*; do
  mount -o remount,rw,bind "$controller" 2>/dev/null || :
done

# Programs read the machine's memory here. The box's swap is not the machine's.
mount --bind "$given/meminfo" /proc/meminfo
printf 'Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n' >/run/swaps
mount --bind /run/swaps /proc/swaps

# A reboot keeps the network namespace, but not what programs have added to it.
nft flush ruleset
for link in $(ip -brief link | cut -d ' ' -f 1); do
  case ${link%@*} in
    lo | eth0) ;;
    *) ip link delete "${link%@*}" 2>/dev/null || : ;;
  esac
done
ip address flush dev lo scope global

# Settings of the whole kernel, which kubelet and kube-proxy write: each is a file of this machine with Linux's default.
# So the settings of the box do not change.
mkdir -p /run/sysctl
while read -r name value; do
  [ -e "/proc/sys/$name" ] || continue
  file=/run/sysctl/$(echo "$name" | tr / .)
  echo "$value" >"$file"
  mount --bind "$file" "/proc/sys/$name"
done <<'SYSCTLS'
vm/overcommit_memory 0
vm/panic_on_oom 0
vm/max_map_count 65530
kernel/panic 0
kernel/panic_on_oops 0
kernel/keys/root_maxkeys 1000000
kernel/keys/root_maxbytes 25000000
net/netfilter/nf_conntrack_max 262144
SYSCTLS

# kube-proxy reads the size of the kernel's table here. It is as large as needed, so kube-proxy does not write.
mount -o remount,rw /sys
mkdir -p /sys/module/nf_conntrack/parameters
echo 65536 >/sys/module/nf_conntrack/parameters/hashsize
mount -o remount,ro /sys

# The subnet's resolver, as DHCP gives it.
mkdir -p /run/systemd/resolved.conf.d
cp "$given/resolved.conf" /run/systemd/resolved.conf.d/cloud.conf

exec /lib/systemd/systemd "$@"
