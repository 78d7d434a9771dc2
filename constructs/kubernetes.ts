import { createHash } from "node:crypto";
import { Resource } from "@cdktf/provider-null/lib/resource";
import { Fn, type ITerraformDependable, Token } from "cdktf";
import type { Construct } from "constructs";
import type { ComponentFile, KubernetesFacts } from "../kubernetes/components/component";
import {
  CLUSTER_COMMANDS,
  checkFiles,
  initialCluster,
  MANIFESTS_FOLDER,
  machineCommands,
  machineFiles,
  manifests,
  NEXT_PROGRAMS_TABLE,
  SCRIPTS_FOLDER,
  scripts,
} from "../kubernetes/machine";
import { image, programsTable, type ReleaseOptions, releases } from "../kubernetes/releases";
import type { ClusterFacts } from "../model/identities";
import { liveFiles } from "../model/layout";
import { type ChosenVersions, componentVersions } from "../model/versions";
import { FileDistribution, type FileToDistribute, fingerprint } from "./file-distribution";
import type { ClusterNode } from "./node-fleet";
import type { SshKey } from "./ssh-key";

/** The installation of Kubernetes on the machines. */
export interface KubernetesProps extends ReleaseOptions {
  /** A patch version of a minor version in `VERSIONS`, such as 1.37.2. */
  readonly version: string;
  /** Versions of other programs. @default - those of `VERSIONS` that go with the version of Kubernetes */
  readonly components?: ChosenVersions;
  /**
   * The addresses of mirrors, by the name of the registry: containerd asks them first.
   * @default - none: images come from their registries
   */
  readonly registryMirrors?: Readonly<Record<string, string>>;
  /** How a change reaches the workers. */
  readonly rollingUpdate?: {
    /** The number of workers whose programs are restarted or replaced at one time. @default 1 */
    readonly maxUnavailable?: number;
  };
}

/** Properties of {@link installKubernetes}. */
export interface InstallationProps extends KubernetesProps {
  /** The cluster's name. */
  readonly clusterName: string;
  /** The cluster. */
  readonly cluster: ClusterFacts & Pick<KubernetesFacts, "serviceNetwork" | "dnsAddress" | "podNetwork">;
  /** The machines. */
  readonly nodes: readonly ClusterNode[];
  readonly sshKey: SshKey;
  /** The content of a certificate, key, kubeconfig or encryption config, and a text that changes with it. */
  readonly content: (
    file: Pick<ReturnType<typeof liveFiles>[number], "source">,
  ) => Pick<FileToDistribute, "content" | "version">;
}

/**
 * Installs Kubernetes on the machines of a cluster. For each machine: the programs, then the files in their places, then one
 * step that starts or restarts the programs and waits until they are healthy. Control plane machines take this step one after
 * the other, then the workers in waves. At the end, the first control plane machine checks each worker with a pod.
 * Each step is redone by the next apply if it has failed, was interrupted, or has changed.
 */
