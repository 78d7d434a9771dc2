import { lstatSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** A file on a host. */
export interface FileStatus {
  readonly owner: number;
  /** Permission bits, in octal: `0600`. */
  readonly mode: string;
  readonly inode: number;
  readonly modified: number;
}

/** What a new account has in its home folder. */
const NEW_HOME = /^\.(ssh|bashrc|profile|bash_logout|cache|sudo_as_admin_successful)$/;

/** A host whose account `ubuntu` tests look at from outside. */
export abstract class Host {
  /** The home folder of `ubuntu`, as a path on this machine. */
  abstract readonly home: string;
  /** The user id of `ubuntu`. */
  abstract readonly ubuntu: number;
  /** The number of logins since the host was started. */
  abstract readonly sessions: number;

  /** The files and folders in the home folder, by their relative paths, without those that each new account has. */
  files(): Record<string, FileStatus> {
    const all = readdirSync(this.home, { recursive: true, encoding: "utf8" }).sort();
    const names = all.filter((name) => !NEW_HOME.test(name.split("/")[0] as string));
    return Object.fromEntries(
      names.map((name) => {
        const { uid, mode, ino, mtimeMs } = lstatSync(join(this.home, name));
        const bits = (mode & 0o7777).toString(8).padStart(4, "0");
        return [name, { owner: uid, mode: bits, inode: ino, modified: mtimeMs }];
      }),
    );
  }

  /** The content of a file. @param name - its path in the home folder */
  read(name: string): string {
    return readFileSync(join(this.home, name), "utf8");
  }
}
