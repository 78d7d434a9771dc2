import { readFileSync, statSync } from "node:fs";

/**
 * Reads a text file. Reading a pipe, a device or a socket may never end, so they are refused.
 * @throws Error with a message of one line if the path does not lead to a regular file, or if it cannot be read
 */
export function readRegularFile(path: string): string {
  if (!statSync(path).isFile()) throw new Error(`${path} is not a regular file`);
  return readFileSync(path, "utf8");
}
