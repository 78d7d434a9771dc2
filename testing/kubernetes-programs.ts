import { execFileSync } from "node:child_process";
import { chmodSync, copyFileSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { RELEASES_FOLDER } from "../cloud/mirror/release-files";
import { releases } from "../kubernetes/releases";
import { TESTED } from "../model/versions";

const RELEASES = releases("master", TESTED);

/** The release files with the programs of a control plane, each as HOST/PATH. */
export const CONTROL_PLANE_FILES: readonly string[] = RELEASES.map(({ path }) => path);

/**
 * Installs kube-apiserver, kube-controller-manager, kube-scheduler, kubectl and etcd's programs, 390 MB.
 * @param folder - the folder of the programs. It is created.
 * @throws Error if the folder of release files lacks one of {@link CONTROL_PLANE_FILES}
 */
export function installControlPlane(folder: string): void {
  mkdirSync(folder, { recursive: true });
  for (const { kind, path, members } of RELEASES) {
    const file = join(RELEASES_FOLDER, path);
    if (kind === "archive") {
      const options = ["--extract", "--gzip", "--no-same-owner", "--strip-components=1", "--directory", folder];
      execFileSync("tar", [...options, "--file", file, ...members]);
    } else {
      for (const program of members) {
        copyFileSync(file, join(folder, program));
        // A downloaded file is not executable.
        chmodSync(join(folder, program), 0o755);
      }
    }
  }
}
