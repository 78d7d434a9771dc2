#!/bin/bash
# Downloads the programs of a table, and links them. It runs on a machine, as root.
#   programs.sh TABLE fetch   puts each release into /usr/local/lib/kubernetes/programs/NAME/VERSION, as a whole
#   programs.sh TABLE pending prints the releases whose programs in use are of another version
#   programs.sh TABLE link    makes LINKFOLDER/PROGRAM a link to it, for all programs of the table
# TABLE has one line for each release, with one space between fields:
#   NAME VERSION program|archive LINKFOLDER SHA256|- URL SUMURL MEMBER...
# The MEMBER of a program is its name. Those of an archive (tar, gzip) are paths in it: the last part is the program's name.
# A release without a sum in the table is checked against the file of sums at SUMURL.
# It needs bash 5.1, curl, coreutils, tar, gzip and util-linux. Either command can be repeated, also after it was killed.
set -euo pipefail
umask 022
export LC_ALL=C

programs=/usr/local/lib/kubernetes/programs
# Everything in it is incomplete. No NAME begins with a dot.
staging=$programs/.incomplete
host=$(uname -n)

# The number of downloads at one time.
at_once=4
# The number of attempts for each file. No attempt starts later than so many seconds after the first.
attempts=4 attempts_end=60
# A download ends if it has fewer bytes per second for so many seconds.
slow=10000 slow_seconds=30

# fail TEXT: ends with one line.
fail() {
  printf '%s\n' "$host: ${1//[^[:print:]]/?}" >&2
  exit 1
}

# try SUBJECT COMMAND...: runs a command. If it fails, SUBJECT and the last line of its errors are the line of fail.
try() {
  local subject=$1 errors
  shift
  errors=$("$@" 2>&1 >/dev/null) || fail "$subject: ${errors##*$'\n'}"
}

