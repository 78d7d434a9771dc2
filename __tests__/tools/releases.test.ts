import { execFile } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, unlinkSync, writeFileSync } from "node:fs";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { download } from "../../cloud/mirror/download";
import { createMirror } from "../../cloud/mirror/server";
import { IMAGE_NAMES, image, imageTag, releases } from "../../kubernetes/releases";
import { componentVersions, TESTED } from "../../model/versions";
import { parseSettings } from "../../settings/load";
import { digestOf, layout } from "../../testing/oci-layout";

const PROJECT = join(__dirname, "../..");

/** Another sum for each text. */
const sumOf = (text: string) => digestOf(text).slice("sha256:".length);

const dl = (name: string) => `dl.k8s.io/v1.37.2/bin/linux/amd64/${name}`;
const ETCD = "github.com/etcd-io/etcd/releases/download/v3.7.3";
const CONTAINERD = "github.com/containerd/containerd/releases/download/v2.4.2/containerd-2.4.2-linux-amd64.tar.gz";
const RUNC = "github.com/opencontainers/runc/releases/download/v1.5.2";
const CNI = "github.com/containernetworking/plugins/releases/download/v1.9.1/cni-plugins-linux-amd64-v1.9.1.tgz";

const KUBERNETES = ["kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl", "kubelet", "kube-proxy"];
const IMAGES = [
  "registry.k8s.io/pause:3.10.2",
  "registry.k8s.io/coredns/coredns:v1.15.0",
  "registry.k8s.io/e2e-test-images/agnhost:2.66.1",
];

let folder: string;
let mirror: Server;
let address: string;

/** Writes a file of the mirror. */
function write(path: string, content: string): void {
  mkdirSync(dirname(join(folder, "mirror", path)), { recursive: true });
  writeFileSync(join(folder, "mirror", path), content);
}

/** The files of sums in the forms of the release hosts: only the sum, one line, lines for several files. */
function writeSums(): void {
  for (const name of KUBERNETES) write(`${dl(name)}.sha256`, sumOf(name));
  write(
    `${ETCD}/SHA256SUMS`,
    ["etcd-v3.7.3-darwin-amd64.zip", "etcd-v3.7.3-linux-amd64.tar.gz", "etcd-v3.7.3-linux-arm64.tar.gz"]
      .map((file) => `${sumOf(file)}  ${file}\n`)
      .join(""),
  );
  write(`${CONTAINERD}.sha256sum`, `${sumOf("containerd")}  containerd-2.4.2-linux-amd64.tar.gz\n`);
  write(`${RUNC}/runc.sha256sum`, `${sumOf("arm")} *runc.arm64\n${sumOf("runc")} *runc.amd64\n`);
  write(`${CNI}.sha256`, `${sumOf("cni")}  cni-plugins-linux-amd64-v1.9.1.tgz\r\n`);
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "releases-"));
  for (const [index, name] of IMAGES.entries()) {
    for (const [path, content] of Object.entries(layout(name))) write(`images/${index}/${path}`, content);
  }
  mirror = createMirror({ folder: join(folder, "mirror"), cache: join(folder, "cache"), log: () => {} });
  await new Promise<void>((resolve) => mirror.listen(0, "127.0.0.1", resolve));
  address = `http://127.0.0.1:${(mirror.address() as AddressInfo).port}`;
});

beforeEach(writeSums);

afterAll(async () => {
  await new Promise((resolve) => mirror.close(resolve));
  rmSync(folder, { recursive: true });
});

