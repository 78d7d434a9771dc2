import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { promisify } from "node:util";
import { NODE_USER } from "../constructs/pem-distribution";
import type { Finding } from "./check";
import { type DescribedCluster, PAIRS } from "./files";

const HOME = `/home/${NODE_USER}`;

/** The files of {@link PAIRS} that machines get, by role; `NAME` stands for the machine's own. */
const FILES: Readonly<Record<string, readonly string[]>> = {
  master: [
    "ca.pem",
    "ca-key.pem",
    "service-account.pem",
    "service-account-key.pem",
    "master-kubernetes.pem",
    "master-kubernetes-key.pem",
  ],
  worker: ["ca.pem", "NAME.pem", "NAME-key.pem"],
};

/** What they get where the setting `copies` says so, by its path in the folder: it need not be there. */
const MORE_FILES: Readonly<Record<string, readonly string[]>> = {
  master: [
    "kubeconfigs/admin.kubeconfig",
    "kubeconfigs/kube-controller-manager.kubeconfig",
    "kubeconfigs/kube-scheduler.kubeconfig",
    "encryption-config.yaml",
  ],
  worker: ["kubeconfigs/NAME.kubeconfig", "kubeconfigs/kube-proxy.kubeconfig"],
};

/**
 * Looks over ssh whether the machines have the files of the folder, with the right owners and modes. Logs in with the
 * folder's key; a machine's host key is taken on first sight and remembered in `ssh/known_hosts`.
 */
export async function checkNodes(folder: string, cluster: DescribedCluster): Promise<Finding[]> {
  const findings = await Promise.all(
    Object.entries(cluster.nodes).map(([name, { public_ip }]) => checkNode(folder, cluster.name, name, public_ip)),
  );
  return findings.flat();
}

async function checkNode(folder: string, cluster: string, name: string, address: string): Promise<Finding[]> {
  const role = name.slice(cluster.length + 1).replace(/-\d+$/, "");
  const own = (paths: readonly string[] = []) => paths.map((path) => path.replace("NAME", name));
  const needed = own(FILES[role]).map((file) => `${PAIRS}/${file}`);
  const paths = [...needed, ...own(MORE_FILES[role])];
  const list = `for file in ${paths.map((path) => basename(path)).join(" ")}; do [ -e "$file" ] && sha256sum "$file" && stat -c '%a %U' "$file"; done; true`;
  const options = [
    ...["-i", join(folder, "ssh", `${cluster}.id_rsa`)],
    ...["-o", `UserKnownHostsFile=${join(folder, "ssh/known_hosts")}`],
    ...["-o", "StrictHostKeyChecking=accept-new", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes"],
    ...["-o", "IdentityAgent=none", "-o", "ConnectTimeout=10", "-o", "LogLevel=ERROR"],
  ];
  let listed: string;
  try {
    listed = (await promisify(execFile)("ssh", [...options, `${NODE_USER}@${address}`, list])).stdout;
  } catch (error) {
    const said = (error as { stderr?: string }).stderr?.trim().split("\n").at(-1);
    return [{ path: name, faults: [`cannot be looked at, at ${address}: ${said || (error as Error).message}`] }];
  }
  const found = new Map(
    [...listed.matchAll(/^(\w{64}) {2}(\S+)\n(\d+) (\S+)$/gm)].map(([, hash, file, mode, owner]) => [
      file as string,
      { hash, mode, owner },
    ]),
  );
  return paths.flatMap((path) => {
    const file = basename(path);
    const there = found.get(file);
    if (there === undefined && !needed.includes(path)) return [];
    const wanted = hashOf(join(folder, path));
    const mode = file.endsWith(".pem") && !file.endsWith("-key.pem") ? "644" : "600";
    return {
      path: `${name}:${HOME}/${file}`,
      faults:
        there === undefined
          ? ["is missing (part 2 moves files away from there)"]
          : [
              ...(there.hash === wanted
                ? []
                : [`is not what lies in ${dirname(path)}: apply again, or write the folder anew`]),
              ...(there.mode === mode ? [] : [`must have mode 0${mode}, got: 0${there.mode}`]),
              ...(there.owner === NODE_USER ? [] : [`must belong to ${NODE_USER}, got: ${there.owner}`]),
            ],
    };
  });
}

/** A file's SHA-256; undefined where it cannot be read. */
function hashOf(file: string): string | undefined {
  try {
    return createHash("sha256").update(readFileSync(file)).digest("hex");
  } catch {
    return undefined;
  }
}
