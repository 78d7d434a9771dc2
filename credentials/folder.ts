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
  renameSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join, resolve } from "node:path";
import { hasOtherKeys } from "./encryption";
import {
  DESCRIPTION,
  type DescribedCluster,
  describedCluster,
  ENCRYPTION_CONFIG,
  FOLDERS,
  filesIn,
  GIT_IGNORE,
  isFolder,
  namedFiles,
  pairPaths,
} from "./files";
import { CredentialsError, octal } from "./stack";

/** What writing a folder has done. */
export interface Written {
  /** The paths of what was new, or was not as it is now. */
  readonly written: readonly string[];
  readonly unchanged: number;
  /** The encryption config that was there, where it may have a key that is nowhere else; and what it is called now. */
  readonly kept?: string;
  /** The paths of what the cluster no longer has: machines that are gone, or all that another cluster had. */
  readonly removed: readonly string[];
  /** The paths of what lies there beside it, and was left alone. */
  readonly others: readonly string[];
}

/**
 * Where files are written before they are put in place. That it is there keeps a second run out; that it is there for long
 * tells of a run that was killed, whose work the next one completes.
 */
const STAGING = ".writing";

/** How old the staging of a run must be to be taken for that of one that was killed, in milliseconds. */
const ABANDONED = 60_000;

/** The hosts that `check --nodes` has met; and what ssh-keygen leaves when it removes one. */
const KNOWN_HOSTS = /^ssh\/known_hosts(\.old)?$/;

const AUTHORITY = pairPaths("ca");

/**
 * Writes files into a folder of mode 0700, each with mode 0600 from its first byte on. All are written aside and then put
 * in place, so that a failure before that changes nothing. What is as it should be is not touched. Files of machines that
 * are gone go. An encryption config that may have a key of its own is never lost: it stays, or with `replace` is renamed.
 * @param files - contents by path
 * @param replace - whether another cluster's files may be replaced
 * @throws CredentialsError where the folder is open to others, is somebody else's or something else's, holds another
 *   cluster's authority, is being written, or cannot be written
 */
export function writeFolder(folder: string, files: Readonly<Record<string, string>>, replace: boolean): Written {
  const path = resolve(folder);
  const isNew = lstatSync(path, { throwIfNoEntry: false }) === undefined;
  try {
    if (!isNew) mustBeOurs(path, files, replace);
    mkdirSync(path, { recursive: true, mode: 0o700 });
    return whileNobodyElseWrites(path, () => bringUpToDate(path, files, replace));
  } catch (error) {
    if (isNew) removeIfEmpty(path);
    if (error instanceof CredentialsError) throw error;
    throw new CredentialsError(`cannot write ${folder}: ${(error as Error).message}`);
  }
}

