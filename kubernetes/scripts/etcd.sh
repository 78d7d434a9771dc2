#!/bin/bash
# The membership and the data of etcd, on a control plane machine.
#   etcd.sh agree             refuses a change while too few members answer
#   etcd.sh spare             whether the cluster keeps its quorum without this machine's member
#   etcd.sh join              makes this machine, which has no data, a member of the cluster
#   etcd.sh promote           waits until this machine's member has caught up, and gives it a vote
#   etcd.sh removable HOSTNAME   refuses if the member of a machine cannot be removed
#   etcd.sh remove HOSTNAME   takes the member of a machine out of the cluster
#   etcd.sh snapshot FILE     writes all data to a file, and checks it
#   etcd.sh abandon           lets the next change pass without a quorum, so that lost machines can be made again for a restore
#   etcd.sh unpack FILE TOKEN NAME=URL,...   makes data of a snapshot, for a member of a new cluster. etcd may run, with its own data
#   etcd.sh replace           puts the unpacked data in the place of the data. etcd must not run
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "${BASH_SOURCE[0]%/*}/lib.sh"

DATA=/var/lib/etcd
RESTORE="docs/kubernetes.md, \"Quorum is lost\""

# The addresses of the other machines of the settings, with commas between.
others() { facts other-member | paste --serial --delimiters=,; }

# The members, one a line: ID STATUS NAME|- ADDRESS LEARNER. The first argument are addresses, others are options.
members() {
  etcdctl "$1" member list "${@:2}" |
    sed -E 's#^([0-9a-f]+), (started|unstarted), ([^,]*), https://([0-9.]+):2380, [^,]*, (true|false)$#\1 \2 \3 \4 \5#; s#^([0-9a-f]+ [a-z]+)  #\1 - #'
}

is_healthy() { etcdctl "$1" endpoint health >/dev/null 2>&1; }

# count TEST ADDRESS...   the number of addresses that pass a test; all are asked at once
count() {
  local address pid number=0 pids=()
  for address in "${@:2}"; do
    "$1" "$address" &
    pids+=($!)
  done
  for pid in "${pids[@]}"; do
    if wait "$pid"; then ((number += 1)); fi
  done
  echo "$number"
}

# id_at LIST ADDRESS   the id of the member at an address; nothing if there is none
id_at() { awk -v address="$2" '$4 == address { print $1 }' <<<"$1"; }

# voters LIST [WITHOUT]   the addresses of the members with a vote, but for one
voters() { awk -v without="${2:-}" '$5 == "false" && $4 != without { print $4 }' <<<"$1"; }

