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
import { basename, dirname, join, resolve } from "node:path";
import { DESCRIPTION, describedCluster, ENCRYPTION_CONFIG, FOLDERS, namedFiles, PAIRS } from "./files";
import { CredentialsError, octal } from "./stack";

/** What writing a folder has done. */
export interface Written {
  /** The paths of what was new, or was not as it is now. */
  readonly written: readonly string[];
  readonly unchanged: number;
  /** The paths of what was left as it is, since something in it would be lost. */
  readonly kept: readonly string[];
  /** The paths of what the cluster no longer has: machines that are gone, or all that another cluster had. */
  readonly removed: readonly string[];
  /** The paths of what lies there beside it, and was left alone. */
  readonly others: readonly string[];
}

/** Where files are written before they are put in place; that it is there keeps a second run out. */
const STAGING = ".writing";

/** How old the staging of a run must be to be taken for that of one that was killed, in milliseconds. */
const ABANDONED = 60_000;

const AUTHORITY = [`${PAIRS}/ca-key.pem`, `${PAIRS}/ca.pem`];

/**
 * Writes files into a folder of mode 0700, each with mode 0600 from its first byte on. All are written aside and then put
 * in place, so that a failure before that changes nothing. What is as it should be is not touched, nor an encryption config
 * with a key that the new one has not: what was encrypted with it would be lost. Files of machines that are gone go.
 * @param files - contents by path
 * @param replace - whether another cluster's files may be replaced
 * @throws CredentialsError where the folder is open to others, is something else's, holds another cluster's authority, is
 *   being written, or cannot be written
 */
export function writeFolder(folder: string, files: Readonly<Record<string, string>>, replace: boolean): Written {
  const path = resolve(folder);
  const isNew = lstatSync(path, { throwIfNoEntry: false }) === undefined;
  try {
    if (!isNew) mustBeOurs(path, files, replace);
    mkdirSync(path, { recursive: true, mode: 0o700 });
    const different = Object.entries(files).filter(([name, content]) => !isAsItShouldBe(join(path, name), content));
    const kept = replace ? [] : different.filter(([name, content]) => wouldLoseKey(join(path, name), content));
    const changed = different.filter((file) => !kept.includes(file));
    const former = namedFilesOf(path);
    putInPlace(path, changed);
    const removed = othersIn(path, files).filter(
      (name) => former.includes(name) && isFolder(dirname(join(path, name))),
    );
    for (const name of removed) rmSync(join(path, name));
    return {
      written: changed.map(([name]) => name),
      unchanged: Object.keys(files).length - different.length,
      kept: kept.map(([name]) => name),
      removed,
      others: othersIn(path, files),
    };
  } catch (error) {
    // Only where nothing has come to lie in it, from another run either.
    if (isNew && existsSync(path) && readdirSync(path).length === 0) rmdirSync(path);
    if (error instanceof CredentialsError) throw error;
    throw new CredentialsError(`cannot write ${folder}: ${(error as Error).message}`);
  }
}

function putInPlace(folder: string, changed: readonly (readonly [name: string, content: string])[]): void {
  const staging = join(folder, STAGING);
  const left = lstatSync(staging, { throwIfNoEntry: false });
  if (left !== undefined && Date.now() - left.mtimeMs > ABANDONED) rmSync(staging, { recursive: true, force: true });
  try {
    mkdirSync(staging, { mode: 0o700 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    throw new CredentialsError(`${folder} is being written by another run (${STAGING} is in it)`);
  }
  try {
    changed.forEach(([, content], index) => {
      const file = openSync(join(staging, String(index)), "wx", 0o600);
      try {
        writeFileSync(file, content);
        fsyncSync(file);
      } finally {
        closeSync(file);
      }
    });
    for (const parent of FOLDERS.map((name) => join(folder, name))) {
      mkdirSync(parent, { recursive: true, mode: 0o700 });
      if (!isFolder(parent)) throw new Error(`${parent} is no folder, but a link or something else`);
      chmodSync(parent, 0o700);
    }
    changed.forEach(([name], index) => {
      renameSync(join(staging, String(index)), join(folder, name));
    });
  } finally {
    rmSync(staging, { recursive: true, force: true });
  }
}

/** Whether a folder that is there may be written. */
function mustBeOurs(folder: string, files: Readonly<Record<string, string>>, replace: boolean): void {
  const status = lstatSync(folder);
  if (!status.isDirectory()) throw new CredentialsError(`'--out' must be a folder, got: ${folder}`);
  const mode = status.mode & 0o777;
  if ((mode & 0o077) !== 0) {
    throw new CredentialsError(
      `'--out' must be a folder that is closed to others (chmod 700), got: ${folder} with mode ${octal(mode)}`,
    );
  }
  const isEmpty = readdirSync(folder).every((name) => name === STAGING);
  if (isEmpty) return;
  if (!existsSync(join(folder, DESCRIPTION))) {
    throw new CredentialsError(
      `'--out' must be a folder that is empty, or that \`npm run credentials\` has written, got: ${folder}, which has no ${DESCRIPTION}`,
    );
  }
  if (replace) return;
  for (const name of AUTHORITY) {
    const file = join(folder, name);
    if (!existsSync(file) || publicHalf(readFileSync(file, "utf8")) === publicHalf(files[name] as string)) continue;
    throw new CredentialsError(
      `${folder} holds the credentials of another cluster, or of this one before its authority had another key; --replace puts this one's in their place`,
    );
  }
}

/** A key's public half; of what is no key, the text itself. */
function publicHalf(pem: string): string {
  try {
    return createPublicKey(pem).export({ type: "spki", format: "pem" }).toString();
  } catch {
    return pem;
  }
}

function isFolder(path: string): boolean {
  return lstatSync(path).isDirectory();
}

/** What a folder holds of the cluster that it is of, and no other cluster's files take the places of. */
function namedFilesOf(folder: string): string[] {
  try {
    return namedFiles(describedCluster(folder));
  } catch {
    return [];
  }
}

/** The paths of what lies in a folder beside the files that it must hold. */
function othersIn(folder: string, files: Readonly<Record<string, string>>): string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => files[name] === undefined && name !== "ssh/known_hosts")
    .filter((name) => lstatSync(join(folder, name)).isFile())
    .sort();
}

/** Whether a file is an encryption config with a key that another text of it has not. */
function wouldLoseKey(file: string, content: string): boolean {
  if (basename(file) !== ENCRYPTION_CONFIG || !existsSync(file)) return false;
  const keys = (text: string) => [...text.matchAll(/secret"?:\s*"?([\w+/=-]+)/g)].map(([, key]) => key);
  return keys(readFileSync(file, "utf8")).some((key) => !keys(content).includes(key));
}

function isAsItShouldBe(file: string, content: string): boolean {
  try {
    const status = lstatSync(file);
    return status.isFile() && (status.mode & 0o777) === 0o600 && readFileSync(file, "utf8") === content;
  } catch {
    return false;
  }
}
