import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { changeInstance, type InstanceChange } from "../cloud/inventory";
import { RELEASES_FOLDER } from "../cloud/mirror/release-files";
import { type Ended, type Running, signalInside, start } from "../cloud/program";
import { OUTSIDE_ADDRESS } from "../cloud/vpc/addresses";
import { IMAGE_NAMES, imageTag, releasePaths } from "../kubernetes/releases";
import { TESTED } from "../model/versions";
import type { Write } from "./api-writer";
import { REGION, Rehearsal } from "./rehearsal";
import { TUTORIAL_NAME } from "./tutorial";

/** The version of Kubernetes in the tests. */
export const VERSION = TESTED.kubernetes;

/** The patch version before it, from which a test upgrades. */
export const EARLIER = "1.37.1";

/** The address of the cloud's mirror of release files and images. */
export const MIRROR = `http://${OUTSIDE_ADDRESS}`;

/** etcdctl on a control plane machine. */
export const ETCDCTL =
  "etcdctl --cacert /etc/etcd/ca.pem --cert /etc/etcd/master-kubernetes.pem --key /etc/etcd/master-kubernetes-key.pem";

function sumOf(file: string): string {
  return createHash("sha256").update(readFileSync(file)).digest("hex");
}

/** The output of a program that succeeds. */
async function succeeded({ ended }: Running): Promise<string> {
  const { status, output } = await ended;
  if (status !== 0) throw new Error(output);
  return output;
}

/** A cluster with Kubernetes that a test deploys and changes in a separate emulated cloud. */
export class KubernetesRehearsal {
  private constructor(
    readonly rehearsal: Rehearsal,
    /** The sums of the mirror's files and the digests of its images, in the form of the setting `checksums`. */
    readonly checksums: Readonly<Record<string, string>>,
  ) {}

  /** Opens a cloud with a mirror of the release files. @param settings - those of the first cluster */
  static async begin(settings: object): Promise<KubernetesRehearsal> {
    const rehearsal = await Rehearsal.begin(settings, { mirror: RELEASES_FOLDER });
    const paths = [VERSION, EARLIER].flatMap((kubernetes) => releasePaths({ ...TESTED, kubernetes }));
    const files = [...new Set(paths)].map((path) => [path, sumOf(join(RELEASES_FOLDER, path))]);
    const images = await Promise.all(
      IMAGE_NAMES.map(async (name) => {
        const tag = imageTag(name, TESTED);
        const [, registry, path, version] = /^([^/]+)\/(.+):([^:]+)$/.exec(tag) as RegExpExecArray;
        const headers = await rehearsal.here(
          "curl",
          "-sfI",
          `${MIRROR}/v2/${path}/manifests/${version}?ns=${registry}`,
        );
        return [tag, /^docker-content-digest: (\S+)/im.exec(headers)?.[1]];
      }),
    );
    return new KubernetesRehearsal(rehearsal, Object.fromEntries([...files, ...images]));
  }

  /** The settings of a cluster that downloads from the mirror, as a company with a mirror has them. */
  settings(others: object = {}, kubernetes: object = {}, checksums: object = {}): object {
    const file = join(this.rehearsal.folder.path, "checksums.json");
    writeFileSync(file, JSON.stringify({ ...this.checksums, ...checksums }));
    const mirrors = { downloads: MIRROR, registryMirrors: { "registry.k8s.io": MIRROR }, checksums: file };
    return { ...others, kubernetes: { version: VERSION, ...mirrors, ...kubernetes } };
  }

  /**
   * Runs `npm run credentials`, which writes the credentials of the deployed cluster, or another of its commands.
   * @returns its output
   */
  credentials(...args: readonly string[]): Promise<string> {
    return succeeded(this.startTool("credentials", [...args, "--out", this.credentialsFolder]));
  }

  /**
   * Runs `npm run cluster` on the deployed cluster, with the folder that {@link credentials} has written.
   * @returns its output
   * @throws Error with its output if it fails
   */
  cluster(...args: readonly string[]): Promise<string> {
    return succeeded(this.startCluster(...args));
  }

