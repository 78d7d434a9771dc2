import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";

const PROGRAMS = ["kubectl", "kube-apiserver", "kube-controller-manager", "kube-scheduler"];

/** The release of Kubernetes that `go.mod` names. */
export const KUBERNETES_VERSION = (/k8s\.io\/kubernetes (v\S+)/.exec(readFileSync(join(__dirname, "go.mod"), "utf8")) ??
  [])[1] as string;

/** The folder of the built programs: `kubectl` and so on. */
export const BINARIES = join(__dirname, "../../.cloud/kubernetes", KUBERNETES_VERSION);

/**
 * Builds the control plane of a released Kubernetes from its source, with the checksums of `go.sum`. Built programs are not
 * built again. The first build takes minutes, and about 10 GB of Go's caches.
 * @param report - receives a line for each program before its build
 * @throws Error with Go's output if the build fails
 */
export function buildControlPlane(report: (line: string) => void): void {
  mkdirSync(BINARIES, { recursive: true });
  for (const program of PROGRAMS.filter((name) => !existsSync(join(BINARIES, name)))) {
    report(`building ${program} ${KUBERNETES_VERSION}`);
    const unfinished = join(BINARIES, `.${program}`);
    const args = ["build", "-mod=readonly", "-trimpath", "-ldflags", "-s -w", "-o", unfinished];
    const { status, stderr, error } = spawnSync("go", [...args, `k8s.io/kubernetes/cmd/${program}`], {
      cwd: __dirname,
      encoding: "utf8",
      maxBuffer: 64 * 2 ** 20,
      env: { ...process.env, CGO_ENABLED: "0" },
    });
    if (status !== 0) {
      rmSync(unfinished, { force: true });
      throw new Error(`cannot build ${program}: ${error?.message ?? stderr.trim().split("\n").slice(-5).join("\n")}`);
    }
    renameSync(unfinished, join(BINARIES, program));
  }
}
