import { createHash, randomUUID } from "node:crypto";
import { createWriteStream, mkdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";

/** A folder of files that are named by their digests. */
export interface Store {
  /** The path of a file. @param digest - `sha256:` and 64 hex digits */
  path(digest: string): string;
  /** The path of a note, which is a file with a name of its own. */
  note(name: string): string;
  /** Adds a file that is small enough for memory. @returns its digest */
  add(content: string): string;
  /** Adds a file, piece by piece. @returns its digest */
  addStream(content: Readable): Promise<string>;
  /** Writes a note, or replaces it. */
  writeNote(name: string, content: string): void;
}

/** Opens a store, and creates its folder if there is none. An interrupted addition leaves no file under its name. */
export function openStore(folder: string): Store {
  mkdirSync(folder, { recursive: true });
  const temporary = () => join(folder, `temporary-${randomUUID()}`);
  const path = (digest: string) => join(folder, digest.replace("sha256:", ""));
  const note = (name: string) => join(folder, `note-${name}`);

  function write(content: string, to: string): void {
    const from = temporary();
    writeFileSync(from, content);
    renameSync(from, to);
  }

  return {
    path,
    note,
    add(content) {
      const digest = `sha256:${createHash("sha256").update(content).digest("hex")}`;
      write(content, path(digest));
      return digest;
    },
    async addStream(content) {
      const from = temporary();
      const hash = createHash("sha256");
      await pipeline(
        content,
        async function* (pieces: AsyncIterable<Buffer>) {
          for await (const piece of pieces) {
            hash.update(piece);
            yield piece;
          }
        },
        createWriteStream(from),
      );
      const digest = `sha256:${hash.digest("hex")}`;
      renameSync(from, path(digest));
      return digest;
    },
    writeNote: (name, content) => write(content, note(name)),
  };
}
