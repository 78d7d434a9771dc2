import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";

/**
 * The absolute path of the folder with the release files that tests use: the file at `https://HOST/PATH` is `FOLDER/HOST/PATH`,
 * as `npm run cloud -- download FOLDER` writes it. The variable RELEASES_FOLDER sets it. @default .cloud/releases
 */
export const RELEASES_FOLDER = resolve(process.env.RELEASES_FOLDER || join(__dirname, "../../.cloud/releases"));

/** The folder with Kubernetes' conformance tests. They are in an archive of the release host. */
export const CONFORMANCE_FOLDER = join(RELEASES_FOLDER, "conformance");

/**
 * One line with the command that downloads the files that {@link RELEASES_FOLDER} lacks; undefined if it has all of them.
 * @param paths - the needed files, each as HOST/PATH
 */
export function missingReleaseFiles(paths: readonly string[]): string | undefined {
  const addresses = paths.filter((path) => !existsSync(join(RELEASES_FOLDER, path))).map((path) => `https://${path}`);
  if (addresses.length === 0) return undefined;
  const get = `npm run cloud -- download ${RELEASES_FOLDER} ${addresses.join(" ")}`;
  return `${addresses.length} of ${paths.length} release files are missing, download them, or set RELEASES_FOLDER: ${get}`;
}

/**
 * A line for each file that a stack's machines download from a mirror, and that is missing there or has another sum than the stack
 * requires.
 * @param mirror - the folder with the mirror's files
 * @param address - the mirror's address
 * @param json - the synthesized JSON. Its tables of programs have lines with `KIND FOLDER SHA256 URL`; the sum may be `-`
 */
export function mirrorProblems(mirror: string, address: string, json: string): string[] {
  const lines = json.matchAll(/(?:program|archive) \S+ ([0-9a-f]{64}|-) (http\S+) /g);
  const sums = new Map([...lines].map(([, sum, url]) => [url as string, sum as string]));
  return [...sums].flatMap(([url, sum]) => {
    if (!url.startsWith(`${address}/`)) return [];
    const path = url.slice(address.length + 1);
    const file = join(mirror, path);
    if (!existsSync(file)) return [`the mirror ${mirror} must have the file ${path}, got: none`];
    if (sum === "-") return [];
    const got = createHash("sha256").update(readFileSync(file)).digest("hex");
    return got === sum ? [] : [`the mirror's ${path} must have the SHA-256 sum ${sum}, got: ${got}`];
  });
}
