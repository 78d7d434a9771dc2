import type { KubernetesFacts } from "../kubernetes/components/component";
import { encryptionConfig } from "../kubernetes/encryption-config";
import { apiServer, kubeconfig, kubeconfigUsers } from "../kubernetes/kubeconfig";
import {
  checkFiles,
  MANIFESTS_FOLDER,
  machineFiles,
  manifests,
  NEXT_PROGRAMS_TABLE,
  SCRIPTS_FOLDER,
  scripts,
} from "../kubernetes/machine";
import { IMAGE_NAMES, imageTag, programsTable, type Release, releases } from "../kubernetes/releases";
import { ec2Hostname } from "../model/addressing";
import { type NodeFacts, serverNames } from "../model/identities";
import { CA, type FileSource, liveFiles, NODE_HOME, nodeFiles } from "../model/layout";
import { NODE_USER, type NodeRole } from "../model/names";
import type { ComponentVersions } from "../model/versions";
import { type Arguments, type Configuration, once } from "./arguments";
import { anExpression, anyValue, isContent, plainContent } from "./contents";
import { type CopiedFile, machineOf, readDistribution } from "./provisioners";
import { machinesOf } from "./siblings";
import { type Step, type StepKind, stepOf } from "./steps";

/** A file of this project. The content has places for values that differ between clusters; a folder has none. */
interface OwnFile {
  readonly path: string;
  readonly mode: string;
  readonly owner: string;
  readonly content?: string;
}

type Files = ReadonlyMap<string, CopiedFile>;

/**
 * The files and folders of a copy that are not those of this project for its machine: another path, mode or owner, or another
 * content. If the copy goes to another machine than its name says, all are.
 * @param address - without keys of `count` and `for_each`
 * @returns their paths; none if the resource does not copy as `FileDistribution` does
 */
export function otherFiles(address: string, configuration: Configuration): readonly string[] {
  const known = knownOthers(configuration);
  const found = known.get(address) ?? findOthers(address, configuration);
  known.set(address, found);
  return found;
}

/** The results of {@link otherFiles}, by address. */
const knownOthers = once((_configuration: Configuration) => new Map<string, readonly string[]>());

function findOthers(address: string, configuration: Configuration): string[] {
  const block = configuration.get(address) ?? new Map();
  const files: Files = readDistribution(block)?.files ?? new Map();
  const step = stepOf(address);
  if (step === undefined || !goesTo(step.id, block, configuration)) return [...files.keys()];
  const own = ownFiles(step, files, configuration);
  return [...files].flatMap(([path, file]) => {
    const isOwn = own.some(
      ({ mode, owner, content, ...each }) =>
        each.path === path &&
        mode === file.mode &&
        owner === file.owner &&
        (content === undefined
          ? file.content === undefined
          : isContent(plainContent(file.content) ?? "", content, step.isNamed)),
    );
    return isOwn ? [] : [path];
  });
}

/** Whether the connections of a copy go to a machine. The JSON of a plan does not contain connections. */
export function goesTo(id: string, block: Arguments, configuration: Configuration): boolean {
  const machine = machinesOf(configuration).get(id)?.address;
  return !block.has("connection.host") || machineOf(block, configuration) === machine;
}

function ownFiles(step: Step, files: Files, configuration: Configuration): readonly OwnFile[] {
  const registries = [...files.keys()].flatMap((path) => REGISTRY_FOLDER.exec(path)?.[1] ?? []);
  const nodes = nodesOf(configuration);
  const node = nodes.find(({ id }) => id === step.id) ?? nodeFacts({ id: step.id, role: step.role });
  const cluster: KubernetesFacts = {
    name: anyValue("name"),
    publicAddress: anExpression("aws_lb.load-balancer.dns_name"),
    serviceAddress: anyValue("address"),
    nodes: nodes.includes(node) ? nodes : [...nodes, node],
    serviceNetwork: anyValue("cidr"),
    dnsAddress: anyValue("address"),
    podNetwork: anyValue("cidr"),
    images: IMAGES,
    registryMirrors: Object.fromEntries(registries.map((registry) => [registry, anyValue("url")])),
  };
  const named = { ...node, name: nameIn(files, node.id) };
  return FILES[step.kind]({ cluster, node: named, files });
}