  /** Starts `npm run cluster`. */
  startCluster(...args: readonly string[]): Running {
    return this.startTool("cluster", [...args, "--credentials", this.credentialsFolder]);
  }

  /** Starts an npm script that reads the deployed stack. */
  private startTool(name: string, args: readonly string[]): Running {
    const from = join(this.rehearsal.folder.stackFolder, "../..");
    return this.startScript(name, [...args, "--from", from]);
  }

  /** Starts an npm script, in the cloud. */
  private startScript(name: string, args: readonly string[]): Running {
    return this.rehearsal.start(["npm", "run", "--silent", name, "--", ...args], join(__dirname, ".."));
  }

  /** Runs `npm run conformance`, after {@link credentials}. @returns its output */
  conformance(...args: readonly string[]): Promise<string> {
    return succeeded(this.startScript("conformance", [...args, "--kubeconfig", this.kubeconfig, "--registry", MIRROR]));
  }

  /** The folder of the credentials. */
  get credentialsFolder(): string {
    return join(this.rehearsal.folder.path, "credentials");
  }

  /** The administrator's kubeconfig. */
  get kubeconfig(): string {
    return join(this.credentialsFolder, "kubeconfigs/admin.kubeconfig");
  }

  /** Starts kubectl, outside of the machines, as the administrator. */
  start(...args: readonly string[]): Running {
    const program = join(RELEASES_FOLDER, "dl.k8s.io", `v${VERSION}`, "bin/linux/amd64/kubectl");
    return this.rehearsal.start([program, "--kubeconfig", this.kubeconfig, ...args], "/");
  }

  /** The output of a kubectl that succeeds. */
  async kubectl(...args: readonly string[]): Promise<string> {
    const { status, output } = await this.start(...args).ended;
    if (status !== 0) throw new Error(`kubectl ${args.join(" ")}: status ${status}\n${output}`);
    return output.trim();
  }

  /** Objects of the API. */
  async get(...args: readonly string[]) {
    return JSON.parse(await this.kubectl("get", ...args, "--output", "json"));
  }

  /** Applies a manifest. */
  async applyManifest(manifest: string): Promise<void> {
    const file = join(this.rehearsal.temporaryFolder, "manifest.yaml");
    writeFileSync(file, manifest);
    await this.kubectl("apply", "--filename", file);
  }

  /** Runs a command on a machine as root. */
  onMachine(id: string, command: string): Promise<Ended> {
    return start(this.rehearsal.machine(id).machine.run(["bash", "-c", command])).ended;
  }

  /** The output of a command that succeeds on a machine as root. */
  async outputOn(id: string, command: string): Promise<string> {
    const { status, output } = await this.onMachine(id, command);
    if (status !== 0) throw new Error(`${id}: ${command}: status ${status}\n${output}`);
    return output.trim();
  }

  /** Changes machines as a person does in AWS's console. @param change - `off` is a loss of power */
  async inConsole(change: InstanceChange["change"] | "off", ...ids: readonly string[]): Promise<void> {
    const { cloud } = this.rehearsal;
    const { instances } = await this.rehearsal.inventory();
    await Promise.all(
      ids.map(async (name) => {
        if (change === "off") return this.rehearsal.machine(name).machine.powerOff();
        const found = instances.find(({ Tags = [] }) => Tags.some(({ Value }) => Value === `${TUTORIAL_NAME}-${name}`));
        await changeInstance(cloud.socket, { id: found?.InstanceId as string, region: REGION, change });
      }),
    );
    await cloud.machines.settled();
  }

  /** An apply that fails. @returns its output */
  async failedApply(...args: readonly string[]): Promise<string> {
    const { status, output } = await this.rehearsal.startTerraform("apply", "-auto-approve", "-no-color", ...args)
      .ended;
    if (status === 0) throw new Error(`the apply must fail:\n${output}`);
    return output;
  }

