import { createHash } from "node:crypto";
import { Resource } from "@cdktf/provider-null/lib/resource";
import { Fn, type ITerraformDependable, Token } from "cdktf";
import type { Construct } from "constructs";
import type { ComponentFile, KubernetesFacts } from "../kubernetes/components/component";
import {
  CLUSTER_COMMANDS,
  checkFiles,
  MANIFESTS_FOLDER,
  machineCommands,
  machineFiles,
  manifests,
  PROGRAMS_TABLE,
  SCRIPTS_FOLDER,
  scripts,
} from "../kubernetes/machine";
import { image, programsTable, type ReleaseOptions, releases } from "../kubernetes/releases";
import type { ClusterFacts } from "../model/identities";
import { liveFiles } from "../model/layout";
import { type ChosenVersions, componentVersions } from "../model/versions";
import { FileDistribution, type FileToDistribute } from "./file-distribution";
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
 * the other, then the workers side by side. At the end, the first control plane machine checks each worker with a pod.
 * Each step is redone by the next apply if it has failed, was interrupted, or has changed.
 */
export function installKubernetes(scope: Construct, props: InstallationProps): void {
  const { clusterName, nodes, sshKey, downloads, checksums, registryMirrors = {} } = props;
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
    },
    lifecycle: { ignoreChanges: ["triggers"] },
  });
  const foundingOf = ({ instance }: ClusterNode) => ({
    token: founding.id,
    isFounder: Fn.contains(Fn.split(" ", Fn.lookup(founding.triggers, "machines", "")), instance.id).toString(),
  });

  const prepared = nodes.map((node) => {
    const { role } = node;
    const commands = machineCommands(role);
    const programs = step(`programs-${node.id}`, node, {
      folders: [SCRIPTS_FOLDER],
      files: [
        ...scripts().map((file) => ({ ...plain(file), mode: "0755" as const })),
        plain({ path: PROGRAMS_TABLE, content: programsTable(releases(role, versions, { downloads, checksums })) }),
      ],
      activate: [commands.refuse, commands.fetch, commands.prepare],
    });
    const secrets = liveFiles(node).map(({ source, path, mode, owner }) => ({
      path,
      mode,
      owner,
      ...props.content({ source }),
    }));
    const files = machineFiles(cluster, node, role === "master" ? foundingOf(node) : undefined);
    const pems = step(`pems-${node.id}`, node, {
      folders: Object.keys(registryMirrors)
        .filter(() => role === "worker")
        .map((registry) => `/etc/containerd/certs.d/${registry}`),
      files: [...secrets, ...files.map(plain)],
      activate: [commands.configure, ...(role === "worker" ? [commands.start] : [])],
      dependsOn: [programs.completed],
    });
    return { node, programs, pems };
  });
  const isMaster = ({ node }: (typeof prepared)[number]) => node.role === "master";
  // No member starts before every machine has been asked whether it may found the cluster.
  const started = prepared.filter(isMaster).map(({ node, pems }) =>
    step(`etcd-${node.id}`, node, {
      activate: [machineCommands("master").start],
      triggers: { configuration: pems.copyId },
      dependsOn: prepared.filter(isMaster).map((each) => each.pems.completed),
    }),
  );
  const converge = ({ node, programs, pems }: (typeof prepared)[number], after: readonly ITerraformDependable[]) =>
    step(`kubernetes-${node.id}`, node, {
      activate: [machineCommands(node.role).converge],
      triggers: { programs: programs.copyId, configuration: pems.copyId },
      dependsOn: [...after, pems.completed],
    });
  // One after the other, so that a change restarts one member of etcd at a time.
  let previous = started.map(({ completed }) => completed);
  for (const each of prepared.filter(isMaster)) previous = [converge(each, previous).completed];
  const controlPlane = previous;
  const addons = step("addons", first, {
    folders: [MANIFESTS_FOLDER],
    files: manifests(cluster).map(plain),
    activate: [CLUSTER_COMMANDS.addons],
    dependsOn: controlPlane,
  });
  const workers = prepared.filter((each) => !isMaster(each)).map((each) => converge(each, controlPlane));
  step("check", first, {
    files: checkFiles(cluster).map(plain),
    activate: [CLUSTER_COMMANDS.check],
    triggers: {
      steps: Fn.sha256(
        Fn.join(
          " ",
          [addons, ...workers].map(({ copyId }) => copyId),
        ),
      ),
    },
    dependsOn: [addons.completed, ...workers.map(({ completed }) => completed)],
  });
}

/** A file without secrets, which belongs to root. */
function plain(file: ComponentFile): FileToDistribute {
  const { content } = file;
  const version = Token.isUnresolved(content) ? content : createHash("sha256").update(content).digest("hex");
  return { ...file, mode: "0644", owner: "root", version };
}
