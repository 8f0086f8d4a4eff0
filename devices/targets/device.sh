# What edgekit runs on a device: one script for every target, in plain sh (dash, busybox, mksh with toybox).
#
#     sh -c 'eval "$(dd bs=1 count=BYTES 2>/dev/null)"' edgekit VERB ROOT ARGUMENTS... < this file and the verb's input
#
# ROOT is edgekit's folder on the device; "" stands for the user's cache folder. It has
#
#     bundles/HASH                       a whole bundle
#     bundles/HASH.temporary             says whose it is: it goes with that session
#     bundles/HASH.partial               one that is being copied
#     session.BOOT.PID.START/processes   what a session started: a line "PID START" each
#
# A session is its keeper: "BOOT PID START WHO" of the shell that runs `keep` for as long as it lasts. The board's lock
# is a symbolic link, which is made in one step with its text: the keeper that has it. What belongs to a keeper of
# another boot, or to a dead one, belongs to nobody.
# Messages for the session go to stderr, each after "edgekit-device: ".
set -uf

tell() { echo "edgekit-device: $*" >&2; }

# When a process began, in ticks since boot: with it, a number stands for one process. Fails for one that has ended.
began() {
  { read -r stat < "/proc/$1/stat"; } 2> /dev/null || return 1
  set -- ${stat##*") "}
  [ "$1" != Z ] && echo "${20}"
}

alive() { [ -n "$2" ] && [ "$(began "$1")" = "$2" ]; }

nap() { sleep 0.1 2> /dev/null || sleep 1; }

uptime_now() {
  read -r now rest < /proc/uptime
  echo "$now"
}

# Ends a process: politely, and after two seconds by force.
end() {
  count=0
  alive "$1" "$2" && kill -TERM "$1" 2> /dev/null
  while alive "$1" "$2"; do
    count=$((count + 1))
    [ "$count" = 20 ] && kill -KILL "$1" 2> /dev/null
    [ "$count" -lt 60 ] || return 1
    nap
  done
}

# Ends everything that the session has started.
end_processes() {
  [ -f "$1/processes" ] || return 0
  while read -r number start; do end "$number" "$start"; done < "$1/processes"
}

# Runs a program on this call's own input, listed in the session; gives its exit code.
launch() {
  exec 3<&0
  "$@" <&3 &
  child=$!
  echo "$child $(began "$child")" >> "$session/processes"
  # The keeper first moves the list away and then reads it: either it has this line, or the folder is gone by now.
  if [ ! -d "$session" ]; then
    kill -KILL "$child" 2> /dev/null
    tell lost
  fi
  wait "$child"
}

# Removes what this session and dead ones have left: their processes and what they copied.
tidy() {
  set +f
  for folder in "$root"/session.*; do
    [ -d "$folder" ] || continue
    owner=${folder##*/session.}
    owner=${owner%.over}
    owner="${owner%%.*} $(echo "${owner#*.}" | tr . ' ')"
    living "$owner" && continue
    [ "$folder" = "${folder%.over}" ] && mv "$folder" "$folder.over" && folder=$folder.over
    end_processes "$folder"
    rm -rf "$folder"
  done
  for mark in "$bundles"/*.temporary; do
    [ -f "$mark" ] || continue
    read -r owner < "$mark"
    living "$owner" && continue
    rm -rf "${mark%.temporary}" "${mark%.temporary}.partial" && rm -f "$mark"
  done
  set -f
  rmdir "$bundles" "$root" 2> /dev/null
}

# Whether something belongs to a session that goes on, other than this one.
living() {
  case $me in "$1"*) return 1 ;; esac
  held "$1"
}

holder() { readlink "$lock" 2> /dev/null; }

# Whether a lock's text is that of a keeper that lives.
held() {
  set -- $1
  [ $# -ge 3 ] && [ "$1" = "$boot" ] && alive "$2" "$3"
}

take_lock() {
  tries=0
  until ln -s "$me" "$lock" 2> /dev/null; do
    tries=$((tries + 1))
    found=$(holder)
    if [ -n "$found" ]; then
      if held "$found"; then
        set -- $found
        shift 3
        echo "busy $*"
        return 1
      fi
      # Another session may find the same dead lock: whoever moves a living one by mistake puts it back.
      if mv "$lock" "$lock.$$" 2> /dev/null; then
        moved=$(readlink "$lock.$$")
        rm -f "$lock.$$"
        [ "$moved" = "$found" ] || ln -s "$moved" "$lock"
        tries=0
      fi
    fi
    if [ "$tries" -gt 3 ]; then
      echo "stuck $lock"
      return 1
    fi
  done
  if [ "$(holder)" != "$me" ]; then
    echo "stuck $lock"
    return 1
  fi
  tidy
  session=$(session_of "$me")
  if ! mkdir -p "$session" "$bundles"; then
    echo "full $root"
    rm -f "$lock"
    return 1
  fi
  # Nothing of the connection stays open in it: some shells keep copies of what a function redirects.
  (exec < /dev/null > /dev/null 2>&1 && watch) &
  watcher=$!
  echo "locked $me"
}

# Leaves the device as it was; harmless when called again.
release() {
  if [ "$(holder)" = "$me" ]; then
    tidy
    rm -f "$lock"
  fi
}

# A connection may die without a word. The session says "alive" every few seconds, and the keeper makes a file of it.
watch() {
  missed=0
  while sleep "$heartbeat"; do
    if [ -e "$session/alive" ]; then
      rm -f "$session/alive"
      missed=0
    else
      missed=$((missed + 1))
    fi
    if [ "$missed" -gt 5 ]; then
      release
      kill -KILL "$$"
      return
    fi
  done
}

facts() {
  echo "machine $(uname -m)"
  echo "kernel $(uname -r)"
  echo "bits $(getconf LONG_BIT 2> /dev/null)"
  libc=$(getconf GNU_LIBC_VERSION 2> /dev/null) || libc=$(ldd --version 2>&1 | head -n 1)
  echo "libc $libc"
  if [ -r /proc/device-tree/model ]; then
    echo "model $(tr -d '\000' < /proc/device-tree/model)"
  else
    echo "model $(cat /sys/class/dmi/id/product_name 2> /dev/null)"
  fi
  if command -v getprop > /dev/null; then
    echo "android $(getprop ro.build.version.release)"
    echo "model $(getprop ro.product.manufacturer) $(getprop ro.product.model)"
  fi
  echo "os $(sed -n 's/^PRETTY_NAME=//p' /etc/os-release 2> /dev/null | tr -d '"')"
  echo "cpu $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)"
  echo "parts $(sed -n 's/^CPU part[^:]*: //p' /proc/cpuinfo | sort | uniq | tr '\n' ' ')"
  echo "implementer $(sed -n 's/^CPU implementer[^:]*: //p' /proc/cpuinfo | head -n 1)"
  echo "cores $(grep -c '^processor' /proc/cpuinfo)"
  echo "memory_kib $(sed -n 's/^MemTotal: *\([0-9]*\) .*/\1/p' /proc/meminfo)"
  place=$root
  while [ -n "$place" ] && [ ! -d "$place" ]; do place=${place%/*}; done
  set -- $(df -P -k "${place:-/}" 2> /dev/null | tail -n 1)
  echo "free_kib ${4-}"
  echo "boot $boot"
  echo "root $root"
  command -v tegrastats > /dev/null && echo "tegrastats yes"
  echo end
}

# keep WHO SECONDS: holds a session. Takes words from its input until that ends, and then leaves the device clean.
keep() {
  me="$boot $$ $(began $$) $1"
  heartbeat=$2
  watcher=
  trap 'exit 1' HUP INT TERM
  trap 'trap "" HUP INT TERM PIPE; [ -z "$watcher" ] || kill -KILL "$watcher" 2> /dev/null; release' EXIT
  echo connected
  while read -r word; do
    case $word in
      facts) facts ;;
      lock) take_lock ;;
      alive) [ -n "$session" ] && : > "$session/alive" ;;
      stop) [ -n "$session" ] && end_processes "$session" ;;
    esac
  done
}

session_of() {
  set -- $1
  echo "$root/session.$1.$2.$3"
}

# Goes no further unless the lock is this session's.
mine() {
  if [ "$(holder)" != "$1" ]; then
    tell lost
    exit 75
  fi
  session=$(session_of "$1")
}

# Whether a bundle is whole: its input is "BYTES PATH" for every file.
check() {
  while read -r bytes path; do
    [ -f "$1/$path" ] || return 1
    [ "$(($(wc -c < "$1/$path")))" = "$bytes" ] || return 1
  done
}

# check TOKEN HASH: exit code 0 if it is there.
find_bundle() {
  mine "$1"
  [ -d "$bundles/$2" ] && check "$bundles/$2"
}

# unpack TOKEN HASH: its input is a tar archive.
unpack() {
  mine "$1"
  rm -rf "$bundles/$2" "$bundles/$2.partial"
  echo "$1" > "$bundles/$2.temporary" || exit 1
  mkdir "$bundles/$2.partial" || exit 1
  launch tar -x -f - -C "$bundles/$2.partial"
}

# accept TOKEN HASH temporary|kept: what was unpacked is whole, and may outlive the session.
accept() {
  mine "$1"
  if ! check "$bundles/$2.partial"; then
    tell damaged
    exit 1
  fi
  mv "$bundles/$2.partial" "$bundles/$2" || exit 1
  [ "$3" = temporary ] || rm -f "$bundles/$2.temporary"
}

# run TOKEN FOLDER PROGRAM...: says how it ended, and between which moments of the device's clock it ran.
run() {
  mine "$1"
  cd "$2" || exit 1
  shift 2
  from=$(uptime_now)
  launch "$@" < /dev/null
  code=$?
  tell "ended $code $from $(uptime_now)"
  exit "$code"
}

# stats TOKEN MILLISECONDS: tegrastats' lines, each after the moment that it came at.
stats() {
  mine "$1"
  launch tegrastats --interval "$2" < /dev/null | while read -r line; do echo "$(uptime_now) $line"; done
}

verb=$1
if [ -n "$2" ]; then
  root=$2
  lock=$root.lock
else
  root=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/edgekit
  lock=${TMPDIR:-/tmp}/edgekit.lock
fi
session=
me=
bundles=$root/bundles
read -r boot < /proc/sys/kernel/random/boot_id
shift 2
"$verb" "$@"
