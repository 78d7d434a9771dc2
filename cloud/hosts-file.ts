import { closeSync, fstatSync, ftruncateSync, openSync, readFileSync, writeFileSync, writeSync } from "node:fs";

/** Creates a file in the format of /etc/hosts, with the name localhost. */
export function createHostsFile(path: string): void {
  writeFileSync(path, content({}));
}

/**
 * Changes the names in a file that {@link createHostsFile} created. Programs have it in the place of /etc/hosts, so it stays the
 * same file, and it has all names at each time: a program that finds it empty cannot find the load balancer.
 * @param names - the addresses of each name
 */
export function updateHostsFile(path: string, names: Readonly<Record<string, readonly string[]>>): void {
  const text = content(names);
  if (readFileSync(path, "utf8") === text) return;
  const file = openSync(path, "r+");
  try {
    // Until it is cut, the rest of a longer text is empty lines.
    writeSync(file, text.padEnd(fstatSync(file).size, "\n"), 0);
    ftruncateSync(file, Buffer.byteLength(text));
  } finally {
    closeSync(file);
  }
}

function content(names: Readonly<Record<string, readonly string[]>>): string {
  const lines = Object.entries(names).flatMap(([name, addresses]) => addresses.map((address) => `${address} ${name}`));
  return ["127.0.0.1 localhost", ...lines, ""].join("\n");
}
