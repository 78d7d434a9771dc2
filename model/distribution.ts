import { createHash } from "node:crypto";
import { NODE_HOME } from "./layout";
import { NODE_USER } from "./names";

/** Path, mode and owner of a file on a machine. */
export interface DistributedFile {
  /**
   * The absolute path: letters, digits, dots, underscores, hyphens and slashes. Its folder must exist, and no user except
   * root and `ubuntu` may write to it or to a folder above it: such a user could read or redirect a file while it is
   * written. The copy fails in another folder (access control lists are not read). The paths of {@link isReserved} are refused.
   */
  readonly path: string;
  readonly mode: "0600" | "0644" | "0755";
  /** A user of the machine. The file's group is the group with the same name. */
  readonly owner: string;
}

/** The name of a user of a machine. */
export const USER_NAME = /^[a-z_][a-z0-9_-]{0,31}$/;

/** A folder of a machine, which belongs to root and which others may read. It is made if it is missing, with its parents. */
export type DistributedFolder = string;

/** The folder, with mode 0700, into which the bundle is uploaded. */
export const STAGING = `${NODE_HOME}/.distribution`;

/** The bundle. It has one line in base64 for each file, in the order of the script, and a {@link bundleEnd}. */
export const BUNDLE = `${STAGING}/bundle`;

/** The last line of the bundle of these files. A bundle that was cut off, or that is for other files, does not have it. */
export function bundleEnd(files: readonly DistributedFile[]): string {
  return `end ${createHash("sha256").update(rows(files).join("\n")).digest("hex").slice(0, 12)}`;
}

/**
 * The path of the first script. Terraform gives scripts mode 0777 and by default puts them into /tmp, where every user could
 * overwrite them before they run. The folder here has mode 0700 in Ubuntu's images. Terraform empties a script after it has
 * run; the second script removes the file.
 */
export const STAGING_SCRIPT_PATH = `${NODE_HOME}/.ssh/terraform-staging.sh`;

/**
 * The path of the second script, which removes both of its parent folders. Terraform's attempt to empty the script then
 * fails, and Terraform ignores this. With only one parent folder, scp would create a file with the name of that folder.
 */
export const SCRIPT_PATH = `${STAGING}/run/script.sh`;

/**
 * The users that may own a folder of files, and every folder above it. `ubuntu` may become root with sudo.
 * Groups of the same names may write: Ubuntu gives each user such a group.
 */
const TRUSTED = " root ubuntu ";

const NEW = ".distribution-new";
const OLD = ".distribution-old";

/** Whether the copy itself uses a path: the staging folder, the first script, or a temporary file beside a final path. */
export function isReserved(path: string): boolean {
  return (
    path === STAGING_SCRIPT_PATH || `${path}/`.startsWith(`${STAGING}/`) || path.endsWith(NEW) || path.endsWith(OLD)
  );
}

/** The time that a script waits for another one on the same machine, in seconds. */
const LOCK_WAIT = 120;

/**
 * Waits until no other script runs, for example one of an apply that was killed. The lock ends with the shell. It is on a
 * folder that every machine has and that no other user can open, so that it leaves no file and no other user can hold it.
 */
const LOCK: readonly string[] = [
  `exec 9<${NODE_HOME}/.ssh`,
  `flock -w ${LOCK_WAIT} 9 || {
  echo "another copy to this machine has not ended within ${LOCK_WAIT} s; on the machine, this lists it: pgrep -af ${STAGING}/run" >&2
  exit 1
}`,
];

/** The first script: creates an empty staging folder. */
export const STAGING_SCRIPT: readonly string[] = [
  "set -eu",
  ...LOCK,
  `rm -rf ${STAGING}`,
  `install -d -m 0700 ${STAGING} ${STAGING}/run`,
];