  /** Starts writes to the API, in a namespace of their own. */
  async startWrites(namespace: string): Promise<Writes> {
    await this.kubectl("create", "namespace", namespace);
    const program = [process.execPath, "--import", "tsx", "testing/api-writer.ts", this.kubeconfig, namespace];
    return new Writes(this, namespace, this.rehearsal.start(program, join(__dirname, "..")));
  }

  /** Waits until a condition is true. @param words - the condition, for the error */
  async until(words: string, seconds: number, isTrue: () => Promise<boolean>): Promise<void> {
    const end = Date.now() + seconds * 1000;
    for (let last: unknown; ; await sleep(500)) {
      try {
        if (await isTrue()) return;
      } catch (error) {
        last = error;
      }
      if (Date.now() > end)
        throw new Error(`${words}: not within ${seconds} s${last === undefined ? "" : `: ${last}`}`);
    }
  }
}

/** The writes of a time. */
export interface WritesOfTime {
  /** The begin of the time, in milliseconds since 1970. */
  readonly begin: number;
  readonly all: number;
  readonly failed: readonly Write[];
  /** The longest time between two acknowledged writes, in seconds. */
  readonly longestGap: number;
}

/** Writes to the API that go on beside a test. */
export class Writes {
  constructor(
    private readonly cluster: KubernetesRehearsal,
    private readonly namespace: string,
    private readonly program: Running,
  ) {}

  /** All writes that have ended. */
  get done(): Write[] {
    const lines = this.program.output().split("\n").slice(0, -1);
    return lines.filter((line) => line.startsWith("{")).map((line) => JSON.parse(line) as Write);
  }

  /** The writes that began at or after a time. @param begin - in milliseconds since 1970 */
  since(begin: number): WritesOfTime {
    const all = this.done.filter((write) => write.begin >= begin);
    const acknowledged = all.filter(({ error }) => error === undefined).map(({ end }) => end);
    const times = [begin, ...acknowledged.sort((a, b) => a - b)];
    const gaps = times.map((time, index) => (times[index + 1] ?? time) - time);
    return {
      begin,
      all: all.length,
      failed: all.filter(({ error }) => error !== undefined),
      longestGap: Math.max(...gaps) / 1000,
    };
  }

  /** Runs an action. @returns the writes of its time, and its seconds */
  async during(action: () => Promise<unknown>): Promise<WritesOfTime & { readonly seconds: number }> {
    const begin = Date.now();
    await action();
    return { ...this.since(begin), seconds: (Date.now() - begin) / 1000 };
  }

  /** What etcd has logged about slow disks, slow members and elections since a time, on each control plane machine that runs. */
  async complaints(begin: number): Promise<string[]> {
    const journal = `journalctl --unit etcd --since @${Math.floor(begin / 1000)} --output short-unix --no-pager --no-hostname`;
    const words = "slow fdatasync|took too long|leader|overloaded|heartbeat|lost";
    const { running } = this.cluster.rehearsal.cloud.machines;
    const ids = ["master-0", "master-1", "master-2"].filter((id) =>
      running.some(({ name }) => name.endsWith(`-${id}`)),
    );
    const machines = ids.map(async (id) => {
      const { output } = await this.cluster.onMachine(id, `${journal} | grep -E '${words}' | cut -c1-300 | tail -n 40`);
      return output.split("\n").map((line) => `${id} ${line}`);
    });
    return (await Promise.all(machines)).flat();
  }

  /** Ends the writes. */
  async end(): Promise<void> {
    signalInside(this.program.process, "SIGTERM");
    await this.program.ended;
  }

  /** The acknowledged writes that a machine's API server does not have. */
  async lostOn(id: string): Promise<string[]> {
    const kubectl = "kubectl --kubeconfig /var/lib/kubernetes/admin.kubeconfig --server https://127.0.0.1:6443";
    const names = await this.cluster.outputOn(
      id,
      `${kubectl} --namespace ${this.namespace} get configmaps --output name`,
    );
    const have = new Set(names.split("\n").map((name) => name.replace("configmap/", "")));
    return this.done.filter(({ name, error }) => error === undefined && !have.has(name)).map(({ name }) => name);
  }
}
