import { createPublicKey } from "node:crypto";
import {
  chmodSync,
  closeSync,
  existsSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { PAIRS } from "./files";
import { CredentialsError } from "./stack";

/** What writing a folder has done. */
export interface Written {
  /** The paths of what was new, or was not as it is now. */
  readonly written: readonly string[];
  readonly unchanged: number;
  /** The paths of what lies there beside it, and was left alone. */
  readonly others: readonly string[];
}

const STAGING = ".writing-";

const AUTHORITY_KEY = `${PAIRS}/ca-key.pem`;

/**
 * Writes files into a folder of mode 0700, each with mode 0600 from its first byte on. All are written aside and then put
 * in place, so that a failure before that changes nothing. What is as it should be is not touched.
 * @param files - contents by path
 * @param replace - whether another cluster's files may be replaced
 * @throws CredentialsError where the folder is open to others, holds another cluster's authority, or cannot be written
 */
export function writeFolder(folder: string, files: Readonly<Record<string, string>>, replace: boolean): Written {
  const isNew = !existsSync(folder);
  try {
    mustBePrivate(folder);
    if (!replace) mustBeOfOneAuthority(folder, files);
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    for (const left of readdirSync(folder).filter((name) => name.startsWith(STAGING))) {
      rmSync(join(folder, left), { recursive: true });
    }
    const changed = Object.entries(files).filter(([path, content]) => !isAsItShouldBe(join(folder, path), content));
    putInPlace(folder, changed);
    const all = readdirSync(folder, { recursive: true, encoding: "utf8" });
    const others = all.filter((path) => files[path] === undefined && lstatSync(join(folder, path)).isFile());
    return {
      written: changed.map(([path]) => path),
      unchanged: Object.keys(files).length - changed.length,
      others: others.filter((path) => path !== "ssh/known_hosts").sort(),
    };
  } catch (error) {
    if (isNew) rmSync(folder, { recursive: true, force: true });
    if (error instanceof CredentialsError) throw error;
    throw new CredentialsError(`cannot write ${folder}: ${(error as Error).message}`);
  }
}

function putInPlace(folder: string, changed: readonly (readonly [path: string, content: string])[]): void {
  const staging = mkdtempSync(join(folder, STAGING));
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
    changed.forEach(([path], index) => {
      const parent = join(folder, dirname(path));
      mkdirSync(parent, { recursive: true, mode: 0o700 });
      chmodSync(parent, 0o700);
      renameSync(join(staging, String(index)), join(folder, path));
    });
  } finally {
    rmSync(staging, { recursive: true, force: true });
  }
}

function mustBePrivate(folder: string): void {
  if (!existsSync(folder)) return;
  const status = lstatSync(folder);
  if (!status.isDirectory()) throw new CredentialsError(`'--out' must be a folder, got: ${folder}`);
  const mode = status.mode & 0o777;
  if ((mode & 0o077) === 0) return;
  throw new CredentialsError(
    `'--out' must be a folder that is closed to others (chmod 700), got: ${folder} with mode ${mode.toString(8).padStart(4, "0")}`,
  );
}

function mustBeOfOneAuthority(folder: string, files: Readonly<Record<string, string>>): void {
  const file = join(folder, AUTHORITY_KEY);
  if (!existsSync(file)) return;
  if (publicHalf(readFileSync(file, "utf8")) === publicHalf(files[AUTHORITY_KEY] as string)) return;
  throw new CredentialsError(
    `${folder} holds the credentials of another cluster, or of this one before its authority had another key; --replace puts this one's in their place`,
  );
}

/** A key's public half; of what is no key, the text itself. */
function publicHalf(pem: string): string {
  try {
    return createPublicKey(pem).export({ type: "spki", format: "pem" }).toString();
  } catch {
    return pem;
  }
}

function isAsItShouldBe(file: string, content: string): boolean {
  try {
    const status = lstatSync(file);
    return status.isFile() && (status.mode & 0o777) === 0o600 && readFileSync(file, "utf8") === content;
  } catch {
    return false;
  }
}
