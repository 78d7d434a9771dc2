import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type NodeFacts, nodesOf } from "../model/identities";
import { liveFiles } from "../model/layout";
import type { NodeRole } from "../model/names";
import { ETCD_PORTS } from "../model/ports";
import { type Component, type ComponentFile, HEADER, type KubernetesFacts } from "./components/component";
import { containerd } from "./components/containerd";
import { etcd } from "./components/etcd";
import { kubeApiserver } from "./components/kube-apiserver";
import { kubeControllerManager } from "./components/kube-controller-manager";
import { kubeProxy } from "./components/kube-proxy";
import { kubeScheduler } from "./components/kube-scheduler";
import { kubelet } from "./components/kubelet";
import { podMasquerade } from "./components/pod-masquerade";

/** Every program that runs as a systemd unit, in the order in which they start. */
export const COMPONENTS: readonly Component[] = [
  etcd,
  kubeApiserver,
  kubeControllerManager,
  kubeScheduler,
  containerd,
  podMasquerade,
  kubelet,
  kubeProxy,
];

/** The folder on a machine with the scripts and their data. */
export const SCRIPTS_FOLDER = "/usr/local/lib/kubernetes";

/** The folder on the first control plane machine with the manifests that are applied. */
export const MANIFESTS_FOLDER = `${SCRIPTS_FOLDER}/manifests`;

/** The downloaded programs that a unit starts. @default - the one with its name */
const PROGRAMS: Readonly<Record<string, readonly string[]>> = {
  containerd: ["containerd", "containerd-shim-runc-v2", "runc"],
  "pod-masquerade": [],
};

/** The scripts of all machines. */
export function scripts(): readonly ComponentFile[] {
  return ["lib", "programs", "node", "etcd", "control-plane", "worker", "cluster"].map((name) => ({
    path: `${SCRIPTS_FOLDER}/${name}.sh`,
    content: read("scripts", `${name}.sh`),
  }));
}

/** The founding of etcd, as the machine's scripts need it. The values may be tokens. */
export interface Founding {
  /** Another text for each founding. */
  readonly token: string;
  /** `true` if the machine is one of those for which the cluster was founded. */
  readonly isFounder: string;
  /** The members with which the cluster was founded, as etcd's `--initial-cluster` has them. */
  readonly founders: string;
}

/**
 * The units and the configuration of a machine, and the facts that its scripts read. Nothing in them is secret.
 * @param founding - for control plane machines
 */
export function machineFiles(cluster: KubernetesFacts, node: NodeFacts, founding?: Founding): readonly ComponentFile[] {
  const components = COMPONENTS.filter(({ role }) => role === node.role);
  const files = components.map((component) => ({ component, files: component.files(cluster, node) }));
  const live = liveFiles(node);
  const reads = files.flatMap(({ component: { name }, files }) => [
    ...files.map(({ path }) => [`reads-${name}`, path] as const),
    ...live
      .filter(({ readBy, rereadBy = [] }) => readBy.some((each) => each === name && !rereadBy.includes(each)))
      .map(({ path }) => [`reads-${name}`, path] as const),
    ...(PROGRAMS[name] ?? [name]).map((program) => [`reads-${name}`, `/usr/local/bin/${program}`] as const),
  ]);
  const facts = [
    ["id", node.id],
    ["role", node.role],
    ["hostname", node.hostname],
    ["address", node.privateIp],
    ...(founding === undefined ? containerdFacts(cluster) : etcdFacts(cluster, node, founding)),
    ...reads,
  ];
  return [
    ...files.flatMap(({ files }) => files),
    ...(node.role === "worker" ? KERNEL : []),
    { path: `${SCRIPTS_FOLDER}/facts`, content: facts.map(([key, value]) => `${key}=${value}\n`).join("") },
  ];
}

function containerdFacts({ images: { pause, coredns, agnhost }, registryMirrors }: KubernetesFacts) {
  return [
    ...[pause, coredns, agnhost].map((image) => ["image", image] as const),
    ...Object.keys(registryMirrors).map((registry) => ["mirrored", registry] as const),
  ];
}

/** Members of etcd, as `--initial-cluster` has them: `HOSTNAME=https://ADDRESS:2380`, with commas between. */
export function initialCluster(masters: readonly Pick<NodeFacts, "hostname" | "privateIp">[]): string {
  return masters.map(({ hostname, privateIp }) => `${hostname}=https://${privateIp}:${ETCD_PORTS[1]}`).join(",");
}

function etcdFacts(cluster: KubernetesFacts, node: NodeFacts, { token, isFounder, founders }: Founding) {
  const members = nodesOf(cluster, "master");
  return [
    ["founder", isFounder],
    ["etcd-token", token],
    ["etcd-founders", founders],
    ...members.filter(({ id }) => id !== node.id).map(({ privateIp }) => ["other-member", privateIp] as const),
  ] as const;
}

