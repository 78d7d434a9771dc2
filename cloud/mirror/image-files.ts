import {
  closeSync,
  createReadStream,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  statSync,
} from "node:fs";
import { basename, join, posix } from "node:path";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip } from "node:zlib";
import { extract } from "tar-stream";
import type { Store } from "./store";

/** A file on this machine. */
export interface StoredFile {
  /** `sha256:` and 64 hex digits. */
  readonly digest: string;
  readonly path: string;
}

/** The files of a docker archive or of an OCI layout, by their names in it. */
export type ImageFiles = ReadonlyMap<string, StoredFile>;

const BLOBS = "blobs/sha256";

/** The files of an OCI layout in a folder: its index and its blobs. The blobs' names are their digests. */
export function openLayout(folder: string): ImageFiles {
  const index = { digest: "", path: join(folder, "index.json") };
  const names = existsSync(join(folder, BLOBS)) ? readdirSync(join(folder, BLOBS)) : [];
  const blobs = names.map((name) => [
    posix.join(BLOBS, name),
    { digest: `sha256:${name}`, path: join(folder, BLOBS, name) },
  ]);
  return new Map([["index.json", index], ...(blobs as [string, StoredFile][])]);
}

/**
 * The files of an archive (tar), which is compressed by gzip or not. It is unpacked into the store when it is opened for the
 * first time, and when it has changed since.
 * @throws Error if it is not an archive
 */
export async function openArchive(archive: string, store: Store): Promise<ImageFiles> {
  const { size, mtimeMs } = statSync(archive);
  const note = `${basename(archive)}-${size}-${mtimeMs}.json`;
  if (!existsSync(store.note(note))) {
    store.writeNote(note, JSON.stringify(Object.fromEntries(await unpack(archive, store))));
  }
  const digests: Record<string, string> = JSON.parse(readFileSync(store.note(note), "utf8"));
  return new Map(Object.entries(digests).map(([name, digest]) => [name, { digest, path: store.path(digest) }]));
}

/** Whether a file is compressed by gzip. */
export function isCompressed(path: string): boolean {
  const file = openSync(path, "r");
  const start = Buffer.alloc(2);
  readSync(file, start);
  closeSync(file);
  return start.equals(Buffer.from([0x1f, 0x8b]));
}

/** Adds the files of an archive to the store. @returns their digests, by their names */
async function unpack(archive: string, store: Store): Promise<Map<string, string>> {
  const digests = new Map<string, string>();
  const links: [string, string][] = [];
  const entries = extract();
  const source = createReadStream(archive);
  const read = isCompressed(archive) ? pipeline(source, createGunzip(), entries) : pipeline(source, entries);
  const added = (async () => {
    for await (const entry of entries) {
      const { name, type, linkname } = entry.header;
      if (type === "file") digests.set(posix.normalize(name), await store.addStream(entry as unknown as Readable));
      else entry.resume();
      // Old versions of docker write equal layers once.
      if (type === "symlink") links.push([posix.normalize(name), posix.join(posix.dirname(name), linkname ?? "")]);
      if (type === "link") links.push([posix.normalize(name), posix.normalize(linkname ?? "")]);
    }
  })();
  await Promise.all([read, added]);
  for (const [name, target] of links) {
    const digest = digests.get(target);
    if (digest) digests.set(name, digest);
  }
  return digests;
}