function whileNobodyElseWrites<T>(folder: string, write: () => T): T {
  const staging = join(folder, STAGING);
  const left = lstatSync(staging, { throwIfNoEntry: false });
  // A clock may have been set back.
  if (left !== undefined && Math.abs(Date.now() - left.mtimeMs) > ABANDONED)
    rmSync(staging, { recursive: true, force: true });
  try {
    mkdirSync(staging, { mode: 0o700 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    throw new CredentialsError(
      `${folder} is being written by another run, or was less than a minute ago when that was killed: leave ${STAGING} in it, and run this again in a minute`,
    );
  }
  try {
    return write();
  } finally {
    rmSync(staging, { recursive: true, force: true });
  }
}

function bringUpToDate(folder: string, files: Readonly<Record<string, string>>, replace: boolean): Written {
  const formerly = clusterIn(folder);
  const former = formerly === undefined ? [] : namedFiles(formerly);
  const different = Object.entries(files).filter(([name, content]) => !isAsItShouldBe(join(folder, name), content));
  const obstacle = different.find(([name]) => isFolder(join(folder, name)));
  if (obstacle !== undefined) throw new Error(`${obstacle[0]} is a folder`);
  const config = join(folder, ENCRYPTION_CONFIG);
  const wouldLoseKey = mayHaveOtherKeys(config, files[ENCRYPTION_CONFIG] ?? "");
  const changed = different.filter(([name]) => replace || !wouldLoseKey || name !== ENCRYPTION_CONFIG);
  for (const parent of FOLDERS.map((name) => join(folder, name))) {
    mkdirSync(parent, { recursive: true, mode: 0o700 });
    if (!isFolder(parent)) throw new Error(`${parent} is no folder, but a link or something else`);
    chmodSync(parent, 0o700);
  }
  // Before anything secret is: a run that is killed leaves it where it is.
  if (!existsSync(join(folder, GIT_IGNORE)))
    writeFileSync(join(folder, GIT_IGNORE), files[GIT_IGNORE] ?? "", { mode: 0o600 });
  changed.forEach(([, content], index) => {
    writeDurably(join(folder, STAGING, String(index)), content);
  });

  const kept = wouldLoseKey ? (replace ? freeName(folder) : ENCRYPTION_CONFIG) : undefined;
  if (kept !== undefined) {
    if (!isLink(config)) chmodSync(config, 0o600);
    renameSync(config, join(folder, kept));
  }
  const putInPlace = (isMeant: (name: string) => boolean) =>
    changed.forEach(([name], index) => {
      if (isMeant(name)) renameSync(join(folder, STAGING, String(index)), join(folder, name));
    });
  putInPlace((name) => name !== DESCRIPTION);
  const removed = othersIn(folder, files).filter((name) => former.includes(name));
  for (const name of removed) rmSync(join(folder, name));
  // Last: until then the folder says what it was, and the next run what to remove.
  putInPlace((name) => name === DESCRIPTION);
  return {
    written: changed.map(([name]) => name),
    unchanged: Object.keys(files).length - different.length,
    ...(kept !== undefined && { kept }),
    removed,
    others: othersIn(folder, files),
  };
}

/** Writes a new file for its owner alone, and waits until it is on the disk. */
function writeDurably(path: string, content: string): void {
  const file = openSync(path, "wx", 0o600);
  try {
    writeFileSync(file, content);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

/** A name for an encryption config that makes way. */
function freeName(folder: string): string {
  const names = readdirSync(folder);
  const name = (count: number): string => {
    const candidate = ENCRYPTION_CONFIG.replace(".yaml", `.before${count === 1 ? "" : `-${count}`}.yaml`);
    return names.includes(candidate) ? name(count + 1) : candidate;
  };
  return name(1);
}

/** Removes a new folder in which nothing has come to lie, from another run either. */
function removeIfEmpty(folder: string): void {
  if (!isFolder(folder) || existsSync(join(folder, STAGING)) || filesIn(folder).some((name) => name !== GIT_IGNORE))
    return;
  rmSync(join(folder, GIT_IGNORE), { force: true });
  for (const name of FOLDERS.filter((each) => isFolder(join(folder, each)))) rmdirSync(join(folder, name));
  rmdirSync(folder);
}

/** Whether a folder that is there may be written. */
function mustBeOurs(folder: string, files: Readonly<Record<string, string>>, replace: boolean): void {
  const status = lstatSync(folder);
  if (!status.isDirectory()) {
    const what = status.isSymbolicLink() ? ", a symbolic link" : "";
    throw new CredentialsError(`'--out' must be a folder, got: ${folder}${what}`);
  }
  const names = readdirSync(folder);
  // The staging is left by a run that was killed, which had been allowed in.
  if (names.length > 0 && !names.includes(DESCRIPTION) && !names.includes(STAGING)) {
    throw new CredentialsError(
      `'--out' must be a folder that is empty, or that \`npm run credentials\` has written, got: ${folder}, which has no ${DESCRIPTION}`,
    );
  }
  if (status.uid !== process.getuid?.()) {
    throw new CredentialsError(`'--out' must be a folder of your own, got: ${folder} of user ${status.uid}`);
  }
  const mode = status.mode & 0o777;
  if ((mode & 0o077) !== 0) {
    throw new CredentialsError(
      `'--out' must be a folder that is closed to others (chmod 700), got: ${folder} with mode ${octal(mode)}`,
    );
  }
  if (!replace && isAnothers(folder, files)) {
    throw new CredentialsError(
      `${folder} holds the credentials of another cluster, or of this one before its authority had another key; --replace puts this one's in their place`,
    );
  }
}

/** Whether a folder says that it is of another cluster, or has another authority. */
function isAnothers(folder: string, files: Readonly<Record<string, string>>): boolean {
  const name = clusterIn(folder)?.name;
  if (name !== undefined && name !== JSON.parse(files[DESCRIPTION] as string).name) return true;
  return AUTHORITY.some((path) => {
    const file = join(folder, path);
    return existsSync(file) && publicHalf(readFileSync(file, "utf8")) !== publicHalf(files[path] as string);
  });
}

/** A key's public half; of what is no key, the text itself. */
function publicHalf(pem: string): string {
  try {
    return createPublicKey(pem).export({ type: "spki", format: "pem" }).toString();
  } catch {
    return pem;
  }
}

/** The cluster that a folder is of, if it says so. */
function clusterIn(folder: string): DescribedCluster | undefined {
  try {
    return describedCluster(folder);
  } catch {
    return undefined;
  }
}

/** The paths of what lies in a folder beside the files that it must hold. */
function othersIn(folder: string, files: Readonly<Record<string, string>>): string[] {
  return filesIn(folder).filter((name) => files[name] === undefined && !KNOWN_HOSTS.test(name));
}

function isLink(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true;
}

/** Whether an encryption config may have other keys than a text; a link is somebody's own, and what is no file has none. */
function mayHaveOtherKeys(file: string, content: string): boolean {
  const isFile = lstatSync(file, { throwIfNoEntry: false })?.isFile() === true;
  return isLink(file) || (isFile && hasOtherKeys(readFileSync(file, "utf8"), content));
}

function isAsItShouldBe(file: string, content: string): boolean {
  const status = lstatSync(file, { throwIfNoEntry: false });
  return status?.isFile() === true && (status.mode & 0o777) === 0o600 && readFileSync(file, "utf8") === content;
}
