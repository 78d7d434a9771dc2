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

# healthy OPTION... URL   whether an address answers with a good status
healthy() { curl --silent --fail --max-time 3 "$@"; }

# A sum of everything that a unit reads: its files, and the versions of its programs, which are links.
reads() {
  local path
  facts "reads-$1" | while read -r path; do
    if [[ -L $path ]]; then readlink -f "$path"; else sha256sum "$path"; fi
  done | sha256sum
}

# run UNIT   starts a unit, or restarts it if something that it reads has changed since the last start. It does not wait.
run() {
  local unit=$1 wanted
  wanted=$(reads "$unit")
  mkdir -p "$STATE"
  if systemctl is-active --quiet "$unit" && [[ -e $STATE/$unit && $(<"$STATE/$unit") == "$wanted" ]]; then return; fi
  systemctl enable --quiet "$unit"
  if [[ $(systemctl is-active "$unit") == activating && -e $STATE/$unit && $(<"$STATE/$unit") == "$wanted" ]]; then return; fi
  systemctl reset-failed "$unit" 2>/dev/null || :
  systemctl restart --no-block "$unit"
  # A job may wait for another unit. The program reads its files later than now.
  printf '%s\n' "$wanted" >"$STATE/$unit.new"
  mv -f "$STATE/$unit.new" "$STATE/$unit"
  say "$unit: started"
}