agree() {
  local list=() number need
  # Without data, nothing here can be lost.
  if ! has_data; then return 0; fi
  if [[ -e $STATE/etcd-given-up ]]; then
    say "etcd: agrees without a quorum, because a restore has begun"
    return 0
  fi
  # A member that has not found a quorum since its start does not answer. Then the members are those of the last apply.
  mapfile -t list < <(voters "$(members 127.0.0.1 --consistency=s 2>/dev/null || facts other-member | sed 's/.*/- - - & false/')" "$(facts address)")
  need=$(((${#list[@]} + 1) / 2))
  # Machines that boot need a moment.
  for ((i = 0; i < 10; i++)); do
    number=$(count answers "${list[@]}")
    if ((number >= need)); then return 0; fi
    sleep 1
  done
  fail "$((number + 1)) of $((${#list[@]} + 1)) members of etcd answer, $((need + 1)) are needed; nothing was changed here. Start the other machines, or restore a snapshot ($RESTORE)"
}

spare() {
  local all list=() number need
  # A member that has no quorum cannot lose it. An election takes some seconds.
  for ((i = 0; i < 3; i++)); do
    if is_healthy 127.0.0.1; then break; fi
    sleep 1
  done
  if ((i == 3)); then return 0; fi
  all=$(members 127.0.0.1)
  mapfile -t list < <(voters "$all" "$(facts address)")
  # A single member, or one of two, has to be restarted all the same.
  need=$(((${#list[@]} + 1) / 2 + 1))
  if ((need > ${#list[@]})); then need=${#list[@]}; fi
  if ((need == 0)); then return 0; fi
  for ((i = 0; i < 60; i++)); do
    number=$(count is_healthy "${list[@]}")
    if ((number >= need)); then return 0; fi
    sleep 1
  done
  fail "etcd needs a restart, but $number of ${#list[@]} other members are healthy, and $need are needed; nothing was restarted here. Start the others; one that was replaced joins later: deploy it without this change of etcd first"
}

# check_removal LIST ADDRESS   refuses to take a member out unless there is a quorum before and after it
check_removal() {
  local others=() healthy alive
  mapfile -t others < <(voters "$1" "$2")
  # A member without a vote can always go.
  if [[ $(voters "$1" | wc -l) == "${#others[@]}" ]]; then return; fi
  healthy=$(count is_healthy "${others[@]}")
  alive=$((healthy + $(count is_healthy "$2")))
  if ((${#others[@]} == 0 || alive < (${#others[@]} + 1) / 2 + 1 || healthy < ${#others[@]} / 2 + 1)); then
    fail "the member of etcd at $2 cannot be removed: $healthy of ${#others[@]} others are healthy, and without it $((${#others[@]} / 2 + 1)) are needed, with it $(((${#others[@]} + 1) / 2 + 1)) of $((${#others[@]} + 1)) ($RESTORE)"
  fi
}

# remove_member LIST ADDRESS ASK   takes a member out. ASK are the addresses that are asked.
remove_member() {
  local id
  check_removal "$1" "$2"
  id=$(id_at "$1" "$2")
  say "etcd: removes the member $id at $2"
  etcdctl "$3" member remove "$id" >/dev/null || fail "etcd does not remove the member at $2; the line before is its reason"
}

# Reads the members from those who answer, into `found`; fails if they have no quorum.
list_of_others() {
  local addresses=() number
  mapfile -t addresses < <(facts other-member)
  if ((${#addresses[@]} == 0)); then
    fail "etcd has no data here, and there is no other member; no new cluster is founded in its place. Restore a snapshot ($RESTORE)"
  fi
  # A request to members without a quorum takes some seconds.
  for ((i = 0; i < 5; i++)); do
    if found=$(members "$(others)" 2>/dev/null); then return; fi
    sleep 1
  done
  number=$(count answers "${addresses[@]}")
  fail "etcd has no data here, and $number of ${#addresses[@]} other members answer, without a quorum; no new cluster is founded in its place. Start the other machines, or restore a snapshot ($RESTORE)"
}

# The members for a first start: NAME=URL, with commas between. One that has not started yet has no name.
initial_cluster() { # LIST
  awk -v own="$(facts address)" -v name="$(facts hostname)" \
    '{ printf "%s%s=https://%s:2380", (NR > 1 ? "," : ""), ($4 == own ? name : $3 == "-" ? $4 : $3), $4 }' <<<"$1"
}

join() {
  local found own added id
  own=$(facts address)
  if [[ -d $DATA/member ]]; then
    say "etcd: an earlier start left no data; its folder is deleted"
    systemctl stop etcd
    rm -r "$DATA/member"
  fi
  list_of_others
  id=$(id_at "$found" "$own")
  added=$(cat "$STATE/etcd-added" 2>/dev/null || :)
  # A member that this machine has added itself, before it was interrupted, is used. Any other is the one of an earlier machine.
  if [[ -n $id && $id != "$added" ]]; then
    remove_member "$found" "$own" "$(others)"
    id=
  fi
  if [[ -z $id ]]; then
    say "etcd: adds a member"
    etcdctl "$(others)" member add "$(facts hostname)" --learner --peer-urls="https://$own:2380" >/dev/null ||
      fail "etcd does not add a member; the line before is its reason"
    list_of_others
    mkdir -p "$STATE"
    id_at "$found" "$own" >"$STATE/etcd-added"
  fi
  say "etcd: joins the cluster"
  initial existing "$(initial_cluster "$found")"
}

promote() {
  local own id reason='' begin=$SECONDS is_asked=''
  own=$(facts address)
  while ((SECONDS - begin < 120)); do
    id=$(members "$(others)" 2>/dev/null | awk -v address="$own" '$4 == address { print $1, $5 }') || id=
    if [[ $id == *false ]]; then
      rm -f "$STATE/etcd-added"
      return
    fi
    if [[ -n $id ]]; then
      if [[ -z $is_asked ]]; then say "etcd: asks for a vote"; fi
      is_asked=yes
      reason=$(etcdctl "$(others)" member promote "${id% *}" 2>&1 >/dev/null) || :
    fi
    sleep 0.5
  done
  journalctl --no-pager --quiet --lines=20 --unit=etcd >&2 || :
  fail "etcd has not caught up within 120 s: ${reason##*$'\n'}; the lines before are the end of its journal"
}

# on_member COMMAND HOSTNAME   calls a function with the list, the address of a member and the addresses to ask
on_member() {
  local address=${2#ip-} list all
  address=${address//-/.}
  # The member itself is not asked, because it stops before it answers.
  all=$({ facts address; facts other-member; } | grep --invert-match --line-regexp --fixed-strings "$address" | paste --serial --delimiters=,) || all=127.0.0.1
  list=$(members "$all") || fail "etcd has no quorum; no member can be removed ($RESTORE)"
  if [[ -z $(id_at "$list" "$address") ]]; then
    say "etcd: $2 is no member"
  else
    "$1" "$list" "$address" "$all"
  fi
}

removable() { on_member check_removal "$1"; }

remove() { on_member remove_member "$1"; }

# try WORDS COMMAND...   runs a command. If it fails, the line of fail has the words and the reason, which may be that of a panic
try() {
  local words=$1 log
  shift
  log=$("$@" 2>&1 >/dev/null) ||
    fail "$words: $(grep --max-count=1 -E '^(Error|panic|fatal error|unexpected fault)\b' <<<"$log" || tail --lines=1 <<<"$log")"
}

snapshot() { # FILE
  umask 077
  try "etcd writes no snapshot" etcdctl 127.0.0.1 --command-timeout=300s snapshot save "$1"
  etcdutl snapshot status "$1" --write-out=json
}

abandon() {
  mkdir -p "$STATE"
  touch "$STATE/etcd-given-up"
}

unpack() { # FILE TOKEN CLUSTER
  try "the file is no snapshot of etcd" etcdutl snapshot status "$1"
  rm -rf "$DATA/restored"
  # A revision above every one that a client has seen: clients must not take old data for news.
  try "the snapshot cannot be restored" etcdutl snapshot restore "$1" --data-dir "$DATA/restored" --name "$(facts hostname)" \
    --initial-cluster "$3" --initial-cluster-token "$2" \
    --initial-advertise-peer-urls "https://$(facts address):2380" --bump-revision 1000000000 --mark-compacted
  chown -R etcd:etcd "$DATA/restored"
  say "etcd: the snapshot is unpacked"
}

replace() {
  local now
  # A member that waits for others is not active yet.
  if ! [[ $(systemctl is-active etcd) =~ ^(inactive|failed)$ ]]; then fail "etcd must not run while its data are replaced"; fi
  [[ -d $DATA/restored/member ]] || fail "there are no unpacked data of a snapshot"
  now=$(date -u +%Y%m%dT%H%M%SZ)
  if [[ -d $DATA/member ]]; then
    mv -T "$DATA/member" "$DATA/before-$now"
    say "etcd: the earlier data are in $DATA/before-$now"
  fi
  mv -T "$DATA/restored/member" "$DATA/member"
  rmdir "$DATA/restored"
  rm -f "$STATE"/etcd-{added,founding}
  touch "$STATE"/etcd-{started,restored}
  say "etcd: restored"
}

"$@"
