import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Ended, start } from "../cloud/program";
import type { TerraformJson } from "../cloud/terraform-json";
import { type CheckOptions, checkFolder, type Finding } from "../credentials/check";
import { credentialFiles } from "../credentials/files";
import { writeFolder } from "../credentials/folder";
import { deployedCluster, outputsOf } from "./deployed-cluster";
import { MACHINES } from "./issued-cluster";
import type { SshHost, SshNetwork } from "./ssh-hosts";
import type { Computed } from "./tls-resources";
import { TUTORIAL_NAME } from "./tutorial";

const PROJECT = join(__dirname, "..");

/** All problems of a credentials folder, each with its file, sorted. @param options - default: now, and 14 days */
export function problemsIn(folder: string, options: Partial<CheckOptions> = {}): string[] {
  return linesOf(checkFolder(folder, { now: new Date(), days: 14, ...options }));
}

/** Each problem with its file, sorted. */
function linesOf(findings: readonly Finding[]): string[] {
  return findings.flatMap(({ path, problems }) => problems.map((problem) => `${path}: ${problem}`)).sort();
}

/** The ssh hosts that stand for the machines of the default cluster, and a folder for the key that logs in to them. */
export interface NodeHosts {
  readonly network: SshNetwork;
  readonly computed: Computed;
  readonly scratch: string;
}

/** Starts the host that stands for a machine. @param name - `master-0`, `worker-0` and so on */
export function startHost(
  { network, computed }: Pick<NodeHosts, "network" | "computed">,
  name: string,
): Promise<SshHost> {
  const { publicIp, privateIp } = MACHINES[name] as { publicIp: string; privateIp: string };
  const authorizedKey = computed["tls_private_key.ssh-key"]?.public_key_openssh as string;
  return network.start({ name, addresses: [publicIp, privateIp], authorizedKey });
}

/** Writes the credentials folder of a cluster whose values were issued. */
export function writeIssuedFolder(folder: string, json: TerraformJson, computed: Computed): void {
  writeFolder(folder, credentialFiles(deployedCluster(TUTORIAL_NAME, outputsOf(json, computed))), false);
}

/** Runs commands on a machine over ssh, until one of them fails. */
export function typeOn({ network, computed, scratch }: NodeHosts, name: string, commands: string): Promise<Ended> {
  const options = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"];
  const key = join(scratch, "key");
  writeFileSync(key, computed["tls_private_key.ssh-key"]?.private_key_pem as string, { mode: 0o600 });
  const ssh = ["ssh", "-i", key, ...options, `ubuntu@${MACHINES[name]?.publicIp}`, `set -e\n${commands}`];
  return start([...network.inside, ...ssh]).ended;
}

/** Runs `npm run credentials -- check --nodes` on a folder, and returns its findings on the machines. */
export async function checkNodesOf(network: SshNetwork, folder: string, ...options: readonly string[]) {
  const command = ["npm", "run", "--silent", "credentials", "--", "check", "--nodes", "--json", "--out", folder];
  const { status, output } = await start([...network.inside, ...command, ...options], { cwd: PROJECT }).ended;
  const own = `${TUTORIAL_NAME}-`;
  const findings: Finding[] = JSON.parse(output).findings;
  const found = findings
    .filter(({ path }) => path.startsWith(own))
    .map(({ path, ...finding }) => ({ ...finding, path: path.slice(own.length) }));
  return { status, found, problems: linesOf(found) };
}
