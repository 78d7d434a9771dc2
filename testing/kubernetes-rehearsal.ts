import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { RELEASES_FOLDER } from "../cloud/mirror/release-files";
import { type Ended, type Running, start } from "../cloud/program";
import { OUTSIDE_ADDRESS } from "../cloud/vpc/addresses";
import { IMAGE_NAMES, imageTag, releasePaths } from "../kubernetes/releases";
import { TESTED } from "../model/versions";
import { Rehearsal } from "./rehearsal";

/** The version of Kubernetes in the tests. */
export const VERSION = TESTED.kubernetes;

/** The address of the cloud's mirror of release files and images. */
export const MIRROR = `http://${OUTSIDE_ADDRESS}`;

/** etcdctl on a control plane machine. */
export const ETCDCTL =
  "etcdctl --cacert /etc/etcd/ca.pem --cert /etc/etcd/master-kubernetes.pem --key /etc/etcd/master-kubernetes-key.pem";

function sumOf(file: string): string {
  return createHash("sha256").update(readFileSync(file)).digest("hex");
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
    const files = releasePaths(TESTED).map((path) => [path, sumOf(join(RELEASES_FOLDER, path))]);
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
  async credentials(...args: readonly string[]): Promise<string> {
    const { rehearsal } = this;
    const from = join(rehearsal.folder.stackFolder, "../..");
    const options = ["--from", from, "--out", this.credentialsFolder];
    const command = ["npm", "run", "--silent", "credentials", "--", ...args, ...options];
    const { status, output } = await rehearsal.start(command, join(__dirname, "..")).ended;
    if (status !== 0) throw new Error(output);
    return output;
  }

  /** The folder of the credentials. */
  get credentialsFolder(): string {
    return join(this.rehearsal.folder.path, "credentials");
  }

  /** Starts kubectl, outside of the machines, as the administrator. */
  start(...args: readonly string[]): Running {
    const program = join(RELEASES_FOLDER, "dl.k8s.io", `v${VERSION}`, "bin/linux/amd64/kubectl");
    const kubeconfig = join(this.credentialsFolder, "kubeconfigs/admin.kubeconfig");
    return this.rehearsal.start([program, "--kubeconfig", kubeconfig, ...args], "/");
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
