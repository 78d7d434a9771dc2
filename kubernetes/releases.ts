import type { NodeRole } from "../model/names";
import type { ComponentVersions } from "../model/versions";

/** A file of a release host for linux/amd64, and the programs in it. */
export interface Release {
  readonly name: string;
  /** The version, without the `v` of tags. */
  readonly version: string;
  /** Whether the file is the program itself, or a tar archive compressed with gzip. */
  readonly kind: "program" | "archive";
  /** The folder on a machine that gets a link to each program. containerd looks for CNI plugins in `/opt/cni/bin`. */
  readonly linkFolder: "/usr/local/bin" | "/opt/cni/bin";
  /** HOST/PATH of the file, the key in {@link Checksums}. */
  readonly path: string;
  /** The address from which a machine downloads the file. */
  readonly url: string;
  /** The address of the file's SHA-256, or of a list of sums that contains it. */
  readonly sumUrl: string;
  /** The SHA-256 of the file, in 64 hexadecimal digits. @default - not known: the sum at `sumUrl` counts */
  readonly sha256?: string;
  /** The paths of the programs in the archive, or the name of the one program. The last part of each is the program's name. */
  readonly members: readonly string[];
}

/**
 * SHA-256 sums of release files by HOST/PATH, in 64 lower-case hexadecimal digits, and digests of images by
 * REGISTRY/NAME:TAG, with `sha256:` before the digits.
 */
export type Checksums = Readonly<Record<string, string>>;

/** The options of {@link releases}. */
export interface ReleaseOptions {
  /** The base address of a mirror, without a slash at its end: BASE/HOST/PATH replaces https://HOST/PATH. @default - the release hosts */
  readonly downloads?: string | undefined;
  /** Sums in addition to the known ones, which they replace. @default - none */
  readonly checksums?: Checksums | undefined;
}

/**
 * The sums and digests that this project knows. Sources: for files kubespray (roles/kubespray_defaults/vars/main/checksums.yml,
 * August 2026), for CoreDNS kubernetes/k8s.io (registry.k8s.io/images/k8s-staging-coredns/images.yaml), and for pause the lists
 * of images of RKE2, which agree with those of other projects.
 */
const KNOWN: Checksums = {
  "dl.k8s.io/v1.35.8/bin/linux/amd64/kubelet": "6971b9f95e54dbed67a2271abe6e78f8cc2894494649f3cf39e4b25a82dca923",
  "dl.k8s.io/v1.35.8/bin/linux/amd64/kubectl": "874d5e72dbb819f43cff16bcd1e4f8bac5b7f2361fe1e55049b0a6c676fb0cbf",
  "dl.k8s.io/v1.36.3/bin/linux/amd64/kubelet": "46707a53209f826ad0f0d62371ac69cd00e78fd9a8176cf5f6f87f18f7f8b718",
  "dl.k8s.io/v1.36.3/bin/linux/amd64/kubectl": "ebbd080e7c2e275093b55915722043257eb24004363e20acb3c4d71919f88336",
  "dl.k8s.io/v1.36.4/bin/linux/amd64/kubelet": "cf2562db46c48ab84cc3791540778ee7fb1a0a008529adbb434723dd02ed8b4b",
  "dl.k8s.io/v1.36.4/bin/linux/amd64/kubectl": "8b8f088da2dab964f853b38464033b1be15ede2839eca751482357c45abdd05a",
  "github.com/etcd-io/etcd/releases/download/v3.6.14/etcd-v3.6.14-linux-amd64.tar.gz":
    "ffe840ff9295808e88cce2794a18a5ac87f12a5203c8314d0bf6aa119b41bac5",
  "github.com/containerd/containerd/releases/download/v2.3.4/containerd-2.3.4-linux-amd64.tar.gz":
    "9d68969855fbf676cdb8ed758e420fb048d61f984f61de3e53eddfebe484d168",
  "github.com/opencontainers/runc/releases/download/v1.4.3/runc.amd64":
    "f6ae8efc0fa40079e1475e97cbe9d1bd3f106a28d6af78a11d9f1bd565515e60",
  "github.com/containernetworking/plugins/releases/download/v1.9.1/cni-plugins-linux-amd64-v1.9.1.tgz":
    "b98f74a0f8522f0a83867178729c1aa70f2158f90c45a2ca8fa791db1c76b303",
  "registry.k8s.io/pause:3.10.2": "sha256:f548e0e8e3dc1896ca956272154dde3314e8cc4fde0a57577ee9fa1c63f5baf4",
  "registry.k8s.io/coredns/coredns:v1.14.2": "sha256:e7e6440cfd1e919280958f5b5a6ab2b184d385bba774c12ad2a9e1e4183f90d9",
};

/** A release without its version. */
interface Row {
  readonly name: string;
  /** The key of its version. */
  readonly component: keyof ComponentVersions;
  readonly kind: Release["kind"];
  readonly linkFolder: Release["linkFolder"];
  /** HOST and folder of the file. `VERSION` stands for the version. */
  readonly folder: string;
  /** The name of the file. `VERSION` stands for the version. */
  readonly file: string;
  /** The name of the file with the sum. `FILE` stands for the name above. */
  readonly sums: string;
  readonly members: readonly string[];
}

const LOCAL = "/usr/local/bin";

