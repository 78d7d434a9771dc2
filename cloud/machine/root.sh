#!/bin/sh
# Makes the root that all machines share: a small Debian, and around it what Ubuntu's image for EC2 has.
#   root.sh FOLDER [MIRROR]
# root.ts runs it, in a mount namespace of its own. A change of this file makes a new root.
set -eu
folder=$1

# The first line: systemd and its accounts. The second and third: what the parts of Kubernetes call.
packages=systemd,systemd-sysv,systemd-resolved,dbus,openssh-server,sudo,ca-certificates,curl,openssl,jq
packages=$packages,iproute2,iputils-ping,iptables,nftables,conntrack,ipset,ethtool
packages=$packages,socat,kmod,procps,util-linux,mount,perl-base
export DEBIAN_FRONTEND=noninteractive
debootstrap --arch=amd64 --variant=minbase --force-check-gpg --include="$packages" bookworm "$folder" ${2:+"$2"}

cd "$folder"
rm -rf var/cache/apt/* var/lib/apt/lists/* var/log/* usr/share/doc/* usr/share/man/* usr/share/locale/*

# The account of Ubuntu's images.
chroot . useradd --uid 1000 --create-home --shell /bin/bash --groups adm,systemd-journal ubuntu
chmod 0750 home/ubuntu
echo 'ubuntu ALL=(ALL) NOPASSWD:ALL' >etc/sudoers.d/90-cloud-init-users
chmod 0440 etc/sudoers.d/90-cloud-init-users

# A machine's own: they are made at its first boot. debootstrap copies the host name and the resolver of this machine.
rm -f etc/ssh/ssh_host_* etc/hostname etc/resolv.conf
: >etc/machine-id
ln -s ../run/systemd/resolve/stub-resolv.conf etc/resolv.conf
printf '127.0.0.1 localhost\n\n::1 ip6-localhost ip6-loopback\nfe00::0 ip6-localnet\nff02::1 ip6-allnodes\nff02::2 ip6-allrouters\n' >etc/hosts
# As on Ubuntu: files, and then the stub resolver.
sed -i 's/^hosts:.*/hosts: files dns/' etc/nsswitch.conf

# Each of these fails in a container, or does nothing here and takes time.
for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service \
  fstrim.timer console-getty.service getty.target systemd-firstboot.service systemd-networkd.service \
  systemd-networkd.socket systemd-networkd-wait-online.service systemd-timesyncd.service systemd-logind.service \
  systemd-binfmt.service proc-sys-fs-binfmt_misc.automount sys-kernel-debug.mount sys-kernel-tracing.mount \
  sys-kernel-config.mount sys-fs-fuse-connections.mount dev-hugepages.mount modprobe@.service \
  systemd-remount-fs.service systemd-sysusers.service systemd-tmpfiles-setup-dev.service systemd-update-done.service \
  systemd-update-utmp.service systemd-update-utmp-runlevel.service systemd-pcrphase.service \
  systemd-pcrphase-sysinit.service systemd-journal-catalog-update.service systemd-hwdb-update.service \
  ldconfig.service; do
  ln -sf /dev/null "etc/systemd/system/$unit"
done
ln -sf /lib/systemd/system/multi-user.target etc/systemd/system/default.target

mkdir -p etc/systemd/journald.conf.d etc/systemd/system/ssh.service.d etc/ssh/sshd_config.d var/log/journal opt/cni/bin
# Without logind, sessions are in the service's group. One that takes too much memory must not end the others.
printf '[Service]\nOOMPolicy=continue\n' >etc/systemd/system/ssh.service.d/cloud.conf
# /dev/kmsg is this box's.
printf '[Journal]\nStorage=persistent\nSystemMaxUse=64M\nReadKMsg=no\n' >etc/systemd/journald.conf.d/cloud.conf
printf 'UseDNS no\nGSSAPIAuthentication no\nPasswordAuthentication no\nMaxSessions 50\nMaxStartups 50\n' \
  >etc/ssh/sshd_config.d/cloud.conf

# Differences to a real machine: version 1 of control groups, the box's swap and disk, and no right to change oom_score_adj.
# Programs that are installed later read these files.
mkdir -p etc/kubernetes/kubelet.conf.d etc/containerd/conf.d
cat >etc/kubernetes/kubelet.conf.d/cloud.conf <<'KUBELET'
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
failCgroupV1: false
failSwapOn: false
imageGCHighThresholdPercent: 100
evictionHard:
  memory.available: 100Mi
  nodefs.available: 1%
  imagefs.available: 1%
  nodefs.inodesFree: 1%
KUBELET
printf "version = 3\n[plugins.'io.containerd.cri.v1.runtime']\n  restrict_oom_score_adj = true\n" >etc/containerd/conf.d/cloud.toml
