import { createWriteStream, mkdirSync, renameSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { UserError } from "../../model/user-error";

/**
 * Downloads a file from its real address to its path in a mirror's folder: `https://HOST/PATH` to `FOLDER/HOST/PATH`. Redirects
 * are followed. A file that is there already is replaced as a whole, or stays as it is after a failure.
 * @returns the file's path
 * @throws UserError if the address is not one of a file, or if the file cannot be downloaded
 */
export async function download(folder: string, address: string): Promise<string> {
  const url = URL.canParse(address) ? new URL(address) : undefined;
  const path = decodedPath(url);
  if (url === undefined || path === undefined || !/^https?:$/.test(url.protocol) || url.username !== "") {
    throw new UserError(`an address must be https://HOST/PATH of a file, got: ${address}`);
  }
  const file = join(folder, url.hostname, path);
  const temporary = `${file}.download`;
  try {
    const response = await fetch(url);
    if (!response.ok || response.body === null) throw new Error(`status ${response.status}`);
    mkdirSync(dirname(file), { recursive: true });
    await pipeline(
      Readable.fromWeb(response.body as import("node:stream/web").ReadableStream),
      createWriteStream(temporary),
    );
    renameSync(temporary, file);
  } catch (error) {
    rmSync(temporary, { force: true });
    const { message, cause } = error as Error & { cause?: Error };
    throw new UserError(`${address} cannot be downloaded: ${cause?.message ?? message}`);
  }
  return file;
}

/** The path of a file, as the mirror reads it; undefined if it is that of a folder, or leads out of the folder of its host. */
function decodedPath(url: URL | undefined): string | undefined {
  try {
    const path = decodeURIComponent(url?.pathname ?? "/");
    return path.endsWith("/") || path.split("/").includes("..") ? undefined : path;
  } catch {
    // A percent sign that begins no character.
    return undefined;
  }
}