/** The settings of the kernel that services and pods need, also after a reboot. */
const KERNEL: readonly ComponentFile[] = [
  { path: "/etc/modules-load.d/kubernetes.conf", content: `${HEADER}\noverlay\nbr_netfilter\n` },
  {
    path: "/etc/sysctl.d/90-kubernetes.conf",
    // Without the second, a pod does not reach a service whose pod is on the same machine.
    content: `${HEADER}\nnet.ipv4.ip_forward = 1\nnet.bridge.bridge-nf-call-iptables = 1\n`,
  },
];

/** The manifests of cluster DNS and of the API servers' access to kubelets, for {@link MANIFESTS_FOLDER}. */
export function manifests(cluster: KubernetesFacts): readonly ComponentFile[] {
  return ["kubelet-access", "coredns"].map((name) => ({
    path: `${MANIFESTS_FOLDER}/${name}.yaml`,
    content: manifest(name, cluster),
  }));
}

/** The files with which the first control plane machine checks the workers. */
export function checkFiles(cluster: KubernetesFacts): readonly ComponentFile[] {
  const workers = nodesOf(cluster, "worker");
  return [
    { path: `${SCRIPTS_FOLDER}/check-pod.yaml`, content: manifest("check-pod", cluster) },
    {
      path: `${SCRIPTS_FOLDER}/workers`,
      content: workers.map(({ hostname, podCidr }) => `${hostname} ${podCidr}\n`).join(""),
    },
  ];
}

/** A manifest, with the cluster's addresses and images instead of the words in capitals. */
function manifest(name: string, { dnsAddress, serviceAddress, images }: KubernetesFacts): string {
  const values = {
    DNS_ADDRESS: dnsAddress,
    SERVICE_ADDRESS: serviceAddress,
    COREDNS_IMAGE: images.coredns,
    AGNHOST_IMAGE: images.agnhost,
  };
  return Object.entries(values).reduce(
    (text, [word, value]) => text.replaceAll(word, value),
    read("manifests", `${name}.yaml`),
  );
}

function read(folder: string, name: string): string {
  return readFileSync(join(__dirname, folder, name), "utf8");
}

/** The path of the table of programs on a machine. */
const PROGRAMS_TABLE = `${SCRIPTS_FOLDER}/releases`;

/** The path of the next table, until the machine and the other control plane machines have agreed to it. */
export const NEXT_PROGRAMS_TABLE = `${PROGRAMS_TABLE}.new`;

/** The commands of the scripts on a machine. The head of each script tells what they do. */
export function machineCommands(role: NodeRole) {
  const node = `${SCRIPTS_FOLDER}/node.sh`;
  const programs = `${SCRIPTS_FOLDER}/${role === "master" ? "control-plane" : "worker"}.sh`;
  return {
    refuse: `${node} refuse ${role}`,
    agree: `${SCRIPTS_FOLDER}/etcd.sh agree`,
    fetch: `${SCRIPTS_FOLDER}/programs.sh ${NEXT_PROGRAMS_TABLE} fetch`,
    prepare: `${node} prepare ${role}`,
    configure: `${node} configure`,
    start: `${programs} start`,
    join: `${programs} join`,
    converge: `${programs} converge`,
  } as const;
}

/** The commands that run on the first control plane machine, for the whole cluster. */
export const CLUSTER_COMMANDS = {
  addons: `${SCRIPTS_FOLDER}/cluster.sh addons`,
  check: `${SCRIPTS_FOLDER}/cluster.sh check`,
} as const;

/** The commands of the scripts for a cluster that runs. Arguments contain no characters that a shell reads. */
export const OPERATIONS = {
  controlPlane: (command: "state" | "start" | "stop" | "converge" | "retire") => script("control-plane", command),
  worker: (command: "retire") => script("worker", command),
  cluster: (command: "drain" | "forget", hostname: string) => script("cluster", command, hostname),
  removeMember: (hostname: string) => script("etcd", "remove", hostname),
  snapshot: (file: string) => script("etcd", "snapshot", file),
  abandon: script("etcd", "abandon"),
  unpack: (file: string, token: string, cluster: string) => script("etcd", "unpack", file, token, cluster),
  replace: script("etcd", "replace"),
  link: `${SCRIPTS_FOLDER}/programs.sh ${PROGRAMS_TABLE} link`,
} as const;

function script(name: string, ...args: readonly string[]): string {
  return [`${SCRIPTS_FOLDER}/${name}.sh`, ...args].join(" ");
}