usage='usage: programs.sh TABLE fetch|pending|link'
[[ $# -eq 2 && $2 =~ ^(fetch|pending|link)$ ]] || fail "$usage"
table=$1 command=$2
[[ $EUID -eq 0 ]] || fail "programs.sh must run as root"

# The columns of the table. Members are separated by spaces.
names=() versions=() kinds=() folders=() sums=() urls=() sum_urls=() members=()

# A name cannot begin with a dot or a dash, so no path leads out of its folder and none is an option.
name_pattern='[A-Za-z0-9_][A-Za-z0-9._+-]*'
url_pattern='https?://[][A-Za-z0-9._~:/?#@!$&()*+,;=%-]+'

# must FIELD VALUE PATTERN ALLOWED: refuses a field of the current line.
must() {
  [[ $2 =~ ^($3)$ ]] || fail "$table line $((${#names[@]} + 1)): $1 must be $4, got: $2"
}

read_table() {
  local line name version kind folder sum url sum_url member list fields
  local -A seen=()
  [[ -f $table && -r $table ]] || fail "$table must be a file with a table of programs"
  while IFS= read -r line || [[ -n $line ]]; do
    IFS=' ' read -r -a fields <<<"$line" || :
    if [[ ${#fields[@]} -lt 8 || ${fields[*]} != "$line" ]]; then
      fail "$table line $((${#names[@]} + 1)): it must have 8 or more fields with one space between, got: $line"
    fi
    name=${fields[0]} version=${fields[1]} kind=${fields[2]} folder=${fields[3]}
    sum=${fields[4]} url=${fields[5]} sum_url=${fields[6]} list=("${fields[@]:7}")
    must NAME "$name" "$name_pattern" "a name of letters, digits and ._+-"
    must VERSION "$version" "$name_pattern" "a version of letters, digits and ._+-"
    must KIND "$kind" "program|archive" "program or archive"
    must LINKFOLDER "$folder" "/usr/local/bin|/opt/cni/bin" "/usr/local/bin or /opt/cni/bin"
    must SHA256 "$sum" "-|[0-9a-f]{64}" "- or 64 hex digits"
    must URL "$url" "$url_pattern" "an address with http or https"
    must SUMURL "$sum_url" "$url_pattern" "an address with http or https"
    if [[ $kind == program ]]; then
      must MEMBER "${list[*]}" "$name_pattern" "one name of a program"
    fi
    for member in "${list[@]}"; do
      must MEMBER "$member" "(\./)?($name_pattern/)*$name_pattern" "a path inside of the archive"
      [[ ${member##*/} != sha256 ]] || fail "$table line $((${#names[@]} + 1)): no program can have the name sha256"
      [[ -z ${seen[$folder/${member##*/}]:-} ]] || fail "$table has two programs for $folder/${member##*/}"
      seen[$folder/${member##*/}]=yes
    done
    [[ -z ${seen[$name]:-} ]] || fail "$table has two releases with the name $name"
    seen[$name]=yes
    names+=("$name") versions+=("$version") kinds+=("$kind") folders+=("$folder")
    sums+=("$sum") urls+=("$url") sum_urls+=("$sum_url") members+=("${list[*]}")
  done <"$table"
  [[ ${#names[@]} -gt 0 ]] || fail "$table must have a line for each release, it is empty"
}

# Runs of this program wait for each other. Children keep the lock too: the next run also waits for those of a killed one.
lock() {
  try "$programs cannot be made" mkdir -p "$programs"
  # On Debian, /usr/local may give its group to new folders.
  try "$programs cannot be given to root" chown 0:0 "${programs%/*}" "$programs"
  try "$programs cannot be given to root" chmod 00755 "${programs%/*}" "$programs"
  exec 9<"$programs"
  flock --nonblock 9 && return
  echo "waiting for another run of programs.sh"
  flock 9
}

# is_complete INDEX: whether a release is in place, with the sum of the table.
is_complete() {
  local folder=$programs/${names[$1]}/${versions[$1]} sum='' member
  [[ -f $folder/sha256 ]] && read -r sum <"$folder/sha256" || return 1
  [[ ${sums[$1]} == - || ${sums[$1]} == "$sum" ]] || return 1
  for member in ${members[$1]}; do
    [[ -f $folder/${member##*/} && ! -L $folder/${member##*/} && -x $folder/${member##*/} ]] || return 1
  done
}

# download LABEL URL FILE: with a few attempts, unless the reason stays the same.
download() {
  local label=$1 url=$2 file=$3 attempt code status reason start=$SECONDS
  # A redirect may not leave https.
  local redirects='=https'
  [[ $url == https:* ]] || redirects='=http,https'
  for ((attempt = 1; ; attempt++)); do
    status=0
    code=$(curl --silent --show-error --fail --location --globoff --proto '=http,https' --proto-redir "$redirects" \
      --connect-timeout 10 --speed-limit "$slow" --speed-time "$slow_seconds" \
      --write-out '%{http_code}' --output "$file" --url "$url" 2>"$file.errors") || status=$?
    [[ $status -ne 0 ]] || return 0
    reason=$(head -n 1 "$file.errors") || :
    reason=${reason#curl: (*) }
    reason=${reason:-curl ends with status $status}
    reason=${reason//[^[:print:]]/?}
    case $status:$code in
      # A wrong address, no place for the file, too many redirects, a certificate that is not trusted.
      1:* | 3:* | 23:* | 47:* | 60:*) break ;;
      22:408 | 22:429 | 22:5*) ;;
      22:*) break ;;
    esac
    if ((attempt == attempts || SECONDS - start >= attempts_end)); then
      break
    fi
    echo "$label: attempt $((attempt + 1)) of $attempts, because of: $reason"
    sleep $((2 ** (attempt - 1)))
  done
  if [[ $status -eq 23 ]]; then
    reason="$reason; $(free_space)"
  fi
  fail "$url cannot be downloaded: $reason"
}

free_space() {
  local lines
  mapfile -t lines < <(df --output=avail --block-size=kB "$programs")
  echo "the disk has ${lines[1]// /} of free space"
}

# sum_in FILE NAME: prints the sum of a file in a file of sums: a single sum, or lines with a sum and a name.
sum_in() {
  local first name words
  mapfile -t words < <(head -c 1000000 "$1" | tr -s '[:space:]' '\n')
  if [[ ${#words[@]} -eq 1 ]]; then
    first=${words[0],,}
    [[ $first =~ ^[0-9a-f]{64}$ ]] || return 1
    echo "$first"
    return
  fi
  while read -r first name || [[ -n $first ]]; do
    name=${name#\*}
    [[ ${first,,} =~ ^[0-9a-f]{64}$ && ${name##*/} == "$2" ]] || continue
    echo "${first,,}"
    return
  done < <(head -c 1000000 "$1" | tr -d '\r')
  return 1
}

# unpack URL ARCHIVE FOLDER MEMBER...: tar only writes to its standard output, so no entry of the archive can lead elsewhere.
unpack() {
  local url=$1 archive=$2 folder=$3 errors member entry entries
  shift 3
  errors=$(gzip -dc <"$archive" 2>&1 >"$archive.tar") || fail "$url cannot be unpacked: ${errors##*$'\n'}"
  rm "$archive"
  errors=$(tar -tf "$archive.tar" 2>&1 >"$archive.list") || fail "$url cannot be unpacked: ${errors##*$'\n'}"
  for member; do
    # Some archives have names that begin with ./
    entries=("${member#./}" "./${member#./}")
    for entry in "${entries[@]}"; do
      grep -qxF -e "$entry" "$archive.list" || continue
      errors=$(tar -xOf "$archive.tar" --no-recursion --no-wildcards --occurrence=1 -- "$entry" 2>&1 >"$folder/${member##*/}") ||
        fail "$url cannot be unpacked: ${errors##*$'\n'}"
      break
    done
    [[ -s $folder/${member##*/} ]] || fail "$url is refused: the archive has no program $member"
  done
}

# fetch INDEX: downloads a release, checks it and puts it into place. It runs in a process of its own.
fetch() {
  local name=${names[$1]} version=${versions[$1]} url=${urls[$1]} wanted=${sums[$1]} sum_url=${sum_urls[$1]} list
  local label="$name $version" from=$table new=$staging/$name file=$staging/$name/download got errors start seconds
  read -r -a list <<<"${members[$1]}"
  start=${EPOCHREALTIME/[.,]/}
  trap 'rm -rf "$staging/$name"' EXIT
  try "$new cannot be made" mkdir -p "$new/programs"

  if [[ $wanted == - ]]; then
    download "$label" "$sum_url" "$new/sums"
    from=${url%%[?#]*}
    wanted=$(sum_in "$new/sums" "${from##*/}") || fail "$sum_url has no sum of ${from##*/}"
    from=$sum_url
    echo "warning: $label: its sum comes from the same host as the program: $sum_url"
  fi

  download "$label" "$url" "$file"
  got=$(sha256sum <"$file")
  got=${got%% *}
  [[ $got == "$wanted" ]] || fail "$url is refused: its sum is $got, in $from it is $wanted"

  if [[ ${kinds[$1]} == program ]]; then
    try "$url cannot be put into place" mv -T "$file" "$new/programs/${list[0]}"
  else
    unpack "$url" "$file" "$new/programs" "${list[@]}"
  fi
  # shellcheck disable=SC2116 # The substitution gets the errors of echo, and the file its text.
  errors=$(echo "$got" 2>&1 >"$new/programs/sha256") || fail "$url cannot be put into place: ${errors##*$'\n'}"

  cd "$new/programs"
  try "$url cannot be put into place" chmod 0755 "${list[@]##*/}"
  # A machine that loses its power must not have the folder without the content.
  try "$url cannot be put into place" sync "${list[@]##*/}" sha256 .
  cd /
  try "$url cannot be put into place" mkdir -p "$programs/$name"
  if [[ -e $programs/$name/$version || -L $programs/$name/$version ]]; then
    try "$url cannot be put into place" mv -T "$programs/$name/$version" "$new/replaced"
  fi
  try "$url cannot be put into place" mv -T "$new/programs" "$programs/$name/$version"
  seconds=$(((${EPOCHREALTIME/[.,]/} - start) / 100000))
  echo "$label: downloaded in $((seconds / 10)).$((seconds % 10)) s"
}

fetch_all() {
  local index running=0 failed=0
  try "$staging cannot be deleted" rm -rf "$staging"
  for index in "${!names[@]}"; do
    if is_complete "$index"; then
      echo "${names[index]} ${versions[index]}: already here"
      continue
    fi
    if ((running == at_once)); then
      wait -n || failed=1
      ((running -= 1)) || :
    fi
    # After a failure, only those that run end.
    ((failed == 0)) || break
    fetch "$index" &
    ((running += 1))
  done
  while ((running > 0)); do
    wait -n || failed=1
    ((running -= 1)) || :
  done
  try "$staging cannot be deleted" rm -rf "$staging"
  exit "$failed"
}

pending_all() {
  local index member link
  for index in "${!names[@]}"; do
    for member in ${members[index]}; do
      link=${folders[index]}/${member##*/}
      if [[ -L $link && $(readlink "$link") != "$programs/${names[index]}/${versions[index]}/${member##*/}" ]]; then
        echo "${names[index]}"
        break
      fi
    done
  done
}

link_all() {
  local index member link target
  for index in "${!names[@]}"; do
    is_complete "$index" ||
      fail "${names[index]} ${versions[index]} is not complete in $programs: run programs.sh $table fetch"
    for member in ${members[index]}; do
      link=${folders[index]}/${member##*/}
      [[ -L $link || ! -e $link ]] ||
        fail "$link was not put there by programs.sh: move it to another place, or delete it"
    done
  done
  for index in "${!names[@]}"; do
    try "${folders[index]} cannot be made" mkdir -p "${folders[index]}"
    # The same name each time, so that a killed run leaves no more than one.
    try "${folders[index]}/.programs.new cannot be deleted" rm -f "${folders[index]}/.programs.new"
    for member in ${members[index]}; do
      link=${folders[index]}/${member##*/}
      target=$programs/${names[index]}/${versions[index]}/${member##*/}
      [[ $(readlink "$link") != "$target" ]] || continue
      try "$link cannot be made" ln -s "$target" "${folders[index]}/.programs.new"
      try "$link cannot be made" mv -T "${folders[index]}/.programs.new" "$link"
      echo "${member##*/} ${versions[index]}: linked in ${folders[index]}"
    done
  done
}

read_table
lock
"${command}_all"