export function installKubernetes(scope: Construct, props: InstallationProps): void {
  const { clusterName, nodes, sshKey, downloads, checksums, registryMirrors = {}, rollingUpdate = {} } = props;
  const versions = componentVersions(props);
  const cluster: KubernetesFacts = {
    ...props.cluster,
    name: clusterName,
    images: {
      pause: image("pause", versions, checksums),
      coredns: image("coredns", versions, checksums),
      agnhost: image("agnhost", versions, checksums),
    },
    registryMirrors,
  };
  const masters = nodes.filter(({ role }) => role === "master");
  const [first] = masters as [ClusterNode];
  const step = (
    name: string,
    node: ClusterNode,
    { files = [], ...rest }: Partial<ConstructorParameters<typeof FileDistribution>[2]>,
  ) => new FileDistribution(scope, name, { node, sshKey, files, ...rest });

  // The machines for which etcd was founded. A machine that takes the place of one of them is not in the list, so it never
  // founds an empty cluster over the lost one.
  const founding = new Resource(scope, "etcd-founding", {
    triggers: {
      machines: Fn.join(
        " ",
        masters.map(({ instance }) => instance.id),
      ),
      members: initialCluster(masters),
    },
    lifecycle: { ignoreChanges: ["triggers"] },
  });
  const foundingOf = ({ instance }: ClusterNode) => ({
    token: founding.id,
    founders: Fn.lookup(founding.triggers, "members", ""),
    isFounder: Fn.contains(Fn.split(" ", Fn.lookup(founding.triggers, "machines", "")), instance.id).toString(),
  });

  const machines = nodes.map((node) => {
    const { role } = node;
    const commands = machineCommands(role);
    const table = plain({
      path: NEXT_PROGRAMS_TABLE,
      content: programsTable(releases(role, versions, { downloads, checksums })),
    });
    const programs = {
      folders: [SCRIPTS_FOLDER],
      files: [...scripts().map((file) => ({ ...plain(file), mode: "0755" as const })), table],
      activate: [commands.refuse, commands.fetch, commands.prepare],
    };
    const secrets = liveFiles(node).map(({ source, path, mode, owner }) => ({
      path,
      mode,
      owner,
      ...props.content({ source }),
    }));
    const config = machineFiles(cluster, node, role === "master" ? foundingOf(node) : undefined).map(plain);
    const pems = {
      folders: Object.keys(registryMirrors)
        .filter(() => role === "worker")
        .map((registry) => `/etc/containerd/certs.d/${registry}`),
      files: [...secrets, ...config],
      activate: [commands.configure, ...(role === "worker" ? [commands.start] : [])],
    };
    // A person reads them in a plan, so each stands for one kind of change.
    const released = {
      kubernetes: versions.kubernetes,
      ...(role === "master" ? { etcd: versions.etcd } : { containerd: versions.containerd, runc: versions.runc }),
    };
    const triggers = {
      ...released,
      config: fingerprint({
        files: [...programs.files.filter((file) => file !== table), ...config],
        folders: [...programs.folders, ...pems.folders],
        activate: [...programs.activate, ...pems.activate, commands.converge],
      }),
      certificates: fingerprint({ files: secrets }),
    };
    return {
      node,
      commands,
      triggers,
      programs: step(`programs-${node.id}`, node, {
        ...programs,
        triggers: { ...released, files: fingerprint(programs) },
      }),
      pems,
    };
  });
  const completed = (steps: readonly FileDistribution[]) => steps.map((each) => each.completed);
  const isMaster = ({ node }: { readonly node: ClusterNode }) => node.role === "master";
  // Before any file in use changes, each control plane machine has agreed to the change. The programs do not wait for that: they
  // are downloaded while AWS makes the load balancer.
  const agreed = machines.filter(isMaster).map(({ node, commands, triggers, programs }) =>
    step(`quorum-${node.id}`, node, {
      activate: [commands.agree],
      triggers,
      dependsOn: [programs.completed],
    }),
  );
  const prepared = machines.map(({ pems, ...machine }) => ({
    ...machine,
    pems: step(`pems-${machine.node.id}`, machine.node, {
      ...pems,
      triggers: machine.triggers,
      dependsOn: [machine.programs.completed, ...completed(agreed)],
    }),
  }));
  const [controlPlane, workers] = [prepared.filter(isMaster), prepared.filter((each) => !isMaster(each))];

  /** A step that only runs a command. It is repeated after each copy of the machine's files. */
  const command = (
    name: string,
    { node, commands, triggers, programs, pems }: (typeof prepared)[number],
    key: keyof typeof commands,
    dependsOn: readonly ITerraformDependable[],
  ) =>
    step(`${name}-${node.id}`, node, {
      activate: [commands[key]],
      triggers: { ...triggers, copies: Fn.join(" ", [programs.copyId, pems.copyId]) },
      dependsOn: [...dependsOn, pems.completed],
    });

  // No member starts before every machine has been asked whether it may found the cluster.
  const started = controlPlane.map((each) =>
    command(
      "etcd",
      each,
      "start",
      controlPlane.map(({ pems }) => pems.completed),
    ),
  );
  // One after the other, so that a change restarts one member of etcd at a time.
  const healthy = controlPlane.reduce(
    (before, each) => completed([command("kubernetes", each, "converge", before)]),
    completed(started),
  );
  const addons = step("addons", first, {
    folders: [MANIFESTS_FOLDER],
    files: manifests(cluster).map(plain),
    activate: [CLUSTER_COMMANDS.addons],
    dependsOn: healthy,
  });
  const joined = workers.map((each) => command("join", each, "join", healthy));
  const waves = inGroups(workers, rollingUpdate.maxUnavailable ?? 1);
  const converged: FileDistribution[] = [];
  let wave = [addons, ...joined];
  for (const group of waves) {
    wave = group.map((each) => command("kubernetes", each, "converge", completed(wave)));
    converged.push(...wave);
  }
  const check = { folders: [], files: checkFiles(cluster).map(plain), activate: [CLUSTER_COMMANDS.check] };
  step("check", first, {
    ...check,
    triggers: {
      files: fingerprint(check),
      steps: Fn.sha256(
        Fn.join(
          " ",
          [addons, ...converged].map(({ copyId }) => copyId),
        ),
      ),
    },
    dependsOn: completed([addons, ...converged]),
  });
}

/** A list in groups of a size; the last may be smaller. */
function inGroups<T>(list: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(list.length / size) }, (_, index) =>
    list.slice(index * size, (index + 1) * size),
  );
}

/** A file without secrets, which belongs to root. */
function plain(file: ComponentFile): FileToDistribute {
  const { content } = file;
  const version = Token.isUnresolved(content) ? content : createHash("sha256").update(content).digest("hex");
  return { ...file, mode: "0644", owner: "root", version };
}