interface Context {
  readonly cluster: KubernetesFacts;
  readonly node: NodeFacts;
  /** The files of the copy. */
  readonly files: Files;
}

/** The files of each kind of copy. */
const FILES: Readonly<Record<StepKind, (context: Context) => readonly OwnFile[]>> = {
  programs: ({ node, files }) => [
    folder(SCRIPTS_FOLDER),
    ...scripts().map((file) => ({ ...plain(file), mode: "0755" })),
    plain({ path: NEXT_PROGRAMS_TABLE, content: tableLike(node.role, files.get(NEXT_PROGRAMS_TABLE)) }),
  ],
  pems: ({ cluster, node }) => [
    ...nodeFiles(node).map(({ fileName, mode, source }) => {
      return { path: `${NODE_HOME}/${fileName}`, mode, owner: NODE_USER, content: contentOf(source, cluster, node) };
    }),
    ...liveFiles(node).map(({ source, ...file }) => ({ ...file, content: contentOf(source, cluster, node) })),
    ...machineFiles(cluster, node, node.role === "master" ? foundingOf(node) : undefined).map(plain),
    ...Object.keys(cluster.registryMirrors).map((registry) => folder(`/etc/containerd/certs.d/${registry}`)),
  ],
  quorum: () => [],
  etcd: () => [],
  join: () => [],
  kubernetes: () => [],
  addons: ({ cluster }) => [folder(MANIFESTS_FOLDER), ...manifests(cluster).map(plain)],
  check: ({ cluster }) => checkFiles(cluster).map(plain),
};

function plain({ path, content }: { readonly path: string; readonly content: string }): OwnFile {
  return { path, mode: "0644", owner: "root", content };
}

function folder(path: string): OwnFile {
  return { path: `${path}/`, mode: "0755", owner: "root" };
}

/** The folder on a worker for a registry that has a mirror. */
const REGISTRY_FOLDER = /^\/etc\/containerd\/certs\.d\/([A-Za-z0-9.:_-]+)\/$/;

/** A place for the version of each component. */
export const ANY_VERSION = {
  kubernetes: anyValue("version"),
  etcd: anyValue("version"),
  containerd: anyValue("version"),
  runc: anyValue("version"),
  cniPlugins: anyValue("version"),
  coreDns: anyValue("version"),
  pause: anyValue("version"),
  agnhost: anyValue("version"),
} satisfies ComponentVersions;

const IMAGES = Object.fromEntries(
  IMAGE_NAMES.map((name) => [name, imageTag(name, ANY_VERSION)]),
) as unknown as KubernetesFacts["images"];

/** The machines of a configuration. */
const nodesOf = once((configuration: Configuration): readonly NodeFacts[] => {
  return [...machinesOf(configuration).values()]
    .sort((one, other) => one.index - other.index)
    .map(({ id, role, privateIp, pods }) => nodeFacts({ id, role: role as NodeRole, privateIp, podCidr: pods }));
});

function nodeFacts({
  privateIp = anyValue("address"),
  podCidr = anyValue("cidr"),
  id,
  role,
}: Partial<NodeFacts> & Pick<NodeFacts, "id" | "role">): NodeFacts {
  const hostname = privateIp.startsWith("$") ? anyValue("name") : ec2Hostname(privateIp);
  return { id, role, name: id, hostname, privateIp, publicIp: "", ...(role === "worker" && { podCidr }) };
}

/** The name of a machine in the names of its files: that of a worker begins with the name of its cluster. */
function nameIn(files: Files, id: string): string {
  const pattern = new RegExp(`/([\\w-]+-${id})(?:-key)?\\.\\w+$`);
  return [...files.keys()].map((path) => pattern.exec(path)?.[1]).find((name) => name !== undefined) ?? id;
}