/** The part before the table of files: the functions. `write` handles one row. */
const head = (files: readonly DistributedFile[]): readonly string[] => [
  "set -eu",
  "umask 077",
  ...LOCK,
  // First, each new file is written beside its final path, with owner and mode. Then the current files are copied as
  // backups. Then all new files are renamed to their final paths. If any step fails, the previous files are put back.
  `new=${NEW} old=${OLD} done='' placed='' paths=''`,
  // A failure or a second signal must not end the clean-up, which removes private keys.
  `finish() {
  trap '' HUP INT TERM
  set +e
  for path in $placed; do
    [ -n "$done" ] || if [ -e "$path$old" ] || [ -L "$path$old" ]; then mv -fT "$path$old" "$path"; else rm -f "$path"; fi
  done
  for path in $paths; do rm -f "$path$new" "$path$old"; done
  rm -rf ${STAGING} ${STAGING_SCRIPT_PATH}
}`,
  "trap finish EXIT",
  "trap 'exit 129' HUP INT TERM",
  `[ "$(wc -l <${BUNDLE})" -eq ${files.length + 1} ] && [ "$(tail -n 1 ${BUNDLE})" = "${bundleEnd(files)}" ] || {
  echo "the bundle was cut, or is for other files" >&2
  exit 1
}`,
  // If another user could write to a folder of the path, that user could replace the file by a link while it is written.
  // namei lists each folder and link. The sticky bit protects the names in a folder, but not from new names.
  `checkFolder() {
  folder=$(dirname "$1")
  if [ ! -d "$folder" ]; then echo "the folder of $1 must exist" >&2; exit 1; fi
  found=$(namei -mo "$folder" | awk -v trusted="${TRUSTED}" '
    NR > 1 && bad == "" {
      $1 = $1
      open = $1 !~ /^l/ && (substr($1, 9, 1) == "w" || (substr($1, 6, 1) == "w" && !index(trusted, " " $3 " ")))
      sticky = open && $1 ~ /[tT]$/ ? $0 : ""
      if (!index(trusted, " " $2 " ") || (open && sticky == "")) bad = $0
    }
    END { print NR < 2 ? "no list of folders" : bad == "" ? sticky : bad }')
  [ -z "$found" ] || {
    echo "the folder of $1 must belong to root or ${NODE_USER}, and no other user may write to it or to a folder above it, got: $found" >&2
    exit 1
  }
}`,
  `write() {
  checkFolder "$4"
  if [ -d "$4" ] && [ ! -L "$4" ]; then echo "$4 is a folder" >&2; exit 1; fi
  paths="$paths $4"
  rm -f "$4$new" "$4$old"
  sed -n "$1p" ${BUNDLE} >${STAGING}/line
  (set -C && base64 -d ${STAGING}/line >"$4$new")
  [ "$(id -un)" = "$3" ] || chown "$3:$3" "$4$new"
  chmod "$2" "$4$new"
}`,
];

/** The part after the table: moves all files to their final paths. */
const TAIL: readonly string[] = [
  'for path in $paths; do if [ -e "$path" ] || [ -L "$path" ]; then cp -Pp "$path" "$path$old"; fi; done',
  'for path in $paths; do placed="$placed $path"; mv -fT "$path$new" "$path"; done',
  "done=1",
];

/**
 * The parts around the commands. In a shell of their own, they cannot skip the clean-up. Without the lock, a program that they
 * leave running does not stop the next copy.
 */
const [ACTIVATE, ACTIVATE_END] = ["(", ") 9<&-"];

function activation(activate: readonly string[]): string[] {
  return activate.length === 0 ? [] : [ACTIVATE, ...activate, ACTIVATE_END];
}

/** The first line of a script that writes files which belong to root, or that runs commands. It starts the script again as root. */
const AS_ROOT = `[ "$(id -u)" = 0 ] || exec sudo -n -- sh "$0"`;

const ROW = /^write (\d+) (0600|0644|0755) ([a-z_][a-z0-9_-]*) (\/[A-Za-z0-9._/-]+)$/;

const FOLDER_ROW = /^install -d -m 0755 -- (\/[A-Za-z0-9._/-]+)$/;

/** A row for a folder. `install` does not change a folder's owner if it exists, but its mode. */
function folderRow(folder: string): string {
  return `install -d -m 0755 -- ${folder}`;
}

function rows(files: readonly DistributedFile[]): string[] {
  return files.map(({ path, mode, owner }, index) => `write ${index + 1} ${mode} ${owner} ${path}`);
}

/**
 * The script that moves the files of an uploaded bundle to their final paths: all or none.
 * @param activate - commands that run as root after all files are in place. They must not contain a secret.
 * @param folders - folders that are made before. Other folders of files must exist.
 */
export function distributionScript(
  files: readonly DistributedFile[],
  activate: readonly string[] = [],
  folders: readonly DistributedFolder[] = [],
): string[] {
  const needsRoot = activate.length + folders.length > 0 || files.some(({ owner }) => owner !== NODE_USER);
  return [
    ...(needsRoot ? [AS_ROOT] : []),
    ...head(files),
    ...folders.map(folderRow),
    ...rows(files),
    ...TAIL,
    ...activation(activate),
  ];
}

/**
 * Reads the files, commands and folders of a {@link distributionScript}.
 * @returns the files, the commands and the folders; undefined if any line differs from such a script
 */
export function readDistributionScript(lines: readonly unknown[]):
  | {
      readonly files: readonly DistributedFile[];
      readonly activate: readonly string[];
      readonly folders: readonly DistributedFolder[];
    }
  | undefined {
  const found = lines.map((line) => ROW.exec(String(line))).filter((row) => row !== null);
  const files = found.map(([, , mode, owner, path]) => ({ path, mode, owner }) as DistributedFile);
  const begin = head(files).length + (lines[0] === AS_ROOT ? 1 : 0);
  const folders = lines.slice(begin, lines.length).map((line) => FOLDER_ROW.exec(String(line))?.[1]);
  const made = folders.slice(0, folders.indexOf(undefined)) as string[];
  const length = begin + made.length + files.length + TAIL.length;
  const activate = lines.slice(length + 1, -1).map(String);
  const expected = distributionScript(files, activate, made);
  return lines.length === expected.length && lines.every((line, index) => line === expected[index])
    ? { files, activate, folders: made }
    : undefined;
}
