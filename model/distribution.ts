import { NODE_HOME } from "./layout";
import { NODE_USER } from "./names";

/** A file's place on a machine. */
export interface DistributedFile {
  /** The absolute path: letters, digits, dots, underscores, hyphens and slashes. */
  readonly path: string;
  readonly mode: "0600" | "0644" | "0755";
  readonly owner: "ubuntu" | "root";
}

/** The folder, with mode 0700, into which the bundle is uploaded. */
export const STAGING = `${NODE_HOME}/.distribution`;

/** The bundle: a line for each file, its content in base64, in the order of the script's files; then `end`. */
export const BUNDLE = `${STAGING}/bundle`;

/** The last line of a bundle: one that was cut has none. */
export const BUNDLE_END = "end";

/**
 * The path of the first script. Terraform gives scripts mode 0777, by default in /tmp, where every user may overwrite them
 * before they run. Ubuntu's images have this folder with mode 0700. Terraform empties a script after it has run; the second
 * script removes it.
 */
export const STAGING_SCRIPT_PATH = `${NODE_HOME}/.ssh/terraform-staging.sh`;

/**
 * The path of the second script, which removes both folders that it is in. So Terraform's attempt to empty it fails, which
 * Terraform allows; with one folder, scp would make a file of that folder's name.
 */
export const SCRIPT_PATH = `${STAGING}/run/script.sh`;

/** Makes the staging folder anew. */
export const STAGING_SCRIPT: readonly string[] = [
  "set -eu",
  `rm -rf ${STAGING}`,
  `install -d -m 0700 ${STAGING} ${STAGING}/run`,
];

/** Before the table of files: what to do with a row. */
const HEAD: readonly string[] = [
  "set -eu",
  "umask 077",
  // All files are written beside their places, with owner and mode; then the files in place are kept, and then all are
  // renamed. Whatever fails on the way, the files in place are those from before.
  "new=.distribution-new old=.distribution-old done='' placed='' paths=''",
  `finish() {
  for path in $placed; do
    [ -n "$done" ] || if [ -e "$path$old" ] || [ -L "$path$old" ]; then mv -fT "$path$old" "$path"; else rm -f "$path"; fi
  done
  for path in $paths; do rm -f "$path$new" "$path$old"; done
  rm -rf ${STAGING} ${STAGING_SCRIPT_PATH}
}`,
  "trap finish EXIT",
  "trap 'exit 129' HUP INT TERM",
  `[ "$(tail -n 1 ${BUNDLE})" = ${BUNDLE_END} ] || { echo "the bundle was cut" >&2; exit 1; }`,
  `write() {
  if [ -d "$4" ] && [ ! -L "$4" ]; then echo "$4 is a folder" >&2; exit 1; fi
  paths="$paths $4"
  rm -f "$4$new" "$4$old"
  sed -n "$1p" ${BUNDLE} >${STAGING}/line
  base64 -d ${STAGING}/line >"$4$new"
  [ "$(id -un)" = "$3" ] || chown "$3:$3" "$4$new"
  chmod "$2" "$4$new"
}`,
];

/** After the table: all files go into their places. */
const TAIL: readonly string[] = [
  'for path in $paths; do if [ -e "$path" ] || [ -L "$path" ]; then cp -Pp "$path" "$path$old"; fi; done',
  'for path in $paths; do placed="$placed $path"; mv -fT "$path$new" "$path"; done',
  "done=1",
];

/** Files of root need root: the script starts itself again. */
const AS_ROOT = `[ "$(id -u)" = 0 ] || exec sudo -n -- sh "$0"`;

const ROW = /^write (\d+) (0600|0644|0755) (ubuntu|root) (\/[A-Za-z0-9._/-]+)$/;

/**
 * The script that puts the files of an uploaded bundle into their places, all or none.
 * @param activate - commands that run once all files are in their places; nothing secret
 */
export function distributionScript(files: readonly DistributedFile[], activate: readonly string[] = []): string[] {
  return [
    ...(files.some(({ owner }) => owner !== NODE_USER) ? [AS_ROOT] : []),
    ...HEAD,
    ...files.map(({ path, mode, owner }, index) => `write ${index + 1} ${mode} ${owner} ${path}`),
    ...TAIL,
    ...activate,
  ];
}

/**
 * Reads such a script back.
 * @returns the files and the commands that follow; undefined where the lines are not, to the letter, such a script
 */
export function readDistributionScript(
  lines: readonly unknown[],
): { readonly files: readonly DistributedFile[]; readonly activate: readonly string[] } | undefined {
  const rows = lines.map((line) => ROW.exec(String(line))).filter((row) => row !== null);
  const files = rows.map(([, , mode, owner, path]) => ({ path, mode, owner }) as DistributedFile);
  const activate = lines.slice(distributionScript(files).length).map(String);
  const expected = distributionScript(files, activate);
  return lines.length === expected.length && lines.every((line, index) => line === expected[index])
    ? { files, activate }
    : undefined;
}