/** The expected content of a certificate, key, kubeconfig or encryption config. */
function contentOf(source: FileSource, cluster: KubernetesFacts, node: NodeFacts): string {
  if (source.kind === "encryption-config") {
    const key = "base64sha256(tls_private_key.encryption-key.private_key_pem)";
    return encryptionConfig({ name: `key-${anExpression(`substr(sha256(${key}), 0, 8)`)}`, base64: anExpression(key) });
  }
  const [certificate, key] = pairOf(source.identity === node.name ? node.id : source.identity);
  if (source.kind === "certificate") return anExpression(certificate);
  if (source.kind === "key") return anExpression(key);
  const names = serverNames({ ...cluster, nodes: [node] });
  const user = kubeconfigUsers(cluster.publicAddress, names).find(({ fileName }) => fileName === source.identity);
  return kubeconfig({
    clusterName: cluster.name,
    server: apiServer(user?.host ?? ""),
    user: user?.user ?? "",
    ca: anExpression(`base64encode(${pairOf(CA)[0]})`),
    certificate: anExpression(`base64encode(${certificate})`),
    key: anExpression(`base64encode(${key})`),
  });
}

/** The references to the certificate and to the key of an identity. */
function pairOf(identity: string): readonly [string, string] {
  const type = /(^|-)ca$/.test(identity) ? "tls_self_signed_cert" : "tls_locally_signed_cert";
  return [
    `${type}.${identity}-certificate.cert_pem`,
    `tls_private_key.${identity}-private-key.private_key_pem`,
  ] as const;
}

function foundingOf({ id }: NodeFacts) {
  const machines = 'split(" ", null_resource.etcd-founding.triggers.machines)';
  return {
    token: anExpression("null_resource.etcd-founding.id"),
    founders: anExpression("null_resource.etcd-founding.triggers.members"),
    isFounder: anExpression(`contains(${machines}, aws_instance.${id}.id)`),
  };
}

/** A line of the table of releases. */
export interface ReleaseLine {
  readonly name: string;
  readonly version: string;
  readonly sum: string;
  readonly url: string;
  /** The names of its programs. */
  readonly programs: readonly string[];
}

/** The lines of a table of releases, as a machine reads it. */
export function releaseLines(file: CopiedFile | undefined): ReleaseLine[] {
  const lines = plainContent(file?.content)?.split("\n") ?? [];
  return lines.flatMap((line) => {
    const [name = "", version = "", _kind, _folder, sum = "", url = "", _sumUrl, ...members] = line.split(" ");
    return name === "" ? [] : [{ name, version, sum, url, programs: members.map((each) => each.replace(/^.*\//, "")) }];
  });
}

/** The key of the version of each release. The others are parts of Kubernetes. */
const COMPONENT_OF: Readonly<Record<string, keyof ComponentVersions>> = {
  etcd: "etcd",
  containerd: "containerd",
  runc: "runc",
  "cni-plugins": "cniPlugins",
};

/** The releases of this project for a machine that has these lines, with the known sums. */
export function releasesLike(role: NodeRole, lines: readonly ReleaseLine[], downloads?: string): readonly Release[] {
  const versions = Object.fromEntries(
    lines
      .filter(({ version }) => /^\d+\.\d+\.\d+$/.test(version))
      .map(({ name, version }) => [COMPONENT_OF[name] ?? "kubernetes", version]),
  );
  return releases(role, { ...ANY_VERSION, ...versions }, { downloads });
}

/** The table that a machine gets with the versions, the sums and the mirror of a table. */
function tableLike(role: NodeRole, file: CopiedFile | undefined): string {
  const lines = releaseLines(file);
  const [base] =
    /^https?:\/\/.*?(?=\/dl\.k8s\.io\/)/.exec(lines.find(({ name }) => name === "kubectl")?.url ?? "") ?? [];
  return programsTable(
    releasesLike(role, lines, base).map((release) => {
      const sum = lines.find(({ name }) => name === release.name)?.sum ?? "";
      return { ...release, sha256: /^[0-9a-f]{64}$/.test(sum) ? sum : "-" };
    }),
  );
}
