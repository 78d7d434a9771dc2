import { createPublicKey } from "node:crypto";
import {
  chmodSync,
  closeSync,
  existsSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { dirname, join, resolve } from "node:path";
import { CA } from "../model/layout";
import { UserError } from "../model/user-error";
import { hasOtherKeys } from "./encryption";
import {
  DESCRIPTION,
  type DescribedCluster,
  describedCluster,
  ENCRYPTION_CONFIG,
  FILE_MODE,
  FOLDER_MODE,
  FOLDERS,
  filesIn,
  GIT_IGNORE,
  isFolder,
  ownFiles,
  pairPaths,
} from "./files";
import { readRegularFile } from "./regular-file";
import { octal } from "./stack";

/** The changes that {@link writeFolder} made. */
export interface Written {
  /** The paths of the new and changed files. */
  readonly written: readonly string[];
  /** The number of files that were already up to date. */
  readonly unchanged: number;
  /**
   * The path of the previous encryption config, after a possible renaming. It is set only if that file may have a key that
   * exists nowhere else.
   */
  readonly kept?: string;
  /** The paths of deleted files: those of removed machines, or of another cluster. */
  readonly removed: readonly string[];
  /** The paths of other files in the folder, which were not changed. */
  readonly others: readonly string[];
}

/**
 * The folder into which files are written before they are moved into place. While it exists, a second run is refused. If it
 * is old, its run was killed or failed, and the next run completes the work.
 */
const STAGING = ".writing";

/** The age in milliseconds after which the staging folder counts as left by a killed run. */
const ABANDONED = 60_000;

/** The host keys that `check --nodes` stores, and the backup that ssh-keygen makes when it removes one. */
const KNOWN_HOSTS = /^ssh\/known_hosts(\.old)?$/;

const CA_FILES = pairPaths(CA);

/**
 * Writes files into a folder of mode 0700. Each file has mode 0600 from its first byte on. All files are written into a
 * staging folder and then moved into place, so a failure before that changes nothing. Files that are up to date are not
 * touched. Files of removed machines are deleted. An encryption config that may have a key of its own is never lost: it is
 * not changed, or, with `replace`, it is renamed. After a failure in the middle, the next run completes the work.
 *
 * The folder is refused if other users could exchange it for theirs: if one of the folders above it is writable for everybody
 * without the sticky bit. With the sticky bit, as in /tmp, only the owner of a folder can rename it. Groups that may write are
 * accepted, because many systems give each user a group.
 * @param files - contents by path
 * @param replace - whether another cluster's files may be replaced
 * @throws UserError if the folder or one above it is open to other users, belongs to another user, was not written by this program,
 *   contains another cluster's CA, is being written by another run, or cannot be written
 */
export function writeFolder(folder: string, files: Readonly<Record<string, string>>, replace: boolean): Written {
  const path = resolve(folder);
  const isNew = lstatSync(path, { throwIfNoEntry: false }) === undefined;
  try {
    if (!isNew) checkFolderIsOurs(path, files, replace);
    checkNobodyCanExchange(path);
    mkdirSync(path, { recursive: true, mode: FOLDER_MODE });
    // Another user may have created it in the meantime, where everybody can create folders.
    if (isNew) checkFolderIsOurs(path, files, replace);
    return withStagingFolder(path, () => updateFolder(path, files, replace));
  } catch (error) {
    if (isNew) removeIfEmpty(path);
    if (error instanceof UserError) throw error;
    throw new UserError(`cannot write ${folder}: ${(error as Error).message}`);
  }
}

function withStagingFolder<T>(folder: string, write: () => T): T {
  const staging = join(folder, STAGING);
  const existing = lstatSync(staging, { throwIfNoEntry: false });
  // The absolute value, because the clock may have been set back.
  if (existing !== undefined && Math.abs(Date.now() - existing.mtimeMs) > ABANDONED)
    rmSync(staging, { recursive: true, force: true });
  try {
    mkdirSync(staging, { mode: FOLDER_MODE });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    throw new UserError(
      `another run is writing ${folder}, or was killed less than a minute ago: keep ${STAGING} in it, and try again in a minute`,
    );
  }
  try {
    const written = write();
    rmSync(staging, { recursive: true });
    return written;
  } catch (error) {
    try {
      leaveForNextRun(folder);
    } catch {
      // The first error says more.
    }
    throw error;
  }
}

/**
 * Empties the staging folder after a failure. Without a description, it stays, and is made old: it shows the next run that the
 * folder's files are this program's.
 */
function leaveForNextRun(folder: string): void {
  const staging = join(folder, STAGING);
  for (const name of readdirSync(staging)) rmSync(join(staging, name), { force: true });
  if (existsSync(join(folder, DESCRIPTION)) || filesIn(folder).every((name) => name === GIT_IGNORE)) rmdirSync(staging);
  else utimesSync(staging, 0, 0);
}

function updateFolder(folder: string, files: Readonly<Record<string, string>>, replace: boolean): Written {
  const clusterBefore = clusterIn(folder);
  const ownBefore = clusterBefore === undefined ? [] : ownFiles(clusterBefore);
  const different = Object.entries(files).filter(([name, content]) => !isUpToDate(join(folder, name), content));
  const obstacle = different.find(([name]) => isFolder(join(folder, name)));
  if (obstacle !== undefined) throw new Error(`${obstacle[0]} is a folder`);
  const config = join(folder, ENCRYPTION_CONFIG);
  const wouldLoseKey = mayHaveOtherKeys(config, files[ENCRYPTION_CONFIG] ?? "");
  const changed = different.filter(([name]) => replace || !wouldLoseKey || name !== ENCRYPTION_CONFIG);
  for (const parent of FOLDERS.map((name) => join(folder, name))) {
    mkdirSync(parent, { recursive: true, mode: FOLDER_MODE });
    if (!isFolder(parent)) throw new Error(`${parent} is not a folder (it may be a link)`);
    chmodSync(parent, FOLDER_MODE);
  }
  // Before any secret, so that git ignores the secrets of a killed run too. A link is replaced, not written through.
  if (lstatSync(join(folder, GIT_IGNORE), { throwIfNoEntry: false })?.isFile() !== true) {
    writeDurably(join(folder, STAGING, GIT_IGNORE), files[GIT_IGNORE] ?? "");
    renameSync(join(folder, STAGING, GIT_IGNORE), join(folder, GIT_IGNORE));
  }
  changed.forEach(([, content], index) => {
    writeDurably(join(folder, STAGING, String(index)), content);
  });

  const kept = wouldLoseKey ? (replace ? freeName(folder) : ENCRYPTION_CONFIG) : undefined;
  if (kept !== undefined) {
    if (!isLink(config)) chmodSync(config, FILE_MODE);
    renameSync(config, join(folder, kept));
  }
  const moveIntoPlace = (isSelected: (name: string) => boolean) =>
    changed.forEach(([name], index) => {
      if (isSelected(name)) renameSync(join(folder, STAGING, String(index)), join(folder, name));
    });
  moveIntoPlace((name) => name !== DESCRIPTION);
  const removed = othersIn(folder, files).filter((name) => ownBefore.includes(name));
  for (const name of removed) rmSync(join(folder, name));
  // Last: until then the description is the previous one, so that a run after a killed one knows which files to delete.
  moveIntoPlace((name) => name === DESCRIPTION);
  return {
    written: changed.map(([name]) => name),
    unchanged: Object.keys(files).length - different.length,
    ...(kept !== undefined && { kept }),
    removed,
    others: othersIn(folder, files),
  };
}

/** Writes a new file that only its owner can access, and waits until it is on the disk. */
function writeDurably(path: string, content: string): void {
  const file = openSync(path, "wx", FILE_MODE);
  try {
    writeFileSync(file, content);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

/** An unused file name for the previous encryption config. */
function freeName(folder: string): string {
  const names = readdirSync(folder);
  const name = (count: number): string => {
    const candidate = ENCRYPTION_CONFIG.replace(".yaml", `.before${count === 1 ? "" : `-${count}`}.yaml`);
    return names.includes(candidate) ? name(count + 1) : candidate;
  };
  return name(1);
}

/** Removes a new folder, unless this or another run has written files into it. */
function removeIfEmpty(folder: string): void {
  if (!isFolder(folder) || existsSync(join(folder, STAGING)) || filesIn(folder).some((name) => name !== GIT_IGNORE))
    return;
  rmSync(join(folder, GIT_IGNORE), { force: true });
  for (const name of FOLDERS.filter((each) => isFolder(join(folder, each)))) rmdirSync(join(folder, name));
  rmdirSync(folder);
}

/** Checks the folders above a path, as {@link writeFolder} describes. @throws UserError if other users can exchange one */
function checkNobodyCanExchange(path: string): void {
  let existing = dirname(path);
  while (!existsSync(existing)) existing = dirname(existing);
  for (let folder = realpathSync(existing); ; folder = dirname(folder)) {
    const mode = statSync(folder).mode & 0o7777;
    if ((mode & 0o1002) === 0o0002) {
      throw new UserError(
        `'--out' must be in a folder in which other users cannot rename yours (chmod o-w), got: ${path} in ${folder} with mode ${octal(mode)}`,
      );
    }
    if (folder === dirname(folder)) return;
  }
}

/** Checks that an existing folder may be written. @throws UserError if not */
function checkFolderIsOurs(folder: string, files: Readonly<Record<string, string>>, replace: boolean): void {
  const status = lstatSync(folder);
  if (!status.isDirectory()) {
    const kind = status.isSymbolicLink() ? ", a symbolic link" : "";
    throw new UserError(`'--out' must be a folder, got: ${folder}${kind}`);
  }
  const names = readdirSync(folder);
  // A staging folder means that a killed run has already passed this check.
  if (names.length > 0 && !names.includes(DESCRIPTION) && !names.includes(STAGING)) {
    throw new UserError(
      `'--out' must be an empty folder, or one that \`npm run credentials\` wrote, got: ${folder}, which has no ${DESCRIPTION}`,
    );
  }
  if (status.uid !== process.getuid?.()) {
    throw new UserError(`'--out' must be a folder that you own, got: ${folder}, which user ${status.uid} owns`);
  }
  const mode = status.mode & 0o777;
  if ((mode & 0o077) !== 0) {
    throw new UserError(
      `'--out' must be a folder that only you can access (chmod 700), got: ${folder} with mode ${octal(mode)}`,
    );
  }
  if (!replace && isOfAnotherCluster(folder, files)) {
    throw new UserError(
      `${folder} contains the credentials of another cluster, or of this cluster with another CA key; --replace replaces them`,
    );
  }
}

/** Whether a folder describes another cluster, or contains another CA's certificate or key. */
function isOfAnotherCluster(folder: string, files: Readonly<Record<string, string>>): boolean {
  const name = clusterIn(folder)?.name;
  if (name !== undefined && name !== JSON.parse(files[DESCRIPTION] as string).name) return true;
  return CA_FILES.some((path) => {
    const pem = readIfRegular(join(folder, path));
    return pem !== undefined && publicKeyOf(pem) !== publicKeyOf(files[path] as string);
  });
}

/** The text of a file; undefined if there is none, or if it is a pipe, a device, a socket or a folder. */
function readIfRegular(path: string): string | undefined {
  return statSync(path, { throwIfNoEntry: false })?.isFile() === true ? readRegularFile(path) : undefined;
}

/** The public key of a certificate or private key; the text itself if it is neither. */
function publicKeyOf(pem: string): string {
  try {
    return createPublicKey(pem).export({ type: "spki", format: "pem" }).toString();
  } catch {
    return pem;
  }
}

/** The cluster that a folder describes; undefined if the description is missing or invalid. */
function clusterIn(folder: string): DescribedCluster | undefined {
  try {
    return describedCluster(folder);
  } catch {
    return undefined;
  }
}

/** The paths of the files in a folder that are not among the given ones. */
function othersIn(folder: string, files: Readonly<Record<string, string>>): string[] {
  return filesIn(folder).filter((name) => files[name] === undefined && !KNOWN_HOSTS.test(name));
}

function isLink(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true;
}

/** Whether an encryption config may have keys that a text does not have. A link may have some; a pipe or folder has none. */
function mayHaveOtherKeys(file: string, content: string): boolean {
  const isFile = lstatSync(file, { throwIfNoEntry: false })?.isFile() === true;
  return isLink(file) || (isFile && hasOtherKeys(readFileSync(file, "utf8"), content));
}

function isUpToDate(file: string, content: string): boolean {
  const status = lstatSync(file, { throwIfNoEntry: false });
  return status?.isFile() === true && (status.mode & 0o777) === FILE_MODE && readFileSync(file, "utf8") === content;
}