/** A program that Kubernetes releases as one file. */
function kubernetesProgram(name: string): Row {
  return {
    name,
    component: "kubernetes",
    kind: "program",
    linkFolder: LOCAL,
    folder: "dl.k8s.io/vVERSION/bin/linux/amd64",
    file: name,
    sums: "FILE.sha256",
    members: [name],
  };
}

const KUBECTL = kubernetesProgram("kubectl");

/** The releases that the machines of each role need. */
const ROWS: Readonly<Record<NodeRole, readonly Row[]>> = {
  master: [
    {
      name: "etcd",
      component: "etcd",
      kind: "archive",
      linkFolder: LOCAL,
      folder: "github.com/etcd-io/etcd/releases/download/vVERSION",
      file: "etcd-vVERSION-linux-amd64.tar.gz",
      sums: "SHA256SUMS",
      members: ["etcd", "etcdctl", "etcdutl"].map((name) => `etcd-vVERSION-linux-amd64/${name}`),
    },
    ...["kube-apiserver", "kube-controller-manager", "kube-scheduler"].map(kubernetesProgram),
    KUBECTL,
  ],
  worker: [
    {
      name: "containerd",
      component: "containerd",
      kind: "archive",
      linkFolder: LOCAL,
      folder: "github.com/containerd/containerd/releases/download/vVERSION",
      file: "containerd-VERSION-linux-amd64.tar.gz",
      sums: "FILE.sha256sum",
      members: ["bin/containerd", "bin/containerd-shim-runc-v2", "bin/ctr"],
    },
    {
      name: "runc",
      component: "runc",
      kind: "program",
      linkFolder: LOCAL,
      folder: "github.com/opencontainers/runc/releases/download/vVERSION",
      file: "runc.amd64",
      sums: "runc.sha256sum",
      members: ["runc"],
    },
    {
      name: "cni-plugins",
      component: "cniPlugins",
      kind: "archive",
      linkFolder: "/opt/cni/bin",
      folder: "github.com/containernetworking/plugins/releases/download/vVERSION",
      file: "cni-plugins-linux-amd64-vVERSION.tgz",
      sums: "FILE.sha256",
      members: ["bridge", "host-local", "loopback", "portmap", "firewall"],
    },
    ...["kubelet", "kube-proxy"].map(kubernetesProgram),
    KUBECTL,
  ],
};

/** The releases that a machine of a role needs. */
export function releases(
  role: NodeRole,
  versions: ComponentVersions,
  options: ReleaseOptions = {},
): readonly Release[] {
  const { downloads, checksums } = options;
  const base = downloads === undefined ? "https:/" : downloads;
  return ROWS[role].map(({ name, component, kind, linkFolder, folder, file, sums, members }) => {
    const version = versions[component];
    const filled = (text: string) => text.replaceAll("VERSION", version);
    const path = filled(`${folder}/${file}`);
    const sha256 = known(path, checksums);
    return {
      name,
      version,
      kind,
      linkFolder,
      path,
      url: `${base}/${path}`,
      sumUrl: `${base}/${filled(folder)}/${sums.replace("FILE", filled(file))}`,
      ...(sha256 !== undefined && { sha256 }),
      members: members.map(filled),
    };
  });
}

/** The paths of all releases of a cluster, as HOST/PATH. */
export function releasePaths(versions: ComponentVersions): string[] {
  const paths = (["master", "worker"] as const).flatMap((role) => releases(role, versions).map(({ path }) => path));
  return [...new Set(paths)];
}

/** The images of a cluster: the name at the registry, the start of the tag, and the key of the version. */
const IMAGES = {
  pause: ["registry.k8s.io/pause", "", "pause"],
  coredns: ["registry.k8s.io/coredns/coredns", "v", "coreDns"],
  agnhost: ["registry.k8s.io/e2e-test-images/agnhost", "", "agnhost"],
} as const;

/** An image of a cluster. */
export type ImageName = keyof typeof IMAGES;

/** The images of a cluster. The pods that check workers are of agnhost. */
export const IMAGE_NAMES = Object.keys(IMAGES) as readonly ImageName[];

/** An image with its tag, `registry.k8s.io/pause:3.10.2`. It is the key in {@link Checksums}. */
export function imageTag(name: ImageName, versions: ComponentVersions): string {
  const [repository, prefix, component] = IMAGES[name];
  return `${repository}:${prefix}${versions[component]}`;
}

/**
 * An image as kubelet and containerd pull it, with its digest if that is known: `registry.k8s.io/pause:3.10.2@sha256:…`.
 * @param checksums - digests in addition to the known ones, which they replace. @default - none
 */
export function image(name: ImageName, versions: ComponentVersions, checksums?: Checksums): string {
  const tag = imageTag(name, versions);
  const digest = known(tag, checksums);
  return digest === undefined ? tag : `${tag}@${digest}`;
}

/** The sum of a release file, or the digest of an image; undefined if it is not known. */
function known(key: string, checksums: Checksums = {}): string | undefined {
  return [checksums, KNOWN].find((sums) => Object.hasOwn(sums, key))?.[key];
}

/**
 * The table of releases that a machine reads: a line for each, `NAME VERSION KIND LINKFOLDER SHA256 URL SUMURL MEMBER...`,
 * with a hyphen for an unknown sum.
 */
export function programsTable(rows: readonly Release[]): string {
  return rows
    .map(({ name, version, kind, linkFolder, sha256 = "-", url, sumUrl, members }) =>
      [name, version, kind, linkFolder, sha256, url, sumUrl, ...members].join(" "),
    )
    .map((line) => `${line}\n`)
    .join("");
}
