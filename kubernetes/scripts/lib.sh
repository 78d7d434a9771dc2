# shellcheck shell=bash
# Functions of the other scripts, which read this file. Facts of the machine are in a file, one `KEY=VALUE` a line.
set -euo pipefail
# The caller's may be stricter. Programs of other users read the programs and units.
umask 022

# The folder of the scripts and their data, and the folder with the state that they keep.
LIB=/usr/local/lib/kubernetes
STATE=/var/lib/kubernetes/state

# Every value of a key, one a line.
facts() { sed -n "s/^$1=//p" "$LIB/facts"; }

# Prints a step, for a person who reads Terraform's output.
say() { printf '%s: %s\n' "$(facts id)" "$*"; }

fail() {
  printf '%s: %s\n' "$(facts id)" "$*" >&2
  exit 1
}

# await SECONDS UNIT WORDS COMMAND...   waits until a command succeeds. Then it prints the words and the seconds.
# Otherwise it prints the state of the unit with its last journal lines, and ends the script.
await() {
  local limit=$1 unit=$2 words=$3 begin=${EPOCHREALTIME/./} now
  shift 3
  while ! "$@" >/dev/null 2>&1; do
    now=${EPOCHREALTIME/./}
    if ((now - begin > limit * 1000000)); then
      SYSTEMD_URLIFY=0 systemctl --no-pager --full --lines=0 status "$unit" >&2 || :
      journalctl --no-pager --quiet --lines=20 --unit="$unit" >&2 || :
      fail "$words: not within $limit s; the lines before are the state of the unit $unit and the end of its journal"
    fi
    sleep 0.2
  done
  now=${EPOCHREALTIME/./}
  say "$words after $(((now - begin) / 1000000)).$(((now - begin) / 100000 % 10)) s"
}

# etcdctl ADDRESS,... COMMAND...
etcdctl() {
  local endpoints=https://${1//,/:2379,https://}:2379
  shift
  command etcdctl --cacert=/etc/etcd/ca.pem --cert=/etc/etcd/master-kubernetes.pem --key=/etc/etcd/master-kubernetes-key.pem \
    --dial-timeout=3s --command-timeout=5s --endpoints="$endpoints" "$@"
}

# drain_node HOSTNAME   moves the pods of a node to others, with the kubectl of the script
drain_node() { kubectl drain "$1" --ignore-daemonsets --delete-emptydir-data --timeout=300s --request-timeout=0; }

# answers ADDRESS   whether a member of etcd runs there, with or without a quorum
answers() { timeout 2 bash -c "exec 3<>\"/dev/tcp/\$1/2380\"" bash "$1" 2>/dev/null; }

# has_data   whether this machine has data of etcd. A first start that failed leaves a folder without a log
has_data() { compgen -G '/var/lib/etcd/member/wal/*.wal' >/dev/null; }

# The variables for the first start of this machine's member of etcd.
initial() { # STATE CLUSTER
  mkdir -p "$STATE"
  touch "$STATE/etcd-started"
  printf 'ETCD_INITIAL_CLUSTER_STATE=%s\nETCD_INITIAL_CLUSTER=%s\nETCD_INITIAL_CLUSTER_TOKEN=%s\n' "$1" "$2" "$(facts etcd-token)" \
    >/etc/etcd/initial.env
}

# healthy OPTION... URL   whether an address answers with a good status
healthy() { curl --silent --fail --max-time 3 "$@"; }

# A sum of everything that a unit reads: its files, and the versions of its programs, which are links.
reads() {
  local path
  facts "reads-$1" | while read -r path; do
    if [[ -L $path ]]; then readlink -f "$path"; else sha256sum "$path"; fi
  done | sha256sum
}

# is_current UNIT   whether a unit runs, or starts, with everything that it reads as it is now
is_current() {
  [[ $(systemctl is-active "$1") =~ ^(active|activating)$ && -e $STATE/$1 && $(<"$STATE/$1") == "$(reads "$1")" ]]
}

# is_pending PATTERN   whether the programs in use of such a release are of another version than that of the table
is_pending() {
  local pending
  # A pipe would end the program before it has printed all, and so look like a failure.
  pending=$("$LIB/programs.sh" "$LIB/releases" pending)
  grep -qxE "$1" <<<"$pending"
}

# run UNIT   starts a unit, or restarts it if something that it reads has changed since the last start. It does not wait.
run() {
  local unit=$1 wanted
  systemctl enable --quiet "$unit"
  if is_current "$unit"; then return; fi
  wanted=$(reads "$unit")
  mkdir -p "$STATE"
  systemctl reset-failed "$unit" 2>/dev/null || :
  systemctl restart --no-block "$unit"
  # A job may wait for another unit. The program reads its files later than now.
  printf '%s\n' "$wanted" >"$STATE/$unit.new"
  mv -f "$STATE/$unit.new" "$STATE/$unit"
  say "$unit: started"
}
