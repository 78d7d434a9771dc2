import { existsSync } from "node:fs";
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