interface Ended {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

function run(...args: string[]): Promise<Ended> {
  const command = ["--import", "tsx", "tools/releases.ts", ...args];
  return new Promise((resolve) => {
    execFile(process.execPath, command, { cwd: PROJECT }, (error, stdout, stderr) => {
      resolve({ status: error === null ? 0 : Number(error.code), stdout, stderr });
    });
  });
}

const ask = (...args: string[]) => run(...args, "--downloads", address, "--registry", address);

/** The digest of the manifest of an image. */
function digestIn(name: string): string {
  return JSON.parse(layout(name)["index.json"] as string).manifests[0].digest;
}

test("the sums of all files, and the digests of all images, are a file of checksums", async () => {
  const { status, stdout, stderr } = await ask("1.37.2");
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  expect(JSON.parse(stdout)).toEqual({
    ...Object.fromEntries(KUBERNETES.map((name) => [dl(name), sumOf(name)])),
    [`${ETCD}/etcd-v3.7.3-linux-amd64.tar.gz`]: sumOf("etcd-v3.7.3-linux-amd64.tar.gz"),
    [CONTAINERD]: sumOf("containerd"),
    [`${RUNC}/runc.amd64`]: sumOf("runc"),
    [CNI]: sumOf("cni"),
    ...Object.fromEntries(IMAGES.map((name) => [name, digestIn(name)])),
  });

  const path = join(folder, "checksums.json");
  writeFileSync(path, stdout);
  const { checksums } = parseSettings({ kubernetes: { version: "1.37.2", checksums: path } }).kubernetes ?? {};
  const versions = componentVersions({ version: "1.37.2" });
  for (const role of ["master", "worker"] as const) {
    for (const release of releases(role, versions, { checksums })) {
      expect(release.sha256).toBe(JSON.parse(stdout)[release.path]);
    }
  }
  expect(image("coredns", versions, checksums)).toBe(`${IMAGES[1]}@${digestIn(IMAGES[1] as string)}`);
});

test("the files at the printed addresses are a mirror", async () => {
  for (const name of KUBERNETES) write(dl(name), name);
  for (const path of [`${ETCD}/etcd-v3.7.3-linux-amd64.tar.gz`, CONTAINERD, `${RUNC}/runc.amd64`, CNI])
    write(path, path);
  const { stdout } = await ask("1.37.2", "--urls");
  const copy = join(folder, "copy");
  for (const url of stdout.trim().split("\n")) await download(copy, url);
  const root = join(copy, "127.0.0.1");
  const versions = componentVersions({ version: "1.37.2" });
  for (const role of ["master", "worker"] as const) {
    for (const { path, sumUrl } of releases(role, versions)) {
      expect(readFileSync(join(root, path))).toEqual(readFileSync(join(folder, "mirror", path)));
      expect(existsSync(join(root, sumUrl.replace("https://", "")))).toBe(true);
    }
  }
});

test("the page on the emulated cloud names the images", () => {
  const page = readFileSync(join(PROJECT, "docs/rehearsal.md"), "utf8");
  for (const tag of IMAGE_NAMES.map((name) => imageTag(name, TESTED))) {
    expect(page).toMatch(
      new RegExp(`skopeo copy docker://${tag} docker-archive:\\.cloud/releases/images/[a-z]+\\.tar:${tag}\n`),
    );
  }
});

test("another version of a component", async () => {
  const other = "github.com/etcd-io/etcd/releases/download/v3.6.1";
  write(`${other}/SHA256SUMS`, `${sumOf("3.6.1")}  etcd-v3.6.1-linux-amd64.tar.gz\n`);
  const { stdout, stderr } = await ask("1.37.2", "--component", "etcd=3.6.1", "--component", "runc=1.5.2");
  expect(stderr).toBe("");
  expect(JSON.parse(stdout)).toMatchObject({ [`${other}/etcd-v3.6.1-linux-amd64.tar.gz`]: sumOf("3.6.1") });
});

test("each missing sum and digest is one line, and nothing is printed", async () => {
  unlinkSync(join(folder, "mirror", `${dl("kubelet")}.sha256`));
  write(`${ETCD}/SHA256SUMS`, `${sumOf("a")}  etcd-v3.7.3-linux-arm64.tar.gz\n`);
  write(`${dl("kubectl")}.sha256`, "<html>\n");
  const component = ["--component", "coreDns=1.15.1"];
  expect(await ask("1.37.2", ...component)).toEqual({
    status: 1,
    stdout: "",
    stderr: `releases: ${address}/${ETCD}/SHA256SUMS has no SHA-256 of etcd-v3.7.3-linux-amd64.tar.gz
${address}/${dl("kubectl")}.sha256 has no SHA-256 of kubectl
${address}/${dl("kubelet")}.sha256 cannot be read: status 404
${address}/v2/coredns/coredns/manifests/v1.15.1?ns=registry.k8s.io cannot be read: status 404
`,
  });
});

test("a host that does not answer is one line", async () => {
  const { status, stdout, stderr } = await run("1.37.2", "--downloads", address, "--registry", "http://127.0.0.1:2");
  expect({ status, stdout }).toEqual({ status: 1, stdout: "" });
  const [line] = stderr.split("\n");
  expect(line).toBe(
    "releases: http://127.0.0.1:2/v2/pause/manifests/3.10.2?ns=registry.k8s.io cannot be read: connect ECONNREFUSED 127.0.0.1:2",
  );
});

const VERSION = "'VERSION' must be a patch version of Kubernetes 1.35, 1.36 or 1.37, such as 1.37.2, got:";
const ADDRESS =
  "must be an http or https address of letters, digits and ._~-/, such as https://mirror.example.com/k8s, without user, query and slash at the end, got:";
const COMPONENT = "'--component' must be NAME=VERSION with one of etcd, containerd, runc, cniPlugins, coreDns, got:";

test.each<[args: string[], line: string]>([
  [[], `${VERSION} nothing`],
  [["1.37"], `${VERSION} "1.37"`],
  [["1.37.2", "1.36.4"], `${VERSION} "1.37.2 1.36.4"`],
  [["1.37.2", "--downloads", "mirror"], `'--downloads' ${ADDRESS} "mirror"`],
  [["1.37.2", "--registry", "http://a/"], `'--registry' ${ADDRESS} "http://a/"`],
  [["1.37.2", "--component", "pause=3.10.2"], `${COMPONENT} "pause=3.10.2"`],
  [
    ["1.37.2", "--component", "etcd"],
    `'--component etcd' must be a version of three numbers, such as 1.2.3, without v, got: ""`,
  ],
  [
    ["1.37.2", "--component", "etcd=v3.7.3"],
    `'--component etcd' must be a version of three numbers, such as 1.2.3, without v, got: "v3.7.3"`,
  ],
  [
    ["1.37.2", "--register", "a"],
    "'--register' is not an option, did you mean '--registry'? allowed: --component, --downloads, --registry, --urls",
  ],
])("%j is refused", async (args, line) => {
  expect(await run(...args)).toEqual({ status: 1, stdout: "", stderr: `releases: ${line}\n` });
});
